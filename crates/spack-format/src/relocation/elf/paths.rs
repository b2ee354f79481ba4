//! Search paths and interpreters.

use std::io;

use super::change::Changes;
use super::class::ReadAt;
use super::grow::{GrowError, Longer, grow};
use super::read::Paths;
use crate::relocation::PrefixMap;

/// Why the paths of a file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    /// There is no room for a longer path.
    #[error("a longer path does not fit into the file")]
    Grow(#[from] GrowError),
}

/// What has to change in `file` so that the linker and the kernel find what has moved. Nothing changes in a file that is
/// neither a program nor a shared library, or that Spack passes over because it is broken.
///
/// `is_there` tells whether a part of the new search path exists: of those that do not, no trace stays. Spack asks the machine
/// that it installs on, after it has moved the paths.
///
/// # Errors
/// When the file cannot be read, or a longer path finds no room.
pub fn relocate(
    map: &PrefixMap,
    file: &(impl ReadAt + ?Sized),
    is_there: &dyn Fn(&[u8]) -> bool,
) -> Result<Changes, ElfError> {
    let mut changes = Changes::default();
    let Some(paths) = Paths::read(file)? else {
        return Ok(changes);
    };
    let interpreter = paths
        .interpreter
        .as_ref()
        .and_then(|(_, text)| moved(map, &text.value));
    let search_path = paths
        .search_path
        .as_ref()
        .and_then(|path| moved_path(map, &path.text.value, is_there));
    let mut longer = Longer::default();
    if let (Some(new), Some((segment, text))) = (interpreter, &paths.interpreter) {
        if new.len() <= text.value.len() {
            changes.put(text.offset, padded(new, text.value.len()));
        } else {
            longer.interpreter = Some((*segment, new));
        }
    }
    if let (Some(new), Some(path)) = (search_path, &paths.search_path) {
        if new.len() <= path.text.value.len() {
            changes.put(path.text.offset, padded(new, path.text.value.len()));
        } else {
            longer.search_path = Some((path, new));
        }
    }
    if !longer.is_empty() {
        grow(map, file, &paths, &longer, &mut changes)?;
    }
    Ok(changes)
}

/// A path with its new prefix, if it begins with an old one.
fn moved(map: &PrefixMap, path: &[u8]) -> Option<Vec<u8>> {
    let (old, new) = map.at_start(path)?;
    Some([new, &path[old.len()..]].concat())
}

/// A search path with new prefixes, without empty parts and those that lead nowhere, if that changes it.
fn moved_path(map: &PrefixMap, path: &[u8], is_there: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let parts = path.split(|byte| *byte == b':');
    let parts = parts.map(|part| moved(map, part).unwrap_or_else(|| part.to_vec()));
    // `$ORIGIN` and its like; else absolute and there.
    let parts = parts
        .filter(|part| part.starts_with(b"$") || part.starts_with(b"/") && is_there(part))
        .collect::<Vec<_>>();
    let new = parts.join(&b':');
    (new != path).then_some(new)
}

/// A text with zeros up to `length`.
fn padded(mut text: Vec<u8>, length: usize) -> Vec<u8> {
    text.resize(length, 0);
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, paths_of};
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> PrefixMap {
        PrefixMap::new(pairs.iter().copied()).expect("paths")
    }

    #[test]
    fn shorter_paths_are_written_over_the_old_ones() {
        let map = map(&[("/old/longer", "/new")]);
        for sample in Sample::all("/old/longer/ld.so", "/old/longer/lib::$ORIGIN/x:/usr/lib") {
            let new = relocate(&map, &sample.bytes[..], &|_| true).expect("fits");
            assert!(new.splice().is_none());
            let new = new.apply(sample.bytes.clone());
            assert_eq!(new.len(), sample.bytes.len());
            assert_eq!(
                paths_of(&new),
                Some((
                    "/new/ld.so".to_owned(),
                    "/new/lib:$ORIGIN/x:/usr/lib".to_owned()
                ))
            );
            assert!(memchr::memmem::find(&new, b"longer").is_none());
        }
    }

    #[test]
    fn parts_that_lead_nowhere_are_dropped() {
        let map = map(&[("/old", "/new")]);
        let sample = Sample::new(true, true, "/lib/ld.so", "/old/a:/old/b:rel:$ORIGIN");
        let new = relocate(&map, &sample.bytes[..], &|part| part == b"/new/a").expect("fits");
        let new = new.apply(sample.bytes.clone());
        let expected = ("/lib/ld.so".to_owned(), "/new/a:$ORIGIN".to_owned());
        assert_eq!(paths_of(&new), Some(expected));
    }

    #[test]
    fn longer_paths_go_behind_the_last_segment() {
        let map = map(&[("/old", "/a/new/one/that/is/much/longer")]);
        for sample in Sample::all("/old/ld.so", "/old/lib:/usr/lib") {
            let changes = relocate(&map, &sample.bytes[..], &|_| true).expect("room");
            let new = changes.apply(sample.bytes.clone());
            assert_eq!(
                changes.new_size(sample.bytes.len() as u64),
                new.len() as u64
            );
            assert_eq!(
                paths_of(&new),
                Some((
                    "/a/new/one/that/is/much/longer/ld.so".to_owned(),
                    "/a/new/one/that/is/much/longer/lib:/usr/lib".to_owned()
                )),
                "{:?}",
                sample.class()
            );
            assert!(memchr::memmem::find(&new, b"/old").is_none());
            assert_eq!(sample.names(&new), sample.names(&sample.bytes));
        }
    }

    #[test]
    fn files_that_are_no_programs_stay_as_they_are() {
        let map = map(&[("/old", "/new")]);
        let files: [&[u8]; 3] = [b"", b"\x7fELF", b"#!/old/bin/sh"];
        for file in files {
            assert!(
                relocate(&map, file, &|_| true)
                    .expect("no change")
                    .is_empty()
            );
        }
        let sample = Sample::new(true, true, "/old/ld.so", "/old/lib");
        for cut in 0..sample.bytes.len() {
            let _ = relocate(&map, &sample.bytes[..cut], &|_| true).expect("no change");
        }
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let shorter = map(&[("/old", "/n")]);
        let longer = map(&[("/old", "/much/longer/than/that")]);
        for sample in Sample::all("/old/ld.so", "/old/lib") {
            for at in 0..sample.bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bytes = sample.bytes.clone();
                    bytes[at] = value;
                    for map in [&shorter, &longer] {
                        if let Ok(changes) = relocate(map, &bytes[..], &|_| true) {
                            let new = changes.apply(bytes.clone());
                            assert_eq!(new.len() as u64, changes.new_size(bytes.len() as u64));
                        }
                    }
                }
            }
        }
    }
}
