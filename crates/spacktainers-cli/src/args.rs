//! The command line: exactly what was typed.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::commands::base::args::BaseArgs;
use crate::commands::cache::args::CacheArgs;
use crate::commands::ci::args::CiArgs;
use crate::commands::cluster::args::{FarmArgs, FarmHow};
use crate::commands::init::InitArgs;
use crate::commands::login::LoginArgs;
use crate::commands::promote::PromoteArgs;
use crate::commands::publish::PublishArgs;
use crate::commands::pull_command::PullCommandArgs;
use crate::commands::size::SizeHow;
use crate::commands::why::WhyArgs;

/// Container images from Spack packages, assembled straight from a build cache.
#[derive(Debug, Parser)]
#[command(
    name = "spacktainers",
    version,
    after_help = "Exit codes: 0 done; 1 a fault of ours; 2 usage, settings or definition wrong; 3 packages are in no mirror;\n\
                  4 a target or mirror refused or failed; 5 verification failed."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct GlobalArgs {
    /// The project: a folder with `container_definitions/` and, if wanted, `spacktainers.toml`
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    /// Only containers of this architecture (`amd64`, `arm64`); default: all that the project has
    #[arg(long, global = true)]
    pub(crate) arch: Option<String>,
    /// One JSON document, or events as JSON lines, on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say less
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Use no network: only the local cache, folders and files
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// How much to do at once; default: the number of processors
    #[arg(long, global = true, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
    /// The local cache; default: `$SPACKTAINERS_CACHE`, else `spacktainers` below the user's cache folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reports every fault in settings and definitions, with file, line and column
    Check(NamesArgs),
    /// Lists the containers with architecture, version and state, or those that a change touches
    List(ListArgs),
    /// Decides: from a definition to `spack.lock`, out of what the mirrors hold, and to `container.lock`
    Lock(LockArgs),
    /// Shows what would be fetched, written and sent, and why
    Plan(PlanArgs),
    /// Builds images and sends them to targets
    Build(BuildArgs),
    /// Builds containers and sends them where the settings say, `[publish.ENVIRONMENT]`
    Publish(PublishArgs),
    /// Copies what one environment has to another, by digest and without building
    Promote(PromoteArgs),
    /// Brings a container here as a SIF file, if there is a newer one
    Pull(PullArgs),
    /// Prints, or runs, what somebody has to type to get a published container
    #[command(name = "pull-command")]
    HowToPull(PullCommandArgs),
    /// Hands the credentials that are found for a registry to Podman, Docker and Apptainer
    Login(LoginArgs),
    /// Shows what a failed build left behind
    Replay(ReplayArgs),
    /// Runs a command in an image
    Run(RunArgs),
    /// Runs a shell in an image
    Shell {
        /// A container of the project, or an image: `oci:DIR[:REF]`, `docker://HOST/REPO:TAG`
        source: String,
    },
    /// Makes a SIF file from an image, and looks into SIF files
    Sif(SifArgs),
    /// Shows that two images hold the same files
    Verify(VerifyArgs),
    /// Shows what this machine has of what is wanted, and what to do about the rest
    Doctor,
    /// Looks into how specs are read
    Spec {
        #[command(subcommand)]
        command: SpecCommand,
    },
    /// Writes, indexes, verifies, copies and lists build caches
    Cache(CacheArgs),
    /// Makes the images that packages are built in and put on
    Base(BaseArgs),
    /// Shows and ends what a scheduler builds: what `build --build --on slurm` ordered
    Farm(FarmArgs),
    /// Makes the files of CI systems, and does what their jobs do
    Ci(CiArgs),
    /// Begins a project, or turns a repository of the kind that Spacktainers descends from into one
    Init(InitArgs),
    /// Says what made a container stale: what changed first, in which line of which file, by which commit
    Why(WhyArgs),
    /// Writes a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpecCommand {
    /// Answers questions about specs that real Spack has answered, and shows the differences
    Replay {
        /// The folder below which the locks lie that rows about concrete specs name
        #[arg(long, value_name = "DIR", default_value = ".")]
        locks: PathBuf,
        /// Files of JSON lines: {kind, …} about abstract specs, {lock, hash, constraint, …} about concrete ones
        #[arg(required = true, value_name = "FILE.jsonl")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// Containers; none means all
    pub(crate) names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Containers; none means all
    pub(crate) names: Vec<String>,
    /// Only those that are other than at a commit: `BASE` (compared with the files as they are) or `BASE..HEAD`
    #[arg(long, value_name = "BASE[..HEAD]")]
    pub(crate) affected_by: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LockArgs {
    /// Containers; none means all
    pub(crate) names: Vec<String>,
    /// Take the newest base image or base packages instead of the ones locked before
    #[arg(long)]
    pub(crate) update_base: bool,
    /// Fail if a `container.lock` is missing or out of date, and write nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Solve anew, by this solver. By default, definitions that have no `spack.lock` are solved out of what the mirrors hold,
    /// and by Spack where nothing there fits and the settings or SPACK_ROOT name one
    #[arg(long, value_enum, value_name = "SOLVER", conflicts_with = "check")]
    pub(crate) with: Option<Solver>,
    /// Solve definitions again although there is a `spack.lock`
    #[arg(long, conflicts_with = "check")]
    pub(crate) update: bool,
    /// With `--with spack`: ask Spack even if it has solved the same before; mirrors may hold more now
    #[arg(long, requires = "with")]
    pub(crate) again: bool,
    /// Show what each spec was chosen from, and what decided
    #[arg(long, conflicts_with = "check")]
    pub(crate) explain: bool,
    /// Only solve: write `spack.lock`, and look neither into packages nor for the base's layers
    #[arg(long, conflicts_with_all = ["check", "update_base"])]
    pub(crate) solve_only: bool,
}

/// Who solves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Solver {
    /// We do, out of what the mirrors hold
    Cache,
    /// Real Spack, as `[spack]` in the settings or SPACK_ROOT names it
    Spack,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Containers; none means all
    pub(crate) names: Vec<String>,
    /// Compare with what lies there: `docker://HOST/REPO:TAG` or `oci:DIR[:REF]`
    #[arg(long = "to", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Show which packages share a layer, why, and what a user of the image that is there would pull
    #[arg(long)]
    pub(crate) layers: bool,
    /// Say also what `build --build` would have to build, with what that needs, and how long it takes by earlier builds
    #[arg(long)]
    pub(crate) build: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The capsule: the folder that the failure named
    pub(crate) capsule: PathBuf,
    /// Build it again, as it was built
    #[arg(long, conflicts_with = "shell")]
    pub(crate) run: bool,
    /// Open a shell in the sandbox that it was built in
    #[arg(long)]
    pub(crate) shell: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A container of the project, or an image: `oci:DIR[:REF]`, `docker://HOST/REPO:TAG`
    pub(crate) source: String,
    /// What to run; default: the image's entrypoint and command
    #[arg(last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// Containers
    #[arg(required_unless_present = "affected")]
    pub(crate) names: Vec<String>,
    /// Only those that are other than at this commit; without names, of all
    #[arg(long, value_name = "COMMIT")]
    pub(crate) affected: Option<String>,
    /// Where the image goes; may be given several times. `{name}`, `{version}` and `{arch}` are filled in.
    /// `docker://HOST/REPO:TAG`, `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]`; and SIF files:
    /// `sif:FILE`, `squashfs:FILE`, `s3://BUCKET/KEY.sif`, `oras://HOST/REPO:TAG`
    #[arg(long = "to", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    #[command(flatten)]
    pub(crate) how: BuildHow,
}

/// How containers are built.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct BuildHow {
    /// Do it even if the target holds an image of the same inputs
    #[arg(long)]
    pub(crate) force: bool,
    /// Fail if `container.lock` is missing or out of date instead of deciding anew
    #[arg(long)]
    pub(crate) locked: bool,
    /// Build packages that are in no mirror with Spack, and push them to the mirror that has `push = true`
    #[arg(long)]
    pub(crate) build: bool,
    /// With --build: build on this machine as it is, and not in a sandbox
    #[arg(long, requires = "build")]
    pub(crate) no_sandbox: bool,
    #[command(flatten)]
    pub(crate) farm: FarmHow,
    /// Go on if programs need libraries that are not in the image
    #[arg(long)]
    pub(crate) allow_missing_libraries: bool,
    /// Speak to these registries without TLS (loopback addresses need no mention)
    #[arg(long = "insecure", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
    #[command(flatten)]
    pub(crate) size: SizeHow,
    #[command(flatten)]
    pub(crate) scripts: ScriptHow,
}

