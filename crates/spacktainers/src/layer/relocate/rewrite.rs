//! Members of an archive, one after the other, into those for another prefix.

use std::io::{self, Read, Write};

use oci_format::layer::tar::{TarWriteError, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use spack_format::relocation::foreign::{self, Foreign, ForeignScanner};
use spack_format::relocation::{link, shebang};

use super::Rules;
use super::file::{self, FileName, WHOLE_FILE_LIMIT};
use super::left::{Left, LeftBecause, excuse, is_object};
use crate::layer::transform::TransformError;

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

/// Writes what [`Rules`] make of members.
pub(in crate::layer) struct Rewrite<'a, W> {
    out: &'a mut W,
    rules: &'a Rules,
    package: &'a str,
    /// The beginning of the file at hand.
    first: Vec<u8>,
    left: Vec<Left>,
}

impl<'a, W: Members> Rewrite<'a, W> {
    /// Begins with the folders above the new prefix. `package` is the package's name for people.
    pub(in crate::layer) fn begin(
        out: &'a mut W,
        rules: &'a Rules,
        package: &'a str,
    ) -> Result<Self, TransformError> {
        let mut work = Self {
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
        Ok(work)
    }

    /// What stays of the build because Spack leaves it, too.
    pub(in crate::layer) fn finish(self) -> Vec<Left> {
        self.left
    }

    /// Writes a member, which lies below the new prefix already. `file` is the name that Spack knows it by, below the prefix.
    ///
    /// # Errors
    /// When it cannot be read or written; when a path does not fit; and when something that is loaded would still lead to where
    /// the package was built.
    pub(in crate::layer) fn member(
        &mut self,
        mut entry: Entry,
        file: &str,
        content: &mut dyn Read,
    ) -> Result<(), TransformError> {
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
                self.listed(entry, file, content)
            }
            EntryKind::File => self.unlisted(entry, file, content),
            _ => self.write(&entry, b""),
        }
    }

    fn listed(
        &mut self,
        mut entry: Entry,
        file: &str,
        content: &mut dyn Read,
    ) -> Result<(), TransformError> {
        if entry.size > WHOLE_FILE_LIMIT {
            return Err(TransformError::TooLarge {
                package: self.package.to_owned(),
                file: file.to_owned(),
                size: entry.size,
            });
        }
        // A length that the archive may not keep; most files have less.
        let expected = usize::try_from(entry.size).unwrap_or(0).min(MOST_AHEAD);
        let mut bytes = Vec::with_capacity(expected);
        content
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

    fn unlisted(
        &mut self,
        mut entry: Entry,
        file: &str,
        content: &mut dyn Read,
    ) -> Result<(), TransformError> {
        let mut first = std::mem::take(&mut self.first);
        first.clear();
        content
            .take(shebang::LONGEST as u64)
            .read_to_end(&mut first)
            .map_err(|error| self.io(error))?;
        let excuse = excuse(file, &first);
        if let Some(wrapped) = file::wrap(self.rules, entry.mode, &first) {
            entry.size = entry.size - wrapped.replaced as u64 + wrapped.lines.len() as u64;
            first.splice(..wrapped.replaced, wrapped.lines);
        }
        if first.starts_with(b"\x7fELF") && !is_object(&first) && entry.size <= WHOLE_FILE_LIMIT {
            content
                .read_to_end(&mut first)
                .map_err(|error| self.io(error))?;
            let name = FileName {
                package: self.package,
                path: file,
            };
            first = file::drop_absent(self.rules, &name, first)?;
        }
        let mut scanned = Scanning {
            inner: first.as_slice().chain(content),
            scanner: ForeignScanner::new(&self.rules.map),
        };
        let written = self.out.append(&entry, &mut scanned);
        let found = scanned.scanner.finish();
        written.map_err(|source| TransformError::Write {
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
    ) -> Result<(), TransformError> {
        let Some(Foreign { offset, count }) = found else {
            return Ok(());
        };
        let Some(why) = excuse else {
            return Err(TransformError::Foreign {
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

    fn write(&mut self, entry: &Entry, mut bytes: &[u8]) -> Result<(), TransformError> {
        self.out
            .append(entry, &mut bytes)
            .map_err(|source| TransformError::Write {
                package: self.package.to_owned(),
                source,
            })
    }

    fn io(&self, source: io::Error) -> TransformError {
        TransformError::Io {
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
