//! One digest for a tree: the serialisation byte by byte, and what changes it.

use oci_format::Digest;
use oci_format::layer::merge::digest::{TreeContent, TreeDigestError, TreeEntry, TreeHasher};
use oci_format::layer::merge::{MergedTree, tree_digest};
use oci_format::layer::{Entry, EntryKind};

use super::notation::{merge, merge_entries};

/// Content by the member it comes from, so that it does not depend on the numbering of files.
fn digest(tree: &MergedTree) -> Digest {
    let content = |file| {
        let node = tree.names(file).next()?;
        Some(Digest::of(format!("{:?}", node.kind()).as_bytes()))
    };
    tree_digest(tree, content).expect("contents are known")
}

#[test]
fn what_is_hashed_is_what_the_documentation_says() {
    let content = Digest::of(b"hello");
    let file = Entry {
        uid: 1000,
        gid: 0x0102_0304,
        xattrs: vec![
            (b"user.b".to_vec(), b"2".to_vec()),
            (b"user.a".to_vec(), b"1".to_vec()),
        ],
        ..Entry::file("d/f", 0o4755, 9, 5)
    };
    let device = Entry {
        kind: EntryKind::CharacterDevice(5, 1),
        ..Entry::file("d/c", 0o600, 9, 0)
    };
    let tree = merge_entries(&[vec![file, device, Entry::symlink("l", "d/f", 9)]]).expect("layers");

    let mut bytes = b"oci-format tree 1\0".to_vec();
    let root = b"\0\0\0\0 d \0\0\x01\xed \0\0\0\0 \0\0\0\0 \0\0\0\0";
    let d = b"\0\0\0\x01d d \0\0\x01\xed \0\0\0\0 \0\0\0\0 \0\0\0\0";
    let d_c = b"\0\0\0\x03d/c c \0\0\x01\x80 \0\0\0\0 \0\0\0\0 \0\0\0\x05 \0\0\0\x01 \0\0\0\0";
    let d_f = b"\0\0\0\x03d/f f \0\0\x09\xed \0\0\x03\xe8 \x01\x02\x03\x04 ";
    let d_f_xattrs = b"\0\0\0\x02 \0\0\0\x06user.a \0\0\0\x011 \0\0\0\x06user.b \0\0\0\x012";
    let l = b"\0\0\0\x01l l \0\0\x01\xff \0\0\0\0 \0\0\0\0 \0\0\0\x03d/f \0\0\0\0";
    // Spaces are for the eye; no number, name or target above has one.
    let mut put = |part: &[u8]| bytes.extend(part.iter().filter(|byte| **byte != b' '));
    put(root);
    put(d);
    put(d_c);
    put(d_f);
    bytes.extend_from_slice(content.as_bytes());
    let mut put = |part: &[u8]| bytes.extend(part.iter().filter(|byte| **byte != b' '));
    put(d_f_xattrs);
    put(l);

    let made = tree_digest(&tree, |_| Some(content)).expect("contents are known");
    assert_eq!(made, Digest::of(&bytes));
}

#[test]
fn times_and_hard_links_do_not_count() {
    let one = merge(&["d d\n f d/a\n h b d/a"]).expect("layers");
    // `d` has another time, and the members have others; the file has the same source.
    let other = merge(&["d x\n f d/a\n d d\n h b d/a", "f .wh.x"]).expect("layers");
    assert_eq!(digest(&one), digest(&other));

    let linked = merge(&["f a\n h b a"]).expect("layers");
    let apart = merge(&["f a\n f b"]).expect("layers");
    let same = Some(Digest::of(b"the same content"));
    assert_eq!(
        tree_digest(&linked, |_| same),
        tree_digest(&apart, |_| same)
    );
}

#[test]
fn all_else_counts() {
    let stacks: &[&[&str]] = &[
        &["f a"],
        &["f b"],
        &["f a 600"],
        &["f a 640 1:0"],
        &["f a 640 0:1"],
        &["d a 640"],
        &["s a x"],
        &["s a y"],
        &["p a"],
        &["c a 1 2"],
        &["c a 2 1"],
        &["d x", "f .wh.x\n f a"],
        &["f a\n f b"],
        &["f a/b"],
        &["d . 700\n f a"],
        &[],
    ];
    let digests: std::collections::BTreeSet<Digest> = stacks
        .iter()
        .map(|stack| digest(&merge(stack).expect("layers")))
        .collect();
    assert_eq!(digests.len(), stacks.len());
}

#[test]
fn entries_out_of_order_and_missing_contents_are_errors() {
    let entry = |path| TreeEntry {
        path,
        content: TreeContent::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        xattrs: &[],
    };
    let mut hasher = TreeHasher::new();
    for path in ["", "a", "a/b", "a/b/c", "a/c", "a-b", "b"] {
        assert_eq!(hasher.push(&entry(path.as_bytes())), Ok(()), "{path}");
    }
    for path in ["", "a", "a-b", "b"] {
        let error = TreeDigestError::Order(path.into());
        assert_eq!(hasher.push(&entry(path.as_bytes())), Err(error), "{path}");
    }
    let tree = merge(&["f d/a"]).expect("layers");
    let error = TreeDigestError::Content("d/a".into());
    assert_eq!(tree_digest(&tree, |_| None), Err(error));
}
