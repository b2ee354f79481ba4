//! What can go wrong with a SIF file.

use std::io;

use super::DataType;

/// Why a SIF file cannot be read, written or changed.
#[derive(Debug, thiserror::Error)]
pub enum SifError {
    /// The bytes below could not be read or written.
    #[error("cannot access the SIF file: {0}")]
    Io(#[from] io::Error),
    /// The file is shorter than a header, or does not say that it is a SIF file.
    #[error("not a SIF file: {0}")]
    NotSif(&'static str),
    /// A version of the format that nobody has defined when this was written.
    #[error("SIF version `{0}` is not supported, only `01` is")]
    Version(String),
    /// The descriptor table cannot be where the header says.
    #[error("the header is damaged: {what} ({value}), in a file of {length} bytes")]
    Header {
        /// What is wrong.
        what: &'static str,
        /// The value in the header.
        value: i64,
        /// The length of the file in bytes.
        length: u64,
    },
    /// More descriptors than this crate is willing to look at.
    #[error("the header announces {count} descriptors, more than the {limit} that are accepted")]
    TooManyDescriptors {
        /// How many the header announces.
        count: i64,
        /// How many are accepted.
        limit: u64,
    },
    /// A descriptor points out of the file.
    #[error(
        "object {id} is damaged: offset {offset} and size {size} do not fit a file of {length} bytes"
    )]
    OutOfBounds {
        /// The object.
        id: u32,
        /// Its offset in the file.
        offset: i64,
        /// Its size in bytes.
        size: i64,
        /// The length of the file in bytes.
        length: u64,
    },
    /// Two descriptors have one id, so that links cannot be followed.
    #[error("two objects have the id {0}")]
    DuplicateId(u32),
    /// There is no such object.
    #[error("there is no object {0}")]
    NoSuchObject(u32),
    /// There is no object in that group.
    #[error("there is no object in group {0}")]
    NoSuchGroup(u32),
    /// The object is in another group, or in none.
    #[error("object {id} is not in group {group}")]
    NotInGroup {
        /// The object.
        id: u32,
        /// The group.
        group: u32,
    },
    /// An object is larger than the caller takes into memory.
    #[error("object {id} has {size} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// The object.
        id: u32,
        /// Its size in bytes.
        size: u64,
        /// How many bytes are accepted.
        limit: u64,
    },
    /// The descriptor table is full.
    #[error(
        "all {0} descriptors are in use: make the file with a larger capacity, or delete an object"
    )]
    Full(u64),
    /// A text is longer than its field.
    #[error("the {field} is {length} bytes long, more than {limit}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The length of the text in bytes.
        length: usize,
        /// What fits.
        limit: usize,
    },
    /// Groups are numbered from 1 and have to leave room for the group mark.
    #[error(
        "{0} is not a group: groups are numbered from 1 to {max}",
        max = 0x0fff_ffff
    )]
    Group(u32),
    /// A file holds one primary partition.
    #[error("there is a primary system partition already: object {0}")]
    SecondPrimary(u32),
    /// The file would grow past what its offsets can express.
    #[error("the file would be longer than its offsets can express")]
    TooLong64,
    /// An object was begun and never finished, so the bytes behind it mean nothing.
    #[error("an object was begun and not finished: the file is incomplete")]
    Unfinished,
    /// The file must not be changed, as its parts overlap.
    #[error("the file cannot be changed: {0}")]
    Damaged(super::Oddity),
    /// The change would break a signature, or leave a link to nothing.
    #[error("object {by} ({by_type}) refers to {what}: delete object {by} first")]
    InUse {
        /// What would be changed.
        what: String,
        /// The object that refers to it.
        by: u32,
        /// The type of that object.
        by_type: DataType,
    },
}