/// How the scripts of definition files are executed.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ScriptHow {
    /// Do not run `%test`
    #[arg(long)]
    pub(crate) no_test: bool,
    /// Execute scripts again even if their results are known
    #[arg(long)]
    pub(crate) no_cache: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PullArgs {
    /// A container of the project, fetched from where `[publish.ENVIRONMENT]` puts it; a SIF file, `s3://BUCKET/KEY.sif`
    /// or `oras://HOST/REPO:TAG`; or an image, which is made into a SIF file: `docker://HOST/REPO:TAG`
    pub(crate) source: String,
    /// The file to write; default: named after the source, in this folder
    #[arg(short, long, value_name = "FILE.sif")]
    pub(crate) output: Option<PathBuf>,
    /// As a SIF file, which is the default
    #[arg(long)]
    pub(crate) sif: bool,
    /// Which `[publish.ENVIRONMENT]` of the settings; may be left out where there is but one
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Fetch it even if it is here already
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) how: SifHow,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SifArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SifCommand>,
    #[command(flatten)]
    pub(crate) make: Option<SifMakeArgs>,
    #[command(flatten)]
    pub(crate) how: SifHow,
    #[command(flatten)]
    pub(crate) scripts: ScriptHow,
}

/// From an image to a file.
#[derive(Debug, clap::Args)]
pub(crate) struct SifMakeArgs {
    /// A container of the project, or an image: `docker://HOST/REPO:TAG`, `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`,
    /// `docker-archive:FILE[:TAG]`, or a definition file `FILE.def`
    #[arg(required = true)]
    pub(crate) source: String,
    /// The file to write; replaced when the new one is whole
    #[arg(short, long, value_name = "FILE.sif", required = true)]
    pub(crate) output: PathBuf,
    /// A value for `{{ NAME }}` in a definition file; may be given several times
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    pub(crate) build_args: Vec<String>,
    /// Public keys whose signatures count where a definition file has `Fingerprints:`
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) keys: Vec<PathBuf>,
}

