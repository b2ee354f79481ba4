//! What targets hold of a container, and why they get a new image.

use std::fmt;

use spacktainers::build::Stale;
use spacktainers::publish::Target;

/// What a target holds, and why that is not enough.
pub(super) struct State {
    pub(super) target: Target,
    pub(super) why: Option<Why>,
    pub(super) digest: Option<String>,
}

/// Why a target gets a new image.
pub(super) enum Why {
    Stale(Stale),
    Archive,
    Asked,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(stale) => stale.fmt(f),
            Self::Archive => f.write_str("archives are always written"),
            Self::Asked => f.write_str("--force was given"),
        }
    }
}
