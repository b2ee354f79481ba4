//! Whose signatures count.

use std::time::SystemTime;

use super::entry::SignatureState;
use super::error::FindFault;
use crate::openpgp::{self, PublicKeys};

/// Whose signatures count for a mirror.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Entries must be signed by one of these keys.
    Signed(PublicKeys),
    /// Entries need not be signed. Of those that are, it is noted whether one of these keys did it.
    Unsigned(PublicKeys),
}

impl Trust {
    /// The text to go by, and who vouches for it: of a signed text what was signed, and nothing
    /// around it.
    pub(crate) fn admit(
        &self,
        key: &str,
        text: &str,
        now: SystemTime,
    ) -> Result<(String, SignatureState), FindFault> {
        let refused = |source| FindFault::Signature {
            key: key.to_owned(),
            source,
        };
        if !openpgp::is_clear_signed(text) {
            return match self {
                Self::Signed(_) => Err(FindFault::Unsigned {
                    key: key.to_owned(),
                }),
                Self::Unsigned(_) => Ok((text.to_owned(), SignatureState::Unsigned)),
            };
        }
        let (Self::Signed(keys) | Self::Unsigned(keys)) = self;
        match openpgp::verify(text, keys, now) {
            Ok(verified) => Ok((
                verified.text,
                SignatureState::Signed {
                    fingerprint: verified.fingerprint,
                    reservations: verified.reservations,
                },
            )),
            Err(error) => match self {
                Self::Signed(_) => Err(refused(error)),
                Self::Unsigned(_) => {
                    let text = openpgp::unverified_text(text).map_err(refused)?;
                    Ok((text, SignatureState::Unknown))
                }
            },
        }
    }

    /// Whether entries must be signed.
    pub(crate) fn wants_signatures(&self) -> bool {
        matches!(self, Self::Signed(_))
    }
}
