//! Many writers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;

use super::made::{Stage, catalog, destination, hash, trust};
use super::pausing::Pausing;
use crate::build_cache::{
    IndexScope, PushOptions, Pushed, list, push_installed, update_index, verify,
};
use crate::mirror::{FolderWriter, SharedWriter};
use crate::test_support::moto::Moto;

const WRITERS: usize = 50;

/// Each pushes a package of its own, and one that all have; then each updates the index.
async fn push_at_once(stage: &Stage, names: &[String], writers: Vec<SharedWriter>, pause: u64) {
    let (tree, context) = (stage.tree(), stage.context());
    let reader = Arc::clone(&writers[0]);
    let jobs = writers.into_iter().zip(names).map(|(writer, name)| {
        let (tree, context) = (&tree, &context);
        async move {
            let paused = Pausing::new(&writer, pause) as SharedWriter;
            let target = destination(&paused, PushOptions::default());
            let own = push_installed(tree, &hash(name), &target, context).await;
            assert!(matches!(own, Ok(Pushed::Written { .. })), "{own:?}");
            let shared = push_installed(tree, &hash("shared"), &target, context).await;
            assert!(
                matches!(shared, Ok(Pushed::Written { .. } | Pushed::Present)),
                "{shared:?}"
            );
            let index = update_index(&paused, IndexScope::Pending, context).await;
            index.expect("an index")
        }
    });
    join_all(jobs).await;
    let listed = list(&catalog(&reader)).await.expect("a list");
    let indexed: BTreeSet<&str> = listed
        .iter()
        .filter(|it| it.is_indexed)
        .map(|it| it.name.as_str())
        .collect();
    let mut expected: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    expected.insert("shared");
    assert_eq!(indexed, expected, "no entry is lost");
    let last = update_index(&reader, IndexScope::Pending, &context).await;
    assert_eq!(last.expect("an index").added, 0);
    let marks = reader.list(".spacktainers/pending").await.expect("a list");
    assert_eq!(
        marks,
        Vec::<String>::new(),
        "all that is indexed is unmarked"
    );
    let report = verify(&catalog(&reader), &trust(), &context)
        .await
        .expect("a report");
    assert_eq!(report.faults.len(), 0, "{:?}", report.faults);
}

fn stage() -> (Stage, Vec<String>) {
    let names: Vec<String> = (0..WRITERS).map(|number| format!("p{number:02}")).collect();
    let mut packages = vec![("shared", "1.0", &[][..])];
    packages.extend(
        names
            .iter()
            .map(|name| (name.as_str(), "1.0", &["shared"][..])),
    );
    (Stage::with(&packages), names)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_of_a_folder_lose_nothing() {
    let (stage, names) = stage();
    let writers = (0..WRITERS)
        .map(|_| Arc::new(FolderWriter::new(stage.path("m"))) as SharedWriter)
        .collect();
    push_at_once(&stage, &names, writers, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_of_a_bucket_lose_nothing() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let (stage, names) = stage();
    let writers = join_all((0..WRITERS).map(|_| moto.writer("many"))).await;
    push_at_once(&stage, &names, writers, 20).await;
}
