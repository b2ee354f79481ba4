//! What definition files execute: in a sandbox, once, and with the tree that Apptainer makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::apptainer::{Apptainer, images, partition};
use crate::support::{Ran, Stage, has, skipped};

/// Every section that is executed. `IMAGE` is a layout.
const DEFINITION: &str = "\
Bootstrap: oci
From: IMAGE
Stage: first

%post
    echo built > /made-in-first

Bootstrap: oci
From: IMAGE
Stage: last

%setup
    cat data.txt > \"$APPTAINER_ROOTFS/from-setup\"
    mkdir \"$SINGULARITY_ROOTFS/copied\"
%files from first
    /made-in-first /from-first
%files
    data.txt /copied
%post
    cat /copied/data.txt /from-first /from-setup > /all
    mkdir -p /made/deep; chmod 2750 /made
    rm /data/text; ln /all /made/linked; ln -s all /link
    rm -r /mount; mkdir /mount; echo new > /mount/new
    echo gone > /tmp/gone; echo gone > /var/tmp/gone; echo kept > /root/kept
    echo 'export ADDED=by-post' >> $APPTAINER_ENVIRONMENT
    echo 'Added by the script' >> $SINGULARITY_LABELS
    echo \"$WORD $HOME $LANG $PATH $(umask) $(pwd) $(id -u)\" > /saw
%environment
    export LATER=\"$ADDED\"
%labels
    Given by-us
%appinstall tool
    echo app > bin/tool
%test
    test \"$LATER\" = by-post
    test \"$(cat /all)\" = \"$(printf 'of the host\\nbuilt\\nof the host')\"
    ! touch /cannot 2>/dev/null
    touch /tmp/can
";

/// Where definition files and what they copy are.
struct Place {
    stage: Stage,
    folder: PathBuf,
}

impl Place {
    /// With the image, below `folder`; nothing where no sandbox can be.
    fn below(stage: Stage, folder: &Path) -> Option<Self> {
        let busybox = images::busybox()?;
        if !has("bwrap") || !has("unsquashfs") {
            return None;
        }
        let folder = folder.to_owned();
        fs::create_dir_all(&folder).expect("a folder");
        let layers = [images::layer(&busybox), images::mount_points()];
        let config = json!({"Env": ["WORD=a b", "PATH=/opt/bin:/bin"]});
        images::layout_of(&folder.join("image"), &layers, &config);
        fs::write(folder.join("data.txt"), "of the host\n").expect("a file");
        let place = Self { stage, folder };
        place.define("%post\n    true\n");
        let works = place.make(&[]);
        if works.code != Some(0) {
            skipped(&format!("bubblewrap does not work here: {}", works.stderr));
            return None;
        }
        Some(place)
    }

    fn new() -> Option<Self> {
        let stage = Stage::empty();
        let folder = stage.path("work");
        Self::below(stage, &folder)
    }

    fn image(&self) -> String {
        self.folder.join("image").display().to_string()
    }

    /// A definition file on top of the image.
    fn define(&self, sections: &str) {
        let image = self.image();
        let text = format!("Bootstrap: oci\nFrom: {image}\n\n{sections}");
        fs::write(self.folder.join("thing.def"), text).expect("a file");
    }

    fn command(&self, more: &[&str]) -> Command {
        let args = [&["sif", "thing.def", "-o", "thing.sif"], more].concat();
        let mut command = self.stage.command(&args);
        command.current_dir(&self.folder);
        command
    }

    fn make(&self, more: &[&str]) -> Ran {
        Ran::of(self.command(more).output().expect("the program runs"))
    }
}

/// The tree in a file: path, and what is there.
fn tree(file: &Path) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let output = Command::new("unsquashfs")
        .args(["-q", "-o", &partition(file).0.to_string(), "-d"])
        .args([&root, file])
        .output()
        .expect("unsquashfs runs");
    Ran::of(output).ends(0);
    let mut found = BTreeMap::new();
    let mut pending = vec![root.clone()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        let what = if metadata.is_dir() {
            let inside = fs::read_dir(&path).expect("a folder").flatten();
            pending.extend(inside.map(|it| it.path()));
            "folder".to_owned()
        } else if metadata.is_symlink() {
            format!("-> {}", fs::read_link(&path).expect("a link").display())
        } else {
            String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned()
        };
        let mode = metadata.permissions().mode() & 0o7777;
        let below = path.strip_prefix(&root).expect("below").display();
        found.insert(below.to_string(), format!("{mode:o} {what}"));
    }
    found
}

#[test]
fn sections_are_executed_in_their_order_and_once() {
    let Some(place) = Place::new() else { return };
    let text = DEFINITION.replace("IMAGE", &place.image());
    fs::write(place.folder.join("thing.def"), text).expect("a file");
    let first = place.make(&[]).ends(0);
    for line in ["executed %setup", "executed %post", "executed %test"] {
        assert!(first.stderr.contains(line), "{line}: {}", first.stderr);
    }
    let file = place.folder.join("thing.sif");
    let tree = tree(&file);
    assert_eq!(tree["all"], "664 of the host\nbuilt\nof the host\n");
    assert_eq!(tree["copied/data.txt"], "644 of the host\n");
    assert_eq!(tree["scif/apps/tool/bin/tool"], "664 app\n");
    assert_eq!(
        tree["saw"],
        "664 a b /root C /opt/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin 0002 / 0\n"
    );
    for gone in [
        "tmp/gone",
        ".post.script",
        ".build.labels",
        "data/text",
        "mount/file",
    ] {
        assert!(!tree.contains_key(gone), "{gone}");
    }
    let labels = &tree[".singularity.d/labels.json"];
    assert!(labels.contains("\"Added\": \"by the script\""), "{labels}");
    // Nothing that makes the image is executed again, and the bytes are the same.
    let bytes = fs::read(&file).expect("a file");
    let second = place.make(&["--no-test"]).ends(0);
    assert!(
        !second.stderr.contains("executed %post"),
        "{}",
        second.stderr
    );
    assert!(bytes == fs::read(&file).expect("a file"), "the same bytes");
    place.make(&["--no-cache"]).ends(0).says("executed %post");
}

