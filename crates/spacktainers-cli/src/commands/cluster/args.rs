//! The command line of `farm`, and how `build --build` chooses who builds.

use std::path::PathBuf;

use clap::Subcommand;

/// Who builds packages.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct FarmHow {
    /// With --build: who builds; default: `executor` below `[farm]` in the settings
    #[arg(long, value_enum, value_name = "EXECUTOR", requires = "build")]
    pub(crate) on: Option<On>,
    /// With --build: order nothing, and only go on with what was ordered before
    #[arg(long, requires = "build")]
    pub(crate) attach: bool,
}

/// An executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum On {
    /// This machine
    Local,
    /// Jobs of Slurm, as `[farm.slurm]` in the settings describes it
    Slurm,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FarmArgs {
    #[command(subcommand)]
    pub(crate) command: FarmCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FarmCommand {
    /// Shows the runs that are underway: their packages and jobs
    Status {
        /// Show also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Ends runs: their jobs are cancelled; what they have pushed stays
    Cancel {
        /// The run, as `status` calls it; default: all that are underway
        run: Option<String>,
    },
    /// Does one batch of a run: what jobs execute
    #[command(hide = true)]
    Work(WorkArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkArgs {
    /// The folder of the run
    pub(crate) run: PathBuf,
    /// Which batch
    #[arg(long)]
    pub(crate) batch: usize,
    /// The name of the job that does it
    #[arg(long)]
    pub(crate) job: String,
    /// Build on the node as it is, and not in a sandbox
    #[arg(long)]
    pub(crate) no_sandbox: bool,
    /// Speak to these registries without TLS
    #[arg(long = "insecure")]
    pub(crate) insecure: Vec<String>,
}
