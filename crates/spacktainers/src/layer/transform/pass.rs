//! One pass over an archive.

use std::collections::HashSet;
use std::io::{self, Cursor, Read};

use oci_format::layer::tar::TarReader;
use oci_format::layer::{Entry, EntryKind};

use super::all::SymbolReport;
use super::{Chain, StripRules, TransformError};
use crate::layer::PackageRecord;
use crate::layer::relocate::{Left, Members, Rewrite};
use crate::layer::slim::{Fate, Selection, rules};
use crate::layer::strip::{self, KeptBecause, Outcome, Symbols};

/// Bytes by which a program is known.
const FIRST: u64 = 64;

/// Bytes that are reserved for a file before they have come: 64 MiB.
const MOST_AHEAD: usize = 64 << 20;

/// Seconds since 1970 of debug files: their dates say nothing.
const MTIME: u64 = 0;

/// What a pass found out.
#[derive(Debug, Default)]
pub struct Passed {
    /// What stays of the build because Spack leaves it, too.
    pub left: Vec<Left>,
    /// What became of symbols.
    pub symbols: SymbolReport,
}

/// Reads an archive that was scanned as `record` and writes what `chain` makes of its members. `debug` takes the files for
/// debuggers, where they are asked for. `package` is the package's name for people.
///
/// # Errors
/// When the archive cannot be read or the new one cannot be written; when a path does not fit; and when something that is
/// loaded would still lead to where the package was built.
pub fn pass<R: Read, W: Members>(
    archive: R,
    out: &mut W,
    debug: &mut dyn Members,
    record: &PackageRecord,
    chain: &Chain,
    package: &str,
) -> Result<Passed, TransformError> {
    let old = record.prefix.as_deref().or(record.top.as_deref());
    let mut place = Place {
        old: old.unwrap_or_default().as_bytes(),
        new: match &chain.relocate {
            Some(rules) => rules.prefix().as_bytes(),
            None => old.unwrap_or_default().as_bytes(),
        },
        slim: chain.slim.as_ref(),
    };
    let mut stripping = chain.strip.as_ref().map(|rules| Stripping {
        rules,
        debug,
        package,
        written: HashSet::new(),
        report: SymbolReport::default(),
    });
    let mut writer = match &chain.relocate {
        Some(rules) => Writer::Moved(Rewrite::begin(out, rules, package)?),
        None => Writer::Same(out),
    };
    let mut members = TarReader::new(archive);
    while let Some(mut member) = members
        .next_member()
        .map_err(|source| TransformError::Tar {
            package: package.to_owned(),
            source,
        })?
    {
        let mut entry = member.entry.clone();
        let file = match place.of(&mut entry) {
            Placed::Above if chain.relocate.is_some() => continue,
            Placed::Above => String::new(),
            Placed::Nowhere => continue,
            Placed::Below(file) => file,
        };
        if let Some(stripping) = &mut stripping
            && entry.kind == EntryKind::File
            && entry.size > FIRST
        {
            let mut first = Vec::new();
            let read = member.by_ref().take(FIRST).read_to_end(&mut first);
            read.map_err(|source| io_error(package, source))?;
            if strip::may_have_symbols(&first) {
                let bytes = stripping.file(&file, &mut entry, first, &mut member)?;
                writer.write(entry, &file, &mut bytes.chain(&mut member), package)?;
            } else {
                let mut content = Cursor::new(first).chain(&mut member);
                writer.write(entry, &file, &mut content, package)?;
            }
        } else {
            writer.write(entry, &file, &mut member, package)?;
        }
    }
    Ok(Passed {
        left: match writer {
            Writer::Moved(rewrite) => rewrite.finish(),
            Writer::Same(_) => Vec::new(),
        },
        symbols: stripping.map(|it| it.report).unwrap_or_default(),
    })
}

fn io_error(package: &str, source: io::Error) -> TransformError {
    TransformError::Io {
        package: package.to_owned(),
        source,
    }
}

/// Where members go.
enum Writer<'a, W> {
    Same(&'a mut W),
    Moved(Rewrite<'a, W>),
}

impl<W: Members> Writer<'_, W> {
    fn write(
        &mut self,
        entry: Entry,
        file: &str,
        content: &mut dyn Read,
        package: &str,
    ) -> Result<(), TransformError> {
        match self {
            Self::Moved(rewrite) => rewrite.member(entry, file, content),
            Self::Same(out) => {
                out.append(&entry, content)
                    .map_err(|source| TransformError::Write {
                        package: package.to_owned(),
                        source,
                    })
            }
        }
    }
}

/// Where a package lies and will lie, without leading slashes.
struct Place<'a> {
    old: &'a [u8],
    new: &'a [u8],
    slim: Option<&'a Selection>,
}

