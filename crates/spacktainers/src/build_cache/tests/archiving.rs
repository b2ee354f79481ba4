//! What is in an archive.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use flate2::read::GzDecoder;
use spack_format::build_cache::{BinaryDistribution, METADATA_PATH};

use super::made::{Stage, hash};
use crate::build_cache::archive;

#[test]
fn an_archive_has_what_spack_puts_into_one_and_nothing_of_the_machine() {
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let prefix = stage.prefix("app", "2.0");
    let other = stage.prefix("lib", "1.0");
    fs::create_dir_all(prefix.join("a/z")).expect("makes");
    fs::create_dir_all(prefix.join("a.d")).expect("makes");
    fs::write(prefix.join("a/z/elf"), b"\x7fELF\x02\x01\x01\0 and more").expect("writes");
    fs::write(prefix.join("a/plain"), "nothing to see here").expect("writes");
    fs::hard_link(prefix.join("a/plain"), prefix.join("a/same")).expect("links");
    fs::write(prefix.join("zzz"), format!("lib={}/lib\n", other.display())).expect("writes");
    symlink(other.join("lib"), prefix.join("to-lib")).expect("links");
    symlink("../elsewhere", prefix.join("relative")).expect("links");
    fs::write(prefix.join(METADATA_PATH), "stale").expect("writes");
    let program = prefix.join("bin/app");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4775)).expect("sets");
    fs::set_permissions(prefix.join("zzz"), fs::Permissions::from_mode(0o666)).expect("sets");

    let package = stage.tree().package(&hash("app")).expect("installed");
    let archived = archive(&package, stage.local_cache()).expect("an archive");
    let mut bytes = Vec::new();
    let mut reader = archived.content.open(0).expect("opens");
    reader.read_to_end(&mut bytes).expect("reads");
    assert_eq!(
        &bytes[..8],
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        "no name and no time"
    );

    let mut tar = tar::Archive::new(GzDecoder::new(&bytes[..]));
    let shown = prefix.strip_prefix("/").expect("absolute").to_owned();
    let mut members = Vec::new();
    let mut metadata = String::new();
    for member in tar.entries().expect("a tar") {
        let mut member = member.expect("a member");
        let header = member.header();
        assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
        assert_eq!(header.mtime().ok(), Some(0));
        let kind = match header.entry_type() {
            tar::EntryType::Directory => 'd',
            tar::EntryType::Symlink => 'l',
            tar::EntryType::Link => 'h',
            _ => '-',
        };
        let mode = header.mode().expect("a mode");
        let path = member.path().expect("a path").into_owned();
        if path.ends_with(METADATA_PATH) {
            member.read_to_string(&mut metadata).expect("a text");
        }
        match path.strip_prefix(&shown) {
            Ok(below) => members.push(format!("{kind}{mode:o} {}", below.display())),
            Err(_) => assert!(shown.starts_with(&path) && kind == 'd' && mode == 0o755),
        }
    }
    let expected = [
        "d755 ",
        "-644 zzz",
        "l755 relative",
        "l755 to-lib",
        "d755 .spack",
        "-644 .spack/spec.json",
        "d755 a",
        "-644 a/plain",
        "h644 a/same",
        "d755 a/z",
        "-644 a/z/elf",
        "d755 a.d",
        "d755 bin",
        "-755 bin/app",
        "-644 .spack/binary_distribution",
    ];
    let mut sorted = members.clone();
    // The first three are files of one folder, in the order of their names.
    sorted[1..4].sort_by_key(|it| it[5..].to_owned());
    assert_eq!(sorted, members, "files are in order");
    let mut expected: Vec<String> = expected.map(str::to_owned).into();
    expected[1..4].sort_by_key(|it| it[5..].to_owned());
    assert_eq!(members, expected);

    let built_for = BinaryDistribution::parse(&metadata).expect("metadata");
    assert_eq!(built_for.build_path, stage.root().display().to_string());
    assert_eq!(built_for.prefix(), prefix.display().to_string());
    assert_eq!(
        built_for.sbang_install_path.as_deref(),
        stage.path("root/bin/sbang").to_str(),
        "below what was padded"
    );
    assert_eq!(built_for.relocate_binaries, ["a/z/elf"]);
    assert_eq!(built_for.relocate_textfiles, ["zzz", "bin/app"]);
    assert_eq!(built_for.relocate_links, ["to-lib"]);
    let prefixes: Vec<_> = built_for.hash_to_prefix.keys().copied().collect();
    assert_eq!(prefixes, [hash("app"), hash("lib")]);

    let again = archive(&package, stage.local_cache()).expect("an archive");
    assert_eq!(
        (again.digest, again.diff_id),
        (archived.digest, archived.diff_id)
    );
}
