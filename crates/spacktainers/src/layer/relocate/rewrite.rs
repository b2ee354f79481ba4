//! An archive, member by member, into one for another prefix.

use std::io::{self, Read, Write};

use oci_format::layer::tar::{Member, TarReader, TarWriteError, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use spack_format::relocation::foreign::{self, Foreign, ForeignScanner};
use spack_format::relocation::{link, shebang};

use super::file::{self, FileName, WHOLE_FILE_LIMIT};
use super::left::{Left, LeftBecause, excuse, is_object};
use super::{RelocateError, Rules};
use crate::layer::PackageRecord;

/// Takes the members of a relocated archive, one after the other: an archive again, or a folder.
pub trait Members {
    /// Takes a member with the first [`Entry::size`] bytes of `content`, which have to be all of them.
    ///
    /// # Errors
    /// When it cannot be written, or `content` has another length.
    fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), TarWriteError>;
}

impl<W: Write> Members for TarWriter<W> {
    fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), TarWriteError> {
        Self::append(self, entry, content)
    }
}

/// Bytes that are reserved for a file before they have come: 64 MiB.
const MOST_AHEAD: usize = 64 << 20;

/// Reads an archive that was scanned as `record` and writes what `rules` make of it. `package` is its name for people. The
/// answer is what stays of the build because Spack leaves it, too.
///
/// # Errors
/// When the archive cannot be read or the new one cannot be written; when a path does not fit; and when something that is
/// loaded would still lead to where the package was built.
pub fn rewrite<R: Read, W: Members>(
    archive: R,
    out: &mut W,
    record: &PackageRecord,
    rules: &Rules,
    package: &str,
) -> Result<Vec<Left>, RelocateError> {
    let mut work = Rewrite {
        out,
        rules,
        package,
        first: Vec::new(),
        left: Vec::new(),
    };
    for (index, _) in rules.prefix.match_indices('/') {
        let folder = &rules.prefix.as_bytes()[..index];
        work.write(&Entry::directory(folder, 0o755, 0), b"")?;
    }
    let old = record.prefix.as_deref().or(record.top.as_deref());
    let old = old.unwrap_or_default().as_bytes();
    let mut members = TarReader::new(archive);
    while let Some(mut member) = members.next_member().map_err(|source| RelocateError::Tar {
        package: package.to_owned(),
        source,
    })? {
        // What lies above the prefix was written already.
        let Some(below) = below(old, &member.entry.path) else {
            continue;
        };
        let file = String::from_utf8_lossy(below.strip_prefix(b"/").unwrap_or(below)).into_owned();
        let mut entry = member.entry.clone();
        entry.path = [rules.prefix.as_bytes(), below].concat();
        if let EntryKind::HardLink(target) = &mut entry.kind
            && let Some(below) = self::below(old, target)
        {
            *target = [rules.prefix.as_bytes(), below].concat();
        }
        work.member(entry, &file, &mut member)?;
    }
    Ok(work.left)
}

/// What is behind the prefix, with its `/`.
fn below<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix)
        .filter(|it| it.is_empty() || it.starts_with(b"/"))
}

struct Rewrite<'a, W> {
    out: &'a mut W,
    rules: &'a Rules,
    package: &'a str,
    /// The beginning of the file at hand.
    first: Vec<u8>,
    left: Vec<Left>,
}

