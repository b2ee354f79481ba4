//! DAG hashes: the 32 characters that name one concrete spec.
//!
//! ```text
//! sgkwya3kzpxzwatbj44laqjznbyyqdzx     RFC 4648 base 32 of a SHA-1, in lower case
//! sgkwya3                              what people see of it
//! ```
//!
//! Start at [`DagHash`]. Whether a node really has the hash that it claims is asked of
//! [`verify`](verify()).
//!
//! Source: `lib/spack/spack/hash_types.py`, `util/hash.py` in Spack.

mod json_text;
mod verify;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use json_text::{write_list, write_string};
pub use verify::{HashVerdict, NotVerifiable, verify};

/// The characters of a DAG hash: 160 bits in base 32.
const LENGTH: usize = 32;

/// The DAG hash of a concrete spec.
///
/// It names what was asked to be built (an input), not the bytes that came out: never compare it
/// with a digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DagHash([u8; LENGTH]);

/// A text that is not a DAG hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a DAG hash: expected 32 characters out of `a`-`z` and `2`-`7`")]
pub struct DagHashError(String);

impl DagHash {
    /// All 32 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so the empty default is never seen.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The first seven characters, as Spack shows it to people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.as_str().get(..7).unwrap_or_default()
    }
}

impl FromStr for DagHash {
    type Err = DagHashError;

    fn from_str(text: &str) -> Result<Self, DagHashError> {
        let refuse = || DagHashError(text.chars().take(2 * LENGTH).collect());
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| refuse())?;
        if !bytes
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        {
            return Err(refuse());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for DagHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for DagHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DagHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DagHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_base_32_characters_are_a_hash() {
        let text = "sgkwya3kzpxzwatbj44laqjznbyyqdzx";
        let hash: DagHash = text.parse().expect("a hash");
        assert_eq!((hash.as_str(), hash.short()), (text, "sgkwya3"));
        assert!(text.to_uppercase().parse::<DagHash>().is_err());
        assert!("sgkwya3".parse::<DagHash>().is_err());
        assert!(
            "0gkwya3kzpxzwatbj44laqjznbyyqdzx"
                .parse::<DagHash>()
                .is_err()
        );
        assert!(
            "../../../../../../../../../../.."
                .parse::<DagHash>()
                .is_err()
        );
    }
}
