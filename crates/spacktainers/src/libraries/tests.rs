//! Images of a few files, and the real packages where they are at hand.

use std::collections::BTreeMap;

use oci_format::Digest;

use super::*;
use crate::layer::{ElfFacts, PackageEntry, PackageEntryKind, PackageRecord};

fn package(files: &[&str], links: &[(&str, &str)], elf: &[(&str, ElfFacts)]) -> PackageRecord {
    let file = |path: &&str| PackageEntry {
        path: (*path).to_owned(),
        kind: PackageEntryKind::File(1),
        mode: 0o755,
    };
    let link = |(path, target): &(&str, &str)| PackageEntry {
        path: (*path).to_owned(),
        kind: PackageEntryKind::Symlink((*target).to_owned()),
        mode: 0o777,
    };
    PackageRecord {
        compression: "gzip".to_owned(),
        diff_id: Digest::of(b""),
        tar_size: 0,
        prefix: Some("opt/a".to_owned()),
        top: None,
        binary_distribution: String::new(),
        entries: files
            .iter()
            .map(file)
            .chain(links.iter().map(link))
            .collect(),
        elf: elf
            .iter()
            .map(|(path, facts)| ((*path).to_owned(), facts.clone()))
            .collect(),
        texts: BTreeMap::new(),
    }
}

fn needs(needed: &[&str], rpath: &[&str]) -> ElfFacts {
    ElfFacts {
        machine: 62,
        is_64: true,
        needed: needed.iter().map(|it| (*it).to_owned()).collect(),
        rpath: rpath.iter().map(|it| (*it).to_owned()).collect(),
        ..ElfFacts::default()
    }
}

fn missing(base: &[BaseRecord], packages: &[(&str, &PackageRecord)]) -> Vec<String> {
    let packages: Vec<_> = packages
        .iter()
        .map(|(prefix, record)| Needs {
            package: prefix,
            prefix,
            record,
        })
        .collect();
    check(base, &packages)
        .missing
        .into_iter()
        .map(|it| format!("{}/{}: {}", it.package, it.file, it.library))
        .collect()
}

fn base() -> BaseRecord {
    BaseRecord {
        files: vec![
            "usr/lib/x86_64-linux-gnu/libc.so.6".into(),
            "opt/extra/libextra.so.1".into(),
        ],
        links: vec![("lib".into(), "usr/lib".into())],
        linker_configuration: BTreeMap::from([
            (
                "etc/ld.so.conf".to_owned(),
                "include /etc/ld.so.conf.d/*.conf\n".to_owned(),
            ),
            (
                "etc/ld.so.conf.d/extra.conf".to_owned(),
                "# more\n/opt/extra\n".to_owned(),
            ),
        ]),
        glibc: Some("2.36".into()),
        ..BaseRecord::default()
    }
}

#[test]
fn libraries_are_found_by_rpath_origin_configuration_and_multiarch() {
    let record = package(
        &["bin/tool", "lib/libown.so.1.2"],
        &[("lib/libown.so.1", "libown.so.1.2")],
        &[(
            "bin/tool",
            needs(
                &["libown.so.1", "libextra.so.1", "libc.so.6"],
                &["$ORIGIN/../lib"],
            ),
        )],
    );
    assert_eq!(missing(&[base()], &[("opt/a", &record)]), [""; 0]);
    assert_eq!(
        missing(&[], &[("opt/a", &record)]),
        ["opt/a/bin/tool: libc.so.6", "opt/a/bin/tool: libextra.so.1"]
    );
}

#[test]
fn an_rpath_counts_for_what_its_owner_loads_and_a_runpath_does_not() {
    let tool = package(
        &["bin/tool"],
        &[],
        &[(
            "bin/tool",
            needs(&["libb.so"], &["/opt/b/lib", "/opt/c/lib"]),
        )],
    );
    let b = package(
        &["lib/libb.so"],
        &[],
        &[("lib/libb.so", needs(&["libc-own.so"], &[]))],
    );
    let c = package(
        &["lib/libc-own.so"],
        &[],
        &[("lib/libc-own.so", needs(&[], &[]))],
    );
    assert_eq!(
        missing(&[], &[("opt/a", &tool), ("opt/b", &b), ("opt/c", &c)]),
        [""; 0]
    );
    let mut facts = needs(&["libb.so"], &[]);
    facts.runpath = vec!["/opt/b/lib".into(), "/opt/c/lib".into()];
    let tool = package(&["bin/tool"], &[], &[("bin/tool", facts)]);
    assert_eq!(
        missing(&[], &[("opt/a", &tool), ("opt/b", &b), ("opt/c", &c)]),
        ["opt/b/lib/libb.so: libc-own.so"]
    );
}

#[test]
fn a_library_of_another_machine_is_passed_over() {
    let mut other = needs(&[], &[]);
    other.machine = 183;
    let record = package(
        &["bin/tool", "lib/libx.so"],
        &[],
        &[
            ("bin/tool", needs(&["libx.so"], &["/opt/a/lib"])),
            ("lib/libx.so", other),
        ],
    );
    assert_eq!(
        missing(&[], &[("opt/a", &record)]),
        ["opt/a/bin/tool: libx.so"]
    );
}

#[test]
fn what_a_later_base_layer_removes_is_missing() {
    let record = package(
        &["bin/tool"],
        &[],
        &[("bin/tool", needs(&["libextra.so.1"], &[]))],
    );
    let removing = BaseRecord {
        gone: vec!["opt/extra".into()],
        ..BaseRecord::default()
    };
    assert_eq!(missing(&[base()], &[("opt/a", &record)]), [""; 0]);
    assert_eq!(
        missing(&[base(), removing], &[("opt/a", &record)]),
        ["opt/a/bin/tool: libextra.so.1"]
    );
}

#[test]
fn a_base_with_an_older_c_library_is_named_with_the_file_that_needs_more() {
    let mut facts = needs(&["libc.so.6"], &[]);
    facts.versions_needed = vec![
        "GLIBC_2.4".into(),
        "GLIBC_2.38".into(),
        "GLIBC_PRIVATE".into(),
    ];
    let record = package(&["bin/tool"], &[], &[("bin/tool", facts)]);
    let needs = [Needs {
        package: "a@1",
        prefix: "opt/a",
        record: &record,
    }];
    assert_eq!(glibc_floor(&needs).as_deref(), Some("2.38"));
    let glibc = check(&[base()], &needs).glibc.expect("too old");
    assert_eq!(
        (
            glibc.needed.as_str(),
            glibc.found.as_str(),
            glibc.file.as_str()
        ),
        ("2.38", "2.36", "bin/tool")
    );
}

#[test]
fn a_missing_program_interpreter_is_named() {
    let mut facts = needs(&[], &[]);
    facts.interpreter = Some("/lib64/ld-linux-x86-64.so.2".into());
    let record = package(&["bin/tool"], &[], &[("bin/tool", facts)]);
    assert_eq!(
        missing(&[base()], &[("opt/a", &record)]),
        ["opt/a/bin/tool: /lib64/ld-linux-x86-64.so.2"]
    );
}
