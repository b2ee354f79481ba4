//! `[farm]`: where packages are built, and what builds may take.
//!
//! ```toml
//! [farm]
//! executor = "slurm"                # who builds unless `--on` says so; "local" is this machine
//! at_once = 4                       # packages that one machine builds at the same time
//! memory = "2GB"                    # what a package is taken to need that nobody has built here
//!
//! [[farm.class]]                    # packages with needs of their own
//! packages = ["llvm", "gcc"]
//! cores = 32
//! memory = "64GB"
//! time = "6h"
//!
//! [farm.slurm]
//! partition = "batch"               # likewise `account` and `qos`
//! options = ["--constraint=cpu"]    # more options of sbatch
//! cores = 4                         # of a job
//! memory = "8GB"
//! time = "1d"                       # no job asks for more; default: what the partition lets it have
//! packed = "30m"                    # packages share a job that together take no longer, by earlier builds
//! most = 100                        # jobs in the queue at a time
//! scratch = "/tmp"                  # a folder of each node, for stages and what it has fetched
//! shared = "/project/farm"          # a folder that all nodes see; default: `.spacktainers` in the project's
//! ```
//!
//! The project's folder, Spack, recipes and this program have to be seen by all nodes under the same paths. `builder` and
//! `network` below `[farm]` are read by [`BuildingSettings`](super::BuildingSettings).

use std::path::{Path, PathBuf};

use spack_format::yaml::Node;

use crate::farm::{BatchSettings, ExecutorKind, Needs, PackageClass, SlurmSettings};

/// What the settings say of building packages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FarmSettings {
    /// `executor`: who builds unless the command line says so.
    pub executor: ExecutorKind,
    /// `at_once`: packages that one machine builds at the same time; none: as many as there are processors, four at most.
    pub at_once: Option<usize>,
    /// What builds need: `memory` and `[[farm.class]]`.
    pub needs: Needs,
    /// `[farm.slurm]`: what every scheduler is told.
    pub batch: BatchSettings,
    /// `[farm.slurm]`: what Slurm alone is told.
    pub slurm: SlurmSettings,
}

impl FarmSettings {
    /// Reads the section; what cannot be used is left out, and among the faults of the file's shape.
    pub(super) fn read(root: &Node, folder: &Path) -> Self {
        let defaults = Self::default();
        let Some(section) = root.get("farm") else {
            return defaults;
        };
        let slurm = section.get("slurm");
        let text = |key: &str| slurm.and_then(|it| text(it, key));
        let path = |key: &str| text(key).map(|path| folder.join(path));
        Self {
            executor: section
                .get("executor")
                .and_then(Node::as_str)
                .and_then(ExecutorKind::parse)
                .unwrap_or_default(),
            at_once: count(section, "at_once"),
            needs: Needs {
                memory: size(section, "memory").unwrap_or(defaults.needs.memory),
                classes: section
                    .get("class")
                    .and_then(Node::as_sequence)
                    .unwrap_or_default()
                    .iter()
                    .map(class)
                    .collect(),
            },
            batch: BatchSettings {
                shared: path("shared"),
                scratch: text("scratch").map_or(defaults.batch.scratch, PathBuf::from),
                cores: slurm
                    .and_then(|it| count(it, "cores"))
                    .unwrap_or(defaults.batch.cores),
                memory: slurm
                    .and_then(|it| size(it, "memory"))
                    .unwrap_or(defaults.batch.memory),
                longest: slurm.and_then(|it| seconds(it, "time")),
                packed: slurm
                    .and_then(|it| seconds(it, "packed"))
                    .unwrap_or(defaults.batch.packed),
                most: slurm.and_then(|it| count(it, "most")),
            },
            slurm: SlurmSettings {
                partition: text("partition"),
                account: text("account"),
                qos: text("qos"),
                options: slurm
                    .and_then(|it| it.get("options"))
                    .map(texts)
                    .unwrap_or_default(),
            },
        }
    }
}

fn class(node: &Node) -> PackageClass {
    PackageClass {
        packages: node.get("packages").map(texts).unwrap_or_default(),
        cores: count(node, "cores"),
        memory: size(node, "memory"),
        seconds: seconds(node, "time"),
    }
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::as_str).map(str::to_owned)
}

