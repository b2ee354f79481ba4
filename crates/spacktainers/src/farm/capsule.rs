//! What a failed package leaves: a folder with all that is needed to look at the failure and to repeat it.
//!
//! ```text
//! NAME-VERSION-HASH/
//!   capsule.json        what failed, where, and the first error
//!   build.log           the end of the build's log
//!   node.json           the package as the lock has it
//!   environment/        spack.yaml and spack.lock of the container
//!   scope/              our configuration
//!   variables.json      the variables of the build
//!   reproduce.sh        builds it again
//! ```
//!
//! No part of it holds a secret: builds are run without them, and texts are searched for their values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spack_format::concrete::ConcreteSpec;

use crate::spack::{SpackError, redacted};

/// Lines of a log that are kept.
const KEPT_LINES: usize = 1000;

/// Bytes of a log that are read: more is said by no build that somebody will read.
const LONGEST_LOG: usize = 64 << 20;

/// A capsule on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capsule {
    /// Its folder.
    pub folder: PathBuf,
    /// What is in it, in short.
    pub summary: CapsuleSummary,
}

/// `capsule.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsuleSummary {
    /// `name@version`.
    pub package: String,
    /// Its DAG hash.
    pub hash: String,
    /// The container that it was built for first.
    pub container: String,
    /// The commit of the Spack that built it.
    pub spack: Option<String>,
    /// What Spack said.
    pub message: String,
    /// The first line of the log that looks like an error.
    pub first_error: Option<FirstError>,
    /// What was run.
    pub command: Vec<String>,
    /// Whether it was run in a sandbox: then the script that builds it again opens the same sandbox for any program.
    #[serde(default)]
    pub is_sandboxed: bool,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstError {
    /// Counted from 1, in the whole log.
    pub line: usize,
    /// What it says.
    pub text: String,
}

/// Why a folder is no capsule.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// A file that cannot be read.
    #[error("`{}` is no capsule: `{file}` cannot be read", folder.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A summary that is none.
    #[error("`{}` is no capsule: its `capsule.json` is of another form", folder.display())]
    Malformed {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// What a capsule is made of.
pub(super) struct CapsuleParts<'a> {
    /// The folder that capsules lie in.
    pub(super) folder: PathBuf,
    pub(super) spec: &'a ConcreteSpec,
    pub(super) container: &'a str,
    pub(super) spack: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) log: Option<PathBuf>,
    pub(super) command: Vec<OsString>,
    pub(super) scope: &'a Path,
    pub(super) environment: Option<&'a Path>,
    pub(super) variables: BTreeMap<String, String>,
    /// What builds it again in its sandbox, if it was built in one.
    pub(super) script: Option<&'a str>,
    /// Variables whose secret values no text may hold.
    pub(super) secrets: &'a BTreeMap<String, String>,
}

impl Capsule {
    /// Reads the capsule in `folder`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> Result<Self, CapsuleError> {
        let text = read(folder, "capsule.json")?;
        let summary = serde_json::from_str(&text).map_err(|source| CapsuleError::Malformed {
            folder: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            summary,
        })
    }

    /// The end of the build's log: empty if it failed before it had one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String, CapsuleError> {
        read(&self.folder, "build.log")
    }

    /// The script that builds it again.
    #[must_use]
    pub fn script(&self) -> PathBuf {
        self.folder.join("reproduce.sh")
    }

    /// Writes one, in place of what an earlier failure of the package left.
    pub(super) fn write(parts: &CapsuleParts<'_>) -> Result<Self, SpackError> {
        let spec = parts.spec;
        let name = format!("{}-{}-{}", spec.name, spec.version, spec.hash.short());
        let folder = parts.folder.join(name.replace('/', "_"));
        let failed = SpackError::io("write the capsule", &folder);
        let write = || -> io::Result<Self> {
            let partial = tempfile::Builder::new()
                .prefix(".capsule-")
                .tempdir_in(&parts.folder)?;
            let summary = fill(partial.path(), parts)?;
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(partial.keep(), &folder)?;
            Ok(Self {
                folder: folder.clone(),
                summary,
            })
        };
        write().map_err(failed)
    }
}

fn read(folder: &Path, file: &'static str) -> Result<String, CapsuleError> {
    fs::read_to_string(folder.join(file)).map_err(|source| CapsuleError::Read {
        folder: folder.to_owned(),
        file,
        source,
    })
}

