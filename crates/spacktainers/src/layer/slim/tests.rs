//! Packages made here: what goes, and what must not.

use std::collections::BTreeMap;

use oci_format::Digest;

use super::*;
use crate::layer::{PackageEntry, PackageEntryKind, PackageRecord};

fn record(paths: &[&str]) -> PackageRecord {
    let mut entries = Vec::new();
    let mut folders = std::collections::BTreeSet::new();
    for path in paths {
        let (path, kind) = match (path.split_once(" -> "), path.split_once(" = ")) {
            (Some((path, target)), _) => (path, PackageEntryKind::Symlink(target.into())),
            (_, Some((path, target))) => (path, PackageEntryKind::HardLink(target.into())),
            _ => match path.strip_suffix('/') {
                Some(folder) => (folder, PackageEntryKind::Directory),
                None => (*path, PackageEntryKind::File(10)),
            },
        };
        for (at, _) in path.match_indices('/') {
            if folders.insert(path[..at].to_owned()) {
                entries.push(PackageEntry {
                    path: path[..at].into(),
                    kind: PackageEntryKind::Directory,
                    mode: 0o755,
                });
            }
        }
        entries.push(PackageEntry {
            path: path.into(),
            kind,
            mode: 0o644,
        });
    }
    PackageRecord {
        compression: "gzip".into(),
        diff_id: Digest::of(b""),
        tar_size: 0,
        prefix: Some("opt/a".into()),
        top: None,
        binary_distribution: String::new(),
        entries,
        elf: BTreeMap::new(),
        texts: BTreeMap::new(),
    }
}

fn runtime() -> SlimRules {
    SlimRules {
        profile: Some(Profile::Runtime),
        ..SlimRules::default()
    }
}

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts
        .iter()
        .map(|it| Glob::parse(it).expect("a pattern"))
        .collect()
}

/// What goes of these paths.
fn gone(rules: &SlimRules, package: &str, paths: &[&str]) -> Vec<String> {
    let record = record(paths);
    let selection = Selection::new(&record, &rules.of(package));
    selection.gone().map(|(path, _)| path.to_owned()).collect()
}

#[test]
fn every_rule_has_a_path_that_goes_and_one_that_stays() {
    let goes = [
        ("include/zlib.h", Cause::Headers),
        ("include/python3.11/Python.h", Cause::Headers),
        ("lib/libz.a", Cause::StaticArchives),
        (
            "lib/python3.11/config-3.11-x86_64-linux-gnu/libpython3.11.a",
            Cause::StaticArchives,
        ),
        ("lib64/libz.la", Cause::Libtool),
        ("lib/pkgconfig/zlib.pc", Cause::PkgConfig),
        ("share/pkgconfig/zlib.pc", Cause::PkgConfig),
        ("lib64/cmake/zstd/zstdConfig.cmake", Cause::Cmake),
        ("share/man/man1/xz.1", Cause::Manuals),
        ("man/man1/bzip2.1", Cause::Manuals),
        ("share/info/nano.info", Cause::Info),
        ("share/doc/xz/README", Cause::Documentation),
        (".spack/spack-build-out.txt.gz", Cause::BuildRecords),
        (
            ".spack/repos/builtin/packages/zlib/package.py",
            Cause::BuildRecords,
        ),
        (".spack/archived-files/config.log", Cause::BuildRecords),
    ];
    for (path, cause) in goes {
        assert_eq!(rules::cause(path), Some(cause), "{path}");
    }
    let stays = [
        "bin/xz",
        "lib/libz.so.1",
        "lib/python3.11/site-packages/numpy/core/include/numpy/arrayobject.h",
        "lib/perl5/5.38/x86_64-linux/CORE/perl.h",
        "include/python3.11/pyconfig.h",
        "lib/ImageMagick-7/modules/coders/png.la",
        "share/cmake-3.27/Modules/FindZLIB.cmake",
        "share/locale/de/LC_MESSAGES/xz.mo",
        "share/doc/xz/COPYING.GPLv2",
        "share/doc/xz/licenses/license.txt",
        "share/terminfo/x/xterm",
        "share/misc/magic.mgc",
        ".spack/spec.json",
        ".spack/binary_distribution",
        ".spack/install_manifest.json",
        ".a",
    ];
    for path in stays {
        assert_eq!(rules::cause(path), None, "{path}");
    }
}

#[test]
fn full_takes_nothing_and_runtime_leaves_compilers_whole() {
    let paths = ["include/a.h", "lib/liba.a", "lib/liba.so"];
    assert!(gone(&SlimRules::default(), "zlib", &paths).is_empty());
    assert_eq!(
        gone(&runtime(), "zlib", &paths),
        ["include", "include/a.h", "lib/liba.a"]
    );
    assert!(gone(&runtime(), "gcc", &paths).is_empty());
    // Their programs lose symbols all the same.
    assert_eq!(runtime().of("gcc").symbols, Symbols::Drop);
    assert_eq!(SlimRules::default().of("gcc").symbols, Symbols::Keep);
    let mut named = runtime();
    named.packages.insert(
        "gcc".into(),
        PackageRules {
            profile: Some(Profile::Runtime),
            ..PackageRules::default()
        },
    );
    assert_eq!(gone(&named, "gcc", &paths).len(), 3);
}

