//! Build arguments and their defaults.
//!
//! Source: Apptainer's `internal/pkg/build/args/args.go`.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::fault::Faults;
use super::section::Section;
use super::template::{Template, word};
use super::{DeffileError, SectionKind};

/// The values that whoever builds gives to templates; they win over the defaults of `%arguments`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildArguments {
    values: IndexMap<String, String>,
}

/// A text that is not `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a build argument: write `NAME=value`")]
pub struct NotAnArgument {
    /// As given.
    pub text: String,
}

impl BuildArguments {
    /// No arguments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Sets a value given as `NAME=value`, as to Apptainer's `--build-arg`. Blanks around both are removed.
    ///
    /// # Errors
    /// When there is no `=`, or nothing before it.
    pub fn insert_text(&mut self, text: &str) -> Result<(), NotAnArgument> {
        let (name, value) = split(text).ok_or_else(|| NotAnArgument {
            text: text.to_owned(),
        })?;
        self.insert(name, value);
        Ok(())
    }

    /// Sets the values of a file of `NAME=value` lines, as given to Apptainer's `--build-arg-file`. Other lines are
    /// passed over, and returned.
    pub fn insert_lines<'a>(&mut self, text: &'a str) -> Vec<&'a str> {
        text.lines()
            .filter(|line| self.insert_text(line).is_err())
            .collect()
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The names, in the order in which they were set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name, value.trim()))
}

/// The defaults in the `%arguments` of a stage; the last one of a name counts.
pub(super) fn defaults<'a>(
    sections: &'a [Section],
    templates: &[Template],
    faults: &mut Faults,
) -> HashMap<&'a str, &'a str> {
    let mut defaults = HashMap::new();
    let mut places = IndexMap::new();
    for (span, line) in sections
        .iter()
        .filter(|section| section.kind == SectionKind::Arguments)
        .flat_map(Section::entries)
    {
        let Some((name, value)) = split(line) else {
            faults.push(span, DeffileError::BadArgument);
            continue;
        };
        if word(name) != name {
            faults.push(
                span,
                DeffileError::BadArgumentName {
                    key: name.to_owned(),
                },
            );
        }
        defaults.insert(name, value);
        places.insert(name, span);
    }
    let used: std::collections::HashSet<&str> = templates
        .iter()
        .filter(|template| !template.in_comment)
        .map(|template| template.name.as_str())
        .collect();
    for (name, span) in places {
        // Values may refer to others, and those lines are templates of the text as well.
        if !used.contains(name) && word(name) == name {
            faults.push(
                span,
                DeffileError::UnusedDefault {
                    name: name.to_owned(),
                },
            );
        }
    }
    defaults
}
