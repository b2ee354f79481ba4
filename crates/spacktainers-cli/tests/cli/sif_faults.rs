//! What goes wrong while a SIF file is written: under the final name there is what was there before, or the whole new file.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::apptainer::images;
use crate::interruptions::SmallDisk;
use crate::sif_trees::stacks::{Chance, stack};
use crate::support::{Ran, Stage};

/// Begins the names of files that are being written.
const TEMPORARY: &str = ".spacktainers-";

/// An image in `layout`, and the SIF file that is made of it.
struct Image {
    stage: Stage,
    whole: Vec<u8>,
}

impl Image {
    fn of(layers: &[Vec<u8>]) -> Self {
        let stage = Stage::empty();
        images::layout_of(&stage.path("layout"), layers, &json!({}));
        make(&stage, "reference.sif").ends(0);
        let whole = fs::read(stage.path("reference.sif")).expect("a file");
        Self { stage, whole }
    }

    /// The files of the layers, lowest first.
    fn layers(&self) -> Vec<PathBuf> {
        let blob = |digest: &Value| {
            let digest = digest.as_str().expect("a digest").replace(':', "/");
            self.stage.path(&format!("layout/blobs/{digest}"))
        };
        let json = |path: PathBuf| -> Value {
            serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
        };
        let index = json(self.stage.path("layout/index.json"));
        let manifest = json(blob(&index["manifests"][0]["digest"]));
        let layers = manifest["layers"].as_array().expect("layers");
        layers.iter().map(|layer| blob(&layer["digest"])).collect()
    }

    fn temporaries(&self) -> Vec<String> {
        let files = fs::read_dir(self.stage.path("")).expect("a folder");
        files
            .flatten()
            .map(|it| it.file_name().to_string_lossy().into_owned())
            .filter(|it| it.starts_with(TEMPORARY))
            .collect()
    }
}

fn make(stage: &Stage, file: &str) -> Ran {
    stage.run(&["sif", "oci:layout", "-o", file])
}

/// Ways to break a file.
fn broken(chance: &mut Chance, bytes: &[u8]) -> (String, Vec<u8>) {
    let at = chance.below(bytes.len() as u64) as usize;
    let mut other = bytes.to_vec();
    match chance.below(4) {
        0 => (format!("cut at {at}"), bytes[..at].to_vec()),
        1 => {
            other[at] ^= 1 << chance.below(8);
            (format!("a bit at {at}"), other)
        }
        2 => {
            let end = (at + 600).min(other.len());
            other[at..end].fill(0);
            other.push(0);
            (format!("zeros at {at}"), other)
        }
        _ => {
            other.extend_from_slice(&bytes[..at / 2 + 1]);
            (format!("{} bytes more", at / 2 + 1), other)
        }
    }
}

#[test]
fn broken_layers_leave_what_was_there() {
    let mut chance = Chance::new(7);
    let image = Image::of(&stack(3));
    let stage = &image.stage;
    fs::write(stage.path("out.sif"), "the old one").expect("a file");
    let layers = image.layers();
    for number in 0..40 {
        let layer = &layers[chance.below(layers.len() as u64) as usize];
        let good = fs::read(layer).expect("a layer");
        let (how, bad) = broken(&mut chance, &good);
        if bad == good {
            continue;
        }
        fs::write(layer, &bad).expect("writes");
        let ran = make(stage, "out.sif");
        let told = format!("{number}: {}: {how}", layer.display());
        assert!(
            matches!(ran.code, Some(4 | 5)),
            "{told}: {:?}\n{}",
            ran.code,
            ran.stderr
        );
        assert_eq!(stage.read("out.sif"), "the old one", "{told}");
        assert!(image.temporaries().is_empty(), "{told}");
        fs::write(layer, &good).expect("writes");
    }
    make(stage, "out.sif").ends(0);
    assert!(
        fs::read(stage.path("out.sif")).ok().as_ref() == Some(&image.whole),
        "the whole file"
    );
}

/// Layers that are broken and that the manifest and the config know by the digests of what is broken.
#[test]
fn layers_that_were_made_broken_make_no_file() {
    let mut chance = Chance::new(11);
    for seed in 20..50 {
        let mut layers = stack(seed);
        let last = layers.len() - 1;
        let (how, bad) = broken(&mut chance, &layers[last]);
        layers[last] = bad;
        let stage = Stage::empty();
        images::layout_of(&stage.path("layout"), &layers, &json!({}));
        let ran = make(&stage, "out.sif");
        // What was changed may be a file's content, or lie behind the end.
        assert!(
            matches!(ran.code, Some(0 | 4 | 5)),
            "seed {seed}, {how}: {:?}\n{}",
            ran.code,
            ran.stderr
        );
        assert_eq!(
            stage.path("out.sif").exists(),
            ran.code == Some(0),
            "seed {seed}, {how}"
        );
    }
}