/// How SIF files are written.
#[derive(Debug, clap::Args)]
pub(crate) struct SifHow {
    /// `gzip`: every runtime mounts it; `zstd`: four times as fast, for Linux 4.14 and later
    #[arg(long, value_enum, default_value = "gzip")]
    pub(crate) compression: SifCompression,
    /// How hard to compress: 1 to 12 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "N")]
    pub(crate) level: Option<u8>,
    /// Bytes of a block: a power of two from 4096 to 1048576
    #[arg(long, value_name = "BYTES", default_value_t = 131_072)]
    pub(crate) block_size: u32,
    /// Keep device nodes, which are of use to root alone
    #[arg(long)]
    pub(crate) devices: bool,
    /// Speak to these registries without TLS (loopback addresses need no mention)
    #[arg(long = "insecure", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
}

/// How file systems are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SifCompression {
    Gzip,
    Zstd,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SifCommand {
    /// Shows what is in a file, and what it was made from
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Writes one object of a file to standard output, or to a file
    Dump {
        /// The file
        file: PathBuf,
        /// The object's number, as `inspect` shows it
        id: u32,
        /// Where to
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Unpacks the root file system of a file into a folder
    Unpack {
        /// The file: a SIF file or a squashfs
        file: PathBuf,
        /// The folder, which may not exist yet
        folder: PathBuf,
    },
    /// Checks the signatures of a file against public keys
    Verify {
        /// The file
        file: PathBuf,
        /// Files with OpenPGP public keys
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
    },
    /// Signs a file with an OpenPGP secret key, as `apptainer sign` does
    Sign {
        /// The file
        file: PathBuf,
        /// A file with the secret key, armoured and without a passphrase
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// What was published: an image, `docker://HOST/REPO:TAG` or `oci:DIR:REF`, or a container of the project. Its signature,
    /// bills of materials and provenance are verified
    #[arg(required_unless_present_any = ["same", "cpu"])]
    pub(crate) image: Option<String>,
    /// Compare the files of two images, whatever they are packed in; what Apptainer's metadata adds is left out
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "image")]
    pub(crate) same: Vec<String>,
    /// Look for instructions that processors of a target do not have, such as `x86_64_v3`, in an image
    #[arg(long, num_args = 2, value_names = ["TARGET", "IMAGE"], conflicts_with_all = ["same", "image"])]
    pub(crate) cpu: Vec<String>,
    /// The public key that has to vouch for it; default: `[trust] public_key`
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// What has to be there; default: all of it
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) need: Vec<NeededClaim>,
    /// Where a container of the project is looked for: `[publish.ENVIRONMENT]`
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Speak to this registry without TLS
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) insecure: Vec<String>,
}

/// What `verify` wants to see.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum NeededClaim {
    /// The image's signature
    Signature,
    /// A bill of materials in SPDX
    Spdx,
    /// A bill of materials in CycloneDX
    Cyclonedx,
    /// How it came to be
    Provenance,
}

impl From<NeededClaim> for spacktainers::trust::Claim {
    fn from(claim: NeededClaim) -> Self {
        match claim {
            NeededClaim::Signature => Self::Signature,
            NeededClaim::Spdx => Self::Spdx,
            NeededClaim::Cyclonedx => Self::CycloneDx,
            NeededClaim::Provenance => Self::Provenance,
        }
    }
}
