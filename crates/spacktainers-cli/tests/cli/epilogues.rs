//! What finishes an image: `Dockerfile.epilogue` and `container.toml`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::{Ran, Stage, has, skipped};

const FOLDER: &str = "container_definitions/amd64/spike";

/// The demo's container, with files to copy.
fn stage() -> Stage {
    let stage = Stage::demo();
    stage.write(
        &format!("{FOLDER}/files/run.sh"),
        "#!/bin/sh\nexec spike \"$@\"\n",
    );
    stage.write(&format!("{FOLDER}/files/deep/er/data.txt"), "data\n");
    stage.write(&format!("{FOLDER}/files/deep/more.txt"), "more\n");
    symlink("run.sh", stage.path(&format!("{FOLDER}/files/start"))).expect("a link");
    stage
}

fn config(stage: &Stage, layout: &str) -> serde_json::Value {
    let read = |path: String| -> serde_json::Value {
        serde_json::from_str(&stage.read(&path)).expect("JSON")
    };
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().expect("a digest").replace(':', "/");
        format!("{layout}/blobs/{digest}")
    };
    let index = read(format!("{layout}/index.json"));
    let manifest = read(blob(&index["manifests"][0]["digest"]));
    read(blob(&manifest["config"]["digest"]))
}

#[test]
fn instructions_finish_the_image() {
    let stage = stage();
    stage.write(
        &format!("{FOLDER}/container.toml"),
        "user = \"1000\"\nentrypoint = [\"/opt/app/run.sh\"]\n[env]\nPATH = \"/opt/app:$PATH\"\nQUOTED = 'a \"b\" \\c'\n\
         [labels]\nmaintainer = \"us\"\n[[files]]\nsource = \"files/run.sh\"\ndestination = \"/opt/app/\"\nmode = \"755\"\n",
    );
    stage.write(
        &format!("{FOLDER}/Dockerfile.epilogue"),
        "# what the text form is run with\nSHELL [\"/bin/bash\", \"-c\"]\nENV MORE=\"$QUOTED!\"\nCMD spike\nUSER root\n",
    );
    stage.build("oci:image").ends(0);
    let config = config(&stage, "image");
    let config = &config["config"];
    let env: Vec<&str> = config["Env"]
        .as_array()
        .expect("variables")
        .iter()
        .filter_map(|it| it.as_str())
        .collect();
    assert!(
        env.iter()
            .any(|it| it.starts_with("PATH=/opt/app:/opt/view/bin")),
        "{env:?}"
    );
    assert!(env.contains(&"QUOTED=a \"b\" \\c"), "{env:?}");
    assert!(env.contains(&"MORE=a \"b\" \\c!"), "{env:?}");
    assert_eq!(config["Entrypoint"][0], "/opt/app/run.sh");
    assert_eq!(
        config["Cmd"],
        serde_json::json!(["/bin/bash", "-c", "spike"])
    );
    assert_eq!(config["User"], "root", "the later one counts");
    assert_eq!(config["Labels"]["maintainer"], "us");
    stage.build("oci:image").ends(0).says("is up to date");
    // A file that is copied decides about the image like all else.
    stage.write(&format!("{FOLDER}/files/run.sh"), "#!/bin/sh\nexec other\n");
    let again = stage.build("oci:image").ends(0);
    assert!(!again.stderr.contains("is up to date"), "{}", again.stderr);
}

#[test]
fn faults_of_epilogues_are_told_by_check() {
    let stage = stage();
    stage.write(
        &format!("{FOLDER}/container.toml"),
        "packages = [\"gcc\"]\nentry_point = [\"a\"]\n[[files]]\nsource = \"nowhere\"\ndestination = \"/x\"\n",
    );
    stage.write(
        &format!("{FOLDER}/Dockerfile.epilogue"),
        "ENV A=b\nRNU make\nCOPY files/none /x\n",
    );
    stage
        .run(&["check"])
        .ends(2)
        .says("container.toml:1:13")
        .says("this base is another one")
        .says("container.toml:2:1")
        .says("there is no `nowhere` to be copied")
        .says("Dockerfile.epilogue:2:1")
        .says("did you mean RUN?");
    stage.write(&format!("{FOLDER}/container.toml"), "");
    stage.write(
        &format!("{FOLDER}/Dockerfile.epilogue"),
        "ENV A=b\nCOPY --chown=nobody files/run.sh /x\n",
    );
    stage
        .build("oci:image")
        .ends(2)
        .says("Dockerfile.epilogue:2:1")
        .says("the image has no user `nobody`");
    assert!(!stage.path("image").exists());
}

#[test]
fn files_lie_where_buildah_puts_them() {
    if !has("buildah") {
        return;
    }
    let epilogue = "WORKDIR /job/deep\nCOPY files/run.sh tool\nCOPY files /opt/app\nCOPY files/run.sh files/deep/more.txt /opt/app/\n\
        COPY files/*.sh /srv/\nCOPY --chown=7:8 --chmod=640 files/deep /data\nADD files/deep/more.txt /single\nCOPY files/deep/er /opt/app/deep\n";
    compare_with_buildah(&stage(), epilogue);
}

