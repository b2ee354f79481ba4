//! The files and directories that the runtime mounts onto.
//!
//! With an overlay or underlay the runtime makes them as it goes; where an administrator has switched both off, they have to be
//! there: without `/dev` or the caller's `$HOME` nothing starts, without the others the mount is skipped with a warning.
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/sources/base_environment.go`, `makeDirs` and `makeFiles`; seen with
//! Apptainer 1.4.5.

use super::root::{Overlay, RootEntry};
use super::{EntryKind, ExistingRoot};

/// Directories and their permissions.
const DIRECTORIES: [(&str, u32); 9] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];

/// Files that are mounted over. The runtime extends copies of the first two with the caller.
const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/hosts", ""),
    ("etc/resolv.conf", ""),
    ("etc/localtime", ""),
];

/// The zone that `/etc/localtime` leads to, when the image has it.
const ZONE: &str = "usr/share/zoneinfo/UTC";

/// The mount points that the image lacks, directories before what is in them.
///
/// Nothing is put below a directory that is a link, and nothing in place of something that exists, with one exception: a link at
/// `etc/hosts` or `etc/resolv.conf`, as some distributions have, leads out of the image and becomes an empty file.
#[must_use]
pub fn missing_mount_points(existing: &dyn ExistingRoot) -> Vec<RootEntry> {
    let mut root = Overlay::over(existing);
    for entry in missing(&root) {
        root.put(entry);
    }
    root.into_entries()
}

pub(crate) fn missing(root: &Overlay<'_>) -> Vec<RootEntry> {
    let mut missing = Vec::new();
    let room_for = |path: &str, missing: &[RootEntry]| match path.rsplit_once('/') {
        None => true,
        Some((parent, _)) => {
            root.kind(parent) == Some(EntryKind::Directory)
                || missing.iter().any(|entry| entry.path == parent)
        }
    };
    for (path, mode) in DIRECTORIES {
        if root.kind(path).is_none() && room_for(path, &missing) {
            missing.push(RootEntry::directory(path, mode));
        }
    }
    for (path, text) in FILES {
        let replaced = matches!(path, "etc/hosts" | "etc/resolv.conf");
        let wanted = match root.kind(path) {
            None => true,
            Some(EntryKind::Symlink) => replaced,
            Some(_) => false,
        };
        if wanted && room_for(path, &missing) {
            missing.push(match path {
                "etc/localtime" if root.kind(ZONE).is_some() => {
                    RootEntry::symlink(path, &format!("/{ZONE}"))
                }
                _ => RootEntry::file(path, 0o644, text),
            });
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::singularity::{EmptyRoot, EntryContent};

    fn paths(existing: &dyn ExistingRoot) -> Vec<String> {
        missing_mount_points(existing)
            .into_iter()
            .map(|entry| entry.path)
            .collect()
    }

    #[test]
    fn an_empty_root_gets_them_all() {
        let expected = [
            "dev",
            "etc",
            "etc/group",
            "etc/hosts",
            "etc/localtime",
            "etc/passwd",
            "etc/resolv.conf",
            "home",
            "proc",
            "root",
            "sys",
            "tmp",
            "var",
            "var/tmp",
        ];
        assert_eq!(paths(&EmptyRoot), expected);
        let tmp = missing_mount_points(&EmptyRoot)
            .into_iter()
            .find(|entry| entry.path == "tmp")
            .unwrap();
        assert_eq!(tmp.mode, 0o1777);
    }

    #[test]
    fn what_exists_stays_and_links_that_lead_out_are_replaced() {
        let existing = |path: &str| match path {
            "etc/resolv.conf" | "tmp" | "var" | "etc/localtime" => Some(EntryKind::Symlink),
            "etc/passwd" | "etc/group" | "etc/hosts" => Some(EntryKind::File),
            "dev" | "etc" | "home" | "proc" | "root" | "sys" => Some(EntryKind::Directory),
            _ => None,
        };
        assert_eq!(paths(&existing), ["etc/resolv.conf"]);
    }

    #[test]
    fn local_time_leads_to_a_zone_that_exists() {
        let existing = |path: &str| (path == ZONE).then_some(EntryKind::File);
        let entries = missing_mount_points(&existing);
        let localtime = entries
            .iter()
            .find(|entry| entry.path == "etc/localtime")
            .unwrap();
        assert_eq!(
            localtime.content,
            EntryContent::Symlink("/usr/share/zoneinfo/UTC".to_owned())
        );
    }
}