/// Where a member goes.
enum Placed {
    /// Above the prefix: a folder that leads there.
    Above,
    /// It is left out.
    Nowhere,
    /// Below the prefix, under the name that Spack knows it by.
    Below(String),
}

impl Place<'_> {
    /// Gives an entry its new path and target.
    fn of(&mut self, entry: &mut Entry) -> Placed {
        let Some(path) = below(self.old, &entry.path) else {
            return Placed::Above;
        };
        // Names that are not text do not pass the scan.
        let text = |below: &[u8]| {
            let below = below.strip_prefix(b"/").unwrap_or(below);
            String::from_utf8_lossy(below).into_owned()
        };
        let file = text(path);
        let mut becomes = None;
        if let Some(slim) = self.slim {
            match slim.fate(&file) {
                Fate::Stays => {}
                Fate::Goes => return Placed::Nowhere,
                Fate::Becomes(heir) => becomes = Some(heir),
            }
        }
        if let EntryKind::HardLink(target) = &mut entry.kind
            && let Some(path) = below(self.old, target)
        {
            let mut path = path.to_vec();
            if let Some(slim) = self.slim {
                match slim.link_target(&file, &text(&path)) {
                    Some(new) => path = [b"/", new.as_bytes()].concat(),
                    None => return Placed::Nowhere,
                }
            }
            *target = [self.new, &path].concat();
        }
        entry.path = match becomes {
            Some(heir) => [self.new, b"/", heir.as_bytes()].concat(),
            None => [self.new, path].concat(),
        };
        Placed::Below(file)
    }
}

/// What is behind the prefix, with its `/`.
fn below<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix)
        .filter(|it| it.is_empty() || it.starts_with(b"/"))
}

/// Takes symbols out of programs.
struct Stripping<'a> {
    rules: &'a StripRules,
    debug: &'a mut dyn Members,
    package: &'a str,
    /// Debug files that are written: copies of a program have the same.
    written: HashSet<String>,
    report: SymbolReport,
}

impl Stripping<'_> {
    /// The new beginning of a file that begins with `first`: all of it where it had to be read.
    fn file(
        &mut self,
        file: &str,
        entry: &mut Entry,
        first: Vec<u8>,
        rest: &mut dyn Read,
    ) -> Result<Cursor<Vec<u8>>, TransformError> {
        let kept =
            if rules::keeps_symbols(file) || self.rules.keep.iter().any(|it| it.matches(file)) {
                Some(KeptBecause::Named)
            } else if entry.size > strip::LARGEST {
                Some(KeptBecause::TooLarge)
            } else {
                None
            };
        if let Some(why) = kept {
            self.report.kept.insert(file.to_owned(), why);
            return Ok(Cursor::new(first));
        }
        let mut bytes = first;
        // A length that the archive may not keep; most files have less.
        let expected = usize::try_from(entry.size).unwrap_or(0).min(MOST_AHEAD);
        bytes.reserve(expected.saturating_sub(bytes.len()));
        rest.read_to_end(&mut bytes)
            .map_err(|source| io_error(self.package, source))?;
        match strip::strip(&bytes, self.rules.symbols, &entry.path) {
            Outcome::Nothing => {}
            Outcome::Kept(why) => {
                self.report.kept.insert(file.to_owned(), why);
            }
            Outcome::Stripped { bytes: new, debug } => {
                self.report.stripped.files += 1;
                self.report.stripped.bytes += (bytes.len() - new.len()) as u64;
                bytes = new;
                entry.size = bytes.len() as u64;
                if let Some(debug) = debug.filter(|_| self.rules.symbols == Symbols::Separate) {
                    self.keep(&debug)?;
                }
            }
        }
        Ok(Cursor::new(bytes))
    }

    fn keep(&mut self, debug: &strip::DebugFile) -> Result<(), TransformError> {
        if !self.written.insert(debug.path.clone()) {
            return Ok(());
        }
        let mut write = |entry: &Entry, mut bytes: &[u8]| {
            self.debug
                .append(entry, &mut bytes)
                .map_err(|source| TransformError::Write {
                    package: self.package.to_owned(),
                    source,
                })
        };
        for (at, _) in debug.path.match_indices('/') {
            let folder = debug.path[..at].to_owned();
            if self.written.insert(folder.clone()) {
                write(&Entry::directory(folder, 0o755, MTIME), b"")?;
            }
        }
        let size = debug.bytes.len() as u64;
        write(
            &Entry::file(debug.path.as_str(), 0o644, MTIME, size),
            &debug.bytes,
        )?;
        self.report.separate.files += 1;
        self.report.separate.bytes += size;
        Ok(())
    }
}

/// Takes debug files where none are asked for.
pub struct NoDebug;

impl Members for NoDebug {
    fn append(
        &mut self,
        _: &Entry,
        _: &mut dyn Read,
    ) -> Result<(), oci_format::layer::tar::TarWriteError> {
        Ok(())
    }
}
