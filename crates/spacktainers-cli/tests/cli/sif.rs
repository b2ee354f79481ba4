//! SIF files from the command line, and what Apptainer makes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Ran, Stage, has, skipped};

/// An image layout `layout:latest` made by umoci of a folder with a static busybox, where these are there.
fn image(stage: &Stage, config: &[&str]) -> Option<()> {
    if !has("umoci") || !has("busybox") {
        return None;
    }
    let root = stage.path("rootfs");
    for folder in ["bin", "etc", "data"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let busybox = which("busybox");
    fs::copy(busybox, root.join("bin/busybox")).expect("copies");
    for applet in [
        "sh", "echo", "cat", "id", "ls", "env", "printf", "pwd", "test", "true",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("links");
    }
    fs::write(root.join("data/text"), "words\n").expect("writes");
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .current_dir(stage.path(""))
            .output();
        let output = output.expect("runs");
        assert!(
            output.status.success(),
            "{program} {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run(
        "tar",
        &[
            "-C",
            "rootfs",
            "--owner=0",
            "--group=0",
            "--mtime=@0",
            "-cf",
            "layer.tar",
            ".",
        ],
    );
    run("umoci", &["init", "--layout", "layout"]);
    run("umoci", &["new", "--image", "layout:latest"]);
    run(
        "umoci",
        &["raw", "add-layer", "--image", "layout:latest", "layer.tar"],
    );
    let mut all = vec![
        "config",
        "--image",
        "layout:latest",
        "--config.env",
        "PATH=/bin",
    ];
    all.extend(config);
    run("umoci", &all);
    Some(())
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(program));
    files.find(|file| file.is_file()).expect("was looked for")
}

#[test]
fn an_image_becomes_the_same_file_each_time_and_says_what_it_is() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    stage.run(&["sif", "oci:image:v1", "-o", "one.sif"]).ends(0);
    stage
        .run(&["sif", "oci:image:v1", "-o", "two.sif", "--jobs", "5"])
        .ends(0);
    assert!(
        fs::read(stage.path("one.sif")).ok() == fs::read(stage.path("two.sif")).ok(),
        "the same bytes"
    );
    let ran = stage.run(&["sif", "inspect", "one.sif", "--json"]).ends(0);
    let document = ran.json();
    assert_eq!(document["arch"], "amd64");
    let labels = &document["metadata"]["data"]["attributes"]["labels"];
    assert_eq!(labels["org.opencontainers.image.title"], "spike");
    let dumped = stage.run(&["sif", "dump", "one.sif", "2"]).ends(0);
    assert_eq!(dumped.stdout, "bootstrap: oci\nfrom: image:v1\n\n");
    let zstd = [
        "sif",
        "oci:image:v1",
        "-o",
        "zstd.sif",
        "--compression",
        "zstd",
        "--json",
    ];
    let zstd = stage.run(&zstd).ends(0).json();
    assert_eq!(
        zstd["tree"], document["record"]["tree"],
        "the same tree, however compressed"
    );
}

#[test]
fn a_container_is_built_to_a_sif_file_and_is_up_to_date_then() {
    let stage = Stage::demo();
    stage
        .build("sif:spike.sif")
        .ends(0)
        .says("there is no image yet");
    let before = fs::read(stage.path("spike.sif")).expect("a file");
    stage
        .build("sif:spike.sif")
        .ends(0)
        .says("is up to date in sif:spike.sif");
    stage.run(&["sif", "spike", "-o", "other.sif"]).ends(0);
    assert_eq!(fs::read(stage.path("spike.sif")).expect("a file"), before);
    stage.build("squashfs:spike.squashfs").ends(0);
    let magic = fs::read(stage.path("spike.squashfs")).expect("a file");
    assert_eq!(&magic[..4], b"hsqs");
}

#[test]
fn faults_leave_no_file() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    let make = |stage: &Stage| stage.run(&["sif", "oci:image:v1", "-o", "out.sif"]);
    let archive = stage.archive("spike-models");
    let name = archive
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let blob = stage.path(&format!("image/blobs/sha256/{name}"));
    let whole = fs::read(&blob).expect("a layer");
    fs::set_permissions(&blob, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("may be written");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&blob, flipped).expect("writes");
    make(&stage).ends(5);
    assert!(!stage.path("out.sif").exists());
    fs::write(&blob, &whole).expect("writes");
    make(&stage).ends(0);
    stage
        .run(&["sif", "oci:image:v9", "-o", "none.sif"])
        .ends(4)
        .says("no base image");
    stage
        .run(&["sif", "elsewhere:x", "-o", "none.sif"])
        .ends(2)
        .says("names no image");
    stage
        .run(&["sif", "oci:image:v1", "-o", "x.sif", "--block-size", "5000"])
        .ends(2)
        .says("powers of two");
    stage
        .run(&["sif", "inspect", "spacktainers.toml"])
        .ends(5)
        .says("not a SIF file");
    assert!(!stage.path("none.sif").exists());
    let left: Vec<_> = fs::read_dir(stage.path(""))
        .expect("a folder")
        .flatten()
        .map(|it| it.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|it| !it.to_string_lossy().starts_with(".spacktainers-")),
        "{left:?}"
    );
}

