//! Locks survive writing and reading, and contradictions are found.

use super::*;

pub(crate) fn hash(letter: char) -> DagHash {
    letter.to_string().repeat(32).parse().expect("a DAG hash")
}

/// A lock of two packages: `curl` needs `zlib`.
pub(crate) fn lock() -> Lock {
    let package = |name: &str, letter: char| LockedPackage {
        name: name.to_owned(),
        version: "1.0".to_owned(),
        hash: hash(letter),
        relocated_from: None,
        made: None,
        prefix: format!("/opt/software/{name}"),
        blob: Digest::of(name.as_bytes()),
        size: 10,
        compression: "gzip".to_owned(),
        diff_id: Digest::of(b"tar"),
        signed_by: None,
    };
    let layer = |letter: char| LockedLayer {
        packages: vec![hash(letter)],
        digest: Digest::of(b"layer"),
        size: 10,
        diff_id: Digest::of(b"tar"),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
    };
    Lock {
        version: LOCK_VERSION,
        container: LockedContainer {
            name: "small".to_owned(),
            arch: "amd64".to_owned(),
            version: "1.0".to_owned(),
            definition: Digest::of(b"definition"),
            base_settings: Digest::of(b"base"),
        },
        spack: LockedSpack {
            lock: Digest::of(b"lock"),
            lockfile_version: 6,
            version: Some("1.1.0".to_owned()),
            commit: None,
            target: Some("x86_64_v3".to_owned()),
        },
        install: LockedInstall {
            store: "/opt/software/padded".to_owned(),
            root: "/opt/software".to_owned(),
            views: vec!["/opt/view".to_owned()],
            environment_from: "prefix inspections".to_owned(),
        },
        environment: IndexMap::from([("PATH".to_owned(), "/opt/view/bin:/usr/bin".to_owned())]),
        slim: None,
        recipes: Some(LockedRecipes {
            spack: "1.1.0".to_owned(),
            unknown: vec![hash('b')],
            packages: vec![LockedRecipe {
                name: "zlib".to_owned(),
                hash: hash('a'),
                sets: vec![LockedModification {
                    command: "prepend_path".to_owned(),
                    name: "FLAGS".to_owned(),
                    value: format!("-L{{{}}}/lib", hash('a')),
                    separator: " ".to_owned(),
                }],
            }],
        }),
        base: LockedBase::Scratch,
        packages: vec![package("zlib", 'a'), package("curl", 'b')],
        layers: vec![layer('a'), layer('b')],
    }
}

#[test]
fn what_was_done_to_packages_survives() {
    let mut lock = lock();
    lock.slim = Some(LockedSlim {
        profile: Profile::Runtime,
        debug: Symbols::Separate,
        rules: [1, 1],
        compression: Some("zstd 3".to_owned()),
    });
    lock.packages[0].made = Some(LockedArchive {
        rules: "ab".to_owned(),
        digest: Digest::of(b"new"),
        size: 5,
        diff_id: Digest::of(b"new tar"),
        debug: Some(Digest::of(b"debug")),
    });
    let text = print(&lock).expect("text");
    assert_eq!(parse(&text), Ok(lock));
    assert!(
        text.contains("[slim]\nprofile = \"runtime\"\ndebug = \"separate\""),
        "{text}"
    );
    assert!(text.contains("[package.made]"), "{text}");
}

#[test]
fn a_lock_survives_writing_and_reading() {
    let text = print(&lock()).expect("prints");
    assert_eq!(parse(&text).expect("reads"), lock());
    assert_eq!(print(&parse(&text).expect("reads")).expect("prints"), text);
}

#[test]
fn a_newer_lock_is_named_as_such_even_if_its_keys_are_unknown() {
    let text = "version = 99\n[surprise]\nkey = 1\n";
    assert_eq!(parse(text), Err(LockError::Newer { found: 99 }));
}

#[test]
fn a_package_in_no_layer_and_a_layer_of_unknown_packages_are_contradictions() {
    let mut unplaced = lock();
    unplaced.layers.pop();
    let text = print(&unplaced).expect("prints");
    assert!(
        matches!(parse(&text), Err(LockError::Inconsistent(what)) if what.contains("curl@1.0"))
    );
    let mut unknown = lock();
    unknown.packages.pop();
    let text = print(&unknown).expect("prints");
    assert!(matches!(parse(&text), Err(LockError::Inconsistent(_))));
}

#[test]
fn a_fault_says_where_it_is() {
    let text = print(&lock())
        .expect("prints")
        .replace("size = 10", "size = \"ten\"");
    let Err(LockError::Malformed {
        span: Some(span), ..
    }) = parse(&text)
    else {
        panic!("no place")
    };
    assert!(text[span].contains("ten"));
}
