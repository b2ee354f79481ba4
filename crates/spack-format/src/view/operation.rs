//! What has to be made for a view.

use crate::dag_hash::DagHash;

/// One thing to make. Paths are below the real root of the view, as [`Operation::path`] says;
/// directories come before what lies in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Where, below the real root: components with slashes between. Bytes, because file names
    /// need not be UTF-8.
    pub path: Vec<u8>,
    /// What.
    pub kind: OperationKind,
}

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationKind {
    /// A directory, mode 0755.
    Directory,
    /// A symbolic link with this target.
    Symlink(Vec<u8>),
    /// Another name of a file in a prefix.
    HardLink {
        /// Whose file.
        package: DagHash,
        /// Its path below the prefix.
        source: Vec<u8>,
    },
    /// A copy of a file in a prefix, with the mode of that file.
    Copy {
        /// Whose file.
        package: DagHash,
        /// Its path below the prefix.
        source: Vec<u8>,
        /// What is changed in the copy.
        rewrite: Rewrite,
    },
    /// A file, mode 0644, with this content.
    Write(Vec<u8>),
}

/// What is changed in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// Nothing.
    Nothing,
    /// Every occurrence of a text is replaced by another one.
    Replace {
        /// What is replaced.
        from: String,
        /// By what.
        to: String,
    },
    /// Prefixes are replaced by places in the view as in a relocation: by the rules for text, or,
    /// in binaries, by those for C strings.
    Relocate {
        /// Prefixes and their places, in order of precedence.
        prefixes: Vec<(String, String)>,
        /// The root of the store and that of the view: the last resort, in texts only.
        root: (String, String),
    },
}