#[test]
fn gnupg_and_we_sign_alike() {
    if !has("gpg") {
        return;
    }
    let stage = Stage::demo();
    stage.build("sif:spike.sif").ends(0);
    let home = stage.path("gnupg");
    fs::create_dir(&home).expect("a folder");
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("private");
    let gpg = |args: &[&str]| -> Vec<u8> {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(&home)
            .args(["--batch", "--quiet"])
            .args(args)
            .output();
        let output = output.expect("runs");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    gpg(&[
        "--passphrase",
        "",
        "--quick-gen-key",
        "Test <test@example.org>",
        "ed25519",
        "sign",
        "never",
    ]);
    fs::write(stage.path("key.pub"), gpg(&["--armor", "--export"])).expect("writes");
    fs::write(
        stage.path("key.sec"),
        gpg(&["--armor", "--export-secret-keys"]),
    )
    .expect("writes");
    let verify = ["sif", "verify", "spike.sif", "--key", "key.pub"];
    stage.run(&verify).ends(5).says("is not signed");
    stage
        .run(&["sif", "sign", "spike.sif", "--key", "key.sec"])
        .ends(0);
    stage.run(&verify).ends(0).says("good");
    // The signed text is one that GnuPG itself takes.
    let objects = stage
        .run(&["sif", "inspect", "spike.sif", "--json"])
        .ends(0)
        .json();
    let signature = objects["objects"]
        .as_array()
        .and_then(|it| it.last())
        .expect("a signature")["id"]
        .to_string();
    stage
        .run(&[
            "sif",
            "dump",
            "spike.sif",
            &signature,
            "-o",
            "signature.asc",
        ])
        .ends(0);
    gpg(&[
        "--verify",
        &stage.path("signature.asc").display().to_string(),
    ]);
    let other = "crates/spacktainers/tests/data/openpgp/beta.pub";
    fs::copy(
        crate::support::repository().join(other),
        stage.path("other.pub"),
    )
    .expect("copies");
    stage
        .run(&["sif", "verify", "spike.sif", "--key", "other.pub"])
        .ends(5);
    let mut bytes = fs::read(stage.path("spike.sif")).expect("a file");
    bytes[40_000] ^= 1;
    fs::write(stage.path("spike.sif"), bytes).expect("writes");
    stage.run(&verify).ends(5).says("has changed since");
}

#[test]
fn an_image_and_its_files_hold_the_same_and_one_changed_name_is_told() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    stage.run(&["sif", "oci:image:v1", "-o", "one.sif"]).ends(0);
    stage.build("squashfs:bare.squashfs").ends(0);
    for other in ["one.sif", "sif:one.sif", "bare.squashfs"] {
        stage
            .run(&["verify", "--same", "oci:image:v1", other])
            .ends(0)
            .says("hold the same files");
    }
    let definition = "Bootstrap: localimage\nFrom: one.sif\n\n%files\n    extra /opt/extra\n";
    stage.write("more.def", definition);
    stage.write("extra", "more\n");
    stage.run(&["sif", "more.def", "-o", "more.sif"]).ends(0);
    let ran = stage
        .run(&["verify", "--same", "oci:image:v1", "more.sif"])
        .ends(5)
        .says("/opt/extra: only the second has it")
        .says("differ in 1 names");
    assert!(!ran.stderr.contains(".singularity.d"), "{}", ran.stderr);
    stage.run(&["sif", "unpack", "more.sif", "tree"]).ends(0);
    assert_eq!(stage.read("tree/opt/extra"), "more\n");
    let script = fs::read_to_string(stage.path("tree/.singularity.d/bootstrap_history/Apptainer0"));
    assert_eq!(
        script.ok().as_deref(),
        Some("bootstrap: oci\nfrom: image:v1\n\n")
    );
    stage
        .run(&["sif", "unpack", "more.sif", "tree"])
        .ends(2)
        .says("is not empty");
}

// --- Apptainer ---------------------------------------------------------------------------------------------

/// The real one, and a folder that it sees by the same path.
struct Apptainer {
    program: PathBuf,
    share: tempfile::TempDir,
}

impl Apptainer {
    fn find() -> Option<Self> {
        let named = std::env::var_os("SPACKTAINERS_APPTAINER").map(PathBuf::from);
        let share = std::env::var_os("SPACKTAINERS_APPTAINER_SHARE").map(PathBuf::from);
        let Some(program) = named else {
            skipped("no Apptainer: name it by SPACKTAINERS_APPTAINER");
            return None;
        };
        let share = share.unwrap_or_else(std::env::temp_dir);
        let share = tempfile::tempdir_in(share).expect("a folder");
        let found = Self { program, share };
        let works = found.run(&["--version"]);
        if !works.status.success() {
            skipped(&format!(
                "Apptainer does not work here: {}",
                String::from_utf8_lossy(&works.stderr)
            ));
            return None;
        }
        Some(found)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(&self.program)
            .args(args)
            .current_dir(self.share.path())
            .env("APPTAINER_CACHEDIR", self.share.path().join("cache"))
            .output()
            .expect("starts")
    }

