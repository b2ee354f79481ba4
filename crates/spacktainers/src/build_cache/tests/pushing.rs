//! What a push leaves behind, and what it refuses.

use std::fs;
use std::sync::atomic::Ordering;

use spack_format::build_cache::v3;

use super::made::{Stage, catalog, destination, files, hash, trust};
use super::pausing::Pausing;
use crate::build_cache::{
    CacheFault, Existing, IndexScope, PushOptions, Pushed, list, push_all, push_installed,
    update_index, verify,
};
use crate::mirror::SharedWriter;

#[tokio::test]
async fn what_was_pushed_is_there_once_and_verifies() {
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let (tree, context, mirror) = (stage.tree(), stage.context(), stage.mirror("m"));
    let target = destination(&mirror, PushOptions::default());
    for result in push_all(&tree, [hash("lib"), hash("app")], &target, &context).await {
        assert!(matches!(result, Ok(Pushed::Written { .. })), "{result:?}");
    }
    assert_eq!(
        files(&stage.path("local/blobs")),
        [],
        "a folder is used in place"
    );
    let before = files(&stage.path("m"));
    let again = push_installed(&tree, &hash("app"), &target, &context).await;
    assert_eq!(again.expect("pushed"), Pushed::Present);
    assert_eq!(files(&stage.path("m")), before, "nothing is written");

    let listed = list(&catalog(&mirror)).await.expect("a list");
    assert!(listed.iter().all(|it| !it.is_indexed) && listed.len() == 2);
    let report = update_index(&mirror, IndexScope::Pending, &context)
        .await
        .expect("an index");
    assert_eq!(
        (report.packages, report.added, report.is_written),
        (2, 2, true)
    );
    let report = update_index(&mirror, IndexScope::All, &context)
        .await
        .expect("an index");
    assert_eq!(
        (report.packages, report.added, report.is_written),
        (2, 0, false)
    );
    let listed = list(&catalog(&mirror)).await.expect("a list");
    let names: Vec<_> = listed
        .iter()
        .map(|it| (it.name.as_str(), it.is_indexed))
        .collect();
    assert_eq!(names, [("app", true), ("lib", true)]);
    let marks = mirror.list(".spacktainers/pending").await.expect("a list");
    assert_eq!(marks, Vec::<String>::new());

    let report = verify(&catalog(&mirror), &trust(), &context)
        .await
        .expect("a report");
    assert_eq!(report.faults.len(), 0, "{:?}", report.faults);
    assert_eq!((report.entries, report.unindexed), (2, 0));
    assert!(
        mirror
            .get(v3::LAYOUT_PATH, 100)
            .await
            .expect("reads")
            .is_some()
    );
}

#[tokio::test]
async fn the_first_content_of_a_hash_stays_unless_replaced() {
    let stage = Stage::with(&[("app", "2.0", &[])]);
    let (tree, context, mirror) = (stage.tree(), stage.context(), stage.mirror("m"));
    // Two who find nothing there at the same time, and whose builds differ.
    let entry = v3::spec_manifest_path(tree.specs().get(&hash("app")).expect("a node"));
    let target = destination(&mirror, PushOptions::default());
    push_installed(&tree, &hash("app"), &target, &context)
        .await
        .expect("pushed");
    let first = mirror
        .get(&entry, 10_000)
        .await
        .expect("reads")
        .expect("there");
    fs::write(stage.prefix("app", "2.0").join("bin/app"), "another build").expect("writes");
    fs::rename(stage.path("m").join(&entry), stage.path("aside")).expect("moves");
    let late = Pausing::new(&mirror, 0);
    let late_target = destination(&(late.clone() as SharedWriter), PushOptions::default());
    let app = hash("app");
    let pushed = tokio::join!(push_installed(&tree, &app, &late_target, &context), async {
        // The other entry appears after it was asked for, and before it is written.
        while late.requests.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        fs::rename(stage.path("aside"), stage.path("m").join(&entry)).expect("moves");
    });
    let refused = pushed.0.expect("no failure");
    let Pushed::Refused { ours, theirs } = refused else {
        panic!("{refused:?}");
    };
    assert!(theirs.is_some_and(|theirs| theirs != ours));
    let there = mirror
        .get(&entry, 10_000)
        .await
        .expect("reads")
        .expect("there");
    assert_eq!(there, first);

    // One who comes later.
    let target = destination(&mirror, PushOptions::default());
    let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
    assert_eq!(
        pushed.expect("no failure"),
        Pushed::Refused { ours, theirs }
    );
    let keep = PushOptions {
        existing: Existing::Keep,
        ..PushOptions::default()
    };
    let target = destination(&mirror, keep);
    let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
    assert_eq!(pushed.expect("no failure"), Pushed::Present);
    // What was laid down from a build cache is not another content, although its times are.
    let times = stage.prefix("app", "2.0").join(".spack/install_times.json");
    fs::write(&times, "{\"cache\": true}").expect("writes");
    let target = destination(&mirror, PushOptions::default());
    let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
    assert_eq!(pushed.expect("no failure"), Pushed::Present);
    fs::remove_file(times).expect("removes");
    assert_eq!(
        files(&stage.path("local/blobs")),
        [],
        "nothing is left here"
    );

    let replace = PushOptions {
        existing: Existing::Replace,
        ..PushOptions::default()
    };
    let target = destination(&mirror, replace);
    let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
    assert!(matches!(pushed, Ok(Pushed::Written { tarball, .. }) if tarball == ours));
    let report = verify(&catalog(&mirror), &trust(), &context)
        .await
        .expect("a report");
    assert_eq!(report.faults.len(), 0, "{:?}", report.faults);
}