#[test]
fn patterns_of_a_package_count_more_than_those_of_all() {
    let mut rules = runtime();
    rules.keep = globs(&["share/doc"]);
    rules.drop = globs(&["share/locale", "lib/*.so.?"]);
    rules.packages.insert(
        "xz".into(),
        PackageRules {
            keep: globs(&["share/locale/de"]),
            drop: globs(&["share/doc/**/AUTHORS"]),
            ..PackageRules::default()
        },
    );
    let paths = [
        "share/doc/xz/README",
        "share/doc/xz/AUTHORS",
        "share/locale/de/xz.mo",
        "share/locale/fr/xz.mo",
        "lib/libxz.so.5",
        "lib/deep/libxz.so.5",
    ];
    assert_eq!(
        gone(&rules, "xz", &paths),
        [
            "lib/libxz.so.5",
            "share/doc/xz/AUTHORS",
            "share/locale/fr",
            "share/locale/fr/xz.mo"
        ]
    );
    assert_eq!(gone(&rules, "other", &paths).len(), 6, "and the folder");
    // What Spack and we know a package by cannot be dropped.
    rules.drop = globs(&["**", ".spack"]);
    let left = gone(
        &rules,
        "other",
        &[".spack/spec.json", ".spack/binary_distribution", "bin/a"],
    );
    assert_eq!(left, ["bin", "bin/a"]);
}

#[test]
fn links_and_folders_go_with_what_they_lead_to() {
    let paths = [
        "lib/liba.a",
        "lib/libb.a -> liba.a",
        "lib/libc.lib -> libb.a",
        "lib/liba.so.1",
        "lib/liba.so -> liba.so.1",
        "share/man/man1/a.1",
        "manuals -> share/man",
        "docs -> /opt/a/share/man/man1",
        "elsewhere -> ../../b/share/man",
        "empty/",
        "only/deep/er/liba.a",
    ];
    assert_eq!(
        gone(&runtime(), "a", &paths),
        [
            "docs",
            "lib/liba.a",
            "lib/libb.a",
            "lib/libc.lib",
            "manuals",
            "only",
            "only/deep",
            "only/deep/er",
            "only/deep/er/liba.a",
            "share",
            "share/man",
            "share/man/man1",
            "share/man/man1/a.1",
        ]
    );
}

#[test]
fn bytes_of_a_file_stay_while_one_of_its_names_does() {
    let paths = [
        "include/a.h",
        "lib/a.h = include/a.h",
        "share/a.h = include/a.h",
        "lib/liba.a",
        "man/liba.a = lib/liba.a",
    ];
    let record = record(&paths);
    let rules = runtime();
    let selection = Selection::new(&record, &rules.of("a"));
    assert_eq!(selection.fate("include/a.h"), Fate::Becomes("lib/a.h"));
    assert_eq!(selection.link_target("lib/a.h", "include/a.h"), None);
    assert_eq!(
        selection.link_target("share/a.h", "include/a.h"),
        Some("lib/a.h")
    );
    assert_eq!(selection.fate("lib/liba.a"), Fate::Goes);
    assert_eq!(selection.fate("man/liba.a"), Fate::Goes);
    assert_eq!(
        selection.amounts()[&Cause::Headers],
        Amount { files: 1, bytes: 0 }
    );
    assert_eq!(
        selection.amounts()[&Cause::StaticArchives],
        Amount {
            files: 1,
            bytes: 10
        }
    );
}

#[test]
fn a_container_adds_to_what_the_settings_say() {
    let mut settings = runtime();
    settings.keep = globs(&["a"]);
    let container = SlimRules {
        symbols: Some(Symbols::Separate),
        keep: globs(&["b"]),
        ..SlimRules::default()
    };
    let both = settings.with(&container);
    assert_eq!(both.profile, Some(Profile::Runtime));
    assert_eq!(both.of("x").symbols, Symbols::Separate);
    assert_eq!(both.keep, globs(&["a", "b"]));
    assert!(SlimRules::default().with(&SlimRules::default()).is_empty());
}

#[test]
fn patterns_are_of_paths_below_a_prefix() {
    for text in ["", "/", "/usr", "../a", "a//b", "a/***", "[a"] {
        assert!(Glob::parse(text).is_err(), "{text}");
    }
    let glob = Glob::parse("lib/*.so/").expect("a pattern");
    assert!(
        glob.matches("lib/a.so/x/y") && glob.matches("lib/a.so") && !glob.matches("lib/b/a.so")
    );
}
