//! What builds need of a machine: what the settings say of a package, else what its last build needed, else a guess.

use super::plan::{Build, Plan};
use super::records::{Recorded, Records};

/// Seconds that a package is taken to need that nobody has built here and of which the settings say nothing.
pub(super) const GUESSED_SECONDS: u64 = 600;

/// Memory of the next build, by that of the last: compilers are not that exact.
const MARGIN: u64 = 4;

/// What the settings say of builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// `[farm] memory`: bytes for a package that nobody has built here.
    pub memory: u64,
    /// `[[farm.class]]`.
    pub classes: Vec<PackageClass>,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            classes: Vec::new(),
        }
    }
}

/// One `[[farm.class]]`: packages that need something of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageClass {
    /// Names of packages.
    pub packages: Vec<String>,
    /// Processors in a job of their own.
    pub cores: Option<usize>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// How long a build takes.
    pub seconds: Option<u64>,
}

/// What one build is taken to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// None: nobody knows.
    pub(super) seconds: Option<u64>,
    /// Bytes.
    pub(super) memory: u64,
    /// Processors that the settings want for it.
    pub(super) cores: Option<usize>,
    /// Bytes of memory that the settings want for it.
    pub(super) asked_memory: Option<u64>,
}

impl Need {
    /// Seconds, guessed where nobody knows.
    pub(super) fn weight(&self) -> u64 {
        self.seconds.unwrap_or(GUESSED_SECONDS).max(1)
    }
}

impl Needs {
    /// What each build of `plan` needs, in its order.
    pub(super) fn of(&self, plan: &Plan, records: &Records<'_>) -> Vec<Need> {
        plan.builds
            .iter()
            .map(|build| self.of_one(build, records.latest(build)))
            .collect()
    }

    /// What the settings say of a package comes before what was recorded.
    fn of_one(&self, build: &Build, recorded: Option<Recorded>) -> Need {
        let class = self
            .classes
            .iter()
            .find(|class| class.packages.contains(&build.name));
        let peak = recorded
            .and_then(|it| it.peak_memory)
            .map(|peak| peak.saturating_add(peak / MARGIN));
        let asked_memory = class.and_then(|it| it.memory);
        Need {
            seconds: class
                .and_then(|it| it.seconds)
                .or(recorded.map(|it| it.seconds.ceil() as u64)),
            memory: asked_memory.or(peak).unwrap_or(self.memory),
            cores: class.and_then(|it| it.cores),
            asked_memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::test_plan;
    use super::*;

    #[test]
    fn settings_come_before_records_and_records_before_guesses() {
        let needs = Needs {
            memory: 100,
            classes: vec![PackageClass {
                packages: vec!["llvm".to_owned()],
                cores: Some(32),
                memory: Some(9),
                seconds: None,
            }],
        };
        let plan = test_plan(&[("llvm", &[]), ("zlib", &[])]);
        let recorded = Some(Recorded {
            seconds: 7.2,
            peak_memory: Some(40),
            cores: 2,
        });
        let need = needs.of_one(&plan.builds[0], recorded);
        assert_eq!(
            (need.seconds, need.memory, need.cores),
            (Some(8), 9, Some(32))
        );
        let need = needs.of_one(&plan.builds[1], recorded);
        assert_eq!((need.seconds, need.memory, need.cores), (Some(8), 50, None));
        let need = needs.of_one(&plan.builds[1], None);
        assert_eq!((need.seconds, need.memory), (None, 100));
        assert_eq!(need.weight(), GUESSED_SECONDS);
    }
}