fn fill(folder: &Path, parts: &CapsuleParts<'_>) -> io::Result<CapsuleSummary> {
    let clean = |text: &str| redacted(text, parts.secrets);
    let log = match &parts.log {
        Some(file) => clean(&String::from_utf8_lossy(&tail(file)?)),
        None => String::new(),
    };
    let summary = CapsuleSummary {
        package: format!("{}@{}", parts.spec.name, parts.spec.version),
        hash: parts.spec.hash.to_string(),
        container: parts.container.to_owned(),
        spack: parts.spack.map(str::to_owned),
        message: clean(parts.message),
        first_error: first_error(&log),
        command: parts
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        is_sandboxed: parts.script.is_some(),
    };
    let lines: Vec<&str> = log.lines().collect();
    let kept = lines.get(lines.len().saturating_sub(KEPT_LINES)..);
    let kept = kept.unwrap_or_default().join("\n");
    let json = |value: serde_json::Result<String>| value.map_err(io::Error::other);
    for (name, text) in [
        (
            "capsule.json",
            json(serde_json::to_string_pretty(&summary))?,
        ),
        ("build.log", kept),
        ("node.json", parts.spec.raw.to_string()),
        (
            "variables.json",
            json(serde_json::to_string_pretty(&parts.variables))?,
        ),
        ("reproduce.sh", script(parts)),
    ] {
        fs::write(folder.join(name), text)?;
    }
    copy(parts.scope, &folder.join("scope"), &clean)?;
    if let Some(environment) = parts.environment {
        copy(environment, &folder.join("environment"), &clean)?;
    }
    Ok(summary)
}

/// The last bytes of a file.
fn tail(file: &Path) -> io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    let most = u64::try_from(LONGEST_LOG).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Copies the files of a folder that are texts of ours.
fn copy(from: &Path, to: &Path, clean: &dyn Fn(&str) -> String) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = fs::read_to_string(entry.path())?;
            fs::write(to.join(entry.file_name()), clean(&text))?;
        }
    }
    Ok(())
}

/// A script that does what was done, with the files of the capsule.
fn script(parts: &CapsuleParts<'_>) -> String {
    let spec = parts.spec;
    let mut text = format!(
        "#!/bin/sh\n# Builds {}@{} as it was built when it failed, and keeps what it leaves.\n\
         set -eu\nhere=$(cd \"$(dirname \"$0\")\" && pwd)\n",
        spec.name, spec.version
    );
    if let Some(sandbox) = parts.script {
        text.push_str(
            "# With arguments: runs those in the same sandbox, `sh reproduce.sh /bin/bash`.\n",
        );
        text.push_str(sandbox);
        return text;
    }
    text.push_str("exec env -i \\\n");
    for (name, value) in &parts.variables {
        // That home is gone, and no build needs it.
        if name != "SPACK_GNUPGHOME" && is_name(name) {
            text.push_str(&format!("  {name}={} \\\n", quoted(value)));
        }
    }
    let program = parts.command.first().map(|it| it.to_string_lossy());
    text.push_str(&format!(
        "  {} -C \"$here/scope\" -e \"$here/environment\" install --only-concrete --only package --no-cache --keep-stage /{}\n",
        quoted(&program.unwrap_or_default()),
        spec.hash
    ));
    text
}

/// Whether a shell takes it as the name of a variable.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The first line that is an error by the words of compilers, else by those of others.
fn first_error(log: &str) -> Option<FirstError> {
    const CLEAR: &[&str] = &["error: ", "fatal error", "undefined reference", "error:"];
    const LIKELY: &[&str] = &[
        "cannot find -l",
        "no such file or directory",
        "command not found",
        "permission denied",
        "traceback (most recent call last)",
        "*** [",
        "error ",
        "failed",
    ];
    [CLEAR, LIKELY].iter().find_map(|words| {
        log.lines().enumerate().find_map(|(index, line)| {
            let lower = line.to_ascii_lowercase();
            words
                .iter()
                .any(|word| lower.contains(word))
                .then(|| FirstError {
                    line: index + 1,
                    text: line.trim().to_owned(),
                })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_compilers_if_it_says_one() {
        let log = "checking for x... failed\nmake all\nx.c:3:1: error: no y\nmake: *** [Makefile:2: all] Error 1\n";
        let error = first_error(log).expect("an error");
        assert_eq!(
            (error.line, error.text.as_str()),
            (3, "x.c:3:1: error: no y")
        );
        let error = first_error("a\nmake: *** [Makefile:2: all] Error 1\n").expect("an error");
        assert_eq!(error.line, 2);
        assert_eq!(first_error("all is well\n"), None);
    }

    #[test]
    fn words_for_a_shell_stay_one_word() {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted("a 'b' $c \"d\""))])
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a 'b' $c \"d\"");
    }
}
