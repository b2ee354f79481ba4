//! `cache install`: trees filled from build caches, also when it is killed on the way.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::Stage;

#[test]
fn a_container_or_a_folder_with_a_lock_is_laid_down_once() {
    let stage = Stage::demo();
    let tree = stage.path("tree").display().to_string();
    let install = |lock: &str| stage.run(&["cache", "install", lock, "--tree", &tree, "--json"]);
    let first = install("spike").ends(0).json();
    let packages = first["packages"].as_array().expect("packages");
    assert!(!packages.is_empty() && first["present"] == 0, "{first}");
    for package in packages {
        let prefix = package["prefix"].as_str().expect("a prefix");
        assert!(fs::metadata(prefix).expect("there").is_dir(), "{prefix}");
    }
    let folder = stage.path("container_definitions/amd64/spike");
    let again = install(&folder.display().to_string()).ends(0).json();
    assert_eq!(again["packages"], serde_json::json!([]));
    assert_eq!(again["present"], packages.len());

    install("absent").ends(2);
    install("./absent").ends(2).says("no `spack.lock`");
}

#[test]
fn an_installation_killed_at_any_time_is_finished_by_the_next() {
    let stage = Stage::demo();
    let mut expected = None;
    for milliseconds in (0..100).step_by(5) {
        let tree = format!("tree-{milliseconds}");
        let install = ["cache", "install", "spike", "--tree", &tree, "--json"];
        let mut child = stage
            .command(&install)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        let _ = child.wait();
        let done = stage.run(&install).ends(0).json();
        let laid = done["packages"].as_array().expect("packages").len() as u64;
        let all = laid + done["present"].as_u64().expect("a number");
        assert_eq!(all, *expected.get_or_insert(all), "{done}");
        let database = stage.path(&tree).join(".spack-db");
        let left = fs::read_dir(database.join("spacktainers")).expect("readable");
        let names: Vec<_> = left.flatten().map(|it| it.file_name()).collect();
        assert_eq!(names, ["lock"], "{milliseconds}");
        let text = fs::read_to_string(database.join("index.json")).expect("a database");
        assert!(text.matches("\"installed\":true").count() as u64 >= all);
    }
}
