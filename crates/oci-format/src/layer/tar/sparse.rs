//! Files with holes: only the written parts are stored, with a map of where they go.
//!
//! ```text
//! old GNU   type `S`; map in the header and in blocks after it
//! pax 0.0   records offset, numbytes, offset, numbytes, …
//! pax 0.1   one record map=offset,length,offset,length,…
//! pax 1.0   decimal lines at the beginning of the content, padded to a block
//! ```
//!
//! Source: GNU tar manual, "Storing Sparse Files".

use super::header::number;
use super::pax::decimal;
use super::{BLOCK, header};

/// Where in an old GNU header the map begins, how many entries it has there and in each block after.
const OLD_MAP: usize = 386;
const OLD_MAP_ENTRIES: usize = 4;
const OLD_EXTENSION_ENTRIES: usize = 21;
const OLD_MORE: usize = 482;
const OLD_SIZE: std::ops::Range<usize> = 483..495;
const OLD_EXTENSION_MORE: usize = 504;
/// Twelve bytes of offset and twelve of length.
const OLD_ENTRY: usize = 24;

/// The parts of a file that are stored, in order, and the size of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    /// Offset and length of each part.
    pub(super) parts: Vec<(u64, u64)>,
    pub(super) size: u64,
}

impl Map {
    /// The map, when its parts are in order, apart, inside the file and together `stored` bytes.
    pub(super) fn checked(parts: Vec<(u64, u64)>, size: u64, stored: u64) -> Option<Self> {
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for (offset, length) in &parts {
            if *offset < end {
                return None;
            }
            end = offset.checked_add(*length)?;
            sum = sum.checked_add(*length)?;
        }
        (end <= size && sum == stored).then_some(Self { parts, size })
    }
}

/// What pax records say of holes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// Versions 0.0 and 0.1: here is the map.
    Parts {
        parts: Vec<(u64, u64)>,
        size: u64,
        name: Option<Vec<u8>>,
    },
    /// Version 1.0: the map is at the beginning of the content.
    InContent { size: u64, name: Option<Vec<u8>> },
}

/// Reads `GNU.sparse.` records. `None`: they contradict themselves.
pub(super) fn announced(records: &[(Vec<u8>, Vec<u8>)]) -> Option<Announced> {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut offset = None;
    let (mut size, mut name, mut major, mut minor) = (None, None, None, None);
    for (key, value) in records {
        match &key[..] {
            b"major" => major = Some(decimal(value)?),
            b"minor" => minor = Some(decimal(value)?),
            b"size" | b"realsize" => size = Some(decimal(value)?),
            b"name" => name = Some(value.clone()),
            b"offset" => offset = Some(decimal(value)?),
            b"numbytes" => parts.push((offset.take()?, decimal(value)?)),
            b"map" => {
                let numbers: Vec<u64> = value
                    .split(|byte| *byte == b',')
                    .map(decimal)
                    .collect::<Option<_>>()?;
                let (pairs, rest) = numbers.as_chunks::<2>();
                if !rest.is_empty() {
                    return None;
                }
                parts = pairs
                    .iter()
                    .map(|[offset, length]| (*offset, *length))
                    .collect();
            }
            // `numblocks` repeats what the parts themselves say.
            _ => {}
        }
    }
    let size = size?;
    match (major, minor) {
        (None | Some(0), _) => Some(Announced::Parts { parts, size, name }),
        (Some(1), Some(0)) => Some(Announced::InContent { size, name }),
        _ => None,
    }
}

/// The number of decimal lines of a pax 1.0 map that `read` holds completely, for a reader that takes
/// block after block until the map is whole. `Ok(None)`: more is needed.
pub(super) fn content_map(read: &[u8]) -> Result<Option<Vec<(u64, u64)>>, ()> {
    let mut lines = read
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| match line {
            [digits @ .., b'\n'] => decimal(digits).map(Some).ok_or(()),
            // A number has at most 20 digits, so a longer line without end never becomes one.
            unfinished if unfinished.len() > 20 => Err(()),
            _ => Ok(None),
        });
    let Some(count) = lines.next().transpose()?.flatten() else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    for _ in 0..count {
        let Some(offset) = lines.next().transpose()?.flatten() else {
            return Ok(None);
        };
        let Some(length) = lines.next().transpose()?.flatten() else {
            return Ok(None);
        };
        parts.push((offset, length));
    }
    Ok(Some(parts))
}

/// Appends the entries of an old GNU header; tells whether more blocks follow, and the file's size.
pub(super) fn old_header(block: &[u8; BLOCK], parts: &mut Vec<(u64, u64)>) -> Option<(bool, u64)> {
    old_entries(&block[OLD_MAP..], OLD_MAP_ENTRIES, parts)?;
    let size = u64::try_from(header::number(&block[OLD_SIZE])?).ok()?;
    Some((block[OLD_MORE] != 0, size))
}

/// Appends the entries of a block after an old GNU header; tells whether more blocks follow.
pub(super) fn old_extension(block: &[u8; BLOCK], parts: &mut Vec<(u64, u64)>) -> Option<bool> {
    old_entries(block, OLD_EXTENSION_ENTRIES, parts)?;
    Some(block[OLD_EXTENSION_MORE] != 0)
}

fn old_entries(bytes: &[u8], count: usize, parts: &mut Vec<(u64, u64)>) -> Option<()> {
    for entry in bytes.chunks_exact(OLD_ENTRY).take(count) {
        if entry[0] == 0 {
            break;
        }
        let offset = u64::try_from(number(&entry[..12])?).ok()?;
        let length = u64::try_from(number(&entry[12..])?).ok()?;
        parts.push((offset, length));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_overlap_or_lie_outside_are_no_map() {
        assert!(Map::checked(vec![(0, 4), (8, 4)], 16, 8).is_some());
        assert!(
            Map::checked(vec![(0, 9), (8, 4)], 16, 13).is_none(),
            "overlap"
        );
        assert!(Map::checked(vec![(8, 9)], 16, 9).is_none(), "outside");
        assert!(
            Map::checked(vec![(0, 4)], 16, 8).is_none(),
            "not what is stored"
        );
        assert!(
            Map::checked(vec![(u64::MAX, 2)], u64::MAX, 2).is_none(),
            "overflow"
        );
    }

    #[test]
    fn a_map_in_the_content_is_read_when_it_is_whole() {
        assert_eq!(
            content_map(b"2\n0\n4\n8\n4\n\0\0"),
            Ok(Some(vec![(0, 4), (8, 4)]))
        );
        assert_eq!(content_map(b"2\n0\n4\n8\n"), Ok(None));
        assert_eq!(content_map(b"2\nx\n"), Err(()));
        assert_eq!(content_map(b"000000000000000000000000000"), Err(()));
    }
}
