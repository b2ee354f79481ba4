//! The command line of `base`.

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct BaseArgs {
    #[command(subcommand)]
    pub(crate) command: BaseCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaseCommand {
    /// Makes one of the images to build on, if anything that it is made from has changed
    Build(BaseBuildArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct BaseBuildArgs {
    /// Which one
    #[arg(value_enum)]
    pub(crate) image: OwnImageName,
    /// Where the image goes; may be given several times. `{name}`, `{arch}` and `{version}` (which names the inputs) are
    /// filled in. As of `build`: `docker://HOST/REPO:TAG`, `oci:DIR[:REF]`, …
    #[arg(long = "to", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Take the newest Debian packages instead of those that were decided before
    #[arg(long)]
    pub(crate) update: bool,
    /// Make and send it even if the target holds one of the same inputs
    #[arg(long)]
    pub(crate) force: bool,
    /// Speak to these registries without TLS (loopback addresses need no mention)
    #[arg(long = "insecure", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
}

/// The images that a project makes to build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OwnImageName {
    /// Compilers and Spack with the project's recipes and configuration: packages are built in it
    Builder,
    /// What programs need to run: packages are put on it
    Runtime,
}
