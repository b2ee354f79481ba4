//! What ends up in the layer.

use super::*;

/// A layer to change.
fn lower(stage: &mut Stage) {
    let mut link = Entry::file("lower/second", 0o644, 0, 0);
    link.kind = EntryKind::HardLink(b"lower/first".to_vec());
    let mut owned = Entry::file("lower/owned", 0o640, 0, 1);
    (owned.uid, owned.gid) = (7, 42);
    stage.add(&[
        (Entry::directory("lower", 0o755, 1000), b""),
        (Entry::file("lower/kept", 0o644, 1000, 1), b"k"),
        (Entry::file("lower/gone", 0o644, 1000, 1), b"g"),
        (Entry::file("lower/first", 0o644, 1000, 1), b"f"),
        (link, b""),
        (owned, b"o"),
        (Entry::directory("lower/folder", 0o755, 1000), b""),
        (Entry::file("lower/folder/inside", 0o644, 1000, 1), b"i"),
        (Entry::directory("lower/replaced", 0o755, 1000), b""),
        (Entry::file("lower/replaced/old", 0o644, 1000, 1), b"r"),
    ]);
}

#[test]
fn nothing_changed_is_no_layer() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    assert_eq!(
        stage.run("ls / >/dev/null; touch /tmp; rm -f /none"),
        ["tmp/"]
    );
    assert!(stage.run("cat /bin/sh >/dev/null").is_empty());
    assert_eq!(stage.layers.len(), 2);
}

#[test]
fn changes_are_told_in_order_and_alone() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    lower(&mut stage);
    let paths = stage.run(
        "echo more >> /lower/kept; rm /lower/gone; rm -r /lower/folder; \
         rm -r /lower/replaced; mkdir /lower/replaced; echo n > /lower/replaced/new; \
         ln -s kept /lower/link; ln /lower/replaced/new /lower/zz; mkfifo /lower/pipe",
    );
    assert_eq!(
        paths,
        [
            "lower/",
            "lower/.wh.folder",
            "lower/.wh.gone",
            "lower/kept",
            "lower/link -> kept",
            "lower/pipe",
            "lower/replaced/",
            "lower/replaced/.wh..wh..opq",
            "lower/replaced/new",
            "lower/zz = lower/replaced/new",
        ]
    );
}

#[test]
fn a_file_with_two_names_keeps_both() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    lower(&mut stage);
    let paths = stage.run("echo more >> /lower/second");
    assert_eq!(paths, ["lower/first", "lower/second = lower/first"]);
    let paths = stage.run("rm /lower/first");
    assert_eq!(paths, ["lower/", "lower/.wh.first", "lower/second"]);
}

#[test]
fn files_and_folders_take_each_others_place() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    lower(&mut stage);
    let paths =
        stage.run("rm -r /lower/folder; echo f > /lower/folder; rm /lower/kept; mkdir /lower/kept");
    assert_eq!(paths, ["lower/", "lower/folder", "lower/kept/"]);
    let tree = stage.tree(&stage.layers);
    assert!(!tree.contains_key("lower/folder/inside"), "{tree:#?}");
}

#[test]
fn the_same_changes_are_the_same_bytes() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    lower(&mut stage);
    let mut step = shell("echo a > /new; mkdir /lower/more; touch -d @500 /old");
    step.newest = 2000;
    let mut sandbox = stage.sandbox();
    sandbox.forget();
    let first = sandbox.execute(&stage.layers, &step).expect("runs");
    let again = stage.sandbox();
    let mut again = again;
    again.forget();
    let second = again.execute(&stage.layers, &step).expect("runs");
    let layer = first.layer.expect("a layer");
    assert_eq!(layer.diff_id, second.layer.expect("a layer").diff_id);
    let times: Vec<_> = members(&layer)
        .iter()
        .map(|it| (shown(it), it.mtime))
        .collect();
    let expected = [
        ("lower/", 2000),
        ("lower/more/", 2000),
        ("new", 2000),
        ("old", 500),
    ];
    assert_eq!(times, expected.map(|(path, time)| (path.to_owned(), time)));
}

#[test]
fn owners_are_kept_where_root_runs_it() {
    if !is_root() {
        return skipped("only root can set owners");
    }
    let Some(mut stage) = Stage::new() else {
        return;
    };
    lower(&mut stage);
    stage.run("echo x >> /lower/owned; echo y > /mine; chown 12:34 /mine; chmod 4755 /mine");
    let tree = stage.tree(&stage.layers);
    assert!(tree["lower/owned"].starts_with("640 7:42 "), "{tree:#?}");
    assert!(tree["mine"].starts_with("4755 12:34 "), "{tree:#?}");
}

#[test]
fn anybody_keeps_what_the_layers_say_of_owners() {
    let Some(mut stage) = Stage::of_anybody() else {
        return;
    };
    lower(&mut stage);
    let before = stage.layers.len();
    stage.run(
        "echo x >> /lower/owned; echo y > /mine; chown 12:34 /mine; \
         mknod /device c 1 3; cp /lower/owned /lower/copy",
    );
    let owners: BTreeMap<String, (u64, u64)> = members(&stage.layers[before])
        .iter()
        .map(|it| (shown(it), (it.uid, it.gid)))
        .collect();
    let expected = [
        ("lower/", (0, 0)),
        ("lower/copy", (0, 0)),
        ("lower/owned", (7, 42)),
        ("mine", (0, 0)),
    ];
    let expected = expected.map(|(path, owner)| (path.to_owned(), owner));
    assert_eq!(owners, expected.into_iter().collect());
}

#[test]
fn what_forbids_reading_is_read_all_the_same() {
    let Some(mut stage) = Stage::of_anybody() else {
        return;
    };
    let paths = stage.run(
        "mkdir -p /closed/deep; echo a > /closed/deep/file; ln -s file /closed/deep/link
         cd /closed/deep; chmod 0 file . ..",
    );
    let all = [
        "closed/",
        "closed/deep/",
        "closed/deep/file",
        "closed/deep/link -> file",
    ];
    assert_eq!(paths, all);
    let paths = stage.run("echo b > /closed/other");
    assert!(paths.contains(&"closed/other".to_owned()), "{paths:?}");
}