#[tokio::test]
async fn what_may_change_under_its_hash_is_pushed_only_when_asked_for() {
    let stage = Stage::with(&[("lib", "develop", &[]), ("app", "2.0", &["lib"])]);
    let (tree, context, mirror) = (stage.tree(), stage.context(), stage.mirror("m"));
    let target = destination(&mirror, PushOptions::default());
    for name in ["lib", "app"] {
        let pushed = push_installed(&tree, &hash(name), &target, &context).await;
        let pushed = pushed.expect("no failure");
        assert!(
            matches!(&pushed, Pushed::Mutable { package, .. } if package.starts_with("lib@develop")),
            "{pushed:?}"
        );
    }
    // A branch that only the recipe knows as one.
    let next = Stage::with(&[("lib", "1.0-next", &[]), ("app", "2.0", &["lib"])]);
    let recipe = ".spack/repos/spack_repo/builtin/packages/lib";
    let folder = next.prefix("lib", "1.0-next").join(recipe);
    fs::create_dir_all(&folder).expect("makes");
    let text = "class Lib(Package):\n    version('1.0-next', branch='next')\n";
    fs::write(folder.join("package.py"), text).expect("writes");
    let pushed = push_installed(&next.tree(), &hash("app"), &target, &next.context()).await;
    let pushed = pushed.expect("no failure");
    assert!(matches!(pushed, Pushed::Mutable { .. }), "{pushed:?}");
    assert!(!stage.path("m").exists());
    let allowed = PushOptions {
        allow_mutable: true,
        ..PushOptions::default()
    };
    let target = destination(&mirror, allowed);
    let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
    assert!(matches!(pushed, Ok(Pushed::Written { .. })));
}

#[tokio::test]
async fn who_dies_at_any_write_leaves_a_cache_that_is_whole() {
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let (tree, context, mirror) = (stage.tree(), stage.context(), stage.mirror("m"));
    let mut deaths = 0;
    for writes in 0.. {
        let dying = Pausing::dying_after(&mirror, writes) as SharedWriter;
        let target = destination(&dying, PushOptions::default());
        let mut results = push_all(&tree, [hash("lib"), hash("app")], &target, &context).await;
        let index = update_index(&dying, IndexScope::Pending, &context).await;
        let report = verify(&catalog(&mirror), &trust(), &context)
            .await
            .expect("a report");
        assert_eq!(
            report.faults.len(),
            0,
            "after {writes} writes: {:?}",
            report.faults
        );
        if index.is_ok() && results.iter().all(Result::is_ok) {
            break;
        }
        deaths += 1;
        for error in results.drain(..).filter_map(Result::err) {
            assert!(matches!(error.fault, CacheFault::Write(_)), "{error:?}");
        }
    }
    assert!(deaths > 2, "{deaths}");
    let listed = list(&catalog(&mirror)).await.expect("a list");
    assert_eq!(listed.iter().filter(|it| it.is_indexed).count(), 2);
}

#[tokio::test]
async fn a_push_costs_the_same_whatever_is_in_the_cache() {
    let stage = Stage::with(&[("app", "2.0", &[])]);
    let (tree, context) = (stage.tree(), stage.context());
    let mut costs = Vec::new();
    for entries in [10, 10_000] {
        let mirror = stage.mirror(&entries.to_string());
        let folder = stage
            .path(&entries.to_string())
            .join("v3/manifests/spec/other");
        fs::create_dir_all(&folder).expect("makes");
        for number in 0..entries {
            let hash = hash(&format!("n{number}"));
            let name = format!("other-{number}-{hash}.spec.manifest.json");
            fs::write(folder.join(name), "{}").expect("writes");
        }
        let counting = Pausing::new(&mirror, 0);
        let target = destination(&(counting.clone() as SharedWriter), PushOptions::default());
        for expected in ["written", "present"] {
            let before = counting.requests.load(Ordering::Relaxed);
            let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
            let is_present = matches!(pushed, Ok(Pushed::Present));
            assert_eq!(is_present, expected == "present", "{pushed:?}");
            costs.push(counting.requests.load(Ordering::Relaxed) - before);
        }
    }
    assert_eq!(costs[..2], costs[2..], "requests");
    assert_eq!(costs[1], 1, "what is there is one request");
}

#[tokio::test]
async fn what_a_recipe_forbids_to_give_away_goes_to_private_mirrors_only() {
    let stage = Stage::with(&[("free-lib", "1.0", &[]), ("namd", "2.0", &["free-lib"])]);
    let recipes = [
        (
            "free-lib",
            "1.0",
            "free_lib",
            "class FreeLib(Package):\n    redistribute(binary=False, when='@2:')\n",
        ),
        (
            "namd",
            "2.0",
            "namd",
            "class Namd(Package):\n    redistribute(source=False, binary=False)\n",
        ),
    ];
    for (name, version, module, text) in recipes {
        let below = format!(".spack/repos/spack_repo/builtin/packages/{module}");
        let folder = stage.prefix(name, version).join(below);
        fs::create_dir_all(&folder).expect("makes");
        fs::write(folder.join("package.py"), text).expect("writes");
    }
    let (tree, context, mirror) = (stage.tree(), stage.context(), stage.mirror("m"));
    let target = destination(&mirror, PushOptions::default());
    let all = [hash("free-lib"), hash("namd")];
    let pushed = push_all(&tree, all, &target, &context).await;
    assert!(
        matches!(
            &pushed[..],
            [Ok(Pushed::Written { .. }), Ok(Pushed::Restricted)]
        ),
        "{pushed:?}"
    );
    let private = PushOptions {
        private: true,
        ..PushOptions::default()
    };
    let target = destination(&mirror, private);
    let pushed = push_installed(&tree, &hash("namd"), &target, &context).await;
    assert!(matches!(pushed, Ok(Pushed::Written { .. })));
}
