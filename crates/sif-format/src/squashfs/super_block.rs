//! The super block: where everything else is.
//!
//! ```text
//!  0 magic   4 inodes   8 mkfs time  12 block size  16 fragments
//! 20 compressor  22 log2(block size)  24 flags  26 ids  28 major  30 minor
//! 32 root inode  40 bytes used  48 id table  56 xattr table  64 inode table
//! 72 directory table  80 fragment table  88 export table                      (little-endian)
//! ```
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h`, `struct squashfs_super_block`.

use super::compressor::Compressor;
use super::layout::{BLOCK_SIZES, NO_TABLE};
use super::read::ReadError;

/// Bytes of the super block.
pub(super) const SUPER_BLOCK: usize = 96;
const MAGIC: u32 = 0x7371_7368;
const VERSION: (u16, u16) = (4, 0);

/// What the writer says about its choices. Readers need only [`Flags::has_compressor_options`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    pub(super) const DEDUPLICATED: Self = Self(0x0040);
    pub(super) const EXPORTABLE: Self = Self(0x0080);
    pub(super) const COMPRESSOR_OPTIONS: Self = Self(0x0400);

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The number itself.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// A block of compressor options follows the super block.
    #[must_use]
    pub fn has_compressor_options(self) -> bool {
        self.has(Self::COMPRESSOR_OPTIONS)
    }

    /// There is a table from inode numbers to inodes, so the file system can be exported by NFS.
    #[must_use]
    pub fn is_exportable(self) -> bool {
        self.has(Self::EXPORTABLE)
    }

    /// Equal content is stored once.
    #[must_use]
    pub fn is_deduplicated(self) -> bool {
        self.has(Self::DEDUPLICATED)
    }
}

/// The super block of an image. All places are bytes from the beginning of the image; `u64::MAX`
/// stands for a table that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperBlock {
    /// How many inodes there are; inode numbers go from 1 to this.
    pub inodes: u32,
    /// When the image was made, in seconds since 1970-01-01 UTC.
    pub mkfs_time: u32,
    /// Bytes of a data block: a power of two from 4 KiB to 1 MiB.
    pub block_size: u32,
    /// How many fragment blocks there are.
    pub fragments: u32,
    /// What blocks are compressed with.
    pub compressor: Compressor,
    /// What the writer chose.
    pub flags: Flags,
    /// How many different user and group ids there are.
    pub ids: u16,
    /// The root directory's inode: its metadata block, from the inode table on, and 16 bits of offset.
    pub root: u64,
    /// Bytes of the image, without padding.
    pub bytes_used: u64,
    /// The list of blocks with user and group ids.
    pub id_table: u64,
    /// The header of the extended attributes.
    pub xattr_table: u64,
    /// The first metadata block of inodes.
    pub inode_table: u64,
    /// The first metadata block of directories.
    pub directory_table: u64,
    /// The list of blocks with the places of fragment blocks.
    pub fragment_table: u64,
    /// The list of blocks with references to inodes, by number.
    pub export_table: u64,
}

impl SuperBlock {
    pub(super) fn encode(&self) -> [u8; SUPER_BLOCK] {
        let mut bytes = Vec::with_capacity(SUPER_BLOCK);
        for number in [
            MAGIC,
            self.inodes,
            self.mkfs_time,
            self.block_size,
            self.fragments,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let log = self.block_size.trailing_zeros() as u16;
        let (major, minor) = VERSION;
        for number in [
            self.compressor.id(),
            log,
            self.flags.0,
            self.ids,
            major,
            minor,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [
            self.root,
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let mut block = [0; SUPER_BLOCK];
        block.copy_from_slice(&bytes);
        block
    }

    /// Reads and checks what can be checked without reading further: every table lies inside the
    /// image and they come in the order in which Linux wants them.
    pub(super) fn decode(block: &[u8; SUPER_BLOCK]) -> Result<Self, ReadError> {
        let u16_at = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if u32_at(0) != MAGIC {
            return Err(ReadError::NotSquashfs);
        }
        let version = (u16_at(28), u16_at(30));
        if version != VERSION {
            return Err(ReadError::Version {
                major: version.0,
                minor: version.1,
            });
        }
        let id = u16_at(20);
        let compressor = Compressor::from_id(id).ok_or(ReadError::UnknownCompressor { id })?;
        let decoded = Self {
            inodes: u32_at(4),
            mkfs_time: u32_at(8),
            block_size: u32_at(12),
            fragments: u32_at(16),
            compressor,
            flags: Flags(u16_at(24)),
            ids: u16_at(26),
            root: u64_at(32),
            bytes_used: u64_at(40),
            id_table: u64_at(48),
            xattr_table: u64_at(56),
            inode_table: u64_at(64),
            directory_table: u64_at(72),
            fragment_table: u64_at(80),
            export_table: u64_at(88),
        };
        decoded.check(u16_at(22))?;
        Ok(decoded)
    }

    fn check(&self, block_log: u16) -> Result<(), ReadError> {
        let wrong = |reason| Err(ReadError::SuperBlock { reason });
        if !BLOCK_SIZES.contains(&self.block_size)
            || !self.block_size.is_power_of_two()
            || self.block_size.trailing_zeros() != u32::from(block_log)
        {
            return wrong("its block size is none");
        }
        if self.ids == 0 {
            return wrong("it has no user ids");
        }
        // Tables in file order. Without fragments there need not be a table of them.
        let fragments = if self.fragments == 0 {
            NO_TABLE
        } else {
            self.fragment_table
        };
        let order = [
            self.inode_table,
            self.directory_table,
            fragments,
            self.export_table,
            self.id_table,
            self.xattr_table,
        ];
        let mut last = SUPER_BLOCK as u64;
        for place in order.into_iter().filter(|place| *place != NO_TABLE) {
            if place < last || place > self.bytes_used {
                return wrong("its tables are out of order or outside of the image");
            }
            last = place;
        }
        let needed = [self.inode_table, self.directory_table, self.id_table];
        if needed.contains(&NO_TABLE) || (self.fragments > 0 && fragments == NO_TABLE) {
            return wrong("it lacks a table");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SuperBlock {
        SuperBlock {
            inodes: 3,
            mkfs_time: 1_700_000_000,
            block_size: 131_072,
            fragments: 1,
            compressor: Compressor::Zstd,
            flags: Flags::DEDUPLICATED.with(Flags::EXPORTABLE),
            ids: 1,
            root: 0x20,
            bytes_used: 1000,
            id_table: 900,
            xattr_table: NO_TABLE,
            inode_table: 200,
            directory_table: 300,
            fragment_table: 400,
            export_table: 500,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let block = sample().encode();
        assert_eq!(&block[..4], b"hsqs");
        assert_eq!(SuperBlock::decode(&block).expect("our own"), sample());
    }

    #[test]
    fn other_files_and_versions_are_told_apart() {
        let mut block = sample().encode();
        block[28] = 3;
        assert!(matches!(
            SuperBlock::decode(&block),
            Err(ReadError::Version { major: 3, minor: 0 })
        ));
        block[0] = 0;
        assert!(matches!(
            SuperBlock::decode(&block),
            Err(ReadError::NotSquashfs)
        ));
        let mut block = sample().encode();
        block[20] = 77;
        assert!(matches!(
            SuperBlock::decode(&block),
            Err(ReadError::UnknownCompressor { id: 77 })
        ));
    }

    #[test]
    fn tables_that_cannot_be_are_refused() {
        let changes: [fn(&mut SuperBlock); 7] = [
            |block| block.directory_table = 100,
            |block| block.id_table = 1001,
            |block| block.inode_table = 95,
            |block| block.inode_table = NO_TABLE,
            |block| block.fragment_table = NO_TABLE,
            |block| block.block_size = 100_000,
            |block| block.ids = 0,
        ];
        for change in changes {
            let mut block = sample();
            change(&mut block);
            let error = SuperBlock::decode(&block.encode()).expect_err("a wrong super block");
            assert!(matches!(error, ReadError::SuperBlock { .. }), "{error}");
        }
    }
}