/// A shell and what it calls, which need nothing else in the image.
fn busybox(stage: &Stage) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("busybox"))
        .find(|file| file.is_file());
    let Some(file) = found.filter(|_| has("bwrap")) else {
        skipped("there is no busybox");
        return false;
    };
    fs::copy(file, stage.path(&format!("{FOLDER}/busybox"))).expect("a file");
    true
}

#[test]
fn commands_change_what_they_change_in_buildah() {
    let stage = stage();
    if !busybox(&stage) || !has("buildah") || !is_root() {
        return;
    }
    // What buildah mounts things on it leaves behind: it is there before.
    let epilogue = "WORKDIR /run\nCOPY files/run.sh /etc/hostname\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"ln\", \"/bin/busybox\", \"/bin/sh\"]\n\
        COPY files /opt/app\nENV NAME=\"a b\"\nWORKDIR /job\n\
        RUN busybox mkdir -p a/b && echo \"$NAME\" > a/b/c && busybox chmod 700 a && busybox ln a/b/c hard && busybox ln -s c a/b/soft\n\
        RUN busybox rm -r /opt/app/deep && busybox mkdir /opt/app/deep && echo new > /opt/app/deep/new && busybox chown 5:6 /opt/app/run.sh\n\
        RUN busybox rm hard && echo x >> a/b/c\nRUN true\n";
    compare_with_buildah(&stage, epilogue);
}

#[test]
fn commands_are_run_once_and_their_failures_told() {
    let stage = stage();
    if !busybox(&stage) {
        return;
    }
    let file = format!("{FOLDER}/Dockerfile.epilogue");
    let begin =
        "COPY busybox /bin/\nRUN [\"/bin/busybox\", \"ln\", \"/bin/busybox\", \"/bin/sh\"]\n";
    let epilogue = format!("{begin}RUN busybox cat /proc/sys/kernel/random/uuid > /once\n");
    stage.write(&file, &epilogue);
    stage.build("oci:one").ends(0);
    stage.build("oci:two").ends(0);
    let index = |layout: &str| stage.read(&format!("{layout}/index.json"));
    assert_eq!(index("one"), index("two"), "it ran once");
    // There is neither /proc nor /dev in this image.
    let ran = stage.run(&["run", "oci:one", "--", "/bin/busybox", "cat", "/once"]);
    assert_eq!(ran.ends(0).stdout.trim().len(), 36);
    // What the machine holds in its environment is nobody's business.
    stage.write(&file, &format!("{begin}RUN test -z \"$SECRET_OF_OURS\"\n"));
    let mut command = stage.command(&[
        "build",
        "spike",
        "--to",
        "oci:image",
        "--allow-missing-libraries",
    ]);
    let output = command.env("SECRET_OF_OURS", "x").output();
    Ran::of(output.expect("runs")).ends(0);
    stage.write(&file, &format!("{begin}\nRUN echo it is wrong && exit 3\n"));
    stage
        .build("oci:three")
        .ends(2)
        .says("| it is wrong")
        .says("Dockerfile.epilogue:4:1")
        .says("failed (exit status: 3)");
    assert!(!stage.path("three").exists());
}

/// Both make an image of the same instructions on the same image.
fn compare_with_buildah(stage: &Stage, epilogue: &str) {
    stage.build("oci:below:v1").ends(0);
    stage.write(&format!("{FOLDER}/Dockerfile.epilogue"), epilogue);
    stage.build("oci:ours:v1").ends(0);
    stage.write(
        "storage.conf",
        &format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
            stage.path("storage").display()
        ),
    );
    let buildah = |args: &[&str]| {
        let output = Command::new("buildah")
            .args(args)
            .current_dir(stage.path(""))
            .env("CONTAINERS_STORAGE_CONF", stage.path("storage.conf"))
            .env("BUILDAH_ISOLATION", "chroot")
            .output()
            .expect("buildah starts");
        Ran::of(output).ends(0)
    };
    let below = buildah(&["pull", "-q", "oci:below:v1"]).stdout;
    let dockerfile = format!("FROM {}\n{epilogue}", below.trim());
    stage.write("Dockerfile", &dockerfile);
    buildah(&[
        "build",
        "--format",
        "oci",
        "-t",
        "theirs",
        "-f",
        "Dockerfile",
        FOLDER,
    ]);
    buildah(&["push", "theirs", "oci:theirs:v1"]);
    stage
        .run(&["verify", "--same", "oci:ours:v1", "oci:theirs:v1"])
        .ends(0);
    fs::remove_dir_all(stage.path("storage")).expect("is ours");
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
    if !is_root {
        skipped("buildah sets owners for root alone");
    }
    is_root
}
