//! The tree in our SIF files is that which others make of the same layers.
//!
//! ```text
//! stacks   layers ─┬─► umoci ──────────────────────────────────────────────► folder ─┐
//!                  ├─► our SIF, gzip and zstd ─┬─► unsquashfs ─────────────► folder ─┼─► listing   name by name
//!                  │                           ├─► the kernel, squashfuse ─► mount ──┤
//!                  │                           └─► `sif unpack` ───────────► folder ─┤
//!                  └─► Apptainer's SIF ────────────► unsquashfs ───────────► folder ─┘
//! ```
//!
//! What merging means in detail is tested where it is done, in `oci-format`; here it is the whole way.
//! `SPACKTAINERS_TREE_STACKS=500` makes that many stacks instead of 40.

mod listing;
pub(crate) mod stacks;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use oci_format::layer::tar::printable;
use serde_json::json;

use crate::apptainer::{Apptainer, images, partition};
use crate::support::{Ran, Stage, has, skipped};
use listing::{Rows, differences, of_folder};

/// Whether what is needed to compare all is there.
fn can_compare() -> bool {
    let has = ["umoci", "unsquashfs", "tar"].iter().all(|it| has(it));
    let folder = tempfile::tempdir().expect("a folder");
    let is_root = fs::metadata(folder.path()).expect("just made").uid() == 0;
    if !is_root {
        skipped("only root can unpack owners");
    }
    has && is_root
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().expect("the program starts");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The image of some layers in a stage, as a layout and as SIF files.
struct Made {
    stage: Stage,
    began: u64,
}

impl Made {
    /// Writes the layout. Every image has the mount points, so that Apptainer's metadata adds little.
    fn of(layers: &[Vec<u8>]) -> Self {
        let began = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let stage = Stage::empty();
        let mut all = vec![images::mount_points()];
        all.extend_from_slice(layers);
        images::layout_of(&stage.path("layout"), &all, &json!({}));
        Self {
            stage,
            began: began.as_secs(),
        }
    }

    fn sif(&self, compression: &str) -> PathBuf {
        let name = format!("{compression}.sif");
        let ran = self.stage.run(&[
            "sif",
            "oci:layout",
            "-o",
            &name,
            "--compression",
            compression,
        ]);
        ran.ends(0);
        self.stage.path(&name)
    }

    /// What umoci makes of it.
    fn by_umoci(&self) -> Result<Rows, String> {
        let root = self.stage.path("umoci");
        let image = format!("{}:latest", self.stage.path("layout").display());
        run(Command::new("umoci")
            .args(["raw", "unpack", "--image", &image])
            .arg(&root))?;
        Ok(of_folder(&root))
    }

    /// What unsquashfs finds in a SIF file.
    fn by_unsquashfs(&self, sif: &Path) -> Rows {
        let root = sif.with_extension("root");
        let offset = partition(sif).0.to_string();
        let unsquashed = run(Command::new("unsquashfs")
            .args(["-q", "-n", "-o", &offset, "-d"])
            .arg(&root)
            .arg(sif));
        unsquashed.expect("unsquashfs takes all");
        of_folder(&root)
    }

    fn by_us(&self, sif: &Path) -> Rows {
        let sif = sif.display().to_string();
        self.stage.run(&["sif", "unpack", &sif, "unpacked"]).ends(0);
        of_folder(&self.stage.path("unpacked"))
    }

    /// Equal but for the times of directories that got theirs while umoci unpacked them.
    #[track_caller]
    fn same_as_umoci(&self, ours: &Rows, umoci: &Rows, seed: &str) {
        let mut umoci = umoci.clone();
        for (path, row) in &mut umoci {
            if row.is_directory() && row.mtime + 2 >= self.began {
                row.mtime = ours.get(path).map_or(0, |it| it.mtime);
            }
        }
        let told = differences(ours, &umoci);
        assert!(told.is_empty(), "{seed}: ours, umoci's:\n{told}");
    }
}

/// Without what Apptainer's metadata adds.
fn bare(rows: &Rows) -> Rows {
    const ADDED: [&[u8]; 6] = [
        b"singularity",
        b".run",
        b".exec",
        b".test",
        b".shell",
        b"environment",
    ];
    let mut rows = rows.clone();
    rows.retain(|path, _| {
        !path.starts_with(b".singularity.d") && !ADDED.contains(&path.as_slice())
    });
    rows
}

/// What `sif unpack` says that it keeps: times of files alone, no attributes.
fn as_unpacked(rows: &Rows) -> Rows {
    let mut rows = rows.clone();
    for row in rows.values_mut() {
        row.xattrs.clear();
        if !row.what.starts_with("file") {
            row.mtime = 0;
        }
    }
    rows
}

/// squashfuse has a number of its own for each name, and takes `trusted.` for `security.` and the other way round.
fn as_squashfuse_shows(rows: &Rows) -> Rows {
    let mut rows = rows.clone();
    for (path, row) in &mut rows {
        row.first = printable(path);
        for xattr in &mut row.xattrs {
            let swapped = [("trusted.", "security."), ("security.", "trusted.")]
                .iter()
                .find_map(|(from, to)| Some(format!("{to}{}", xattr.strip_prefix(from)?)));
            if let Some(swapped) = swapped {
                *xattr = swapped;
            }
        }
        row.xattrs.sort();
    }
    rows
}

#[test]
fn trees_made_by_chance_are_as_umoci_makes_them() {
    if !can_compare() {
        return;
    }
    let asked = std::env::var("SPACKTAINERS_TREE_STACKS").ok();
    let stacks = asked.and_then(|text| text.parse().ok()).unwrap_or(40);
    let mut names = 0;
    for seed in 0..stacks {
        let told = format!("seed {seed}");
        let made = Made::of(&stacks::stack(seed));
        let umoci = made
            .by_umoci()
            .unwrap_or_else(|error| panic!("{told}: umoci: {error}"));
        let sif = made.sif(if seed % 2 == 0 { "gzip" } else { "zstd" });
        let ours = bare(&made.by_unsquashfs(&sif));
        made.same_as_umoci(&ours, &umoci, &told);
        let unpacked = bare(&made.by_us(&sif));
        let differ = differences(&as_unpacked(&ours), &as_unpacked(&unpacked));
        assert!(
            differ.is_empty(),
            "{told}: unsquashfs's, `sif unpack`'s:\n{differ}"
        );
        names += ours.len();
    }
    assert!(
        names > 30 * stacks as usize,
        "{names} names: too little to see"
    );
}

/// umoci does not know GNU tar's own sparse files; what was packed is what has to come out.
#[test]
fn what_gnu_tar_writes_comes_out_as_it_was() {
    if !can_compare() {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let (layers, packed) = stacks::of_gnu_tar(scratch.path());
    let made = Made::of(&layers);
    let mut ours = made.by_unsquashfs(&made.sif("zstd"));
    ours.retain(|path, _| path.starts_with(b"g"));
    let mut packed = of_folder(&packed);
    packed.retain(|path, _| !path.is_empty());
    let told = differences(&ours, &packed);
    assert!(told.is_empty(), "ours, what was packed:\n{told}");
}

#[test]
fn mounted_files_read_as_they_unpack() {
    if !can_compare() {
        return;
    }
    for seed in 1000..1004 {
        let made = Made::of(&stacks::stack(seed));
        for compression in ["gzip", "zstd"] {
            let sif = made.sif(compression);
            let unpacked = made.by_unsquashfs(&sif);
            let (offset, size) = partition(&sif);
            let at = made.stage.path("mount");
            fs::create_dir_all(&at).expect("a folder");
            let options = format!("ro,loop,offset={offset},sizelimit={size}");
            let kernel = run(Command::new("mount")
                .args(["-t", "squashfs", "-o", &options])
                .args([&sif, &at]));
            match kernel {
                Ok(()) => compare_mounted(
                    &at,
                    "umount",
                    &unpacked,
                    &format!("seed {seed}, {compression}, kernel"),
                ),
                Err(why) => skipped(&format!("the kernel does not mount here: {why}")),
            }
            let options = format!("ro,offset={offset}");
            let fuse = run(Command::new("squashfuse")
                .args(["-o", &options])
                .args([&sif, &at]));
            match fuse {
                Ok(()) => compare_mounted(
                    &at,
                    "fusermount",
                    &as_squashfuse_shows(&unpacked),
                    &format!("seed {seed}, {compression}, squashfuse"),
                ),
                Err(why) => skipped(&format!("squashfuse does not mount here: {why}")),
            }
        }
    }
}

/// Lists a mounted file system, unmounts it, and compares.
#[track_caller]
fn compare_mounted(at: &Path, unmount: &str, unpacked: &Rows, told: &str) {
    let mounted = of_folder(at);
    let mut command = Command::new(unmount);
    if unmount == "fusermount" {
        command.arg("-u");
    }
    run(command.arg(at)).expect("unmounts");
    let differ = differences(&mounted, unpacked);
    assert!(differ.is_empty(), "{told}: mounted, unpacked:\n{differ}");
}

#[test]
fn apptainer_makes_the_same_trees() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    if !can_compare() {
        return;
    }
    for seed in 2000..2008 {
        let made = Made::of(&stacks::stack(seed));
        let ours = bare(&made.by_unsquashfs(&made.sif("gzip")));
        let layout = apptainer.path("layout");
        run(Command::new("cp")
            .arg("-r")
            .arg(made.stage.path("layout"))
            .arg(&layout))
        .expect("copies");
        let theirs = apptainer.path("theirs.sif");
        Ran::of(apptainer.run(&["build", "--force", "theirs.sif", "oci:layout"])).ends(0);
        let mut theirs_tree = bare(&made.by_unsquashfs(&theirs));
        for (path, theirs) in &mut theirs_tree {
            let Some(ours) = ours.get(path) else { continue };
            // Directories that it put something into have the time of that, and these two files it writes anew.
            let is_new = theirs.mtime + 2 >= made.began;
            if is_new
                && (theirs.is_directory()
                    || [&b"etc/hosts"[..], b"etc/resolv.conf"].contains(&path.as_slice()))
            {
                theirs.mtime = ours.mtime;
            }
            // Those that no layer describes may be written by the group: umoci says 0755, Apptainer's copy of it 0775.
            if theirs.is_directory() && ours.mtime == 0 {
                theirs.mode &= !0o020;
            }
        }
        let differ = differences(&ours, &theirs_tree);
        assert!(
            differ.is_empty(),
            "seed {seed}: ours, Apptainer's:\n{differ}"
        );
        fs::remove_dir_all(layout).expect("removes");
        let _ = fs::remove_dir_all(theirs.with_extension("root"));
    }
}
