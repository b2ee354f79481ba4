//! Packages into one tree.

use super::*;

#[tokio::test]
async fn packages_make_one_tree_with_merged_usr_and_dpkgs_records() {
    let packs = [
        Pack {
            name: "tool",
            fields: "Depends: lib\nMulti-Arch: foreign\n",
            control: vec![
                ("conffiles", "/etc/tool.conf\n"),
                ("md5sums", "abc  bin/tool\n"),
                (
                    "postinst",
                    "#!/bin/sh\nset -e\nupdate-alternatives --install /usr/bin/do do /bin/tool 5\n",
                ),
                (
                    "triggers",
                    "interest-noawait /usr/share/tool\ninterest named\n",
                ),
            ],
            files: vec![
                ("bin/tool", "#!/bin/sh\n"),
                ("etc/tool.conf", "a=1\n"),
                ("usr/share/tool/x", "x"),
            ],
        },
        Pack {
            name: "lib",
            fields: "Multi-Arch: same\n",
            control: vec![],
            files: vec![
                ("lib/x86_64/libx.so.1", "-> libx.so.1.0"),
                ("lib/x86_64/libx.so.1.0", "elf"),
                ("lib64/ld.so", "-> /lib/x86_64/libx.so.1"),
            ],
        },
    ];
    let made = Made::of(&packs).await.expect("a layer");
    assert_eq!(made.text("usr/bin/tool"), "#!/bin/sh\n");
    assert_eq!(
        (made.link("bin"), made.link("lib"), made.link("lib64")),
        ("usr/bin", "usr/lib", "usr/lib64")
    );
    assert!(made.find("bin/tool").is_none() && made.find("lib32").is_none());
    assert_eq!(made.link("usr/lib/x86_64/libx.so.1"), "libx.so.1.0");
    assert_eq!(
        (made.link("usr/bin/do"), made.link("etc/alternatives/do")),
        ("/etc/alternatives/do", "/bin/tool")
    );
    assert_eq!(
        made.text("var/lib/dpkg/alternatives/do"),
        "auto\n/usr/bin/do\n\n/bin/tool\n5\n\n"
    );

    let status = made.text("var/lib/dpkg/status");
    let paragraphs: Vec<&str> = status.trim_end().split("\n\n").collect();
    assert_eq!(paragraphs.len(), 2);
    assert!(
        paragraphs[0].starts_with("Package: lib\nStatus: install ok installed\n"),
        "{status}"
    );
    // md5sum of "a=1\n"
    assert!(
        paragraphs[1].contains("\nConffiles:\n /etc/tool.conf d5e29449b9e66d5b4bb0d6ce48fbbcb1\n"),
        "{status}"
    );
    assert!(paragraphs[1].ends_with("Description: a package\n of two lines"));
    assert_eq!(
        made.text("var/lib/dpkg/info/tool.list"),
        "/bin\n/bin/tool\n/etc\n/etc/tool.conf\n/usr\n/usr/share\n/usr/share/tool\n/usr/share/tool/x\n"
    );
    assert!(made.find("var/lib/dpkg/info/lib:amd64.list").is_some());
    assert_eq!(
        made.find("var/lib/dpkg/info/tool.postinst")
            .expect("kept")
            .0
            .mode,
        0o755
    );
    assert_eq!(
        made.text("var/lib/dpkg/triggers/File"),
        "/usr/share/tool tool/noawait\n"
    );
    assert_eq!(made.text("var/lib/dpkg/triggers/named"), "tool\n");
    assert_eq!(made.text("var/lib/dpkg/info/format"), "1\n");
    assert!(made.text("etc/passwd").starts_with("root:*:0:0:"));
    assert!(
        made.entries.iter().all(|(entry, _)| entry.mtime == MTIME),
        "no other times than the packages'"
    );
    assert_eq!(made.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_packages_make_the_same_bytes_whatever_the_threads() {
    let packs: Vec<Pack> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| Pack {
            name,
            files: vec![("usr/share/common", "-> x")],
            fields: "Replaces: a, b, c, d\n",
            ..Pack::default()
        })
        .collect();
    let one = Made::of(&packs).await.expect("a layer");
    let archive = Archive::of(&packs);
    let mut context = archive.context(&["d", "c", "b", "a"]);
    context.jobs = std::num::NonZeroUsize::new(7).expect("not 0");
    let locked = resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect("goes together");
    let (_, layer, _) = make(&locked, &context).await.expect("a layer");
    assert_eq!(layer, one.layer);

    // A lock that says otherwise is refused.
    let mut other = locked.clone();
    other.layer = Some(LockedLayer {
        diff_id: Digest::of(b"other"),
        ..layer
    });
    let error = make(&other, &context).await.expect_err("not that layer");
    assert!(matches!(error, DebianError::Different { .. }));
}

#[tokio::test]
async fn who_replaces_files_wins_and_who_does_not_is_named() {
    let both = |fields| {
        [
            Pack {
                name: "a",
                files: vec![("usr/share/f", "old")],
                ..Pack::default()
            },
            Pack {
                name: "b",
                fields,
                files: vec![("usr/share/f", "new")],
                ..Pack::default()
            },
        ]
    };
    let made = Made::of(&both("Replaces: a (<< 2)\n"))
        .await
        .expect("a layer");
    assert_eq!((made.text("usr/share/f"), made.warnings.len()), ("new", 0));
    let made = Made::of(&both("Replaces: a (<< 1)\n"))
        .await
        .expect("a layer");
    assert_eq!(made.text("usr/share/f"), "old");
    assert_eq!(
        made.warnings,
        ["`/usr/share/f` is in packages a and b: kept that of a"]
    );
}

#[tokio::test]
async fn links_among_folders_are_followed_and_circles_refused() {
    let packs = [
        Pack {
            name: "a",
            files: vec![("usr/share/doc/b", "-> a"), ("usr/share/doc/a/x", "x")],
            ..Pack::default()
        },
        Pack {
            name: "b",
            files: vec![("usr/share/doc/b/y", "y")],
            ..Pack::default()
        },
    ];
    let made = Made::of(&packs).await.expect("a layer");
    assert_eq!(made.text("usr/share/doc/a/y"), "y");
    assert!(made.find("usr/share/doc/b/y").is_none());
    let circle = [
        Pack {
            name: "a",
            files: vec![("usr/one", "-> two"), ("usr/two", "-> one")],
            ..Pack::default()
        },
        Pack {
            name: "b",
            files: vec![("usr/one/y", "y")],
            ..Pack::default()
        },
    ];
    let error = Made::of(&circle).await.err().expect("a circle");
    assert!(
        full_message(&error).contains("circle of symbolic links"),
        "{}",
        full_message(&error)
    );
}

#[tokio::test]
async fn devices_and_kinds_that_contradict_each_other_are_refused() {
    let device = [Pack {
        name: "a",
        files: vec![("usr/null", "device")],
        ..Pack::default()
    }];
    let error = Made::of(&device).await.err().expect("a device");
    assert!(
        full_message(&error).contains("package `a` has a device, `usr/null`"),
        "{}",
        full_message(&error)
    );
    let contradiction = [
        Pack {
            name: "a",
            files: vec![("usr/x/y", "file")],
            ..Pack::default()
        },
        Pack {
            name: "b",
            files: vec![("usr/x", "file")],
            ..Pack::default()
        },
    ];
    let error = Made::of(&contradiction)
        .await
        .err()
        .expect("a contradiction");
    assert!(
        full_message(&error).contains("`usr/x` as a file, and package `a`"),
        "{}",
        full_message(&error)
    );
}

#[tokio::test]
async fn a_script_that_is_not_known_is_named_once() {
    let script = "#!/bin/sh\nadduser --system odd\n";
    let packs = [
        Pack {
            name: "odd",
            control: vec![("postinst", script)],
            ..Pack::default()
        },
        Pack {
            name: "plain",
            control: vec![("postinst", "#!/bin/sh\nset -e\nexit 0\n")],
            ..Pack::default()
        },
    ];
    let made = Made::of(&packs).await.expect("a layer");
    let [warning] = made.warnings.as_slice() else {
        panic!("{:?}", made.warnings)
    };
    assert!(
        warning.contains("odd") && !warning.contains("plain"),
        "{warning}"
    );
}

#[tokio::test]
async fn damaged_package_files_are_refused_by_name() {
    for (deb, expected) in [
        (
            b"nonsense that is no archive".to_vec(),
            "does not begin as an `ar` archive",
        ),
        (
            ar(&[("debian-binary", b"3.0\n".to_vec())]),
            "only 2.x is known",
        ),
        (
            ar(&[
                ("debian-binary", b"2.0\n".to_vec()),
                ("control.tar", Vec::new()),
            ]),
            "lacks control.tar or data.tar",
        ),
        (pack("a", "").deb()[..200].to_vec(), "cut off"),
    ] {
        let content = Content::Memory(deb.into());
        let locked = LockedDebian {
            origin: "debian".into(),
            suite: "tiny".into(),
            architecture: "amd64".into(),
            apt_sources: vec![],
            layer: None,
            packages: vec![LockedPackage {
                name: "a".into(),
                version: "1".into(),
                architecture: "amd64".into(),
                suite: "tiny".into(),
                filename: "a.deb".into(),
                size: content.len(),
                sha256: String::new(),
            }],
        };
        let folder = tempfile::tempdir().expect("a directory");
        let cache = LocalCache::open(folder.path()).expect("a cache");
        let error = unpack::make_layer(&locked, &[content], &cache, 1, &|_| {})
            .err()
            .expect("damaged");
        let text = crate::base::one_line(&error);
        assert!(
            text.contains("package `a` cannot be unpacked") && text.contains(expected),
            "{text}"
        );
    }
}
