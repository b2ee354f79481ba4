//! Large and hostile layers: time grows with the members, not with their product.
//!
//! The speed of 300,000 members, and the memory they take, is told by
//! `cargo test --release -p oci-format --test merge speed -- --nocapture`.

use std::io::Write;
use std::time::{Duration, Instant};

use oci_format::layer::Entry;
use oci_format::layer::merge::{LayerMerge, MergedTree};

/// Far more than linear time takes even unoptimised on a busy machine, far less than quadratic time.
const LIMIT: Duration = Duration::from_secs(20);

fn timed(what: &str, work: impl FnOnce() -> MergedTree) -> MergedTree {
    let began = Instant::now();
    let tree = work();
    let took = began.elapsed();
    assert!(took < LIMIT, "{what} took {took:?}");
    tree
}

fn file(path: String) -> Entry {
    Entry::file(path, 0o644, 1, 1)
}

fn apply(merge: &mut LayerMerge, entries: impl IntoIterator<Item = Entry>) {
    let mut layer = merge.begin_layer();
    for entry in entries {
        layer.apply(&entry).expect("a good member");
    }
}

const MANY: usize = 100_000;

#[test]
fn opaque_whiteouts_of_a_huge_directory_over_and_over() {
    let tree = timed("sweeping", || {
        let mut merge = LayerMerge::new();
        apply(&mut merge, (0..MANY).map(|at| file(format!("d/{at}"))));
        let opaque = || file("d/.wh..wh..opq".into());
        apply(
            &mut merge,
            (0..MANY).flat_map(|at| [file(format!("d/n{at}")), opaque()]),
        );
        // Emptied once, it costs nothing to be emptied again.
        for _ in 0..200 {
            apply(&mut merge, [opaque()]);
        }
        merge.finish()
    });
    assert_eq!(tree.nodes().len(), 2);
}

#[test]
fn whiteouts_one_by_one_and_of_what_is_not_there() {
    let tree = timed("whiteouts", || {
        let mut merge = LayerMerge::new();
        apply(&mut merge, (0..MANY).map(|at| file(format!("d/{at}"))));
        apply(&mut merge, (0..MANY).map(|at| file(format!("d/.wh.{at}"))));
        apply(&mut merge, (0..MANY).map(|at| file(format!("d/.wh.{at}"))));
        merge.finish()
    });
    assert_eq!(tree.nodes().len(), 2);
}

#[test]
fn a_directory_replaced_over_and_over() {
    let tree = timed("replacing", || {
        let mut merge = LayerMerge::new();
        apply(&mut merge, (0..1000).map(|at| file(format!("d/{at}"))));
        apply(
            &mut merge,
            (0..MANY / 2).flat_map(|_| [file("d".into()), file("d/a/b/c".into())]),
        );
        merge.finish()
    });
    assert_eq!(tree.nodes().len(), 5);
}

#[test]
fn deep_directories_and_whiteouts_at_their_ends() {
    // As deep as a path can be.
    let deep = vec!["d"; 2000].join("/");
    let tree = timed("deep paths", || {
        let mut merge = LayerMerge::new();
        apply(&mut merge, (0..2000).map(|at| file(format!("{deep}/{at}"))));
        apply(
            &mut merge,
            (0..2000).map(|at| file(format!("{deep}/.wh.{at}"))),
        );
        apply(
            &mut merge,
            (0..1000).map(|at| file(format!("{}/.wh..wh..opq", &deep[..deep.len() - 2 * at]))),
        );
        merge.finish()
    });
    assert_eq!(
        tree.nodes().len(),
        1001 + 1,
        "the root, and what is not below an opaque one"
    );
    drop(tree);
}

#[test]
fn links_that_multiply_each_other_come_to_an_end() {
    let tree = timed("links", || {
        let mut merge = LayerMerge::new();
        // Each goes twice through the one before: 2^60 steps, if they were all taken.
        let links = (1..60).map(|at| {
            let target = format!("l{}/../l{}/..", at - 1, at - 1);
            Entry::symlink(format!("l{at}"), target, 1)
        });
        apply(
            &mut merge,
            [Entry::directory("l0", 0o755, 1)].into_iter().chain(links),
        );
        let mut layer = merge.begin_layer();
        assert!(layer.apply(&file("l59/x".into())).is_err());
        merge.finish()
    });
    assert_eq!(tree.nodes().len(), 61);
}

#[test]
fn names_of_one_file_without_number() {
    let tree = timed("hard links", || {
        let mut merge = LayerMerge::new();
        let link = |at| Entry {
            kind: oci_format::layer::EntryKind::HardLink(b"a".to_vec()),
            ..file(format!("d/{at}"))
        };
        apply(
            &mut merge,
            [file("a".into())].into_iter().chain((0..MANY).map(link)),
        );
        merge.finish()
    });
    let names = tree.names(tree.get(b"a").expect("it is there").file());
    assert_eq!(names.count(), MANY + 1);
}

/// Members as an image of packages has them: directories before their files, many short names that
/// come again in every package, in four layers.
fn packages(count: usize) -> Vec<Vec<Entry>> {
    let mut layers = vec![Vec::new(); 4];
    for at in 0..count / 50 {
        let layer = &mut layers[at * 4 / (count / 50).max(1)];
        let prefix =
            format!("opt/software/linux-x86_64_v3/package-{at}-abcdefghijklmnopqrstuvwxyz");
        layer.push(Entry::directory(prefix.clone(), 0o755, 1));
        for folder in ["bin", "include", "lib", "share/man/man1"] {
            layer.push(Entry::directory(format!("{prefix}/{folder}"), 0o755, 1));
        }
        for file in 0..40 {
            let folder = ["bin", "include", "lib", "share/man/man1"][file / 10];
            let name = match file % 10 {
                0 => format!("{prefix}/{folder}/lib{at}.so.{file}"),
                _ => format!("{prefix}/{folder}/common_file_name_{file}.h"),
            };
            layer.push(Entry::file(name, 0o644, 1, 100));
        }
        for link in 0..5 {
            layer.push(Entry::symlink(
                format!("{prefix}/lib/l{link}"),
                "lib.so.1",
                1,
            ));
        }
    }
    layers
}

#[test]
fn speed() {
    let count = if cfg!(debug_assertions) {
        30_000
    } else {
        300_000
    };
    let layers = packages(count);
    let began = Instant::now();
    let mut merge = LayerMerge::new();
    for layer in &layers {
        let mut applied = merge.begin_layer();
        for entry in layer {
            applied.apply(entry).expect("a good member");
        }
    }
    let applied = began.elapsed();
    let tree = merge.finish();
    let finished = began.elapsed();
    let members: usize = layers.iter().map(Vec::len).sum();
    let rate = members as f64 / applied.as_secs_f64() / 1e6;
    let _ = writeln!(
        std::io::stderr(),
        "{members} members applied in {applied:.1?} ({rate:.1} million a second), tree finished after \
         {finished:.1?}"
    );
    assert_eq!(
        tree.nodes().len(),
        members + 4 + count / 50 * 2,
        "implied: 3, root, share and share/man"
    );
    assert!(finished < LIMIT);
}