    /// Standard output of a run that has to succeed.
    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        Ran::of(self.run(args)).ends(0).stdout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.share.path().join(name)
    }
}

/// Our file and the one that Apptainer makes of the same image.
fn both(apptainer: &Apptainer, stage: &Stage) -> (String, String) {
    let ours = apptainer.path("ours.sif");
    stage
        .run(&[
            "sif",
            "oci:layout:latest",
            "-o",
            &ours.display().to_string(),
        ])
        .ends(0);
    let copied = Command::new("cp")
        .arg("-r")
        .arg(stage.path("layout"))
        .arg(apptainer.share.path())
        .status();
    assert!(copied.is_ok_and(|it| it.success()));
    let theirs = apptainer.path("theirs.sif");
    apptainer.says(&[
        "build",
        "--force",
        &theirs.display().to_string(),
        "oci:layout",
    ]);
    (ours.display().to_string(), theirs.display().to_string())
}

/// What a run of both files says: exit code and standard output have to be the same.
#[track_caller]
fn compare(apptainer: &Apptainer, files: &(String, String), verb: &[&str], rest: &[&str]) {
    let run = |file: &str| {
        let args = [verb, &[file], rest].concat();
        let output = apptainer.run(&args);
        (
            output.status.code(),
            // Programs may tell the name of the file that they run in.
            String::from_utf8_lossy(&output.stdout)
                .replace(file, "image.sif")
                .replace("theirs.sif", "ours.sif"),
        )
    };
    assert_eq!(run(&files.0), run(&files.1), "{verb:?} {rest:?}");
}

#[test]
fn apptainer_does_with_our_files_what_it_does_with_its_own() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let cases: &[&[&str]] = &[
        &["--config.cmd", "/bin/echo", "--config.cmd", "from cmd"],
        &[
            "--config.entrypoint",
            "/bin/echo",
            "--config.entrypoint",
            "an entry",
            "--config.cmd",
            "a \"word\"",
        ],
        &["--config.entrypoint", "/bin/echo"],
        &[
            "--config.entrypoint",
            "/bin/sh",
            "--config.entrypoint",
            "-c",
            "--config.entrypoint",
            "echo $HOME is home; echo $0 $1",
            "--config.cmd",
            "zero",
            "--config.cmd",
            "one",
        ],
        &[
            "--config.cmd",
            "/bin/echo",
            "--config.cmd",
            "it's",
            "--config.cmd",
            "$A",
            "--config.env",
            "A=plain",
        ],
        &[
            "--config.env",
            "B=two words",
            "--config.env",
            "EMPTY=",
            "--config.env",
            "D=a=b",
            "--config.cmd",
            "/bin/env",
        ],
        &[
            "--config.workingdir",
            "/data",
            "--config.user",
            "1000",
            "--config.cmd",
            "/bin/pwd",
        ],
        &[
            "--config.label",
            "one=1",
            "--config.label",
            "two words=a b",
            "--config.cmd",
            "/bin/true",
        ],
    ];
    for case in cases {
        let stage = Stage::empty();
        if image(&stage, case).is_none() {
            return;
        }
        let files = both(&apptainer, &stage);
        compare(&apptainer, &files, &["run", "--userns"], &[]);
        compare(
            &apptainer,
            &files,
            &["run", "--userns"],
            &["more", "two words", "it's"],
        );
        compare(
            &apptainer,
            &files,
            &["exec", "--userns"],
            &["/bin/cat", "/data/text"],
        );
        compare(
            &apptainer,
            &files,
            &["exec", "--userns", "--contain"],
            &["/bin/sh", "-c", "echo $A-$B-$EMPTY-$D-$PATH"],
        );
        compare(&apptainer, &files, &["test", "--userns"], &[]);
        compare(
            &apptainer,
            &files,
            &["exec", "--userns"],
            &["/bin/ls", "-a", "/", "/.singularity.d/actions"],
        );
    }
}

#[test]
fn apptainer_lists_and_inspects_our_files_and_checks_our_signatures() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let stage = Stage::demo();
    let file = apptainer.path("spike.sif");
    let target = format!("sif:{}", file.display());
    stage.build(&target).ends(0);
    let file = file.display().to_string();
    assert!(
        apptainer
            .says(&["sif", "list", &file])
            .contains("FS (Squashfs/*System/amd64)")
    );
    let labels = apptainer.says(&["inspect", "--json", &file]);
    assert!(
        labels.contains("\"org.opencontainers.image.title\": \"spike\""),
        "{labels}"
    );
    let environment = apptainer.says(&["inspect", "--environment", &file]);
    assert!(environment.contains("/opt/view/bin"), "{environment}");
    // Without a C library nothing of the demo starts; what lies there can be listed all the same.
    let listed = apptainer.run(&["exec", "--userns", &file, "/bin/true"]);
    assert!(!listed.status.success());
    let _ = Path::new(&file);
}
