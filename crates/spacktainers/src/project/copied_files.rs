//! The section `spacktainer:` beside `spack:` in a definition, as projects wrote it before there was `container.toml`:
//!
//! ```yaml
//! spack:
//!   specs: [my-package]
//! spacktainer:
//!   files:
//!   - files/my-container/script.sh:/opt/script.sh
//! ```
//!
//! Each of `files` is `SOURCE:DESTINATION`, and means `COPY SOURCE DESTINATION`; sources lie below the folder `spacktainer`
//! of the project. Source: BlueBrain/spacktainers, README.md, "Adding files to your container".

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use spack_format::environment::ManifestFault;
use spack_format::yaml::shape::{
    MapShape, Others, Shape, TextFault, TextShape, check, key, required,
};
use spack_format::yaml::{Node, SourceId, parse};

use crate::diagnostic::Diagnostic;
use crate::epilogue::{CopyFlags, Epilogue, Instruction, Step};

/// The section's name.
const SECTION: &str = "spacktainer";

/// The folder that sources lie in, for `project`.
pub(super) fn folder(project: &Path) -> PathBuf {
    project.join("spacktainer")
}

/// A definition without its section of ours: what Spack reads. Places stay what they were.
pub(crate) fn for_spack(text: &str) -> Cow<'_, str> {
    match section(text) {
        Some(section) => Cow::Owned(blank(text, &section)),
        None => Cow::Borrowed(text),
    }
}

/// What the section says; nothing where there is none.
pub(super) fn read(text: &str, source: SourceId, faults: &mut Vec<Diagnostic>) -> Option<Epilogue> {
    let section = section(text)?;
    let before = blank(text, &(0..section.start));
    let parsed = parse(before.get(..section.end)?, source);
    let broken = parsed.faults.iter().cloned().map(ManifestFault::from);
    faults.extend(broken.map(Diagnostic::from));
    let found = check(&parsed.root, &Shape::Map(&BESIDE), parsed.complete);
    faults.extend(found.into_iter().map(Diagnostic::from));
    let files = parsed.root.at(&[SECTION, "files"]);
    let files = files.and_then(Node::as_sequence).unwrap_or_default();
    let steps = files.iter().filter_map(|node| {
        let (from, to) = pair(node.as_str()?)?;
        Some(Step {
            instruction: Instruction::Copy {
                sources: vec![from.to_owned()],
                documents: Vec::new(),
                destination: to.to_owned(),
                flags: CopyFlags::default(),
                unpacks: false,
            },
            text: format!("COPY {from} {to}"),
            place: node.span.start as usize..node.span.end as usize,
        })
    });
    Some(Epilogue {
        steps: steps.collect(),
    })
}

static BESIDE: MapShape = MapShape {
    name: "a definition",
    keys: &[required(SECTION, Shape::OrNull(&Shape::Map(&OURS)))],
    others: Others::Refused,
};

static OURS: MapShape = MapShape {
    name: "`spacktainer`",
    keys: &[key("files", Shape::List(&Shape::Text(&FILE)))],
    others: Others::Refused,
};

static FILE: TextShape = TextShape {
    noun: "a file",
    check: |text| match pair(text) {
        Some(_) => Ok(()),
        None => Err(TextFault {
            range: 0..text.len(),
            message: "this is not a pair of source and destination".to_owned(),
            label: "no destination".to_owned(),
            hint: Some("write `files/NAME/FILE:/path/in/the/image`".to_owned()),
        }),
    },
};

fn pair(text: &str) -> Option<(&str, &str)> {
    let (from, to) = text.split_once(':')?;
    let (from, to) = (from.trim(), to.trim());
    (!from.is_empty() && to.starts_with('/')).then_some((from, to))
}

/// Bytes of the section: from its key at the beginning of a line to the next line that begins with something else.
fn section(text: &str) -> Option<Range<usize>> {
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begins = line.starts_with(|it: char| !it.is_whitespace() && it != '#' && it != '-');
        match start {
            Some(start) if begins => return Some(start..at),
            None if line
                .strip_prefix(SECTION)
                .is_some_and(|rest| rest.trim_start().starts_with(':')) =>
            {
                start = Some(at);
            }
            _ => {}
        }
        at += line.len();
    }
    start.map(|start| start..at)
}

/// The text with blanks in `range`; lines stay lines.
fn blank(text: &str, range: &Range<usize>) -> String {
    let blanks = |part: &str| -> String {
        let bytes = part.bytes();
        bytes
            .map(|it| if it == b'\n' { '\n' } else { ' ' })
            .collect()
    };
    let (Some(before), Some(inside), Some(after)) = (
        text.get(..range.start),
        text.get(range.clone()),
        text.get(range.end..),
    ) else {
        return text.to_owned();
    };
    let mut out = format!("{before}{}{after}", blanks(inside));
    // Nothing but blanks at the end: the section was the last one.
    if after.is_empty() {
        let kept = out.trim_end().len();
        out.truncate(kept);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_goes_and_places_stay() {
        let text = "spacktainer:\n  files:\n  - a:/b\n# of Spack\nspack:\n  specs: [zlib]\n";
        let rest = for_spack(text);
        assert_eq!(rest.len(), text.len());
        assert_eq!(
            rest.find("spack:"),
            Some(text.find("\nspack:").unwrap() + 1)
        );
        assert!(!rest.contains("files"), "{rest}");
        let last = "spack:\n  specs: [zlib]\nspacktainer:\n  files:\n  - a:/b\n";
        assert_eq!(for_spack(last), "spack:\n  specs: [zlib]\n");
        assert!(matches!(for_spack("spack: {}\n"), Cow::Borrowed(_)));
    }
}
