//! The cases, and what the finished tree says beside its lines.

use oci_format::layer::merge::{Kind, LayerMerge};
use oci_format::layer::tar::{TarReader, TarWriter};
use oci_format::layer::{Entry, EntryKind};

use super::cases::{CASES, CASES_BELOW_FILES};
use super::notation::{layer, lines, merge, merge_entries};

#[test]
fn every_stack_makes_its_tree() {
    for case in CASES.iter().chain(CASES_BELOW_FILES) {
        let tree = merge(case.layers).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(lines(&tree), case.tree, "{}", case.name);
    }
}

#[test]
fn wanted_members_are_those_whose_content_is_in_the_tree() {
    let tree = merge(&[
        "f b\n f a\n f gone\n f replaced\n h c b\n s l a",
        "f .wh.gone\n f replaced\n d d\n f d/x\n f .wh.b",
    ])
    .expect("layers");
    let wanted = |layer| -> Vec<(u32, Vec<Vec<u8>>)> {
        tree.wanted(layer)
            .iter()
            .map(|wanted| {
                let names = tree.names(wanted.file).map(|node| node.path());
                (wanted.ordinal, names.collect())
            })
            .collect()
    };
    let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    assert_eq!(
        wanted(0),
        [(0, names(&["c"])), (1, names(&["a"]))],
        "`b` has gone, its content is `c`'s"
    );
    assert_eq!(wanted(1), [(1, names(&["replaced"])), (3, names(&["d/x"]))]);
    assert_eq!(tree.wanted(2), [], "there is no such layer");
    assert_eq!(tree.layer_count(), 2);
}

#[test]
fn the_names_of_one_file_are_found_from_each() {
    let tree = merge(&["f d/a\n h b d/a\n h d/z b\n f other"]).expect("layers");
    let nodes: Vec<_> = tree.nodes().collect();
    let names: Vec<_> = tree
        .names(tree.get(b"d/z").expect("it is there").file())
        .map(|node| String::from_utf8_lossy(&node.path()).into_owned())
        .collect();
    assert_eq!(names, ["b", "d/a", "d/z"]);
    assert_eq!(
        (nodes.len(), tree.file_count()),
        (6, 4),
        "root, d, other, one of three names"
    );
    // Files are numbered by their first names.
    let firsts: Vec<usize> = nodes.iter().map(|node| node.file().index()).collect();
    assert_eq!(firsts, [0, 1, 2, 1, 1, 3]);
}

