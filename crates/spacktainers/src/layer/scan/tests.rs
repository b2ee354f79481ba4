//! Archives made here, sound and hostile, and real ones.

use std::io::Write;

use oci_format::layer::tar::TarWriter;
use oci_format::layer::{Entry, EntryKind};

use super::*;
use crate::layer::PackageEntryKind;

const PREFIX: &str = "opt/software/zlib-1.3";

/// A sound package with `more` members.
fn archive(more: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for folder in [
        "opt",
        "opt/software",
        PREFIX,
        "opt/software/zlib-1.3/.spack",
    ] {
        tar.append_bytes(&Entry::directory(folder, 0o755, 0), b"")
            .expect("memory");
    }
    for (entry, bytes) in more {
        tar.append_bytes(entry, bytes).expect("memory");
    }
    let mark = b"{buildpath: /opt/software}";
    let entry = Entry::file(
        format!("{PREFIX}/.spack/binary_distribution"),
        0o644,
        0,
        mark.len() as u64,
    );
    tar.append_bytes(&entry, mark).expect("memory");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.finish().expect("memory"))
        .expect("memory");
    gzip.finish().expect("memory")
}

fn scan_bytes(bytes: &[u8]) -> Result<PackageRecord, ScanError> {
    scan(
        &Content::Memory(bytes.into()),
        &Digest::of(bytes),
        bytes.len() as u64,
    )
}

fn below(path: &str) -> String {
    format!("{PREFIX}/{path}")
}

fn refusal(more: &[(Entry, &[u8])]) -> PackageFault {
    match scan_bytes(&archive(more)) {
        Err(ScanError::Refused(fault)) => fault,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_sound_package_is_listed_below_its_prefix() {
    let mut link = Entry::file(below("bin/again"), 0o755, 0, 0);
    link.kind = EntryKind::HardLink(below("bin/tool").into_bytes());
    let record = scan_bytes(&archive(&[
        (Entry::directory(below("bin"), 0o755, 0), b""),
        (Entry::file(below("bin/tool"), 0o755, 0, 10), b"#!/bin/sh\n"),
        (link, b""),
        (Entry::symlink(below("bin/link"), "../../elsewhere", 0), b""),
    ]))
    .expect("sound");
    assert_eq!(record.prefix.as_deref(), Some(PREFIX));
    assert_eq!(record.binary_distribution, "{buildpath: /opt/software}");
    let kinds: Vec<_> = record
        .entries
        .iter()
        .map(|entry| (entry.path.as_str(), &entry.kind))
        .collect();
    assert!(kinds.contains(&("bin/again", &PackageEntryKind::HardLink("bin/tool".into()))));
    assert!(kinds.contains(&(
        "bin/link",
        &PackageEntryKind::Symlink("../../elsewhere".into())
    )));
    assert_eq!(record.texts["bin/tool"], "#!/bin/sh\n");
    assert_eq!(PackageRecord::from_bytes(&record.to_bytes()), Some(record));
}

#[test]
fn what_no_package_may_hold_is_refused_by_name() {
    let file = |path: &str| Entry::file(path, 0o644, 0, 0);
    assert!(
        matches!(refusal(&[(file("etc/passwd"), b"")]), PackageFault::Outside { name, .. } if name == "etc/passwd")
    );
    let mut setuid = file(&below("bin/su"));
    setuid.mode = 0o4755;
    assert!(matches!(
        refusal(&[(setuid, b"")]),
        PackageFault::Mode { mode: 0o4755, .. }
    ));
    let mut device = file(&below("null"));
    device.kind = EntryKind::CharacterDevice(1, 3);
    assert!(matches!(
        refusal(&[(device, b"")]),
        PackageFault::Special(_)
    ));
    let mut link = file(&below("shadow"));
    link.kind = EntryKind::HardLink(b"etc/shadow".to_vec());
    assert!(
        matches!(refusal(&[(link, b"")]), PackageFault::HardLink { target, .. } if target == "etc/shadow")
    );
    let through = [
        (Entry::symlink(below("out"), "/etc", 0), &b""[..]),
        (file(&below("out/passwd")), b""),
    ];
    assert!(matches!(refusal(&through), PackageFault::BelowLink(_)));
    assert!(matches!(
        refusal(&[(file(&below("a")), b""), (file(&below("a")), b"")]),
        PackageFault::Twice(_)
    ));
}

#[test]
fn other_bytes_than_the_promised_are_a_wrong_digest_whatever_else_they_break() {
    let mut bytes = archive(&[]);
    let promised = Digest::of(&bytes);
    let size = bytes.len() as u64;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let content = Content::Memory(bytes.as_slice().into());
    assert!(matches!(
        scan(&content, &promised, size),
        Err(ScanError::Digest { .. })
    ));
    let cut = Content::Memory(bytes[..middle].into());
    assert!(matches!(
        scan(&cut, &promised, size),
        Err(ScanError::Digest { .. })
    ));
}

#[test]
fn an_archive_of_one_top_folder_is_no_layer_as_it_is() {
    let mut tar = TarWriter::new(Vec::new());
    let top = "zlib-1.2.13-abcdefghijklmnopqrstuvwxyz234567";
    tar.append_bytes(&Entry::directory(top, 0o755, 0), b"")
        .expect("memory");
    tar.append_bytes(
        &Entry::file(format!("{top}/.spack/binary_distribution"), 0o644, 0, 2),
        b"{}",
    )
    .expect("memory");
    let bytes = tar.finish().expect("memory");
    let record = scan_bytes(&bytes).expect("sound");
    assert_eq!((record.prefix, record.top.as_deref()), (None, Some(top)));
    assert_eq!(record.compression, "none");
}

#[test]
fn a_tar_that_is_no_package_is_refused() {
    let mut tar = TarWriter::new(Vec::new());
    tar.append_bytes(&Entry::file("hello", 0o644, 0, 2), b"hi")
        .expect("memory");
    let bytes = tar.finish().expect("memory");
    assert!(matches!(
        scan_bytes(&bytes),
        Err(ScanError::Refused(PackageFault::NoRoot))
    ));
}
