//! Processors that builds share: a jobserver of GNU make.
//!
//! A jobserver is a pipe that holds a byte per processor that is free. A build takes one to begin, `make` in it takes more
//! for what it runs side by side, and all put back what they took; so builds that are busy get what others leave.
//!
//! ```text
//! tokens, a FIFO ──► we take one, and start: /bin/sh opens it as 8 and 9 ──► spack ──► make, which reads MAKEFLAGS
//! ```
//!
//! Spack hands on `MAKEFLAGS` and these two descriptors, and passes no `-j` to a `make` that it gives a jobserver. They
//! have one digit because Spack only knows such ones, and it is a pipe and no `fifo:` because GNU make 4.3 and older know
//! pipes only. What knows no jobserver (ninja before 1.13, compilers' own threads) goes by the `-j` of `spack install`;
//! one job there turns the jobserver off.
//!
//! Source: "POSIX Jobserver Interaction" in the manual of GNU make; `get_effective_jobs`, `start_build_process` in
//! `lib/spack/spack/build_environment.py` of Spack 1.1.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

/// Starts a program with the FIFO open as 8 and 9, and says which process it is.
const SCRIPT: &str = "exec 8<>\"$1\" 9<>\"$1\"; MAKEFLAGS=$2; export MAKEFLAGS; echo $$ >\"$3\"; shift 3; exec \"$@\"";

/// The same where there is but one processor to share.
const ALONE: &str = "echo $$ >\"$1\"; shift; exec \"$@\"";

/// Tokens for processors.
#[derive(Debug)]
pub(super) struct Jobserver {
    path: PathBuf,
    pipe: File,
    total: usize,
}

impl Jobserver {
    /// Makes one of `total` processors, in `folder`.
    pub(super) fn new(folder: &Path, total: usize) -> io::Result<Self> {
        let path = folder.join("jobserver");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        // Open to both sides, so that it is never closed while nobody else has it.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)?;
        let jobserver = Self { path, pipe, total };
        jobserver.fill(total);
        Ok(jobserver)
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self) -> bool {
        let mut token = [0];
        matches!((&self.pipe).read(&mut token), Ok(1))
    }

    /// Puts a token back.
    pub(super) fn give(&self) {
        self.fill(1);
    }

    /// Makes all tokens anew, when nothing runs: a `make` that was killed has put none back.
    pub(super) fn reset(&self) {
        let mut tokens = [0; 256];
        loop {
            match (&self.pipe).read(&mut tokens) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        self.fill(self.total);
    }

    fn fill(&self, tokens: usize) {
        // A pipe holds more than a machine has processors; what does not fit is not shared.
        let _ = (&self.pipe).write(&vec![b'+'; tokens]);
    }
}

/// Words that start a program with `jobserver`, if there is one. The program's process is written to `pid`.
pub(super) fn wrapper(jobserver: Option<&Jobserver>, pid: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["/bin/sh", "-c"].map(OsString::from).to_vec();
    match jobserver {
        Some(jobserver) => {
            words.extend([SCRIPT, "sh"].map(OsString::from));
            words.push(jobserver.path.clone().into());
            // Spack looks for it behind a blank.
            let flags = format!(" -j{} --jobserver-auth=8,9", jobserver.total);
            words.push(flags.into());
        }
        None => words.extend([ALONE, "sh"].map(OsString::from)),
    }
    words.push(pid.into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn tokens_are_taken_given_and_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let jobserver = Jobserver::new(folder.path(), 2).expect("a jobserver");
        assert!(jobserver.take() && jobserver.take() && !jobserver.take());
        jobserver.give();
        assert!(jobserver.take() && !jobserver.take());
        jobserver.reset();
        assert!(jobserver.take() && jobserver.take() && !jobserver.take());
    }

    /// Two runs of real make, each with six recipes and three processors between them.
    #[test]
    fn makes_share_processors() {
        if Command::new("make").arg("--version").output().is_err() {
            let _ = writeln!(io::stderr(), "SKIPPED: there is no make");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let jobserver = Jobserver::new(folder.path(), 3).expect("a jobserver");
        let recipes = "all: a b c d e f\n\
                       a b c d e f:\n\t@echo + >>log; sleep 0.3; echo - >>log\n";
        std::fs::write(folder.path().join("Makefile"), recipes).expect("a file");
        let mut makes = Vec::new();
        for name in ["one", "two"] {
            assert!(jobserver.take());
            let line = wrapper(Some(&jobserver), &folder.path().join(name));
            let (program, words) = line.split_first().expect("a program");
            let child = Command::new(program)
                .args(words)
                .args(["make", "-s"])
                .current_dir(folder.path())
                .stderr(Stdio::piped())
                .spawn();
            makes.push((name, child.expect("it starts")));
        }
        for (name, child) in makes {
            let pid = child.id();
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success());
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            let written = std::fs::read_to_string(folder.path().join(name)).expect("a file");
            assert_eq!(written.trim(), pid.to_string());
            jobserver.give();
        }
        let log = std::fs::read_to_string(folder.path().join("log")).expect("a log");
        let (mut running, mut most) = (0, 0);
        for line in log.lines() {
            running += if line == "+" { 1 } else { -1 };
            most = most.max(running);
        }
        assert_eq!(log.lines().count(), 24);
        assert!((2..=3).contains(&most), "{most} ran at once:\n{log}");
        assert!(jobserver.take() && jobserver.take() && jobserver.take());
        assert!(!jobserver.take(), "all tokens were put back, and no more");
    }
}
