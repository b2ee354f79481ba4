//! What changed between two snapshots.

use std::collections::BTreeSet;

use super::snapshot::{Header, Kind, Snapshot};

/// A change, in the order in which it goes into a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The entry at this path is new, or not as it was.
    Put(Vec<u8>),
    /// The directory at this path, which was put just before, has nothing of what was there.
    Emptied(Vec<u8>),
    /// What was at this path is gone.
    Deleted(Vec<u8>),
}

/// The changes from `before` to `after`: by path, a directory before what is in it.
///
/// `restored` are directories in which mount points were made and removed; their time of change says nothing.
pub(super) fn between(
    before: &Snapshot,
    after: &Snapshot,
    restored: &BTreeSet<Vec<u8>>,
) -> Vec<Change> {
    let mut changes: Vec<(Vec<u8>, Change)> = Vec::new();
    for (path, now) in after.iter().filter(|(_, now)| now.kind != Kind::Socket) {
        let then = before.get(path);
        if then.is_none_or(|then| is_changed(then, now, restored.contains(path))) {
            changes.push((path.clone(), Change::Put(path.clone())));
        }
        if then.is_some_and(|then| is_replaced(then, now)) {
            changes.push((path.clone(), Change::Emptied(path.clone())));
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        let parent = parent(path);
        let is_told = parent.is_empty()
            || match (before.get(parent), after.get(parent)) {
                (Some(then), Some(now)) => now.kind == Kind::Directory && !is_replaced(then, now),
                _ => false,
            };
        if is_told {
            changes.push((path.clone(), Change::Deleted(path.clone())));
        }
    }
    // Stable: a directory is put, then emptied, then filled.
    changes.sort_by_cached_key(|(path, _)| walk_order(path));
    changes.into_iter().map(|(_, change)| change).collect()
}

/// Whether a directory is another one than before: what was in the old one is gone.
fn is_replaced(then: &Header, now: &Header) -> bool {
    then.kind == Kind::Directory && now.kind == Kind::Directory && then.identity != now.identity
}

fn is_changed(then: &Header, now: &Header, is_restored: bool) -> bool {
    if now.kind == Kind::Directory && is_restored {
        return Header {
            changed: then.changed,
            links: then.links,
            size: then.size,
            ..now.clone()
        } != *then;
    }
    then != now
}

fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/');
    path.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Sorts as a walk does: what is in a directory comes before the directory's next sibling.
fn walk_order(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte })
        .collect()
}
