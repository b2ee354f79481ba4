//! What the image holds already, as its owner tells us: this crate opens no file.

use std::io;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A device, a socket or a named pipe.
    Other,
}

/// The root file system of an image, before anything is put over it.
///
/// Paths start at the root and have no slash in front. The last component is never followed; whether a link before it is
/// followed is up to the implementation: nothing is put below a directory that is a link.
pub trait ExistingRoot {
    /// What is at `path`; none when there is nothing.
    fn kind(&self, path: &str) -> Option<EntryKind>;

    /// The content of the regular file at `path`; none when there is none.
    ///
    /// Asked for files below `.singularity.d` and `scif/apps` only.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let _ = path;
        Ok(None)
    }

    /// The names in the directory at `path`; empty when there is none.
    ///
    /// Asked for directories below `.singularity.d` and `scif/apps` only.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let _ = path;
        Ok(Vec::new())
    }
}

/// A root file system with nothing in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmptyRoot;

impl ExistingRoot for EmptyRoot {
    fn kind(&self, _: &str) -> Option<EntryKind> {
        None
    }
}

/// A predicate is enough for images without a `/.singularity.d` of their own.
impl<F: Fn(&str) -> Option<EntryKind>> ExistingRoot for F {
    fn kind(&self, path: &str) -> Option<EntryKind> {
        self(path)
    }
}
