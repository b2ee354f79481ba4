//! What is refused, and with which words.

use oci_format::layer::merge::{LayerMerge, MergeError, MergeFault};
use oci_format::layer::tar::{PathFault, TarReader};
use oci_format::layer::{Entry, EntryKind};

use super::notation::{merge, merge_entries};

fn fault(layers: &[&str]) -> MergeFault {
    match merge(layers) {
        Err(MergeError::Member { fault, .. }) => fault,
        other => panic!("{layers:?}: {other:?}"),
    }
}

fn entry_fault(entry: Entry) -> MergeFault {
    match merge_entries(&[vec![entry]]) {
        Err(MergeError::Member { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_names_layer_and_member() {
    let error = merge(&["f a", "f ok\n h d/b missing"]).expect_err("a link to nothing");
    assert_eq!(
        error.to_string(),
        "layers[1]: `d/b` (member 1): it is a hard link to `missing`, which is not there; it must \
         come before its links"
    );
    let mut broken = LayerMerge::new();
    let error = broken
        .apply_layer(&mut TarReader::new(&[1_u8; 512][..]))
        .expect_err("not a tar stream");
    assert_eq!(error.to_string(), "layers[0]: after 0 members");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn members_that_contradict_the_tree_are_errors() {
    let missing = |path: &str| MergeFault::LinkTargetMissing(path.into());
    assert_eq!(fault(&["f ."]), MergeFault::Root);
    assert_eq!(fault(&["s . x"]), MergeFault::Root);
    assert_eq!(fault(&["h a b\n f b"]), missing("b"));
    assert_eq!(
        fault(&["f a\n h a a"]),
        missing("a"),
        "the link has removed it"
    );
    assert_eq!(fault(&["f d/a\n h d d/a"]), missing("d/a"));
    assert_eq!(fault(&["f a\n h b a/x"]), missing("a/x"));
    assert_eq!(fault(&["f a", "f .wh.a\n h b a"]), missing("a"));
    assert_eq!(
        fault(&["d d\n h b d"]),
        MergeFault::LinkToDirectory("d".into())
    );
    assert_eq!(fault(&["s a b\n s b a\n f a/x"]), MergeFault::LinkLoop);
    assert_eq!(fault(&["s a a/b\n f a/x"]), MergeFault::LinkLoop);
    assert_eq!(fault(&["s a a\n f a/.wh.x"]), MergeFault::LinkLoop);
    for name in [".wh.", ".wh..", ".wh..."] {
        assert_eq!(
            fault(&["f d/x", &format!("f d/{name}")]),
            MergeFault::Whiteout,
            "{name}"
        );
    }
}

#[test]
fn two_hundred_and_fifty_five_links_are_followed_and_no_more() {
    let chain = |count: usize| {
        let links: String = (0..count)
            .map(|at| format!("s l{at} l{}\n", at + 1))
            .collect();
        format!("{links}d l{count}\nf l0/x")
    };
    assert!(merge(&[&chain(255)]).is_ok());
    assert_eq!(fault(&[&chain(256)]), MergeFault::LinkLoop);
}

#[test]
fn what_linux_cannot_store_is_an_error() {
    let long = "n".repeat(256);
    assert_eq!(fault(&[&format!("f {long}")]), MergeFault::NameTooLong(256));
    assert_eq!(
        fault(&[&format!("f {long}/a")]),
        MergeFault::NameTooLong(256)
    );
    assert!(merge(&[&format!("f d/.wh.{}", &long[1..])]).is_ok());
    assert_eq!(
        fault(&[&format!("f d/.wh.{long}")]),
        MergeFault::NameTooLong(256)
    );
    assert_eq!(
        fault(&["f a", &format!("s l {long}\n f l/x")]),
        MergeFault::NameTooLong(256)
    );

    // Each path is short enough; through the link they add up.
    let half = vec!["n".repeat(250); 9].join("/");
    let stack = format!("d {half}\ns l {half}\n");
    assert!(merge(&[&format!("{stack}d l/{}", &half[..1500])]).is_ok());
    assert_eq!(
        fault(&[&format!("{stack}d l/{half}")]),
        MergeFault::PathTooLong
    );

    let file = || Entry::file("a", 0o644, 0, 0);
    let owner = |field, value| MergeFault::Owner { field, value };
    assert_eq!(
        entry_fault(Entry {
            uid: 1 << 32,
            ..file()
        }),
        owner("user", 1 << 32)
    );
    assert_eq!(
        entry_fault(Entry {
            gid: 0xffff_ffff,
            ..file()
        }),
        owner("group", 0xffff_ffff)
    );
    for (major, minor) in [(4096, 0), (0, 1 << 20)] {
        let kind = EntryKind::BlockDevice(major, minor);
        assert_eq!(
            entry_fault(Entry { kind, ..file() }),
            MergeFault::Device(major, minor)
        );
    }
    let xattrs = vec![(b"user.a".to_vec(), vec![0; 65537])];
    assert_eq!(
        entry_fault(Entry { xattrs, ..file() }),
        MergeFault::Xattr("user.a".into())
    );
}

#[test]
fn entries_that_no_reader_would_give_are_errors() {
    for (path, fault) in [
        ("/a", PathFault::Absolute),
        ("a//b", PathFault::NotNormal),
        ("a/", PathFault::NotNormal),
        ("./a", PathFault::NotNormal),
        ("a/../b", PathFault::ParentComponent),
        ("..", PathFault::ParentComponent),
        ("a\0b", PathFault::Nul),
    ] {
        assert_eq!(
            entry_fault(Entry::file(path, 0o644, 0, 0)),
            MergeFault::Path(fault),
            "{path:?}"
        );
        let kind = EntryKind::HardLink(path.into());
        let link = Entry {
            kind,
            ..Entry::file("x", 0o644, 0, 0)
        };
        assert_eq!(entry_fault(link), MergeFault::Path(fault), "{path:?}");
    }
    let too_long = vec!["n"; 3000].join("/");
    let long = MergeFault::Path(PathFault::TooLong);
    assert_eq!(
        entry_fault(Entry::file(too_long.clone(), 0o644, 0, 0)),
        long
    );
    for (target, fault) in [
        ("", PathFault::Empty),
        ("a\0", PathFault::Nul),
        (&*too_long, PathFault::TooLong),
    ] {
        assert_eq!(
            entry_fault(Entry::symlink("l", target, 0)),
            MergeFault::SymlinkTarget(fault)
        );
    }
}
