//! Platform, operating system and target that a spec asks for.

use std::fmt;

use super::{Contradiction, TargetSet};
use crate::microarchitecture::Microarchitecture;

/// What is asked of the architecture; by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Architecture {
    /// The platform, such as `linux`, or `*`.
    pub platform: Option<String>,
    /// The operating system, such as `debian12`, or `*`.
    pub os: Option<String>,
    /// Targets.
    pub target: Option<TargetSet>,
}

impl Architecture {
    /// Whether nothing is asked for.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.platform.is_none() && self.os.is_none() && self.target.is_none()
    }

    fn names(&self) -> [Option<&str>; 2] {
        [self.platform.as_deref(), self.os.as_deref()]
    }

    /// Whether platform, system and target of a concrete spec will do. Allocates nothing.
    pub(super) fn admits(&self, platform: &str, os: &str, target: &Microarchitecture) -> bool {
        match compare_names([Some(platform), Some(os)], self.names()) {
            NamesVerdict::Whole(verdict) => verdict,
            NamesVerdict::TargetDecides => self.target.as_ref().is_none_or(|it| it.admits(target)),
        }
    }

    /// Whether all that this allows is allowed by `other`, as far as it is said.
    pub(super) fn satisfies(&self, other: &Self) -> bool {
        match compare_names(self.names(), other.names()) {
            NamesVerdict::Whole(verdict) => verdict,
            NamesVerdict::TargetDecides => match (&self.target, &other.target) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(wanted)) => own.meets(wanted),
            },
        }
    }

    /// Whether both may hold. Here `*` is a name like any other, but for targets on the right.
    pub(super) fn intersects(&self, other: &Self) -> bool {
        let names = self.names().into_iter().zip(other.names());
        let differ = |(a, b): (Option<&str>, Option<&str>)| a.zip(b).is_some_and(|(a, b)| a != b);
        if names.into_iter().any(differ) {
            return false;
        }
        match (&self.target, &other.target) {
            (Some(own), Some(wanted)) => own.meets(wanted),
            _ => true,
        }
    }

    /// What both ask for.
    ///
    /// Where only one of them has a target that is a range, Spack 1.1.0 loses it (`target=` is left); here it is kept.
    pub(super) fn constrain(&mut self, other: &Self) -> Result<(), Contradiction> {
        if !other.intersects(self) {
            return Err(Contradiction::Architecture {
                own: self.to_string(),
                other: other.to_string(),
            });
        }
        if self.platform.is_none() {
            self.platform.clone_from(&other.platform);
        }
        if self.os.is_none() {
            self.os.clone_from(&other.os);
        }
        match (&mut self.target, &other.target) {
            (Some(own), Some(wanted)) => own.constrain(wanted),
            (own @ None, wanted) => own.clone_from(wanted),
            (Some(_), None) => {}
        }
        Ok(())
    }
}

enum NamesVerdict {
    /// The target does not matter.
    Whole(bool),
    TargetDecides,
}

/// Spack compares platform and system in turn, and a `*` that meets a name ends the whole comparison.
fn compare_names(own: [Option<&str>; 2], wanted: [Option<&str>; 2]) -> NamesVerdict {
    for (own, wanted) in own.into_iter().zip(wanted) {
        if own.is_some() && wanted == Some("*") {
            return NamesVerdict::Whole(true);
        }
        if wanted.is_some() && own != wanted {
            return NamesVerdict::Whole(false);
        }
    }
    NamesVerdict::TargetDecides
}

/// Each part after a blank, as Spack prints it at the end of a node.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(platform) = &self.platform {
            write!(f, " platform={platform}")?;
        }
        if let Some(os) = &self.os {
            write!(f, " os={os}")?;
        }
        match &self.target {
            Some(target) => write!(f, " target={target}"),
            None => Ok(()),
        }
    }
}
