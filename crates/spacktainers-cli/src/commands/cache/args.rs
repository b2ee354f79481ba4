//! The command line of `cache`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Pushes packages that Spack has installed to build caches
    Push(PushArgs),
    /// Brings the index for plain Spack up to date
    Index(IndexArgs),
    /// Checks every signature and reads every blob
    Verify(VerifyArgs),
    /// Copies what another build cache does not have
    Sync(SyncArgs),
    /// Lists the packages of build caches
    List(ListArgs),
    /// Says whether the mirrors hold what a spec asks for, and if not, what excludes the nearest of what they hold
    WhyMiss(WhyMissArgs),
    /// Lays the packages of a lock down in an install tree, as `spack install --cache-only` does, without Spack
    Install(InstallArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhyMissArgs {
    /// The spec, as a definition would have it
    pub(crate) spec: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PushArgs {
    /// Packages, as specs or `/HASH`, each with what it needs when linked or run; none means all of the tree
    pub(crate) specs: Vec<String>,
    /// The install tree that they lie in
    #[arg(long = "from", value_name = "INSTALL_TREE")]
    pub(crate) tree: PathBuf,
    /// Where to: the name of a `[[mirror]]`, or a path or URL; may be given several times. Default: mirrors with `push = true`
    #[arg(long = "mirror", value_name = "MIRROR")]
    pub(crate) mirrors: Vec<String>,
    /// Only the packages that are named, not what they need
    #[arg(long)]
    pub(crate) only: bool,
    /// The OpenPGP secret key that signs: an armoured file, or `gpg:FINGERPRINT` of a key that GnuPG has; default: what
    /// `$SPACK_DEPLOYMENT_KEY_PRIVATE` names or holds
    #[arg(long, value_name = "KEY", conflicts_with = "unsigned")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
    /// Sign nothing
    #[arg(long)]
    pub(crate) unsigned: bool,
    /// Put new entries in place of those that are there
    #[arg(long, conflicts_with = "keep")]
    pub(crate) force: bool,
    /// Leave entries that are there without comparing what they hold with what lies here
    #[arg(long)]
    pub(crate) keep: bool,
    /// Push also packages whose recipes forbid to give their binaries to others; default: `private` of the mirror's settings
    #[arg(long)]
    pub(crate) private: bool,
    /// Push also what was built from branches and folders, whose content may change under the same hash
    #[arg(long)]
    pub(crate) allow_mutable: bool,
    /// Leave the index for plain Spack as it is; `cache index` brings it up to date
    #[arg(long)]
    pub(crate) no_index: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IndexArgs {
    /// The names of `[[mirror]]`s, or paths or URLs; default: mirrors with `push = true`
    pub(crate) mirrors: Vec<String>,
    /// Read every entry again, as if there were no index
    #[arg(long)]
    pub(crate) rebuild: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The names of `[[mirror]]`s, or paths or URLs; default: all mirrors
    pub(crate) mirrors: Vec<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    /// The name of a `[[mirror]]`, or a path or URL
    pub(crate) from: String,
    /// The name of a `[[mirror]]`, or a path or URL
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Sign the copies with this OpenPGP secret key, a file or `gpg:FINGERPRINT`, instead of copying signatures; what comes
    /// from registries has none
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<String>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
    /// Leave the index for plain Spack as it is; `cache index` brings it up to date
    #[arg(long)]
    pub(crate) no_index: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The names of `[[mirror]]`s, or paths or URLs; default: all mirrors
    pub(crate) mirrors: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// The name of a container of the project, or a folder with a `spack.lock`
    #[arg(value_name = "NAME|FOLDER")]
    pub(crate) lock: String,
    /// The root of the install tree, as `config:install_tree:root` of Spack; it is made if it is not there
    #[arg(long, value_name = "INSTALL_TREE")]
    pub(crate) tree: PathBuf,
    /// Pads the root of a tree that is not there yet to this many characters, as Spack's setting of this name
    #[arg(long, value_name = "CHARACTERS", default_value_t = 0)]
    pub(crate) padded_length: usize,
    /// Where packages are looked for, in order: the name of a `[[mirror]]`, or a path or URL; may be given several times.
    /// Default: all mirrors
    #[arg(long = "mirror", value_name = "MIRROR")]
    pub(crate) mirrors: Vec<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// Whose signatures count, for mirrors of which the settings say nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustArgs {
    /// Files with the OpenPGP public keys that sign the packages of a mirror given by path or URL
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) keys: Vec<PathBuf>,
    /// Entries of a mirror given by path or URL need no signature
    #[arg(long)]
    pub(crate) unsigned: bool,
}

/// What unlocks a secret key.
#[derive(Debug, clap::Args)]
pub(crate) struct PassphraseArgs {
    /// A file whose first line is the passphrase of the secret key; default: `$SPACK_DEPLOYMENT_KEY_PASSPHRASE`, or what the
    /// agent of GnuPG has
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}
