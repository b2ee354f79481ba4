//! Keys that GnuPG has: in its home, on a card, unlocked in its agent.
//!
//! `gpg` is run and told nothing but which key; where its home is it knows from the environment that we are started in. It asks
//! for a passphrase as it always does, by its agent; where there is nobody to ask (CI), the passphrase is given to it over
//! its standard input, never as an argument.
//!
//! Source: `doc/DETAILS` of GnuPG 2.2 (`--status-fd`: `SIG_CREATED`; `--with-colons`: `sec`, `fpr`), gpg(1).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::sign::{ClearSigned, SignError};

/// The program.
const PROGRAM: &str = "gpg";

/// A key of GnuPG.
#[derive(Clone)]
pub(super) struct GpgKey {
    /// Of the primary key: upper-case hexadecimal digits.
    pub(super) fingerprint: String,
    passphrase: Option<String>,
    /// Its home, where it is not the one of the environment.
    home: Option<PathBuf>,
}

impl GpgKey {
    /// The one key that `id` means: a fingerprint or the end of one.
    pub(super) fn find(
        id: &str,
        passphrase: Option<&str>,
        home: Option<&Path>,
    ) -> Result<Self, SignError> {
        let is_id = matches!(id.len(), 16 | 40) && id.bytes().all(|it| it.is_ascii_hexdigit());
        if !is_id {
            return Err(SignError::KeyId(id.to_owned()));
        }
        if passphrase.is_some_and(|it| it.contains('\n')) {
            return Err(SignError::Passphrase);
        }
        let list = ["--with-colons", "--fingerprint", "--list-secret-keys", id];
        let listed = run(home, &list, b"")?;
        if !listed.status.success() {
            return Err(SignError::NoSuchKey(id.to_owned()));
        }
        let text = String::from_utf8_lossy(&listed.stdout);
        // The first fingerprint behind `sec` is that of the primary key.
        let mut lines = text.lines().skip_while(|line| !line.starts_with("sec:"));
        let fingerprint = lines.find_map(|line| line.strip_prefix("fpr:")?.split(':').nth(8));
        let fingerprint = fingerprint.ok_or_else(|| SignError::NoSuchKey(id.to_owned()))?;
        Ok(Self {
            fingerprint: fingerprint.to_uppercase(),
            passphrase: passphrase.map(str::to_owned),
            home: home.map(Path::to_owned),
        })
    }

    /// As `gpg --export --armor` writes it.
    pub(super) fn public_key(&self) -> Result<String, SignError> {
        let exported = self.run(&["--armor", "--export", &self.fingerprint], b"")?;
        let text = String::from_utf8(exported.stdout).unwrap_or_default();
        if exported.status.success() && !text.is_empty() {
            Ok(text)
        } else {
            Err(SignError::Gpg(said(&exported.stderr)))
        }
    }

    /// Signs a text, at the time that it is for `gpg`.
    pub(super) fn clear_sign(&self, text: &str) -> Result<ClearSigned, SignError> {
        let mut arguments = vec![
            "--status-fd",
            "2",
            "--digest-algo",
            "SHA256",
            "--local-user",
            &self.fingerprint,
        ];
        let mut input = Vec::new();
        if let Some(passphrase) = &self.passphrase {
            // Up to the end of the line it is the passphrase, and the text behind it.
            arguments.extend(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
            input.extend_from_slice(passphrase.as_bytes());
            input.push(b'\n');
        }
        arguments.push("--clearsign");
        input.extend_from_slice(text.as_bytes());
        let signed = self.run(&arguments, &input)?;
        let status = String::from_utf8_lossy(&signed.stderr);
        let created = status
            .lines()
            .find_map(|line| line.strip_prefix("[GNUPG:] SIG_CREATED "))
            .and_then(|line| hex::decode(line.split(' ').next_back()?).ok());
        match (created, String::from_utf8(signed.stdout)) {
            (Some(fingerprint), Ok(message)) if signed.status.success() => Ok(ClearSigned {
                message,
                fingerprint,
            }),
            _ => Err(SignError::Gpg(said(&signed.stderr))),
        }
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Output, SignError> {
        run(self.home.as_deref(), arguments, input)
    }
}

/// Runs `gpg` with `input`.
fn run(home: Option<&Path>, arguments: &[&str], input: &[u8]) -> Result<Output, SignError> {
    let mut command = Command::new(PROGRAM);
    if let Some(home) = home {
        command.arg("--homedir").arg(home);
    }
    let started = command
        .args(["--batch", "--no-tty", "--yes"])
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(SignError::NoGpg)?;
    let stdin = child.stdin.take();
    // It may write before it has read all of it.
    let (written, output) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.map_or(Ok(()), |mut it| it.write_all(input)));
        let output = child.wait_with_output();
        (writer.join(), output)
    });
    let output = output.map_err(SignError::NoGpg)?;
    match written.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        // It had enough and says why.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(SignError::NoGpg(error)),
        _ => Ok(output),
    }
}

/// What it says to people.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().filter(|line| !line.starts_with("[GNUPG:]"));
    let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("gpg: ")).collect();
    lines.join("; ")
}
