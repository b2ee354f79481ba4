//! Whether something is up to date, and if not, why.
//!
//! Pure: digests are compared with what a lock and the labels of an image say.

use std::collections::BTreeMap;
use std::fmt;

use oci_format::{Digest, annotation};

use crate::lock::{Lock, LockError, parse};

/// What `container.lock` is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum LockState {
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable(LockError),
    /// It was made from something else.
    Outdated(Box<Lock>, Vec<Outdated>),
    /// It is the decision for what is here.
    Current(Box<Lock>, Digest),
}

/// What a lock was made from that is not so any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outdated {
    /// The definition, what it includes, the project's `spack.yaml` or settings.
    Definition,
    /// `spack.lock`.
    SpackLock,
}

impl LockState {
    /// The lock, current or not.
    #[must_use]
    pub fn lock(&self) -> Option<&Lock> {
        match self {
            Self::Outdated(lock, _) | Self::Current(lock, _) => Some(lock),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }

    /// Digest of the lock's text, if it is current.
    #[must_use]
    pub fn current(&self) -> Option<Digest> {
        match self {
            Self::Current(_, digest) => Some(*digest),
            _ => None,
        }
    }
}

impl fmt::Display for LockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("not locked"),
            Self::Unreadable(error) => write!(f, "container.lock cannot be read: {error}"),
            Self::Outdated(_, reasons) => {
                let reasons: Vec<String> = reasons.iter().map(Outdated::to_string).collect();
                write!(f, "out of date: {}", reasons.join(", "))
            }
            Self::Current(..) => f.write_str("locked"),
        }
    }
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definition => "the definition or the settings have changed",
            Self::SpackLock => "spack.lock has changed",
        })
    }
}

/// What the lock with this text is worth for a definition and a `spack.lock` of these digests.
#[must_use]
pub fn lock_state(text: Option<&str>, definition: &Digest, spack_lock: &Digest) -> LockState {
    let Some(text) = text else {
        return LockState::Missing;
    };
    let lock = match parse(text) {
        Ok(lock) => Box::new(lock),
        Err(error) => return LockState::Unreadable(error),
    };
    let mut reasons = Vec::new();
    if lock.container.definition != *definition {
        reasons.push(Outdated::Definition);
    }
    if lock.spack.lock != *spack_lock {
        reasons.push(Outdated::SpackLock);
    }
    if reasons.is_empty() {
        LockState::Current(lock, Digest::of(text.as_bytes()))
    } else {
        LockState::Outdated(lock, reasons)
    }
}

/// Why a target needs a new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// It has none.
    NoImage,
    /// It has one that is not ours.
    Foreign,
    /// The definition or the settings have changed since.
    Definition,
    /// The same was asked for, and another decision was made.
    Lock,
    /// Nobody has decided yet what the image will be.
    Undecided,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoImage => "there is no image yet",
            Self::Foreign => "what is there does not say what it was made from",
            Self::Definition => "the definition or the settings have changed",
            Self::Lock => "another lock: packages, base or layers have changed",
            Self::Undecided => "nothing is locked yet",
        })
    }
}

/// Why an image with these labels is not the one for `definition` and `lock`; nothing if it is. `labels` are none where
/// there is no image.
#[must_use]
pub fn staleness(
    labels: Option<&BTreeMap<String, String>>,
    definition: &Digest,
    lock: Option<&Digest>,
) -> Option<Stale> {
    let Some(labels) = labels else {
        return Some(Stale::NoImage);
    };
    let says = |key: &str| labels.get(key).and_then(|text| text.parse::<Digest>().ok());
    let (Some(was_definition), Some(was_lock)) = (
        says(annotation::DEFINITION_DIGEST),
        says(annotation::LOCK_DIGEST),
    ) else {
        return Some(Stale::Foreign);
    };
    match lock {
        _ if was_definition != *definition => Some(Stale::Definition),
        None => Some(Stale::Undecided),
        Some(lock) if was_lock != *lock => Some(Stale::Lock),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_up_to_date_if_both_of_its_labels_are() {
        let (definition, lock, other) = (Digest::of(b"d"), Digest::of(b"l"), Digest::of(b"o"));
        let labels = |definition: &Digest, lock: &Digest| {
            BTreeMap::from([
                (
                    annotation::DEFINITION_DIGEST.to_owned(),
                    definition.to_string(),
                ),
                (annotation::LOCK_DIGEST.to_owned(), lock.to_string()),
            ])
        };
        let ask = |labels: &BTreeMap<String, String>, lock: Option<&Digest>| {
            staleness(Some(labels), &definition, lock)
        };
        assert_eq!(
            staleness(None, &definition, Some(&lock)),
            Some(Stale::NoImage)
        );
        assert_eq!(ask(&BTreeMap::new(), Some(&lock)), Some(Stale::Foreign));
        assert_eq!(
            ask(&labels(&other, &lock), Some(&lock)),
            Some(Stale::Definition)
        );
        assert_eq!(
            ask(&labels(&definition, &other), Some(&lock)),
            Some(Stale::Lock)
        );
        assert_eq!(
            ask(&labels(&definition, &lock), None),
            Some(Stale::Undecided)
        );
        assert_eq!(ask(&labels(&definition, &lock), Some(&lock)), None);
    }

    #[test]
    fn a_lock_that_cannot_be_read_says_so() {
        let digest = Digest::of(b"");
        assert_eq!(lock_state(None, &digest, &digest), LockState::Missing);
        assert!(matches!(
            lock_state(Some("version = 999"), &digest, &digest),
            LockState::Unreadable(_)
        ));
        assert_eq!(lock_state(Some("x"), &digest, &digest).current(), None);
    }
}
