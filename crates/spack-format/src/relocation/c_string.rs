//! Strings in binaries: prefixes are replaced in place, and nothing moves.
//!
//! Linkers let strings share their ends, so the end of a string must stay where it is: what gets shorter gets slashes in
//! front, `/old/prefix/lib` → `/////new/lib`. Where a NUL follows within [`SUFFIX`] bytes the string may be the end of
//! nothing longer, and Spack is more careful:
//!
//! | after the prefix | new prefix | result |
//! |---|---|---|
//! | anything | longer | [`CStringError::CannotGrow`] |
//! | no NUL within 7 bytes | shorter or equal | slashes, new prefix |
//! | NUL after `n` ≤ 7 bytes | ends in the same 7 − `n` bytes as the old one | slashes, new prefix |
//! | NUL after `n` ≤ 7 bytes | more than 7 bytes shorter | new prefix, those `n` bytes, NUL; the old end stays behind it |
//! | NUL after `n` ≤ 7 bytes | otherwise | [`CStringError::CannotShrink`] |
//!
//! Source: `BinaryFilePrefixReplacer` in `lib/spack/spack/relocate_text.py` of Spack.

use super::PrefixMap;

/// Bytes of a string's end that have to stay in place, and how far a NUL is looked for.
pub const SUFFIX: usize = 7;

/// Why a string cannot be changed in place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CStringError {
    /// Nothing in a binary can grow.
    #[error("`{new}` is longer than `{old}`, which stands in a string at byte {offset}")]
    CannotGrow {
        /// Where in the file, in bytes.
        offset: u64,
        /// The prefix in the file.
        old: String,
        /// What should take its place.
        new: String,
    },
    /// The ends differ, and the difference in length is too small to leave the old end in place.
    #[error(
        "`{new}` is too little shorter than `{old}` to take its place in the string `{string}` at byte {offset}"
    )]
    CannotShrink {
        /// Where in the file, in bytes.
        offset: u64,
        /// The prefix in the file.
        old: String,
        /// What should take its place.
        new: String,
        /// The string as far as it was looked at.
        string: String,
    },
}

impl CStringError {
    /// What can be done about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "install to a shorter root, or build with more padding (`config:install_tree:padded_length`)"
    }
}

/// What to do with strings that cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// As Spack: an error.
    Refuse,
    /// They stay as they are.
    Leave,
}

/// Which rule forbids it.
enum Refused {
    Grow,
    Shrink,
}

impl Refused {
    fn at(&self, offset: u64, old: &[u8], new: &[u8], string: &[u8]) -> CStringError {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Grow => CStringError::CannotGrow {
                offset,
                old: text(old),
                new: text(new),
            },
            Self::Shrink => CStringError::CannotShrink {
                offset,
                old: text(old),
                new: text(new),
                string: text(string),
            },
        }
    }
}

/// What is written from where the old prefix begins; `suffix` is what stands between it and a NUL nearby.
fn replacement(old: &[u8], new: &[u8], suffix: Option<&[u8]>) -> Result<Vec<u8>, Refused> {
    let shorter = old.len().checked_sub(new.len()).ok_or(Refused::Grow)?;
    let keeps_its_end = suffix.is_none_or(|suffix| {
        // At least as many bytes as linkers share have to be the same before and after.
        let shared = SUFFIX.saturating_sub(suffix.len());
        let end = |prefix: &[u8]| prefix[prefix.len().saturating_sub(shared)..].to_vec();
        end(old) == end(new)
    });
    match suffix {
        _ if keeps_its_end => Ok([&vec![b'/'; shorter][..], new].concat()),
        Some(suffix) if shorter > SUFFIX => Ok([new, suffix, &[0]].concat()),
        _ => Err(Refused::Shrink),
    }
}

/// The new bytes, or nothing where they stay as they are.
///
/// # Errors
/// When a string cannot be changed.
pub fn relocate(
    map: &PrefixMap,
    bytes: &[u8],
    strictness: Strictness,
) -> Result<Option<Vec<u8>>, CStringError> {
    let edits = edits(map, bytes, strictness)?;
    if edits.is_empty() {
        return Ok(None);
    }
    let mut new = bytes.to_vec();
    apply(edits, &mut new);
    Ok(Some(new))
}

/// Replaces prefixes in a binary that is in memory. The answer is how many were replaced.
///
/// # Errors
/// When a string cannot be changed; nothing has changed then.
pub fn relocate_in_place(
    map: &PrefixMap,
    bytes: &mut [u8],
    strictness: Strictness,
) -> Result<usize, CStringError> {
    let edits = edits(map, bytes, strictness)?;
    let changes = edits.len();
    apply(edits, bytes);
    Ok(changes)
}