#[test]
fn broken_files_are_told_and_not_unpacked() {
    let mut chance = Chance::new(13);
    let image = Image::of(&stack(5));
    let stage = &image.stage;
    for number in 0..40 {
        let (how, bad) = broken(&mut chance, &image.whole);
        fs::write(stage.path("bad.sif"), &bad).expect("a file");
        let ran = stage.run(&["sif", "unpack", "bad.sif", "root"]);
        let told = format!("{number}: {how}: {}", ran.stderr);
        // A bit in a time or a mode is a time or a mode.
        assert!(matches!(ran.code, Some(0 | 4 | 5)), "{:?} {told}", ran.code);
        assert_eq!(stage.path("root").exists(), ran.code == Some(0), "{told}");
        assert!(image.temporaries().is_empty(), "{told}");
        let _ = fs::remove_dir_all(stage.path("root"));
        let inspected = stage.run(&["sif", "inspect", "bad.sif"]);
        assert!(
            matches!(inspected.code, Some(0 | 4 | 5)),
            "{:?} {told}",
            inspected.code
        );
    }
}

#[test]
fn a_full_disk_leaves_no_file() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    // By `sif`, and by `build` to two kinds of targets.
    let make = |target: Option<&str>, file: &str| match target {
        None => stage.run(&["sif", "oci:image:v1", "-o", file]),
        Some(target) => stage.build(&format!("{target}:{file}")),
    };
    for way in [None, Some("sif"), Some("squashfs")] {
        make(way, "whole").ends(0);
        let size = fs::metadata(stage.path("whole")).expect("a file").len();
        fs::remove_file(stage.path("whole")).expect("removes");
        for share in [4, 8, 12] {
            let room = size * share / 16;
            let Some(disk) = SmallDisk::mount(stage.path("small"), room) else {
                return;
            };
            let ran = make(way, "small/out");
            let told = format!("{way:?}, {room} of {size}: {}", ran.stderr);
            assert_eq!(ran.code, Some(4), "{told}");
            assert!(ran.stderr.contains("no space left"), "{told}");
            let left = fs::read_dir(stage.path("small")).expect("a folder").count();
            assert_eq!(left, 0, "{told}");
            drop(disk);
        }
    }
}

#[test]
fn a_run_killed_at_any_time_leaves_what_was_there() {
    let mut layers = vec![images::mount_points()];
    layers.extend(stack(3));
    layers.extend(stack(7));
    let image = Image::of(&layers);
    let stage = &image.stage;
    let began = Instant::now();
    make(stage, "out.sif").ends(0);
    let took = began.elapsed();
    let moments = 24;
    let mut caught = 0;
    for moment in 0..moments {
        let old = moment % 2 == 0;
        match old {
            true => fs::write(stage.path("out.sif"), "the old one").expect("a file"),
            false => drop(fs::remove_file(stage.path("out.sif"))),
        }
        let mut child = stage
            .command(&["sif", "oci:layout", "-o", "out.sif"])
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(
            took.mul_f64(f64::from(moment) / f64::from(moments)) + Duration::from_micros(500),
        );
        let _ = child.kill();
        let _ = child.wait();
        caught += image.temporaries().len();
        let found = fs::read(stage.path("out.sif")).ok();
        let before = old.then(|| b"the old one".to_vec());
        assert!(
            found == before || found.as_ref() == Some(&image.whole),
            "killed at moment {moment}"
        );
        make(stage, "out.sif").ends(0);
        let found = fs::read(stage.path("out.sif")).expect("a file");
        assert!(found == image.whole, "made again after moment {moment}");
        for file in image.temporaries() {
            fs::remove_file(stage.path(&file)).expect("removes");
        }
    }
    assert!(caught > 0, "no run was killed while it wrote");
}

#[test]
fn what_killed_runs_left_goes_after_a_day() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    let ways: [&[&str]; 2] = [
        &["sif", "oci:image:v1", "-o", "out.sif"],
        &[
            "build",
            "spike",
            "--to",
            "sif:other.sif",
            "--allow-missing-libraries",
        ],
    ];
    for way in ways {
        let left = |name: &str, hours: u64| {
            let file = fs::File::create(stage.path(name)).expect("a file");
            let age = Duration::from_secs(hours * 3600);
            file.set_modified(SystemTime::now() - age).expect("a time");
        };
        left(".spacktainers-old", 25);
        left(".spacktainers-new", 1);
        left("another", 25);
        stage.run(way).ends(0);
        assert!(!stage.path(".spacktainers-old").exists(), "{way:?}");
        assert!(
            stage.path(".spacktainers-new").exists(),
            "{way:?}: it may be in use"
        );
        assert!(stage.path("another").exists(), "{way:?}");
    }
}
