//! What the machine offers: told by whoever knows, not found out here.

use std::path::{Path, PathBuf};

use super::SandboxError;

/// The machine that commands are executed on.
#[derive(Debug, Clone)]
pub struct Machine {
    bubblewrap: Option<PathBuf>,
    is_root: bool,
    /// The configuration of name resolution that commands get a copy of: `/etc/resolv.conf`.
    pub resolver: PathBuf,
    /// The names of hosts that commands get a copy of: `/etc/hosts`.
    pub hosts: PathBuf,
    /// Variables that every command gets because of where it runs, such as `http_proxy`. Results do not depend on them.
    pub environment: Vec<(String, String)>,
}

/// What becomes of owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// They are those of the files.
    Kept,
    /// All files belong to the caller, and commands are told that owners were set.
    Pretended,
}

impl Machine {
    /// With the bubblewrap that is found on the search path, if there is one.
    #[must_use]
    pub fn new(search_path: &[PathBuf], is_root: bool) -> Self {
        let programs = search_path.iter().map(|folder| folder.join("bwrap"));
        Self {
            bubblewrap: programs.into_iter().find(|it| it.is_file()),
            is_root,
            resolver: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            environment: Vec::new(),
        }
    }

    /// Whether owners that commands set are in the result.
    #[must_use]
    pub fn keeps_owners(&self) -> bool {
        self.owners() == Owners::Kept
    }

    pub(crate) fn bubblewrap(&self) -> Result<&Path, SandboxError> {
        self.bubblewrap.as_deref().ok_or(SandboxError::NoBubblewrap)
    }

    pub(super) fn owners(&self) -> Owners {
        if self.is_root {
            Owners::Kept
        } else {
            Owners::Pretended
        }
    }
}