#[test]
fn a_script_that_fails_leaves_no_file() {
    let Some(place) = Place::new() else { return };
    let file = place.folder.join("thing.sif");
    fs::remove_file(&file).expect("was made");
    for (sections, section) in [
        (
            "%post\n    echo so far\n    false\n    echo never\n",
            "%post",
        ),
        ("%setup\n    echo so far\n    false\n", "%setup"),
        ("%pre\n    echo so far\n    touch /etc/planted\n", "%pre"),
        ("%test\n    echo so far\n    false\n", "%test"),
    ] {
        place.define(sections);
        // Tests are no scripts of the shell with -e.
        let sections = sections.replace("false\n", "exit 1\n");
        place.define(&sections);
        place
            .make(&[])
            .ends(2)
            .says("so far")
            .says(&format!("{section} failed (exit status: 1)"));
        assert!(!file.exists());
    }
    place.make(&["--no-test"]).ends(0);
    assert!(!Path::new("/etc/planted").exists());
}

#[test]
fn other_shells_and_missing_programs_are_told() {
    let Some(place) = Place::new() else { return };
    place.define("%post -c /bin/busybox ash -u\n    echo shell $0\n");
    place.make(&[]).ends(0).says("shell /.post.script");
    let mut command = place.command(&["--no-cache"]);
    let output = command.env("PATH", "/nowhere").output().expect("runs");
    Ran::of(output)
        .ends(1)
        .says("there is no bubblewrap")
        .says("the package is called `bubblewrap`");
    // What is known needs none.
    let output = place.command(&[]).env("PATH", "/nowhere").output();
    Ran::of(output.expect("runs")).ends(0);
}

#[test]
fn a_killed_build_leaves_nothing_that_is_taken_for_a_result() {
    let Some(place) = Place::new() else { return };
    place.define("%post\n    echo begun; touch /first; sleep 1000; touch /second\n");
    let mut child = place
        .command(&[])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    let sandboxes = place.stage.path("local/sandboxes");
    let is_begun = || {
        fs::read_dir(&sandboxes)
            .into_iter()
            .flatten()
            .flatten()
            .any(|it| it.path().join("root/first").exists())
    };
    for _ in 0..400 {
        if is_begun() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(is_begun(), "the script began");
    child.kill().expect("kills");
    child.wait().expect("ends");
    let text = fs::read_to_string(place.folder.join("thing.def")).expect("a file");
    let text = text.replace("sleep 1000", "sleep 0");
    fs::write(place.folder.join("thing.def"), text).expect("a file");
    place.make(&[]).ends(0).says("begun").says("executed %post");
    let left = fs::read_dir(&sandboxes).expect("a folder").count();
    assert_eq!(left, 0, "what was left is removed");
}

#[test]
fn the_tree_is_that_of_apptainer() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let share = apptainer.path("scripts");
    let Some(place) = Place::below(Stage::empty(), &share) else {
        return;
    };
    let text = DEFINITION.replace("IMAGE", &place.image());
    fs::write(place.folder.join("thing.def"), text).expect("a file");
    open(&apptainer.path(""));
    let theirs = apptainer.path("theirs.sif");
    let args = [
        "build",
        "--force",
        &theirs.display().to_string(),
        "thing.def",
    ];
    let built = Ran::of(apptainer.run_in("scripts", &args));
    // Where it has too few rights it fails in many ways; that our own build works, other tests see to.
    if built.code != Some(0) {
        let last = built.stderr.lines().last().unwrap_or_default();
        return skipped(&format!("Apptainer cannot run scripts here: {last}"));
    }
    place.make(&[]).ends(0);
    let (mut ours, mut theirs) = (
        tree(&place.folder.join("thing.sif")),
        tree(&apptainer.path("theirs.sif")),
    );
    // Files of which each has its own, compared elsewhere by what they do.
    for tree in [&mut ours, &mut theirs] {
        tree.retain(|path, what| {
            let is_own = path.starts_with(".singularity.d/actions/")
                || path.starts_with(".singularity.d/env/") && !path.ends_with("/91-environment.sh")
                || path.ends_with("/runscript")
                || path.ends_with("/startscript")
                || path.ends_with("labels.json")
                || path.ends_with("/01-base.sh");
            if is_own {
                what.truncate(what.find(' ').unwrap_or_default());
            }
            true
        });
    }
    let paths = ours.keys().chain(theirs.keys());
    let differing: BTreeMap<_, _> = paths
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .map(|path| (path, (ours.get(path), theirs.get(path))))
        .collect();
    assert!(differing.is_empty(), "ours, theirs: {differing:#?}");
}

/// Lets a program that gives up root read and write all of it.
fn open(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("ours");
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            open(&path);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        }
    }
}