impl<W: Members> Rewrite<'_, W> {
    fn member<R: Read>(
        &mut self,
        mut entry: Entry,
        file: &str,
        member: &mut Member<'_, R>,
    ) -> Result<(), RelocateError> {
        match &mut entry.kind {
            EntryKind::Symlink(target) => {
                if self.rules.is_link(file)
                    && let Some(new) = link::relocate(&self.rules.map, target)
                {
                    *target = new;
                }
                let found = foreign::scan(&self.rules.map, target);
                // Only its beginning decides where an absolute link leads.
                let excuse = match found {
                    Some(Foreign { offset: 0, .. }) => excuse(file, b"\x7fELF\0\0\0\0"),
                    _ => Some(LeftBecause::WithinPath),
                };
                self.leave(file, found, excuse)?;
                self.write(&entry, b"")
            }
            EntryKind::File if self.rules.is_text(file) || self.rules.is_binary(file) => {
                self.listed(entry, file, member)
            }
            EntryKind::File => self.unlisted(entry, file, member),
            _ => self.write(&entry, b""),
        }
    }

    fn listed<R: Read>(
        &mut self,
        mut entry: Entry,
        file: &str,
        member: &mut Member<'_, R>,
    ) -> Result<(), RelocateError> {
        if entry.size > WHOLE_FILE_LIMIT {
            return Err(RelocateError::TooLarge {
                package: self.package.to_owned(),
                file: file.to_owned(),
                size: entry.size,
            });
        }
        // A length that the archive may not keep; most files have less.
        let expected = usize::try_from(entry.size).unwrap_or(0).min(MOST_AHEAD);
        let mut bytes = Vec::with_capacity(expected);
        member
            .read_to_end(&mut bytes)
            .map_err(|error| self.io(error))?;
        let name = FileName {
            package: self.package,
            path: file,
        };
        let (mut bytes, left) = file::relocate(self.rules, &name, bytes)?;
        self.left.extend(left);
        if let Some(wrapped) = file::wrap(self.rules, entry.mode, &bytes) {
            bytes.splice(..wrapped.replaced, wrapped.lines);
        }
        entry.size = bytes.len() as u64;
        self.write(&entry, &bytes)
    }

    fn unlisted<R: Read>(
        &mut self,
        mut entry: Entry,
        file: &str,
        member: &mut Member<'_, R>,
    ) -> Result<(), RelocateError> {
        let mut first = std::mem::take(&mut self.first);
        first.clear();
        member
            .by_ref()
            .take(shebang::LONGEST as u64)
            .read_to_end(&mut first)
            .map_err(|error| self.io(error))?;
        let excuse = excuse(file, &first);
        if let Some(wrapped) = file::wrap(self.rules, entry.mode, &first) {
            entry.size = entry.size - wrapped.replaced as u64 + wrapped.lines.len() as u64;
            first.splice(..wrapped.replaced, wrapped.lines);
        }
        if first.starts_with(b"\x7fELF") && !is_object(&first) && entry.size <= WHOLE_FILE_LIMIT {
            member
                .read_to_end(&mut first)
                .map_err(|error| self.io(error))?;
            let name = FileName {
                package: self.package,
                path: file,
            };
            first = file::drop_absent(self.rules, &name, first)?;
        }
        let mut content = Scanning {
            inner: first.as_slice().chain(member),
            scanner: ForeignScanner::new(&self.rules.map),
        };
        let written = self.out.append(&entry, &mut content);
        let found = content.scanner.finish();
        written.map_err(|source| RelocateError::Write {
            package: self.package.to_owned(),
            source,
        })?;
        first.truncate(shebang::LONGEST);
        first.shrink_to(shebang::LONGEST);
        self.first = first;
        self.leave(file, found, excuse)
    }

    /// Takes note of prefixes that stay, if they may.
    fn leave(
        &mut self,
        file: &str,
        found: Option<Foreign>,
        excuse: Option<LeftBecause>,
    ) -> Result<(), RelocateError> {
        let Some(Foreign { offset, count }) = found else {
            return Ok(());
        };
        let Some(why) = excuse else {
            return Err(RelocateError::Foreign {
                package: self.package.to_owned(),
                file: file.to_owned(),
                offset,
                count,
            });
        };
        self.left.push(Left {
            file: file.to_owned(),
            offset,
            count,
            why,
        });
        Ok(())
    }

    fn write(&mut self, entry: &Entry, mut bytes: &[u8]) -> Result<(), RelocateError> {
        self.out
            .append(entry, &mut bytes)
            .map_err(|source| RelocateError::Write {
                package: self.package.to_owned(),
                source,
            })
    }

    fn io(&self, source: io::Error) -> RelocateError {
        RelocateError::Io {
            package: self.package.to_owned(),
            source,
        }
    }
}

/// Looks at all that is read through it.
struct Scanning<'m, R> {
    inner: R,
    scanner: ForeignScanner<'m>,
}

impl<R: Read> Read for Scanning<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.scanner.push(&buffer[..count]);
        Ok(count)
    }
}
