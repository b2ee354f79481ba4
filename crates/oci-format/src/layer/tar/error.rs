//! Why a tar stream cannot be read.

use std::io;

use super::path::PathFault;
pub use super::pax::PaxError;

/// Why a tar stream cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source failed (which includes a decompressor that met wrong data).
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The stream ended where more was announced.
    #[error("the archive is cut off after {offset} bytes{}", after(.member))]
    Truncated {
        /// Bytes read until then.
        offset: u64,
        /// The last member that was begun, if any.
        member: String,
    },
    /// A block that should be a header and is none.
    #[error("no tar header at byte {offset} (wrong checksum){}", after(.member))]
    Header {
        /// Where it begins.
        offset: u64,
        /// The member before it.
        member: String,
    },
    /// A field that is no number, or not one that fits.
    #[error("`{member}`: its {field} is not a number that fits")]
    Number {
        /// Which member.
        member: String,
        /// Which field.
        field: &'static str,
    },
    /// Pax records that cannot be used.
    #[error("the extended header at byte {offset} is malformed")]
    Pax {
        /// Where its content begins.
        offset: u64,
        /// What is wrong.
        #[source]
        source: PaxError,
    },
    /// More than one statement about one thing, on which readers disagree; or one about nothing.
    #[error("extended headers before byte {offset} contradict each other")]
    Extensions {
        /// Where the header after them begins.
        offset: u64,
    },
    /// An extension beyond [`Limits::extension`].
    #[error("an extended header of {size} bytes at byte {offset} is above the limit of {limit}")]
    ExtensionTooBig {
        /// Where its content begins.
        offset: u64,
        /// Its size.
        size: u64,
        /// The limit.
        limit: usize,
    },
    /// A name that is refused.
    #[error("`{member}` is not a name that may be in a layer: {fault}")]
    Path {
        /// The name.
        member: String,
        /// Why.
        fault: PathFault,
    },
    /// A link target that is refused.
    #[error("`{member}` links to `{target}`, which may not be: {fault}")]
    LinkTarget {
        /// The link.
        member: String,
        /// Where it points.
        target: String,
        /// Why not.
        fault: PathFault,
    },
    /// A type of member that is no file of a layer.
    #[error("`{member}` is of type `{flag}`, which is not supported", flag = .flag.escape_ascii())]
    Type {
        /// Which member.
        member: String,
        /// The type, as the header has it.
        flag: u8,
    },
    /// A directory or link with content. Readers disagree on whether the content is there.
    #[error("`{member}` has {size} bytes of content and is not a file")]
    LinkWithContent {
        /// Which member.
        member: String,
        /// What its size says.
        size: u64,
    },
    /// A file with holes where none may be, or with a map that makes no sense.
    #[error("`{member}` is a sparse file: {reason}")]
    Sparse {
        /// Which member.
        member: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Something other than zeros after the end. Some readers would go on there.
    #[error("there is more in the archive after its end at byte {offset}")]
    AfterEnd {
        /// Where the end is.
        offset: u64,
    },
}

fn after(member: &str) -> String {
    if member.is_empty() {
        String::new()
    } else {
        format!(", in or after `{member}`")
    }
}
