//! What of packages an image needs at run time.
//!
//! ```text
//! [slim] of settings and container.toml ──► SlimRules ──► of one package ─┐
//! PackageRecord: every path of the archive ──────────────────────────────┴─► Selection: what goes, and why
//! ```
//!
//! All paths of an archive are known before it is opened again, so what goes is decided ahead: [`Selection`] is a pure
//! function of the package's record and [`SlimRules`]. The pass over the archive ([`super::transform`]) then leaves it out.
//!
//! [`rules`] says what `runtime` takes out and, for each rule, why that is safe and what it spares.

mod glob;
pub mod rules;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::strip::{self, Symbols};

pub use glob::{Glob, GlobError};
pub use rules::{Cause, RULES_VERSION, compiles_at_run_time};
pub use select::{Amount, Fate, Selection};

/// Which files of packages an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// All: packages are as they were built.
    #[default]
    Full,
    /// Those that programs need when they run.
    Runtime,
}

impl Profile {
    /// All words.
    pub const NAMES: [&'static str; 2] = ["full", "runtime"];

    /// As it is written in settings and locks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Runtime => "runtime",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Runtime]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

/// What settings and a container say of all packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlimRules {
    /// Which files stay; none: [`Profile::Full`].
    pub profile: Option<Profile>,
    /// What becomes of symbols; none: they stay with `full` and are dropped with `runtime`.
    pub symbols: Option<Symbols>,
    /// Paths that stay, whatever else is said.
    pub keep: Vec<Glob>,
    /// Paths that go, whatever the profile says.
    pub drop: Vec<Glob>,
    /// Programs and libraries that keep their symbols.
    pub keep_symbols: Vec<Glob>,
    /// What holds for packages of one name.
    pub packages: BTreeMap<String, PackageRules>,
}

/// What is said of packages of one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageRules {
    /// Which files stay.
    pub profile: Option<Profile>,
    /// What becomes of symbols.
    pub symbols: Option<Symbols>,
    /// Paths that stay.
    pub keep: Vec<Glob>,
    /// Paths that go.
    pub drop: Vec<Glob>,
}

/// What holds for one package, after all that is said was weighed.
#[derive(Debug, Clone, Copy)]
pub struct Slimming<'a> {
    /// Which files stay.
    pub profile: Profile,
    /// What becomes of symbols.
    pub symbols: Symbols,
    /// Programs and libraries that keep their symbols.
    pub keep_symbols: &'a [Glob],
    /// What is said of this package, which counts more than what is said of all.
    own: Option<&'a PackageRules>,
    all: &'a SlimRules,
}

impl SlimRules {
    /// Whether packages stay as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of it, with the versions of our own rules, as text that tells apart what differs.
    #[must_use]
    pub fn to_text(&self) -> String {
        let list = |globs: &[Glob]| -> String {
            let globs: Vec<String> = globs
                .iter()
                .map(|it| format!("{:?}", it.as_str()))
                .collect();
            globs.join(" ")
        };
        let said = |profile: Option<Profile>, symbols: Option<Symbols>| {
            let profile = profile.map_or("", Profile::as_str);
            format!("{profile} {}", symbols.map_or("", Symbols::as_str))
        };
        let mut text = format!(
            "{RULES_VERSION} {} {}\n{}\n{}\n{}\n",
            strip::VERSION,
            said(self.profile, self.symbols),
            list(&self.keep),
            list(&self.drop),
            list(&self.keep_symbols)
        );
        for (name, own) in &self.packages {
            let line = format!(
                "{name:?} {}\n{}\n{}\n",
                said(own.profile, own.symbols),
                list(&own.keep),
                list(&own.drop)
            );
            text.push_str(&line);
        }
        text
    }

    /// The same with what a container says besides: its words count more, and its globs come on top.
    #[must_use]
    pub fn with(&self, container: &Self) -> Self {
        let both = |a: &[Glob], b: &[Glob]| [a, b].concat();
        let mut packages = self.packages.clone();
        for (name, own) in &container.packages {
            let before = packages.entry(name.clone()).or_default();
            *before = PackageRules {
                profile: own.profile.or(before.profile),
                symbols: own.symbols.or(before.symbols),
                keep: both(&before.keep, &own.keep),
                drop: both(&before.drop, &own.drop),
            };
        }
        Self {
            profile: container.profile.or(self.profile),
            symbols: container.symbols.or(self.symbols),
            keep: both(&self.keep, &container.keep),
            drop: both(&self.drop, &container.drop),
            keep_symbols: both(&self.keep_symbols, &container.keep_symbols),
            packages,
        }
    }

    /// What holds for the package of this name.
    ///
    /// A package whose programs compile when they run is whole under `runtime` unless it is named with a profile of its own.
    #[must_use]
    pub fn of(&self, package: &str) -> Slimming<'_> {
        let own = self.packages.get(package);
        let said = self.profile.unwrap_or_default();
        let profile = match own.and_then(|it| it.profile) {
            Some(profile) => profile,
            None if compiles_at_run_time(package) => Profile::Full,
            None => said,
        };
        let by_default = match own.and_then(|it| it.profile).unwrap_or(said) {
            Profile::Full => Symbols::Keep,
            Profile::Runtime => Symbols::Drop,
        };
        Slimming {
            profile,
            symbols: own
                .and_then(|it| it.symbols)
                .or(self.symbols)
                .unwrap_or(by_default),
            keep_symbols: &self.keep_symbols,
            own,
            all: self,
        }
    }
}

impl Slimming<'_> {
    /// Why a path below the prefix goes; nothing if it stays.
    fn cause(&self, path: &str) -> Option<Cause> {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        if rules::is_needed(path) {
            return None;
        }
        if let Some(own) = self.own {
            if matches(&own.keep) {
                return None;
            }
            if matches(&own.drop) {
                return Some(Cause::Asked);
            }
        }
        if matches(&self.all.keep) {
            return None;
        }
        if matches(&self.all.drop) {
            return Some(Cause::Asked);
        }
        match self.profile {
            Profile::Full => None,
            Profile::Runtime => rules::cause(path),
        }
    }

    /// Whether somebody asked for a path to stay.
    fn is_kept(&self, path: &str) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        rules::is_needed(path)
            || matches(&self.all.keep)
            || self.own.is_some_and(|own| matches(&own.keep))
    }
}