fn texts(node: &Node) -> Vec<String> {
    node.as_sequence()
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_str)
        .map(str::to_owned)
        .collect()
}

fn count(node: &Node, key: &str) -> Option<usize> {
    let number = node.get(key).and_then(Node::as_integer)?;
    usize::try_from(number).ok().filter(|it| *it > 0)
}

fn size(node: &Node, key: &str) -> Option<u64> {
    parse_size(node.get(key)?.as_str()?)
}

fn seconds(node: &Node, key: &str) -> Option<u64> {
    parse_time(node.get(key)?.as_str()?)
}

/// Bytes of a text such as `512MB` or `8GB`: powers of 1024, as Slurm counts.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|it: char| !it.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim_start() {
        "MB" | "M" => 20,
        "GB" | "G" => 30,
        "TB" | "T" => 40,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(1 << shift).filter(|it| *it > 0)
}

/// Seconds of a text such as `90m`, `4h` or `1d12h`.
pub(super) fn parse_time(text: &str) -> Option<u64> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.chars().next()?;
        let factor: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = tail.get(unit.len_utf8()..)?;
    }
    Some(seconds).filter(|it| *it > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Settings;
    use spack_format::yaml::SourceId;

    fn parse(text: &str) -> (FarmSettings, Vec<String>) {
        let (settings, faults) = Settings::parse(text, SourceId(0), Path::new("/project"));
        let faults = faults.into_iter().map(|fault| fault.message).collect();
        (settings.farm, faults)
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(parse_size("512MB"), Some(512 << 20));
        assert_eq!(parse_size("8 GB"), Some(8 << 30));
        assert_eq!(parse_time("1d12h"), Some(36 * 3600));
        assert_eq!(parse_time("90m"), Some(5400));
        for text in ["", "8", "GB", "8 apples", "0GB", "99999999999TB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for text in [
            "",
            "4",
            "h",
            "4x",
            "0m",
            "-1h",
            "99999999999999999d",
            "4hours",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn settings_of_the_farm_are_read() {
        let (farm, faults) = parse(
            r#"
            [farm]
            executor = "slurm"
            at_once = 3
            memory = "1GB"
            [[farm.class]]
            packages = ["llvm", "gcc"]
            cores = 32
            memory = "64GB"
            time = "6h"
            [farm.slurm]
            partition = "batch"
            account = "proj7"
            qos = "long"
            time = "1d"
            options = ["--constraint=cpu"]
            cores = 8
            memory = "16GB"
            packed = "20m"
            most = 50
            scratch = "/local"
            shared = "farm"
            "#,
        );
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(farm.executor, ExecutorKind::Slurm);
        assert_eq!(farm.at_once, Some(3));
        assert_eq!(farm.needs.memory, 1 << 30);
        assert_eq!(farm.needs.classes[0].seconds, Some(6 * 3600));
        assert_eq!(farm.slurm.partition.as_deref(), Some("batch"));
        assert_eq!(farm.slurm.options, ["--constraint=cpu"]);
        assert_eq!(
            farm.batch.shared.as_deref(),
            Some(Path::new("/project/farm"))
        );
        assert_eq!(farm.batch.scratch, Path::new("/local"));
        assert_eq!((farm.batch.cores, farm.batch.memory), (8, 16 << 30));
        assert_eq!(
            (farm.batch.longest, farm.batch.packed),
            (Some(86_400), 1200)
        );
        assert_eq!(farm.batch.most, Some(50));
        assert_eq!(parse("").0, FarmSettings::default());
    }

    #[test]
    fn what_cannot_be_used_is_a_fault() {
        for (text, words) in [
            ("[farm]\nexecutor = \"pigeons\"\n", "pigeons"),
            ("[farm]\nmemory = \"8\"\n", "not a size"),
            ("[farm.slurm]\ntime = \"4\"\n", "not a time"),
            ("[farm.slurm]\noptions = [\"-p x\"]\n", "not an option"),
            ("[farm.slurm]\npartition = \"a b\"\n", "not a name"),
            ("[farm.slurm]\nscratch = \"tmp\"\n", "not an absolute path"),
            ("[[farm.class]]\ncores = 4\n", "packages"),
        ] {
            let (_, faults) = parse(text);
            assert!(
                faults.len() == 1 && faults[0].contains(words),
                "{text:?} gives {faults:?}"
            );
        }
    }
}
