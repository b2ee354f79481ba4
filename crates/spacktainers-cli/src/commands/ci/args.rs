//! The command line of `ci`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use spacktainers::pipeline::System;

#[derive(Debug, clap::Args)]
pub(crate) struct CiArgs {
    #[command(subcommand)]
    pub(crate) command: CiCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CiCommand {
    /// Writes what a CI system or a scheduler runs: `.gitlab-ci.yml`, `.github/workflows/spacktainers*.yml`, or a script of sbatch
    Generate(GenerateArgs),
    /// Builds packages of the project's locks by hash, and pushes them: what generated jobs call. Nothing below them is built
    Build(CiBuildArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    /// Containers; none means all
    pub(crate) names: Vec<String>,
    /// For which system
    #[arg(long = "for", value_enum, value_name = "SYSTEM")]
    pub(crate) system: SystemName,
    /// Write nothing, and fail with a difference if a committed file is not what would be written
    #[arg(long, conflicts_with_all = ["dynamic", "output"])]
    pub(crate) check: bool,
    /// Make what this very run has to do: GitLab's child pipelines, or the outputs of GitHub's plan on standard output.
    /// Mirrors and targets are asked what they have
    #[arg(long)]
    pub(crate) dynamic: bool,
    /// The folder that files are written below; default: the project's
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Which `[publish.ENVIRONMENT]` of the settings this run publishes to; may be left out where there is but one
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Only containers that differ from what this commit would have made of them
    #[arg(long, value_name = "COMMIT")]
    pub(crate) affected_by: Option<String>,
    /// Let containers take the newest base first
    #[arg(long)]
    pub(crate) update_base: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CiBuildArgs {
    /// Packages, by hash
    #[arg(required = true, value_name = "HASH")]
    pub(crate) hashes: Vec<String>,
    /// Build on this machine as it is, and not in a sandbox
    #[arg(long)]
    pub(crate) no_sandbox: bool,
    /// Speak to these registries without TLS (loopback addresses need no mention)
    #[arg(long = "insecure", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
}

/// A system by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SystemName {
    /// GitLab CI
    Gitlab,
    /// GitHub Actions
    Github,
    /// Slurm
    Slurm,
}

impl From<SystemName> for System {
    fn from(name: SystemName) -> Self {
        match name {
            SystemName::Gitlab => Self::Gitlab,
            SystemName::Github => Self::Github,
            SystemName::Slurm => Self::Slurm,
        }
    }
}
