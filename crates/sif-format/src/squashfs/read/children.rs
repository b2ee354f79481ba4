//! The entries of one directory.
//!
//! ```text
//! header: entries - 1, inode block, inode number │ entry │ … │ header │ entry │ …
//! entry:  offset in the inode block, inode number - header's, type, length - 1, name
//! ```
//!
//! Entries are read one by one, so a directory may have any number of them. Their names must come in
//! the order of their bytes, as every writer sorts them: that no name comes twice follows from it.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h` and `dir.c`.

use std::io::{Read, Seek};

use crate::squashfs::layout::{ENTRY_BYTES, HEADER_BYTES, HEADER_ENTRIES, NAME_MAX};

use super::cursor::Cursor;
use super::inode::{self, DirectoryPart, Inode, Reference};
use super::{Entry, Image, ReadError};

/// A directory's entries, by name. Ends after the first error.
pub struct Children<'a, R> {
    image: &'a Image<R>,
    /// None: there is nothing (more) to read.
    cursor: Option<Cursor<'a, R>>,
    directory: u32,
    /// Bytes of the listing that are left.
    left: usize,
    run: Run,
    last: Vec<u8>,
}

/// What a header says about the entries after it.
#[derive(Default)]
struct Run {
    entries: usize,
    start: u32,
    number: u32,
}

/// What an entry says about its inode.
pub(super) struct Name {
    pub(super) name: Vec<u8>,
    number: i64,
    basic_type: u16,
    reference: Reference,
}

impl<'a, R: Read + Seek> Children<'a, R> {
    pub(super) fn new(
        image: &'a Image<R>,
        directory: u32,
        part: DirectoryPart,
    ) -> Result<Self, ReadError> {
        let left = usize::try_from(part.size).unwrap_or(usize::MAX);
        // An empty listing is nowhere: its place may be the end of the table.
        let cursor = if left > 0 {
            let region = image.directory_region();
            Some(Cursor::new(
                &image.store,
                region,
                part.start.into(),
                part.offset,
            )?)
        } else {
            None
        };
        Ok(Self {
            image,
            cursor,
            directory,
            left,
            run: Run::default(),
            last: Vec::new(),
        })
    }

    /// The next name; its inode is not looked at.
    pub(super) fn next_name(&mut self) -> Result<Option<Name>, ReadError> {
        let name = self.read_name();
        if !matches!(name, Ok(Some(_))) {
            self.cursor = None;
        }
        name
    }

    /// The inode that a name stands for, which must be what the entry says.
    pub(super) fn inode(&self, name: &Name) -> Result<Inode, ReadError> {
        let inode = inode::read(self.image, name.reference)?;
        if i64::from(inode.number) != name.number || inode.kind.basic_type() != name.basic_type {
            return Err(self.wrong("is a directory with an entry that is not what its inode is"));
        }
        Ok(inode)
    }

    fn read_name(&mut self) -> Result<Option<Name>, ReadError> {
        let too_short = self.wrong("is a directory that ends within an entry");
        let too_long = self.wrong("is a directory with more entries below a header than can be");
        let Some(cursor) = &mut self.cursor else {
            return Ok(None);
        };
        if self.run.entries == 0 {
            if self.left == 0 {
                return Ok(None);
            }
            let Some(left) = self.left.checked_sub(HEADER_BYTES) else {
                return Err(too_short);
            };
            self.left = left;
            let entries = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
            if entries >= HEADER_ENTRIES {
                return Err(too_long);
            }
            self.run = Run {
                entries: entries + 1,
                start: cursor.u32()?,
                number: cursor.u32()?,
            };
        }
        self.run.entries -= 1;
        let offset = cursor.u16()?;
        let number = i64::from(self.run.number) + i64::from(cursor.i16()?);
        let basic_type = cursor.u16()?;
        let length = usize::from(cursor.u16()?) + 1;
        if length > NAME_MAX {
            return Err(self.wrong("is a directory with a name that is too long"));
        }
        let Some(left) = self.left.checked_sub(ENTRY_BYTES + length) else {
            return Err(too_short);
        };
        self.left = left;
        let name = cursor.bytes(length)?;
        if name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(self.wrong("is a directory with a name that no file can have"));
        }
        // The first name is above the empty one.
        if name <= self.last {
            return Err(self.wrong("is a directory whose names are out of order"));
        }
        self.last.clone_from(&name);
        Ok(Some(Name {
            name,
            number,
            basic_type,
            reference: Reference(u64::from(self.run.start) << 16 | u64::from(offset)),
        }))
    }

    fn wrong(&self, reason: &'static str) -> ReadError {
        ReadError::Inode {
            number: self.directory,
            reason,
        }
    }
}

impl<R: Read + Seek> Iterator for Children<'_, R> {
    type Item = Result<Entry, ReadError>;

    /// The next entry; its path is its name.
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_name().and_then(|name| {
            let Some(name) = name else { return Ok(None) };
            let inode = self.inode(&name)?;
            let path = name.name;
            Ok(Some(Entry { path, inode }))
        });
        if entry.is_err() {
            self.cursor = None;
        }
        entry.transpose()
    }
}
