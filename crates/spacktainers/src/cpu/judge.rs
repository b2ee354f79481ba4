//! What of all that is used is above a target.

use std::fmt;

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use spack_format::microarchitecture::Microarchitecture;

use super::{CpuRecord, Use};

/// The folder that the dynamic linker searches by level. Source: ld.so(8), "glibc Hardware capabilities".
const HWCAPS: &str = "glibc-hwcaps/";

/// What to do about instructions above the target: `[arch.amd64] cpu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuPolicy {
    /// They are an error.
    Require,
    /// They are told.
    #[default]
    Report,
    /// Nobody looks.
    Ignore,
}

impl CpuPolicy {
    /// Reads the word of the settings.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "require" => Some(Self::Require),
            "report" => Some(Self::Report),
            "ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// What the settings say of instructions above the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuSettings {
    /// What to do about them.
    pub policy: CpuPolicy,
    /// Patterns of paths that are passed over.
    pub allowed: Vec<Pattern>,
}

/// A file with instructions above the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuFinding {
    /// The package or layer that it is in.
    pub package: String,
    /// Its path.
    pub file: String,
    /// What it uses above the target, lowest level first.
    pub uses: Vec<Use>,
}

impl fmt::Display for CpuFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` uses ", self.package, self.file)?;
        for (number, it) in self.uses.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(
                f,
                "{comma}{} ({}, {} times)",
                it.feature, it.level, it.count
            )?;
        }
        let Some(first) = self.uses.last() else {
            return Ok(());
        };
        write!(f, "; first `{}` at {:#x}", first.instruction, first.address)?;
        match &first.function {
            Some(function) => write!(f, " in {function}"),
            None => Ok(()),
        }
    }
}

/// The files of `records`, each with the name of what it is of, that processors of `target` cannot execute as a whole.
/// `allowed` are patterns of paths that are passed over.
#[must_use]
pub fn above<'a>(
    records: impl IntoIterator<Item = (&'a str, &'a CpuRecord)>,
    target: &Microarchitecture,
    allowed: &[Pattern],
) -> Vec<CpuFinding> {
    let options = MatchOptions {
        require_literal_separator: false,
        ..MatchOptions::new()
    };
    let mut findings = Vec::new();
    for (package, record) in records {
        for file in &record.files {
            let is_passed = file.chooses
                || file.path.contains(HWCAPS)
                || allowed
                    .iter()
                    .any(|it| it.matches_with(&file.path, options));
            if is_passed {
                continue;
            }
            let uses = file.uses.iter().filter(|it| !it.level.is_in(target));
            let uses: Vec<Use> = uses.cloned().collect();
            if !uses.is_empty() {
                findings.push(CpuFinding {
                    package: package.to_owned(),
                    file: file.path.clone(),
                    uses,
                });
            }
        }
    }
    findings
}
