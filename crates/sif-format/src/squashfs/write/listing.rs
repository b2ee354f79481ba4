//! A directory's entries as bytes.
//!
//! ```text
//! header: entries - 1, inode block, inode number │ entry │ … │ header │ entry │ …
//! entry:  offset in the inode block, inode number - header's, type, length - 1, name
//! ```
//!
//! Entries share a header while their inodes lie in one metadata block, their numbers are near each
//! other, and there are no more than 256 of them. A long listing gets an *index* as well: what the
//! first name is below one header in every 8 KiB, so that a name is found without reading all others.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h` and `namei.c`.

use crate::squashfs::layout::{
    DIRECTORY_EXTRA, ENTRY_BYTES, HEADER_BYTES, HEADER_ENTRIES, METADATA_BLOCK,
};

use super::WriteError;

/// An entry to be written.
pub(super) struct Item<'a> {
    pub(super) name: &'a [u8],
    /// The basic type, also of extended inodes.
    pub(super) kind: u16,
    pub(super) number: u32,
    /// Where the inode is.
    pub(super) start: u32,
    pub(super) offset: u16,
}

/// A header that the index leads to.
pub(super) struct Landmark {
    /// Bytes of the listing before it.
    pub(super) at: u32,
    /// The first name below it.
    pub(super) name: Vec<u8>,
}

/// A directory's entries.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) bytes: Vec<u8>,
    pub(super) index: Vec<Landmark>,
    run: Vec<u8>,
    run_entries: u32,
    run_start: u32,
    run_number: u32,
    last_landmark: usize,
}

impl Listing {
    /// Appends an entry. They come in the order of their names' bytes.
    pub(super) fn push(&mut self, item: &Item<'_>) {
        let same_run = self.run_entries > 0
            && (self.run_entries as usize) < HEADER_ENTRIES
            && self.run_start == item.start
            && self.length() < self.last_landmark + METADATA_BLOCK;
        let delta = i64::from(item.number) - i64::from(self.run_number);
        let delta = match i16::try_from(delta) {
            Ok(delta) if same_run => delta,
            _ => {
                self.begin_run(item);
                0
            }
        };
        self.run_entries += 1;
        self.run.extend_from_slice(&item.offset.to_le_bytes());
        self.run.extend_from_slice(&delta.to_le_bytes());
        self.run.extend_from_slice(&item.kind.to_le_bytes());
        // Names have 1 to 255 bytes.
        let length = item.name.len().saturating_sub(1) as u16;
        self.run.extend_from_slice(&length.to_le_bytes());
        self.run.extend_from_slice(item.name);
        debug_assert!(self.run.len() >= ENTRY_BYTES + item.name.len());
    }

    /// Ends the listing and gives the size that a directory's inode has for it.
    pub(super) fn finish(&mut self) -> Result<u32, WriteError> {
        self.end_run();
        let limit = u32::MAX - DIRECTORY_EXTRA;
        u32::try_from(self.bytes.len())
            .ok()
            .and_then(|size| size.checked_add(DIRECTORY_EXTRA))
            .ok_or(WriteError::TooMany {
                what: "bytes of one directory",
                limit: limit.into(),
            })
    }

    /// Bytes until now, those of the present run and its header among them.
    fn length(&self) -> usize {
        self.bytes.len() + HEADER_BYTES + self.run.len()
    }

    fn begin_run(&mut self, item: &Item<'_>) {
        self.end_run();
        self.run_start = item.start;
        self.run_number = item.number;
        let far = self.bytes.len() >= self.last_landmark + METADATA_BLOCK;
        if let Some(at) = u32::try_from(self.bytes.len()).ok().filter(|_| far)
            && self.index.len() < usize::from(u16::MAX)
        {
            self.last_landmark = self.bytes.len();
            self.index.push(Landmark {
                at,
                name: item.name.to_vec(),
            });
        }
    }

    fn end_run(&mut self) {
        if self.run_entries == 0 {
            return;
        }
        for number in [self.run_entries - 1, self.run_start, self.run_number] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.append(&mut self.run);
        self.run_entries = 0;
    }
}
