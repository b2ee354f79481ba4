//! Archives made here: what is changed, what is left, and what is refused.

use oci_format::Digest;
use oci_format::layer::tar::{TarReader, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use spack_format::build_cache::BinaryDistribution;
use spack_format::relocation::PrefixMap;
use std::io::Read;

use super::*;
use crate::content::Content;
use crate::layer::transform::{Chain, NoDebug, TransformError, pass};
use crate::layer::{PackageRecord, scan};

const NAME: &str = "a-1-abcdefg";
const OLD: &str = "/old/much/longer/place";
const NEW: &str = "/new";

/// A file of a package: its path, its mode and its content, or what it links to.
enum Member<'a> {
    File(&'a str, u32, &'a [u8]),
    Symlink(&'a str, &'a str),
    HardLink(&'a str, &'a str),
}
use Member::{File, HardLink, Symlink};

/// An archive whose members lie below `top`.
fn archive(top: &str, members: &[Member<'_>], lists: &str) -> (Content, PackageRecord) {
    let mut tar = TarWriter::new(Vec::new());
    let below = |path: &str| format!("{top}/{path}");
    let folder = Entry::directory(top, 0o755, 0);
    tar.append_bytes(&folder, b"").expect("memory");
    for member in members {
        let (entry, bytes) = match member {
            File(path, mode, bytes) => (
                Entry::file(below(path), *mode, 0, bytes.len() as u64),
                *bytes,
            ),
            Symlink(path, target) => (Entry::symlink(below(path), *target, 0), &b""[..]),
            HardLink(path, target) => {
                let mut entry = Entry::file(below(path), 0o644, 0, 0);
                entry.kind = EntryKind::HardLink(below(target).into_bytes());
                (entry, &b""[..])
            }
        };
        tar.append_bytes(&entry, bytes).expect("memory");
    }
    let mark = format!("{{buildpath: {OLD}, relative_prefix: {NAME}{lists}}}");
    let path = below(".spack/binary_distribution");
    let entry = Entry::file(path, 0o644, 0, mark.len() as u64);
    tar.append_bytes(&entry, mark.as_bytes()).expect("memory");
    let bytes = tar.finish().expect("memory");
    let digest = Digest::of(&bytes);
    let content = Content::Memory(bytes.into());
    let record = scan(&content, &digest, content.len()).expect("a package");
    (content, record)
}

fn rules(record: &PackageRecord, to: &str) -> Rules {
    let built = BinaryDistribution::parse(&record.binary_distribution).expect("ours");
    let map = PrefixMap::new([
        (built.prefix(), format!("{to}/{NAME}")),
        (OLD.into(), to.into()),
    ]);
    let prefix = format!("{to}/{NAME}");
    let prefix = prefix.trim_start_matches('/');
    Rules::new(record, &built, map.expect("paths"), prefix, to, |_| true)
}

/// The new members by path, and what is left.
type Done = (Vec<(String, Entry, Vec<u8>)>, Vec<Left>);

fn relocated_to(
    to: &str,
    top: &str,
    members: &[Member<'_>],
    lists: &str,
) -> Result<Done, TransformError> {
    let (content, record) = archive(top, members, lists);
    let mut out = TarWriter::new(Vec::new());
    let chain = Chain::relocation(rules(&record, to));
    let archive = content.open(0).expect("memory");
    let left = pass(archive, &mut out, &mut NoDebug, &record, &chain, "a@1")?.left;
    let bytes = out.finish().expect("memory");
    let mut tar = TarReader::new(&bytes[..]);
    let mut all = Vec::new();
    while let Some(mut member) = tar.next_member().expect("sound") {
        let entry = member.entry.clone();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("memory");
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        all.push((path, entry, bytes));
    }
    Ok((all, left))
}

fn relocated(members: &[Member<'_>], lists: &str) -> Result<Done, TransformError> {
    relocated_to(NEW, &format!("{}/{NAME}", &OLD[1..]), members, lists)
}

fn content<'d>(done: &'d Done, path: &str) -> &'d (String, Entry, Vec<u8>) {
    let path = format!("new/{NAME}/{path}");
    let found = done.0.iter().find(|it| it.0 == path);
    found.unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn what_is_listed_moves_and_keeps_its_mode() {
    let text = format!("#!{OLD}/{NAME}/bin/sh\n");
    let done = relocated(
        &[
            File("bin/x", 0o755, text.as_bytes()),
            File("lib/first", 0o644, text.as_bytes()),
            HardLink("lib/second", "lib/first"),
            Symlink("lib/link", &format!("{OLD}/{NAME}/lib/first")),
            Symlink("lib/relative", "../bin/x"),
        ],
        // Spack may list a file by any of its names.
        ", relocate_textfiles: [bin/x, lib/second], relocate_links: [lib/link]",
    )
    .expect("moves");
    let expected = format!("#!/new/{NAME}/bin/sh\n");
    for (path, mode) in [("bin/x", 0o755), ("lib/first", 0o644)] {
        let (_, entry, bytes) = content(&done, path);
        assert_eq!(String::from_utf8_lossy(bytes), expected);
        assert_eq!(entry.mode, mode);
    }
    let kind = |path| content(&done, path).1.kind.clone();
    let new = |path: &str| format!("new/{NAME}/{path}").into_bytes();
    assert_eq!(kind("lib/second"), EntryKind::HardLink(new("lib/first")));
    let target = [b"/", &new("lib/first")[..]].concat();
    assert_eq!(kind("lib/link"), EntryKind::Symlink(target));
    assert_eq!(
        kind("lib/relative"),
        EntryKind::Symlink(b"../bin/x".to_vec())
    );
    // The folder above the prefix, and nothing of the old place.
    assert_eq!(done.0[0].0, "new");
    assert!(done.0.iter().all(|it| it.0.starts_with("new")));
    // It says where it was built, and has to.
    assert_eq!(done.1.len(), 1);
    assert_eq!(done.1[0].why, LeftBecause::Metadata);
}

#[test]
fn what_spack_leaves_is_told_with_its_reason() {
    let old = format!("........{OLD}/lib");
    let url = format!("file://{OLD}/lib and {OLD}/lib");
    let object = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0",
        old.as_bytes(),
    ]
    .concat();
    let done = relocated(
        &[
            File(".spack/spec.json", 0o644, old.as_bytes()),
            File(
                "lib/a.a",
                0o644,
                &[b"!<arch>\n\xff\0", old.as_bytes()].concat(),
            ),
            File("lib/a.o", 0o644, &object),
            File("share/not-listed", 0o644, old.as_bytes()),
            File("share/url", 0o644, url.as_bytes()),
        ],
        ", relocate_textfiles: [share/url]",
    )
    .expect("nothing is wrong");
    let told: Vec<_> = done
        .1
        .iter()
        .map(|it| (&*it.file, it.offset, it.why))
        .collect();
    assert_eq!(
        told,
        [
            (".spack/spec.json", 8, LeftBecause::Metadata),
            ("lib/a.a", 18, LeftBecause::Opaque),
            ("lib/a.o", 26, LeftBecause::Opaque),
            ("share/not-listed", 8, LeftBecause::NotListed),
            ("share/url", 7, LeftBecause::WithinPath),
            (".spack/binary_distribution", 12, LeftBecause::Metadata),
        ]
    );
    let (_, _, bytes) = content(&done, "share/url");
    assert_eq!(
        *bytes,
        format!("file://{OLD}/lib and /new/lib").into_bytes()
    );
}

#[test]
fn what_would_be_loaded_from_the_old_place_is_refused() {
    let program = format!("\x7fELF\x02\x01\x01.........\x02.{OLD}/lib/x");
    let error = relocated(&[File("bin/x", 0o755, program.as_bytes())], "").expect_err("unlisted");
    assert!(
        matches!(&error, TransformError::Foreign { file, offset: 18, count: 1, .. } if file == "bin/x"),
        "{error}"
    );
    assert!(error.is_verification() && error.hint().is_some());
    let link = format!("{OLD}/lib");
    let error = relocated(&[Symlink("lib/x", &link)], "").expect_err("unlisted");
    assert!(
        matches!(&error, TransformError::Foreign { offset: 0, .. }),
        "{error}"
    );

    let top = format!("{}/{NAME}", &OLD[1..]);
    let lists = ", relocate_binaries: [bin/x]";
    let members = [File("bin/x", 0o755, program.as_bytes())];
    relocated(&members, lists).expect("shorter");
    let longer = format!("{OLD}/that/is/longer");
    let error = relocated_to(&longer, &top, &members, lists).expect_err("longer");
    assert_eq!(error.to_string(), "a@1: `bin/x` cannot be relocated");
    assert!(error.is_verification() && error.hint().is_some());
}

#[test]
fn scripts_whose_first_line_is_too_long_go_through_sbang() {
    let line = format!("#!/{}/perl -w\n", "x".repeat(130));
    let script = format!("{line}body\n");
    let done = relocated(
        &[
            File("bin/x", 0o755, script.as_bytes()),
            File("bin/plain", 0o644, script.as_bytes()),
        ],
        ", relocate_textfiles: [bin/x]",
    )
    .expect("moves");
    let (_, _, bytes) = content(&done, "bin/x");
    let expected = format!("#!/bin/sh /new/bin/sbang\n{script}");
    assert_eq!(String::from_utf8_lossy(bytes), expected);
    let (_, _, bytes) = content(&done, "bin/plain");
    assert_eq!(String::from_utf8_lossy(bytes), script, "nobody executes it");
}

#[test]
fn archives_of_older_spacks_move_from_their_own_folder() {
    let text = format!("{OLD}/lib");
    let members = [File("lib/x", 0o644, text.as_bytes())];
    let lists = ", relocate_textfiles: [lib/x]";
    let done = relocated_to(NEW, NAME, &members, lists).expect("moves");
    assert_eq!(content(&done, "lib/x").2, b"/new/lib");
}

#[test]
fn the_key_tells_apart_all_that_decides() {
    let (_, record) = archive(&format!("{}/{NAME}", &OLD[1..]), &[], "");
    let blob = Digest::of(b"a");
    let key = |to: &str, blob: &Digest| Chain::relocation(rules(&record, to)).key(blob);
    assert_eq!(key(NEW, &blob), key(NEW, &blob));
    assert_ne!(key(NEW, &blob), key("/other", &blob));
    assert_ne!(key(NEW, &blob), key(NEW, &Digest::of(b"b")));
}
