//! Layers written by our own writer, unpacked and looked at.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use oci_format::layer::tar::TarWriter;
use oci_format::layer::{Entry, EntryKind};

use super::*;

fn layer(entries: &[(Entry, &[u8])]) -> Content {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, bytes) in entries {
        writer.append_bytes(entry, bytes).expect("memory");
    }
    Content::Memory(writer.finish().expect("memory").into())
}

fn file(path: &str, bytes: &'static [u8]) -> (Entry, &'static [u8]) {
    (Entry::file(path, 0o644, 0, bytes.len() as u64), bytes)
}

#[test]
fn later_layers_replace_and_delete_what_earlier_ones_brought() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    let lower = layer(&[
        (Entry::directory("etc", 0o755, 0), b""),
        file("etc/gone", b"1"),
        file("etc/kept", b"2"),
        file("var/lib/a", b"3"),
        file("var/lib/b", b"4"),
        file("becomes-folder", b"5"),
    ]);
    let upper = layer(&[
        file("etc/.wh.gone", b""),
        file("var/lib/new", b"6"),
        file("var/lib/.wh..wh..opq", b""),
        (Entry::directory("becomes-folder", 0o750, 0), b""),
    ]);
    unpack(&[lower, upper], &root, false).expect("unpacks");
    assert!(!root.join("etc/gone").exists());
    assert_eq!(fs::read(root.join("etc/kept")).expect("kept"), b"2");
    assert!(!root.join("var/lib/a").exists() && !root.join("var/lib/b").exists());
    assert_eq!(fs::read(root.join("var/lib/new")).expect("new"), b"6");
    let mode = fs::metadata(root.join("becomes-folder"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[test]
fn members_below_a_link_land_where_the_link_leads_inside_the_root() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    let target = outside.to_str().expect("a plain path").as_bytes().to_vec();
    let layers = [
        layer(&[
            (Entry::directory("usr/lib", 0o755, 0), b""),
            (Entry::symlink("lib", "usr/lib", 0), b""),
            (Entry::symlink("trap", target, 0), b""),
        ]),
        layer(&[file("lib/libc.so", b"c"), file("trap/planted", b"x")]),
    ];
    unpack(&layers, &root, false).expect("unpacks");
    assert_eq!(
        fs::read(root.join("usr/lib/libc.so")).expect("merged"),
        b"c"
    );
    assert!(
        fs::symlink_metadata(root.join("lib"))
            .expect("there")
            .is_symlink()
    );
    assert!(
        !outside.join("planted").exists(),
        "nothing may be written outside the root"
    );
}

#[test]
fn hard_links_share_their_file_and_devices_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    let mut link = Entry::file("b", 0o644, 0, 0);
    link.kind = EntryKind::HardLink(b"a".to_vec());
    let mut device = Entry::file("null", 0o666, 0, 0);
    device.kind = EntryKind::CharacterDevice(1, 3);
    let report = unpack(
        &[layer(&[file("a", b"1"), (link, b""), (device, b"")])],
        &root,
        false,
    )
    .expect("unpacks");
    assert_eq!(report, Unpacked { devices_skipped: 1 });
    let inode = |name: &str| fs::metadata(root.join(name)).expect("there").ino();
    assert_eq!(inode("a"), inode("b"));
}

#[test]
fn a_directory_that_forbids_writing_is_closed_only_at_the_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    let entries = [
        (Entry::directory("locked", 0o555, 0), &b""[..]),
        file("locked/inside", b"1"),
    ];
    unpack(&[layer(&entries)], &root, false).expect("unpacks");
    let mode = fs::metadata(root.join("locked"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o555);
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o755))
        .expect("for the clean-up");
}
