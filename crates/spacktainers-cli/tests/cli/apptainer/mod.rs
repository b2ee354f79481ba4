//! What the real Apptainer makes of our SIF files, beside what it makes of its own.
//!
//! ```text
//! images     OCI images and definition files, made here ─► by us ────────► ours/NAME.sif ──┐
//!                                                       └► by Apptainer ─► theirs/NAME.sif ┴─► table    what people run
//! ```
//!
//! [`signatures`]: each verifies what the other signed.
//!
//! `SPACKTAINERS_APPTAINER` names the program, `SPACKTAINERS_APPTAINER_SHARE` a folder that it and the tests know by the same path.

pub(crate) mod images;
mod signatures;
mod table;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sif_format::sif::SifReader;

use crate::support::{Ran, Stage, skipped};

/// The real one, and a folder that it sees by the same path.
pub(crate) struct Apptainer {
    program: PathBuf,
    share: tempfile::TempDir,
}

impl Apptainer {
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var_os("SPACKTAINERS_APPTAINER").map(PathBuf::from);
        let share = std::env::var_os("SPACKTAINERS_APPTAINER_SHARE").map(PathBuf::from);
        let Some(program) = named else {
            skipped("no Apptainer: name it by SPACKTAINERS_APPTAINER");
            return None;
        };
        let share = share.unwrap_or_else(std::env::temp_dir);
        let share = tempfile::tempdir_in(share).expect("a folder");
        let found = Self { program, share };
        let works = found.run(&["--version"]);
        if !works.status.success() {
            skipped(&format!(
                "Apptainer does not work here: {}",
                String::from_utf8_lossy(&works.stderr)
            ));
            return None;
        }
        Some(found)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_in("", args)
    }

    /// Runs with a folder below the share as the working directory.
    pub(crate) fn run_in(&self, folder: &str, args: &[&str]) -> Output {
        self.command(folder, args).output().expect("starts")
    }

    fn command(&self, folder: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(self.path(folder))
            .env("APPTAINER_CACHEDIR", self.path("cache"))
            .env("APPTAINER_KEYSDIR", self.path("keys"))
            // Some machines give root fewer rights than Apptainer asks for.
            .env("APPTAINER_USERNS", "1");
        command
    }

    /// Standard output of a run that has to succeed.
    #[track_caller]
    pub(crate) fn says(&self, args: &[&str]) -> String {
        Ran::of(self.run(args)).ends(0).stdout
    }

    /// The same of a run that is told something on its standard input.
    #[track_caller]
    fn says_to(&self, input: &str, args: &[&str]) -> String {
        let mut child = self
            .command("", args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("takes a line");
        drop(stdin);
        let output = child.wait_with_output().expect("ends");
        Ran::of(output).ends(0).stdout
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.share.path().join(name)
    }
}

/// Who made a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Us,
    Apptainer,
}

impl Maker {
    /// The folder with the files that it made.
    fn folder(self) -> &'static str {
        match self {
            Self::Us => "ours",
            Self::Apptainer => "theirs",
        }
    }

    /// Makes `NAME.sif` in its folder; what it is made from lies in the folder as well.
    #[track_caller]
    fn make(self, apptainer: &Apptainer, stage: &Stage, name: &str, source: &str) {
        let file = format!("{name}.sif");
        let output = match self {
            Self::Us => stage
                .command(&["sif", "--no-test", source, "-o", &file])
                .current_dir(apptainer.path(self.folder()))
                .output()
                .expect("the program runs"),
            // Where root has few rights Apptainer cannot run them.
            Self::Apptainer => {
                apptainer.run_in(self.folder(), &["build", "--notest", &file, source])
            }
        };
        let said = Ran::of(output);
        assert_eq!(
            said.code,
            Some(0),
            "{self:?} {name}:\n{}{}",
            said.stdout,
            said.stderr
        );
    }

    /// Gives a file of its own another name, for definition files that begin with it. Where root has few rights Apptainer does
    /// not unpack files itself, so it gets the folder that it would have made.
    fn lay_out(self, apptainer: &Apptainer, name: &str, other: &str) {
        let folder = apptainer.path(self.folder());
        let (file, other) = (folder.join(format!("{name}.sif")), folder.join(other));
        match self {
            Self::Us => fs::copy(file, other).map(drop).expect("copies"),
            Self::Apptainer => {
                let mut unpack = Command::new("unsquashfs");
                unpack.args(["-q", "-o", &partition(&file).0.to_string(), "-d"]);
                let output = unpack.arg(&other).arg(&file).output();
                Ran::of(output.expect("unsquashfs runs")).ends(0);
            }
        }
    }
}

/// Where the root file system is in a SIF file: offset and size.
pub(crate) fn partition(file: &Path) -> (u64, u64) {
    let file = fs::File::open(file).expect("a file");
    let sif = SifReader::open(file).expect("a SIF file");
    let partition = sif.primary_partition().expect("a partition");
    (partition.offset, partition.size)
}
