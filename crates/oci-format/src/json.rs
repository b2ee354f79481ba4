//! JSON as this crate reads and writes it: compact and in one order when written, lenient when read.
//!
//! Go programs write `null` for empty lists and maps, and very old Docker wrote a single string where
//! a list of strings is meant; both are read as what was meant.

use serde::{Deserialize, Deserializer, Serialize};

/// The most bytes of a manifest or index that we read: 4 MiB.
///
/// The distribution specification asks registries to accept at least this much; the container
/// tools (`containers/image`) refuse more.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// The most bytes of an image config that we read: 4 MiB, the limit of the container tools.
pub const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Why some JSON is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// More bytes than a well-meaning writer makes.
    #[error("{what} has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its bytes.
        size: u64,
        /// The most we take.
        limit: u64,
    },
    /// Not JSON, or not of the shape that the specification gives.
    #[error("{what} is not valid")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Well-formed, but something else than was asked for.
    #[error("{what} is {found}, which cannot be used here")]
    Unexpected {
        /// Which document.
        what: &'static str,
        /// What it is.
        found: &'static str,
    },
}

/// Reads a document of at most `limit` bytes; `what` is its name in messages.
///
/// # Errors
/// When it is longer, or not of the type's form.
pub fn parse<'de, T: Deserialize<'de>>(
    what: &'static str,
    bytes: &'de [u8],
    limit: u64,
) -> Result<T, JsonError> {
    let size = bytes.len() as u64;
    if size > limit {
        return Err(JsonError::TooLarge { what, size, limit });
    }
    serde_json::from_slice(bytes).map_err(|source| JsonError::Malformed { what, source })
}

/// Writes compact JSON: fields in the order of the type, maps in their own order, no spaces.
///
/// For the types of this crate only: their map keys are text and none of their `Serialize`
/// implementations can fail, so neither can this.
pub(crate) fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("text keys and infallible fields serialise")
}

/// Reads `null` as the default of the type.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a list of strings, one string, or `null` (absent).
pub(crate) fn one_or_many<'de, D>(deserializer: D) -> Result<Option<Vec<String>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(
        Option::<OneOrMany>::deserialize(deserializer)?.map(|found| match found {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(list) => list,
        }),
    )
}
