//! Squashfs 4.0: the compressed file system inside a SIF file.
//!
//! ```text
//! super block (96 bytes) │ compressor options │ data blocks and fragment blocks │
//! inode table │ directory table │ fragment table │ export table │ id table │ xattr tables │ zeros to 4 KiB
//! ```
//!
//! File content is cut into blocks (128 KiB by default); what is left at the end of a file shares a
//! *fragment block* with the ends of other files. Everything below the data is *metadata*: streams cut
//! into blocks of 8 KiB, each compressed by itself, and addressed by *where a block begins in the file*
//! and *where in its decompressed bytes*.
//!
//! - [`Writer`] takes file content in any order, one file after the other, compresses on several threads
//!   and needs neither the content in memory nor a file system to read from. The same calls give the same
//!   bytes, whatever the number of threads.
//! - [`Tree`] says what the image looks like: names, kinds, owners, modes, times, attributes, links.
//! - [`Image`] reads what mksquashfs, tar2sqfs and [`Writer`] write, and believes nothing of it.
//!
//! ```text
//! compressor    the numbers and names of compressors
//! super_block   the 96 bytes
//! layout        constants of the format, attributes, devices
//! write/        Tree, Writer
//! read/         Image, walking, content, extended attributes, decompression
//! ```
//!
//! Sources: Linux, `Documentation/filesystems/squashfs.rst` and `fs/squashfs/`; squashfs-tools-ng,
//! `doc/format.adoc`; what squashfs-tools 4.5 writes.

mod compressor;
mod layout;
mod read;
mod super_block;
mod write;

pub use compressor::Compressor;
pub use layout::{Attributes, Device, Xattr, XattrNamespace};
pub use read::{
    Children, DirectoryPart, Entry, FilePart, FileReader, Image, Inode, InodeKind, Piece,
    ReadError, Walk, read_everything,
};
pub use super_block::{Flags, SuperBlock};
pub use write::{
    Compression, FileId, FileWriter, Finished, Kind, NodeId, Options, Summary, Tree, TreeError,
    WriteError, Writer,
};
