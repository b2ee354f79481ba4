//! What writing and reading share: constants of the format and the plain facts of an inode.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h`.

/// Decompressed bytes of a metadata block; only the last of a table has fewer.
pub(super) const METADATA_BLOCK: usize = 8192;
/// Set in a metadata block's two-byte header when it is stored as it is.
pub(super) const METADATA_STORED: u16 = 0x8000;
/// Set in the size of a data or fragment block when it is stored as it is.
pub(super) const BLOCK_STORED: u32 = 1 << 24;
/// The smallest and largest size of data blocks.
pub(super) const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 4096..=1 << 20;
/// "No table": stands where a super block has the place of one.
pub(super) const NO_TABLE: u64 = u64::MAX;
/// "No fragment": the file ends with a whole block, or with a short one of its own.
pub(super) const NO_FRAGMENT: u32 = u32::MAX;
/// "No extended attributes".
pub(super) const NO_XATTR: u32 = u32::MAX;
/// Entries below one directory header.
pub(super) const HEADER_ENTRIES: usize = 256;
/// Bytes of a directory header, and of an entry before its name.
pub(super) const HEADER_BYTES: usize = 12;
pub(super) const ENTRY_BYTES: usize = 8;
/// Added to the size of every directory: the room of `.` and `..`, which are not stored.
pub(super) const DIRECTORY_EXTRA: u32 = 3;
/// The longest name Linux handles (`NAME_MAX`).
pub(super) const NAME_MAX: usize = 255;
/// The longest link target that Linux follows (`PATH_MAX`, without the NUL).
pub(super) const TARGET_MAX: usize = 4095;
/// The longest value of an extended attribute (`XATTR_SIZE_MAX`).
pub(super) const XATTR_VALUE_MAX: usize = 64 << 10;
/// Set in an attribute's type when its value is stored elsewhere.
pub(super) const XATTR_OUT_OF_LINE: u16 = 0x0100;

/// Inode types. Each has an extended form, seven above.
pub(super) mod inode_type {
    pub(crate) const DIRECTORY: u16 = 1;
    pub(crate) const FILE: u16 = 2;
    pub(crate) const SYMLINK: u16 = 3;
    pub(crate) const BLOCK_DEVICE: u16 = 4;
    pub(crate) const CHAR_DEVICE: u16 = 5;
    pub(crate) const FIFO: u16 = 6;
    pub(crate) const SOCKET: u16 = 7;
    /// From a basic type to its extended form.
    pub(crate) const EXTENDED: u16 = 7;
}

/// What an inode of any kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Permissions, set-uid, set-gid and sticky bit: `0o7777` and below.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Last modification, in seconds since 1970-01-01 UTC; the format has room until 2106.
    pub mtime: u32,
}

/// Which device a special file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    /// The driver; Linux has 12 bits for it.
    pub major: u32,
    /// The device of that driver; Linux has 20 bits for it.
    pub minor: u32,
}

impl Device {
    /// As Linux's `new_encode_dev`; `None` when a number has too many bits.
    pub(super) fn encode(self) -> Option<u32> {
        (self.major < 1 << 12 && self.minor < 1 << 20)
            .then_some((self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12))
    }

    /// As Linux's `new_decode_dev`.
    pub(super) fn decode(number: u32) -> Self {
        Self {
            major: (number & 0x000f_ff00) >> 8,
            minor: (number & 0xff) | ((number >> 12) & 0x000f_ff00),
        }
    }
}

/// The name spaces that squashfs can store. POSIX ACLs (`system.`) are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XattrNamespace {
    /// `user.`
    User,
    /// `trusted.`: seen by root only.
    Trusted,
    /// `security.`: file capabilities, SELinux labels.
    Security,
}

impl XattrNamespace {
    const ALL: [Self; 3] = [Self::User, Self::Trusted, Self::Security];

    /// The prefix of names, with its dot.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::User => "user.",
            Self::Trusted => "trusted.",
            Self::Security => "security.",
        }
    }

    pub(super) fn id(self) -> u16 {
        match self {
            Self::User => 0,
            Self::Trusted => 1,
            Self::Security => 2,
        }
    }

    pub(super) fn of_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.id() == id)
    }
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// The first part of its name.
    pub namespace: XattrNamespace,
    /// The rest of its name, without the dot between.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Xattr {
    /// From a whole name like `security.capability`; `None` when its name space cannot be stored.
    #[must_use]
    pub fn from_full_name(name: &[u8], value: Vec<u8>) -> Option<Self> {
        XattrNamespace::ALL.into_iter().find_map(|namespace| {
            let rest = name.strip_prefix(namespace.prefix().as_bytes())?;
            let name = rest.to_vec();
            Some(Self {
                namespace,
                name,
                value: value.clone(),
            })
        })
    }

    /// The whole name.
    #[must_use]
    pub fn full_name(&self) -> Vec<u8> {
        [self.namespace.prefix().as_bytes(), &self.name].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_numbered_as_linux_does() {
        let null = Device { major: 1, minor: 3 };
        assert_eq!(null.encode(), Some(0x0103));
        let large = Device {
            major: 0xabc,
            minor: 0x12345,
        };
        assert_eq!(large.encode(), Some(0x123a_bc45));
        assert_eq!(Device::decode(0x123a_bc45), large);
        assert_eq!(
            Device {
                major: 1 << 12,
                minor: 0
            }
            .encode(),
            None
        );
        assert_eq!(
            Device {
                major: 0,
                minor: 1 << 20
            }
            .encode(),
            None
        );
    }

    #[test]
    fn attribute_names_are_split_at_known_name_spaces() {
        let xattr = Xattr::from_full_name(b"security.capability", vec![1]).expect("a known one");
        assert_eq!(xattr.namespace, XattrNamespace::Security);
        assert_eq!(xattr.full_name(), b"security.capability");
        assert_eq!(
            Xattr::from_full_name(b"system.posix_acl_access", vec![]),
            None
        );
        assert_eq!(Xattr::from_full_name(b"user", vec![]), None);
    }
}
