//! `include_concrete`: environments whose decisions a definition takes over.
//!
//! Source: `environment/environment.py` (`include_concrete_envs`) in Spack 1.1.0. Names of environments that somebody's Spack
//! manages mean nothing here; paths do.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use spack_format::environment::Manifest;
use spack_format::lockfile::SpackLockfile;
use spack_format::yaml::{Node, Span};

use crate::diagnostic::Diagnostic;

/// No `spack.lock` is longer.
const LONGEST_LOCK: u64 = 512 << 20;

/// An environment that a definition includes.
#[derive(Debug, Clone, PartialEq)]
pub struct IncludedEnvironment {
    /// As written.
    pub written: String,
    /// Where.
    pub place: Span,
    /// Its folder, absolute and without `..`, as Spack writes it into locks.
    pub path: String,
    /// Its `spack.lock`; nothing if there is none that can be read.
    pub lock: Option<IncludedLock>,
}

/// The lock of an environment that is included.
#[derive(Debug, Clone, PartialEq)]
pub struct IncludedLock {
    /// Its text.
    pub text: String,
    /// The same, read.
    pub lock: SpackLockfile,
}

/// The environments that `manifest`, which lies in `folder`, includes. That one has no lock yet is no fault of the project: it
/// may be about to be solved.
pub(super) fn included(
    manifest: &Manifest,
    folder: &Path,
    faults: &mut Vec<Diagnostic>,
) -> Vec<IncludedEnvironment> {
    let listed = manifest.sections.get("include_concrete");
    let listed = listed.and_then(Node::as_sequence).unwrap_or_default();
    let mut found = Vec::new();
    for node in listed {
        let Some(written) = node.as_str() else {
            continue;
        };
        let path = normal(&folder.join(written));
        let lock = match read(&path) {
            Ok(lock) => Some(lock),
            Err(why) => {
                let told = format!("the environment `{written}` cannot be included: {why}");
                let fault = Diagnostic::error(node.span, told)
                    .as_warning()
                    .label("not included")
                    .hint("name the folder of a solved environment, relative to this file; if it is one of this project, solve it first");
                faults.push(fault);
                None
            }
        };
        found.push(IncludedEnvironment {
            written: written.to_owned(),
            place: node.span,
            path: path.display().to_string(),
            lock,
        });
    }
    found
}

fn read(folder: &Path) -> Result<IncludedLock, String> {
    let path = folder.join("spack.lock");
    let told = |error: io::Error| format!("`{}`: {error}", path.display());
    if fs::metadata(&path).map_err(told)?.len() > LONGEST_LOCK {
        return Err(format!("its lock has more than {LONGEST_LOCK} bytes"));
    }
    let text = fs::read_to_string(&path).map_err(told)?;
    let lock = SpackLockfile::parse(&text).map_err(|error| error.to_string())?;
    Ok(IncludedLock { text, lock })
}

/// An absolute path without `.` and `..`, whatever links say. [Spack: `canonicalize_path` in `util/path.py`]
fn normal(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
