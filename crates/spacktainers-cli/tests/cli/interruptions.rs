//! Killed runs and full disks: afterwards there is the old state or the new one, and running again finishes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::{Registry, Stage, skipped};

#[test]
fn a_run_killed_at_any_time_is_finished_by_the_next() {
    let expected = {
        let stage = Stage::demo();
        stage.build("oci:image:v1").ends(0);
        stage.read("image/index.json")
    };
    let Some(registry) = Registry::start() else {
        return;
    };
    for milliseconds in (0..60).step_by(4) {
        let stage = Stage::demo();
        let place = format!("docker://{}/kill/spike:t{milliseconds}", registry.address);
        let mut child = stage
            .command(&[
                "build",
                "spike",
                "--to",
                "oci:image:v1",
                "--to",
                &place,
                "--allow-missing-libraries",
            ])
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        let _ = child.wait();
        if let Ok(index) = fs::read_to_string(stage.path("image/index.json")) {
            assert_eq!(index, expected, "what has its name is whole");
        }
        let again = ["--to", "oci:image:v1", "--to", place.as_str()];
        let args = [
            ["build", "spike", "--allow-missing-libraries"].as_slice(),
            &again,
        ]
        .concat();
        stage.run(&args).ends(0);
        assert_eq!(stage.read("image/index.json"), expected);
        let left: Vec<_> = fs::read_dir(stage.path("local/partial"))
            .expect("the cache")
            .flatten()
            .collect();
        assert!(left.is_empty(), "nothing is left behind: {left:?}");
    }
}

/// A small file system of its own, gone at the end.
pub(crate) struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: std::path::PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir_all(&at).expect("a folder");
        let options = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            _ => {
                skipped("a small file system cannot be mounted: that takes root");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_no_image() {
    let stage = Stage::demo();
    let Some(disk) = SmallDisk::mount(stage.path("small"), 16 * 1024) else {
        return;
    };
    let ran = stage.build("oci:small/image:v1").ends(4);
    assert!(ran.stderr.contains("no space left"), "{}", ran.stderr);
    assert!(!stage.path("small/image/index.json").exists());
    stage
        .build("oci-archive:small/image.tar:v1")
        .ends(4)
        .says("no space left");
    assert!(!stage.path("small/image.tar").exists());
    drop(disk);
}
