//! How the command can end. These numbers are part of the interface: scripts and CI jobs branch on them.

use std::process::ExitCode;

/// The kinds of ending, with the exit code of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All that was asked for is done.
    Done = 0,
    /// A fault of ours, or of this machine: something we did not foresee.
    Fault = 1,
    /// The command line, the settings or a definition is wrong.
    Usage = 2,
    /// Packages are in no mirror; a build would help.
    Missing = 3,
    /// A target or a mirror refused or failed.
    Refused = 4,
    /// Verification failed: a signature, a digest, a prefix, a library.
    Unverified = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
