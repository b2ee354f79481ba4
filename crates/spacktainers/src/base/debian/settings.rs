//! What the settings say about a base of Debian or Ubuntu packages: `[base.debian]`.

use std::path::PathBuf;

/// `[base.debian]`, with every default applied.
///
/// ```toml
/// [base.debian]
/// suite = "bookworm"                            # required
/// components = ["main"]
/// mirror = "https://mirror.example/debian"      # default: what this machine's apt uses for the suite
/// pockets = ["updates", "security"]             # default: those that this machine's apt uses; none with `mirror`
/// security_mirror = "https://mirror.example/debian-security"
/// snapshot = "20260711T000000Z"                 # put where `mirror` has @SNAPSHOTID@
/// packages = ["ca-certificates", "bash=5.2.15-2+b2"]
/// variant = "minbase"                           # essential | apt | minbase | none
/// keyring = "keys/archive.gpg"                  # default: the distribution's, below /usr/share/keyrings
/// check_valid_until = "warn"                    # warn | strict
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianSettings {
    /// The release by its codename: `bookworm`, `noble`. Codenames do not move, unlike `stable`.
    pub suite: String,
    /// The archive areas to take packages from.
    pub components: Vec<String>,
    /// The archive's root, the part before `/dists/`. None: what the machine's own apt uses for the
    /// suite. There is no built-in default.
    pub mirror: Option<String>,
    /// Further suites of the release by their endings: `updates`, `security`, `backports`.
    /// None: those of updates and security that the machine's own apt uses for the suite when the
    /// mirror comes from there too, otherwise none.
    pub pockets: Option<Vec<String>>,
    /// The archive's root for the pocket `security`. None: for Ubuntu the mirror itself; Debian keeps
    /// security updates in an archive of their own.
    pub security_mirror: Option<String>,
    /// The state of the archive at a time, for mirrors that keep them: takes the place of
    /// `@SNAPSHOTID@` in the mirrors, as in apt's own sources.
    pub snapshot: Option<String>,
    /// Packages wanted beyond the variant's, `name` or `name=version`.
    pub packages: Vec<String>,
    /// Which packages every base has.
    pub variant: DebianVariant,
    /// OpenPGP public keys that the archive must be signed with, binary or armoured. None: the
    /// distribution's keyring of this machine.
    pub keyring: Option<PathBuf>,
    /// What an archive means whose index is no longer valid.
    pub check_valid_until: ValidUntil,
}

impl DebianSettings {
    /// The defaults for a suite.
    #[must_use]
    pub fn new(suite: impl Into<String>) -> Self {
        Self {
            suite: suite.into(),
            components: vec!["main".to_owned()],
            mirror: None,
            pockets: None,
            security_mirror: None,
            snapshot: None,
            packages: Vec::new(),
            variant: DebianVariant::default(),
            keyring: None,
            check_valid_until: ValidUntil::default(),
        }
    }
}

/// Which packages a base has before any are asked for; the names are mmdebstrap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DebianVariant {
    /// `none`: nothing but what is asked for and what that depends on. There may be no shell.
    None,
    /// `essential`: all packages marked `Essential: yes`: a shell, coreutils, dpkg.
    Essential,
    /// `apt`: those and apt.
    Apt,
    /// `minbase`: those, apt, and all of `Priority: required`. What the distributions' own
    /// container images hold.
    #[default]
    Minbase,
}

impl DebianVariant {
    /// All names, for messages.
    pub const NAMES: [&'static str; 4] = ["none", "essential", "apt", "minbase"];

    /// From one of [`Self::NAMES`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "essential" => Some(Self::Essential),
            "apt" => Some(Self::Apt),
            "minbase" => Some(Self::Minbase),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Essential => "essential",
            Self::Apt => "apt",
            Self::Minbase => "minbase",
        }
    }
}

/// What it means that an archive says it is no longer valid (`Valid-Until` in its `Release`).
///
/// The date guards against somebody who serves an old state of the archive. A frozen mirror or a
/// snapshot is such an old state, on purpose, therefore the default only warns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidUntil {
    /// Say so and go on.
    #[default]
    Warn,
    /// An error.
    Strict,
}

impl ValidUntil {
    /// From `warn` or `strict`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "warn" => Some(Self::Warn),
            "strict" => Some(Self::Strict),
            _ => None,
        }
    }
}