#[test]
fn nodes_are_found_by_path_and_by_walking() {
    let mut text = String::new();
    for directory in 0..10 {
        for file in 0..37 {
            text.push_str(&format!("f d{directory}/sub/f{file}\n"));
        }
    }
    let tree = merge(&[&text]).expect("layers");
    for node in tree.nodes() {
        let found = tree.get(&node.path()).expect("its own path");
        assert_eq!(found.id(), node.id());
        assert_eq!(tree.node(node.id()).path(), node.path());
        for child in node.children() {
            assert_eq!(child.parent().map(|parent| parent.id()), Some(node.id()));
        }
        let names: Vec<_> = node.children().map(|child| child.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
    assert_eq!(tree.root().children().count(), 10);
    let sub = tree.get(b"d3/sub").expect("it is there");
    assert_eq!(sub.children().count(), 37);
    for path in [
        "d",
        "d3/sub/f37",
        "d3/sub/f3/x",
        "d10",
        "d3/",
        "/d3",
        "d3//sub",
    ] {
        assert!(tree.get(path.as_bytes()).is_none(), "{path}");
    }
}

#[test]
fn attributes_that_mean_something_elsewhere_are_kept() {
    let names = [
        "foreign",
        "security.capability",
        "security.selinux",
        "system.nfs4_acl",
        "system.posix_acl_access",
        "trusted.overlay.opaque",
        "user.overlay.origin",
        "user.text",
    ];
    let xattrs: Vec<_> = names
        .iter()
        .map(|name| (name.as_bytes().to_vec(), b"v".to_vec()))
        .collect();
    let with = |kind: EntryKind, path: &str| Entry {
        kind,
        xattrs: xattrs.clone(),
        ..Entry::file(path, 0o644, 1, 0)
    };
    let tree = merge_entries(&[vec![
        with(EntryKind::File, "f"),
        with(EntryKind::Directory, "d"),
        with(EntryKind::Symlink(b"f".to_vec()), "l"),
        with(EntryKind::Fifo, "p"),
        with(EntryKind::HardLink(b"f".to_vec()), "h"),
        Entry::file("plain", 0o644, 1, 0),
    ]])
    .expect("layers");
    let kept = |path: &str| -> Vec<String> {
        let node = tree.get(path.as_bytes()).expect("it is there");
        let names = node.xattrs().iter();
        names
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect()
    };
    let all = [
        "security.capability",
        "system.posix_acl_access",
        "trusted.overlay.opaque",
        "user.overlay.origin",
        "user.text",
    ];
    assert_eq!(kept("f"), all);
    assert_eq!(kept("h"), all, "those of the file itself");
    assert_eq!(kept("d"), all);
    assert_eq!(kept("l"), ["security.capability", "trusted.overlay.opaque"]);
    assert_eq!(kept("p"), all[..3]);
    assert!(kept("plain").is_empty());

    // A later member takes the attributes of a directory away.
    let tree = merge_entries(&[
        vec![with(EntryKind::Directory, "d")],
        vec![Entry::directory("d", 0o755, 1)],
    ])
    .expect("layers");
    assert!(tree.get(b"d").expect("it is there").xattrs().is_empty());
}

#[test]
fn a_tar_stream_is_applied_member_by_member() {
    let mut writer = TarWriter::new(Vec::new());
    let long = "n".repeat(200);
    let entries = [
        Entry::directory("d", 0o755, 7),
        Entry::file(format!("d/{long}"), 0o644, 7, 3),
        Entry::symlink("l", "d", 7),
        Entry::file(format!("l/.wh.{long}"), 0o644, 7, 0),
        Entry::file("l/last", 0o600, 7, 4),
    ];
    for entry in &entries {
        writer
            .append_bytes(entry, &b"content"[..entry.size as usize])
            .expect("memory takes all");
    }
    let bytes = writer.finish().expect("memory takes all");
    let mut merge = LayerMerge::default();
    let mut reader = TarReader::new(bytes.as_slice());
    merge.apply_layer(&mut reader).expect("a good layer");
    assert!(reader.into_inner().is_empty(), "read to its end");
    merge
        .apply_layer(&mut TarReader::new(bytes.as_slice()))
        .expect("the same once more");
    let tree = merge.finish();
    let file = tree.get(b"d/last").expect("it is there");
    assert!(
        matches!(file.kind(), Kind::File { size: 4, source } if (source.layer, source.ordinal) == (1, 4))
    );
    // In its own layer the whiteout came after the file, so the file stays; it is the upper one.
    let file = tree
        .get(format!("d/{long}").as_bytes())
        .expect("it is there");
    assert!(
        matches!(file.kind(), Kind::File { size: 3, source } if (source.layer, source.ordinal) == (1, 1))
    );
}

#[test]
fn the_same_layers_make_the_same_tree_whatever_the_chance_of_hashing() {
    let text: String = (0..300)
        .map(|number| format!("f d{}/f{number}\n", number % 7))
        .collect();
    let layers = [
        layer(0, &text),
        layer(1, "f .wh.d3\n f d4/.wh..wh..opq\n h x d5/f5"),
    ];
    let first = merge_entries(&layers).expect("layers");
    for _ in 0..3 {
        let again = merge_entries(&layers).expect("layers");
        assert_eq!(lines(&first), lines(&again));
        assert_eq!(first.wanted(0), again.wanted(0));
    }
}
