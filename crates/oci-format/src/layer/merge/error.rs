//! Why layers cannot be merged.

use crate::layer::tar::{PathFault, TarError};

/// Why layers cannot be merged, with the layer and the member at fault. Layers and members count from
/// 0; layers are named as the manifest's list names them.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The layer's tar stream is broken.
    #[error("layers[{layer}]: after {members} members")]
    Tar {
        /// Which layer.
        layer: u32,
        /// Members read until then.
        members: u32,
        /// What is wrong.
        #[source]
        source: TarError,
    },
    /// A member that cannot be applied to what is there.
    #[error("layers[{layer}]: `{member}` (member {ordinal}): {fault}")]
    Member {
        /// Which layer.
        layer: u32,
        /// Which of its members.
        ordinal: u32,
        /// The member's name, for people.
        member: String,
        /// What is wrong with it.
        fault: MergeFault,
    },
    /// More layers or members than can be counted.
    #[error("layers[{layer}]: there are too many members to be merged")]
    TooMany {
        /// Which layer.
        layer: u32,
    },
}

/// What is wrong with a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeFault {
    /// A name that cannot be in a tree. Readers of tar streams refuse such names; entries that come from
    /// elsewhere are checked here.
    #[error("{0}")]
    Path(PathFault),
    /// The root can be a directory only.
    #[error("the root of an image is a directory and cannot become anything else")]
    Root,
    /// A component above 255 bytes, which no Linux file system takes.
    #[error("a name of {0} bytes is longer than the 255 that Linux takes")]
    NameTooLong(usize),
    /// A path above 4096 bytes once links are followed.
    #[error("with its links followed the path is longer than the 4096 bytes that Linux takes")]
    PathTooLong,
    /// Symbolic links that lead in circles, or are too many.
    #[error(
        "its directory is reached through a loop of symbolic links, or through more than 255 of them"
    )]
    LinkLoop,
    /// A symbolic link to nothing, to something too long, or to a name with a NUL byte.
    #[error("it is a symbolic link whose target cannot be: {0}")]
    SymlinkTarget(PathFault),
    /// A hard link to what is not there. A link to a later member of the same layer is one of these.
    #[error("it is a hard link to `{0}`, which is not there; it must come before its links")]
    LinkTargetMissing(String),
    /// A hard link to a directory.
    #[error("it is a hard link to `{0}`, which is a directory")]
    LinkToDirectory(String),
    /// `.wh.` alone, or followed by `.` or `..`.
    #[error("a whiteout must name what it removes")]
    Whiteout,
    /// An owner that Linux cannot store. 4294967295 means "as before" to it.
    #[error("its {field} {value} is above 4294967294")]
    Owner {
        /// `user` or `group`.
        field: &'static str,
        /// The number.
        value: u64,
    },
    /// A device number that Linux cannot store: 12 bits for the major number, 20 for the minor one.
    #[error(
        "there is no device {0}:{1}: Linux knows major numbers to 4095 and minor ones to 1048575"
    )]
    Device(u32, u32),
    /// An extended attribute beyond what Linux takes.
    #[error(
        "its extended attribute `{0}` is larger than Linux takes (name 255 bytes, value 65536)"
    )]
    Xattr(String),
    /// More than can be counted.
    #[error("there are too many names to be merged")]
    TooMany,
}