/// What is written where, in order and without overlaps.
fn edits(
    map: &PrefixMap,
    bytes: &[u8],
    strictness: Strictness,
) -> Result<Vec<(usize, Vec<u8>)>, CStringError> {
    let mut edits = Vec::new();
    let mut found = map.find(bytes);
    while let Some((position, old, new)) = found.next() {
        let after = position + old.len();
        let window = &bytes[after..bytes.len().min(after + SUFFIX + 1)];
        let suffix = memchr::memchr(0, window);
        found.skip_to(after + suffix.map_or(0, |length| length + 1));
        match replacement(old, new, suffix.map(|length| &window[..length])) {
            Ok(replacement) => edits.push((position, replacement)),
            Err(_) if strictness == Strictness::Leave => {}
            Err(why) => {
                let whole = &bytes[position..after + suffix.unwrap_or(0)];
                return Err(why.at(position as u64, old, new, whole));
            }
        }
    }
    Ok(edits)
}

fn apply(edits: Vec<(usize, Vec<u8>)>, bytes: &mut [u8]) {
    for (position, replacement) in edits {
        // No replacement is longer than what it stands for.
        bytes[position..position + replacement.len()].copy_from_slice(&replacement);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> PrefixMap {
        PrefixMap::new(pairs.iter().copied()).expect("paths")
    }

    fn relocated(map: &PrefixMap, bytes: &[u8]) -> Result<Vec<u8>, CStringError> {
        Ok(relocate(map, bytes, Strictness::Refuse)?.unwrap_or_else(|| bytes.to_vec()))
    }

    #[test]
    fn strings_keep_their_ends_where_they_are() {
        let map = map(&[("/old/longer", "/new")]);
        assert_eq!(
            relocated(&map, b"x/old/longer/share/doc\0y").as_deref(),
            Ok(&b"x////////new/share/doc\0y"[..])
        );
        // A NUL nearby, and the ends differ: to the left, and the old end stays.
        assert_eq!(
            relocated(&map, b"/old/longer/lib\0").map_err(|e| e.to_string()),
            Err(CStringError::CannotShrink {
                offset: 0,
                old: "/old/longer".into(),
                new: "/new".into(),
                string: "/old/longer/lib".into()
            }
            .to_string())
        );
    }

    #[test]
    fn much_shorter_prefixes_are_written_to_the_left() {
        let map = map(&[("/old/very/much/longer", "/new")]);
        assert_eq!(
            relocated(&map, b"/old/very/much/longer/lib\0rest").as_deref(),
            Ok(&b"/new/lib\0/much/longer/lib\0rest"[..])
        );
    }

    #[test]
    fn prefixes_with_the_same_end_need_no_room() {
        let map = map(&[("/old/a-abcdefg", "/n/a-abcdefg")]);
        assert_eq!(
            relocated(&map, b"/old/a-abcdefg\0").as_deref(),
            Ok(&b"///n/a-abcdefg\0"[..])
        );
    }

    #[test]
    fn nothing_grows() {
        let map = map(&[("/old", "/newer")]);
        let error = relocated(&map, b"abc/old/x").expect_err("longer");
        assert!(matches!(error, CStringError::CannotGrow { offset: 3, .. }));
        assert!(relocate(&map, b"abc/old/x", Strictness::Leave) == Ok(None));
    }

    proptest! {
        #[test]
        fn no_byte_moves_and_nothing_changes_where_it_cannot(
            bytes in prop::collection::vec(prop::sample::select(b"/ab\0".to_vec()), 0..80),
            prefixes in prop::collection::vec("/[ab/]{8,14}", 1..4),
        ) {
            let map = PrefixMap::new(prefixes.iter().map(|it| (it.as_str(), "/a")));
            prop_assume!(map.is_ok());
            let map = map.expect("checked");
            let mut in_place = bytes.clone();
            let changes = relocate_in_place(&map, &mut in_place, Strictness::Refuse);
            match relocated(&map, &bytes) {
                Ok(new) => {
                    prop_assert_eq!(new.len(), bytes.len());
                    prop_assert!(new == bytes || changes.is_ok_and(|it| it > 0));
                    prop_assert_eq!(in_place, new);
                }
                Err(_) => {
                    prop_assert!(changes.is_err());
                    prop_assert_eq!(in_place, bytes);
                }
            }
        }
    }
}
