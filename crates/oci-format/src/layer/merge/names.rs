//! File names and link targets, each kept once.
//!
//! A tree of packages says `lib`, `include` and `__init__.py` tens of thousands of times.

use std::hash::{BuildHasher, RandomState};

use super::table::{MOST, NONE, Table};

/// A name or link target in [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameId(pub(super) u32);

impl NameId {
    /// The empty name, which the root has.
    pub(super) const EMPTY: Self = Self(NONE);
}

/// All names, end to end.
///
/// The hash is keyed by chance, so that no archive can be made whose names collide; the order of
/// nothing depends on it.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name ends; it begins where the one before ends.
    ends: Vec<u32>,
    table: Table,
    hasher: RandomState,
}

impl Names {
    /// The name's bytes.
    pub(super) fn get(&self, id: NameId) -> &[u8] {
        slice(&self.bytes, &self.ends, id)
    }

    /// The id of a name that is known already.
    pub(super) fn find(&self, name: &[u8]) -> Option<NameId> {
        self.find_hashed(self.hasher.hash_one(name), name)
    }

    /// The id of a name, known or new. `None`: there is no room for more.
    pub(super) fn intern(&mut self, name: &[u8]) -> Option<NameId> {
        let hash = self.hasher.hash_one(name);
        if let Some(id) = self.find_hashed(hash, name) {
            return Some(id);
        }
        let end = u32::try_from(self.bytes.len().checked_add(name.len())?).ok()?;
        let id = u32::try_from(self.ends.len()).ok()?;
        if self.ends.len() >= MOST {
            return None;
        }
        self.bytes.extend_from_slice(name);
        self.ends.push(end);
        self.table.insert(hash, id);
        Some(NameId(id))
    }

    fn find_hashed(&self, hash: u64, name: &[u8]) -> Option<NameId> {
        let (bytes, ends) = (&self.bytes, &self.ends);
        let is_it = |id| slice(bytes, ends, NameId(id)) == name;
        self.table.find(hash, is_it).map(NameId)
    }

    /// The names alone, when nothing needs to be looked up any more.
    pub(super) fn freeze(self) -> FrozenNames {
        FrozenNames {
            bytes: self.bytes.into_boxed_slice(),
            ends: self.ends.into_boxed_slice(),
        }
    }
}

/// Names of a finished tree.
#[derive(Debug)]
pub(super) struct FrozenNames {
    bytes: Box<[u8]>,
    ends: Box<[u32]>,
}

impl FrozenNames {
    /// The name's bytes.
    pub(super) fn get(&self, id: NameId) -> &[u8] {
        slice(&self.bytes, &self.ends, id)
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], id: NameId) -> &'a [u8] {
    let at = id.0 as usize;
    let Some(end) = ends.get(at) else {
        return b"";
    };
    let start = at.checked_sub(1).and_then(|before| ends.get(before));
    bytes
        .get(start.map_or(0, |start| *start as usize)..*end as usize)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_id_and_keeps_it() {
        let mut names = Names::default();
        let texts: Vec<String> = (0..500).map(|number| format!("name-{number}")).collect();
        let ids: Vec<NameId> = texts
            .iter()
            .filter_map(|text| names.intern(text.as_bytes()))
            .collect();
        for (text, id) in texts.iter().zip(&ids) {
            assert_eq!(names.intern(text.as_bytes()), Some(*id));
            assert_eq!(names.find(text.as_bytes()), Some(*id));
            assert_eq!(names.get(*id), text.as_bytes());
        }
        assert_eq!(names.find(b"another"), None);
        assert_eq!(names.get(NameId::EMPTY), b"");
        let frozen = names.freeze();
        assert_eq!(
            frozen.get(ids[499]),
            b"name-499",
            "ids outlive the freezing"
        );
    }

    #[test]
    fn the_empty_text_can_be_a_name_of_its_own() {
        let mut names = Names::default();
        let first = names.intern(b"a").expect("room");
        let empty = names.intern(b"").expect("room");
        assert_eq!((names.get(first), names.get(empty)), (&b"a"[..], &b""[..]));
        assert_eq!(names.find(b""), Some(empty));
    }
}
