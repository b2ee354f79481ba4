//! Images that run: the demo on a Debian base, as the README's first command does it.

use std::path::Path;

use crate::support::{Stage, has, skipped};

#[test]
fn the_demo_runs_on_a_debian_base() {
    if !Path::new("/etc/apt").is_dir() || !has("bwrap") {
        skipped("a Debian base needs the configuration of apt, and a sandbox to run in");
        return;
    }
    let stage = Stage::demo();
    let demo = crate::support::repository().join("demo/spacktainers.toml");
    let settings = std::fs::read_to_string(demo).expect("the demo's settings");
    stage.write("spacktainers.toml", &settings);
    let target = ["--to", "oci:image:v1"];
    stage
        .run(&[["build", "spike"].as_slice(), &target].concat())
        .ends(0);
    let ran = stage
        .run(&["run", "oci:image:v1", "--", "spike-demo"])
        .ends(0);
    assert!(ran.stdout.contains("with libspike 1.0.0"), "{}", ran.stdout);
    // The same container, named as a container of the project.
    let ran = stage
        .run(&["run", "spike", "--", "python3", "-c", "print(6 * 7)"])
        .ends(0);
    assert_eq!(ran.stdout, "42\n");
    let ran = stage.run(&["run", "spike", "--", "sh", "-c", "exit 9"]);
    assert_eq!(ran.code, Some(9), "the command's own exit code");
    let dpkg = [
        "run",
        "spike",
        "--",
        "dpkg-query",
        "-W",
        "-f",
        "${Status}",
        "bash",
    ];
    assert_eq!(stage.run(&dpkg).stdout, "install ok installed");
}
