//! Credential helpers: programs named `docker-credential-<name>` that know secrets.
//!
//! `get` reads a server's name from standard input and prints `{"Username": …, "Secret": …}`; the
//! user name `<token>` says that the secret is an identity token.
//!
//! Source: docker-credential-helpers, README.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Credential;

/// How long a helper may take; some ask a person.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes that a helper may print.
const MAX_OUTPUT: u64 = 1 << 20;

/// Why credentials that are configured cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A credential file that is there and cannot be read.
    #[error("cannot read the credentials in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A credential file that cannot be written.
    #[error("cannot write the credentials to `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A credential file that is not what it should be.
    #[error("`{}` is not a credential file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// An entry of a credential file that is no base64 of `user:password`.
    #[error("the entry for `{registry}` in `{}` is damaged: log in again", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Whose entry.
        registry: String,
    },
    /// AWS gives no token for its registry.
    #[error(transparent)]
    Ecr(#[from] crate::registry::ecr::EcrError),
    /// A helper that cannot be run.
    #[error(
        "cannot run the credential helper `{program}`: install it, or take it out of the credential file"
    )]
    Run {
        /// `docker-credential-…`
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A helper that failed.
    #[error("the credential helper `{program}` failed for `{server}`: {reason}")]
    Failed {
        /// `docker-credential-…`
        program: String,
        /// What it was asked for.
        server: String,
        /// What it said.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-<name>` about `server`; nothing when it knows nothing.
pub(super) async fn ask(name: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
    let program = format!("docker-credential-{name}");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        let reason = "the name of a helper has only letters, digits, `-`, `_` and `.`".to_owned();
        let server = server.to_owned();
        return Err(CredentialError::Failed {
            program,
            server,
            reason,
        });
    }
    converse(&program, server).await
}

async fn converse(program: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
    let failed = |reason: &str| CredentialError::Failed {
        program: program.to_owned(),
        server: server.to_owned(),
        reason: reason.to_owned(),
    };
    let run = |source| CredentialError::Run {
        program: program.to_owned(),
        source,
    };
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(run)?;
    let conversation = async {
        if let Some(mut input) = child.stdin.take() {
            // A helper that does not read its input has its reasons; its answer tells.
            let _ = input.write_all(server.as_bytes()).await;
        }
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_OUTPUT).read_to_end(&mut output).await?;
        }
        Ok((child.wait().await?, output))
    };
    let (status, output) = match tokio::time::timeout(PATIENCE, conversation).await {
        Ok(finished) => finished.map_err(run)?,
        Err(_) => return Err(failed("it did not answer within a minute")),
    };
    if !status.success() {
        let text = String::from_utf8_lossy(&output).to_ascii_lowercase();
        // The words of the reference implementation, which others repeat.
        if text.contains("credentials not found") || text.contains("no credentials") {
            return Ok(None);
        }
        let first = text.lines().next().unwrap_or_default();
        let words: String = first
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        return Err(failed(&words));
    }
    // Never shown: the text is a secret even when it is not what it should be.
    let answer: Answer =
        serde_json::from_slice(&output).map_err(|_| failed("its answer is not understood"))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(if answer.username == "<token>" {
        Credential::IdentityToken(answer.secret)
    } else {
        Credential::password(answer.username, answer.secret)
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn script(text: &str) -> Result<Option<Credential>, CredentialError> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        loop {
            match converse(path.to_str().expect("text"), "reg.example").await {
                // Another test forked while the script was still open for writing.
                Err(CredentialError::Run { source, .. })
                    if source.kind() == io::ErrorKind::ExecutableFileBusy => {}
                other => return other,
            }
        }
    }

    #[tokio::test]
    async fn a_helper_is_told_the_server_and_believed() {
        let text = r#"read -r server; echo "{\"ServerURL\":\"x\",\"Username\":\"$1 $server\",\"Secret\":\"s\"}""#;
        let found = script(text).await.expect("works");
        assert_eq!(found, Some(Credential::password("get reg.example", "s")));
        let text = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        let found = script(text).await.expect("works");
        assert_eq!(found, Some(Credential::IdentityToken("t".into())));
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_is_no_error_and_one_that_fails_is() {
        let text = "echo 'credentials not found in native keychain'; exit 1";
        assert_eq!(script(text).await.expect("nothing"), None);
        let error = script("echo 'store is locked'; exit 1")
            .await
            .expect_err("failed");
        assert!(error.to_string().ends_with("store is locked"), "{error}");
        let error = script("echo 'hunter2'").await.expect_err("no JSON");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn the_name_of_a_helper_cannot_be_a_path() {
        let error = ask("../../evil", "x").await.expect_err("refused");
        assert!(matches!(error, CredentialError::Failed { .. }), "{error}");
    }
}
