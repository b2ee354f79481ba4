//! Who builds what is missing, when and where: this machine, and jobs of a real Slurm. A stand-in for Spack builds, so that
//! builds take as long, and fail, as tests want.

mod made;
mod slurm;

use serde_json::{Value as Json, json};

use made::{Yard, forget, good};

/// Four packages, of which two can be built side by side.
fn diamond() -> [made::Package<'static>; 4] {
    [
        good("top", &["left", "right"]),
        good("left", &["bottom"]),
        good("right", &["bottom"]),
        good("bottom", &[]),
    ]
}

#[test]
fn builds_share_processors_and_what_most_waits_for_comes_first() {
    let Some(yard) = Yard::local() else { return };
    let long = ("long", &["lowest"][..], json!({"seconds": "0.1"}));
    let slow = (
        "slow",
        &[][..],
        json!({"seconds": "1.2", "megabytes": "60"}),
    );
    yard.define(
        "it",
        &[
            good("all", &["alone", "long", "slow"]),
            good("alone", &[]),
            long,
            good("lowest", &[]),
            slow,
        ],
    );
    let one = [&yard.build("it", &["--jobs", "1"])[..]].concat();
    yard.run(&one).ends(0);
    let begun: Vec<String> = yard
        .log()
        .lines()
        .filter_map(|line| line.strip_prefix("begin ").map(str::to_owned))
        .collect();
    assert_eq!(
        begun[0], "lowest here none",
        "two wait for it one after the other"
    );
    assert_eq!(begun.last().map(String::as_str), Some("all here none"));

    // What the builds took is known now.
    forget(&yard, "slow");
    let planned = yard
        .run(&["plan", "it", "--build", "--json"])
        .ends(3)
        .json();
    assert_eq!(planned["event"], "estimate");
    let packages = planned["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), 1, "{planned}");
    assert_eq!(planned["unknown"], json!([]));
    let seconds = planned["seconds_longest_path"].as_u64().expect("seconds");
    assert!(seconds >= 2, "{planned}");
    let text = yard.run(&["plan", "it", "--build"]).ends(3).stdout;
    assert!(text.contains("1 packages, "), "{text}");

    // Four processors: a build has one and sees three.
    let four = [&yard.build("it", &["--jobs", "4"])[..]].concat();
    yard.run(&four).ends(0);
    let last = yard.log().lines().rev().nth(1).map(str::to_owned);
    assert_eq!(last.as_deref(), Some("begin slow here 3"));
}

#[test]
fn builds_that_need_too_much_memory_together_are_built_one_after_the_other() {
    let Some(yard) = Yard::local() else { return };
    let settings = yard.stage.read("spacktainers.toml");
    let class = "[[farm.class]]\npackages = [\"one\", \"two\"]\nmemory = \"1000TB\"\n";
    yard.stage
        .write("spacktainers.toml", &format!("{settings}{class}"));
    let slow = |name| (name, &[][..], json!({"seconds": "0.5"}));
    yard.define(
        "it",
        &[good("all", &["one", "two"]), slow("one"), slow("two")],
    );
    yard.run(&yard.build("it", &["--jobs", "4"])).ends(0);
    let log = yard.log();
    let words: Vec<&str> = log.lines().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(words, ["begin", "end"].repeat(3), "{log}");
}

#[test]
fn jobs_build_each_package_once_and_the_image_follows() {
    // Arrays of two tasks at most, a job for each package, and no more than four in the queue.
    let Some(yard) = Yard::slurm(2, "packed = \"1s\"\nmost = 4") else {
        return;
    };
    let leaves = ["leafa", "leafb", "leafc"];
    let mut packages = vec![good("root", &["top", "leafa", "leafb", "leafc"])];
    packages.extend(leaves.map(|leaf| good(leaf, &[])));
    packages.extend(diamond());
    yard.define("it", &packages);
    let ran = yard.run(&yard.build("it", &["--json"])).ends(0);
    for (name, ..) in &packages {
        assert_eq!(yard.begun(name), 1, "{name}\n{}", yard.log());
        assert!(
            ran.stdout.contains(&format!("building {name}@1.0")),
            "{}",
            ran.stdout
        );
    }
    assert!(ran.stdout.contains("in 8 jobs"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\"state\":\"built\""), "{}", ran.stdout);
    let nodes = |node: &str| yard.log().matches(&format!(" {node} ")).count();
    assert_eq!(nodes("n1") + nodes("n2"), 8, "{}", yard.log());
    assert!(yard.log().contains("begin top n1 1") || yard.log().contains("begin top n2 1"));
    yard.has_no_secrets();
    let status = yard.run(&["farm", "status"]).ends(0);
    assert_eq!(status.stdout, "nothing is underway\n");
    let all = yard
        .run(&["farm", "status", "--all", "--json"])
        .ends(0)
        .json();
    assert_eq!(all["runs"][0]["over"], true);
    assert_eq!(all["runs"][0]["packages"].as_array().map(Vec::len), Some(8));

    // What jobs took is known to whoever ordered it; small packages then share one.
    let settings = yard.stage.read("spacktainers.toml");
    yard.stage
        .write("spacktainers.toml", &settings.replace("\"1s\"", "\"20m\""));
    std::fs::remove_dir_all(yard.stage.path("store")).expect("it is there");
    std::fs::remove_dir_all(yard.stage.path("mirror")).expect("it is there");
    std::fs::create_dir(yard.stage.path("mirror")).expect("a folder");
    let planned = yard
        .run(&["plan", "it", "--build", "--json"])
        .ends(3)
        .json();
    assert_eq!(planned["unknown"], json!([]), "{planned}");
    let ran = yard.run(&yard.build("it", &["--json"])).ends(0);
    assert!(ran.stdout.contains("in 1 job:"), "{}", ran.stdout);
    assert_eq!(yard.begun("root"), 2);
}

#[test]
fn whoever_ordered_may_go_away_and_come_back() {
    let Some(yard) = Yard::slurm(100, "packed = \"1s\"") else {
        return;
    };
    let slow = ("bottom", &[][..], json!({"seconds": "4"}));
    let [top, left, right, _] = diamond();
    yard.define("it", &[top, left, right, slow]);
    let build = yard.build("it", &["--json"]);
    yard.start_until(&build, "building bottom@1.0").kill();
    let status = yard.run(&["farm", "status", "--json"]).ends(0).json();
    let run = &status["runs"][0];
    assert_eq!(run["watched"], false, "{run}");
    let bottom = run["packages"].as_array().and_then(|it| it.first());
    assert_eq!(
        bottom.map(|it| &it["state"]),
        Some(&json!("building")),
        "{run}"
    );
    let shown = yard.run(&["farm", "status"]).ends(0).stdout;
    assert!(shown.contains("1 building, 3 waiting"), "{shown}");
    let attached = yard.build("it", &["--json", "--attach"]);
    let ran = yard.run(&attached).ends(0);
    assert!(ran.stdout.contains("going on with it"), "{}", ran.stdout);
    for name in ["top", "left", "right", "bottom"] {
        assert_eq!(yard.begun(name), 1, "{name}\n{}", yard.log());
    }
    assert!(yard.stage.path("out/index.json").is_file());

    // Killed between asking and hearing: what Slurm has is found by its name.
    forget(&yard, "bottom");
    yard.define("again", &[good("bottom", &[])]);
    yard.start_until(&yard.build("again", &["--json"]), "building bottom@1.0")
        .kill();
    let runs = yard.stage.path(".spacktainers/runs");
    let mut runs: Vec<_> = std::fs::read_dir(runs).expect("runs").flatten().collect();
    runs.sort_by_key(std::fs::DirEntry::path);
    let file = runs
        .last()
        .expect("a run")
        .path()
        .join("submissions/0.json");
    let text = std::fs::read_to_string(&file).expect("a file");
    let mut submitted: Json = serde_json::from_str(&text).expect("JSON");
    submitted["job"] = Json::Null;
    std::fs::write(&file, submitted.to_string()).expect("a file");
    yard.run(&yard.build("again", &[])).ends(0);
    assert_eq!(yard.begun("bottom"), 2, "{}", yard.log());
    let ran = yard
        .run(&yard.build("again", &["--attach", "--force"]))
        .ends(0);
    assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
}

#[test]
fn failures_of_jobs_are_told_as_those_of_this_machine() {
    let Some(yard) = Yard::slurm(100, "packed = \"1s\"") else {
        return;
    };
    let broken = ("broken", &["bottom"][..], json!({"broken": true}));
    yard.define(
        "it",
        &[
            good("top", &["broken", "side"]),
            good("side", &["bottom"]),
            broken,
            good("bottom", &[]),
        ],
    );
    let ran = yard.run(&yard.build("it", &[])).ends(3);
    for text in [
        "error: broken@1.0",
        "line 1 of its log: x.c:3:1: error: no such thing",
        "not built: top@1.0",
    ] {
        assert!(
            ran.stderr.contains(text),
            "`{text}` is not in\n{}",
            ran.stderr
        );
    }
    assert_eq!((yard.begun("side"), yard.begun("top")), (1, 0));
    let (_, rest) = ran
        .stderr
        .split_once("spacktainers replay ")
        .expect("a capsule");
    let capsule = rest.split('`').next().expect("its folder");
    let shown = yard.run(&["replay", capsule]).ends(0).stdout;
    assert!(shown.contains("broken does not build"), "{shown}");
    yard.has_no_secrets();
    // Trying again tries again.
    yard.run(&yard.build("it", &[])).ends(3);
    assert_eq!((yard.begun("broken"), yard.begun("side")), (2, 1));
    let ran = yard.run(&yard.build("it", &["--attach"])).ends(3);
    assert!(
        ran.stderr.contains("nothing that was ordered"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_is_cancelled_is_told_and_what_a_node_loses_is_built_on_another() {
    let Some(yard) = Yard::slurm(100, "packed = \"1s\"") else {
        return;
    };
    let slow = |name, seconds: &str| (name, &[][..], json!({"seconds": seconds}));
    yard.define("it", &[good("top", &["slow"]), slow("slow", "60")]);
    let build = yard.build("it", &["--json"]);
    let started = yard.start_until(&build, "building slow@1.0");
    yard.run(&["farm", "cancel"]).ends(0).says("ended the run");
    let said = started.ends(3);
    assert!(said.contains(": the Slurm job"), "{said}");
    assert!(said.contains("CANCELLED"), "{said}");
    assert_eq!(yard.begun("top"), 0);
    yard.run(&["farm", "cancel"])
        .ends(0)
        .says("nothing is underway");
    let ran = yard.run(&["farm", "cancel", "20000101T000000Z"]).ends(2);
    assert!(ran.stderr.contains("none of this name"), "{}", ran.stderr);

    yard.define("other", &[slow("lost", "8")]);
    let other = yard.build("other", &["--json"]);
    let started = yard.start_until(&other, "building lost@1.0");
    // A job says that it builds before the build says so itself.
    while yard.begun("lost") == 0 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let log = yard.log();
    let node = if log.contains("begin lost n1 ") {
        "n1"
    } else {
        "n2"
    };
    let down = [
        format!("nodename={node}"),
        "state=down".to_owned(),
        "reason=test".to_owned(),
    ];
    let mut arguments = vec!["update"];
    arguments.extend(down.iter().map(String::as_str));
    yard.scheduler().ask("scontrol", &arguments);
    started.ends(0);
    assert_eq!(yard.begun("lost"), 2, "{}", yard.log());
}

#[test]
fn what_slurm_refuses_is_told_and_nothing_is_left_underway() {
    let Some(yard) = Yard::slurm(100, "partition = \"none\"") else {
        return;
    };
    yard.define("it", &diamond());
    let ran = yard.run(&yard.build("it", &[])).ends(4);
    let ran = ran.says("invalid partition specified").says("[farm.slurm]");
    assert!(!ran.stdout.contains("building"), "{}", ran.stdout);
    let status = yard.run(&["farm", "status"]).ends(0);
    assert_eq!(status.stdout, "nothing is underway\n");
}
