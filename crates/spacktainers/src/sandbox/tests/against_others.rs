//! The same script executed by others: the same tree comes of it.

use super::*;
use crate::content::Content;

const SCRIPT: &str = "set -e
echo new > /new; mkdir -p /d/e; echo f > /d/e/f; chmod 2750 /d
rm /lower/gone; rm -r /lower/folder
rm -r /lower/replaced; mkdir -m 700 /lower/replaced; echo n > /lower/replaced/n
ln /lower/first /lower/third; ln -s kept /lower/link; ln -sfn other /lower/points
chmod 4755 /lower/mode; chown 12:34 /lower/owner; echo more >> /lower/kept
mv /lower/moved /moved; mv /lower/family /family
rm /lower/file; mkdir /lower/file; echo x > /lower/file/x
rm -r /lower/tofile; echo x > /lower/tofile
rm /lower/second; mkfifo /pipe
touch -d @1000 /lower/touched
";

fn lower() -> Vec<(Entry, &'static [u8])> {
    let mut second = Entry::file("lower/second", 0o644, 0, 0);
    second.kind = EntryKind::HardLink(b"lower/first".to_vec());
    let mut entries = vec![(Entry::directory("lower", 0o755, 1000), &b""[..])];
    for folder in ["folder", "folder/deep", "replaced", "tofile", "family"] {
        let path = format!("lower/{folder}");
        entries.push((Entry::directory(path, 0o755, 1000), b""));
    }
    for file in [
        "gone",
        "kept",
        "first",
        "mode",
        "owner",
        "moved",
        "file",
        "touched",
        "folder/a",
        "folder/deep/b",
        "replaced/old",
        "replaced/n",
        "tofile/a",
        "family/a",
        "family/b",
    ] {
        let path = format!("lower/{file}");
        entries.push((Entry::file(path, 0o644, 1000, 1), b"1"));
    }
    entries.push((Entry::symlink("lower/points", "kept", 1000), b""));
    entries.push((second, b""));
    entries
}

fn call(program: &str, args: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A layout `l:base` of the stage's layers.
fn layout(stage: &Stage) {
    let folder = stage.folder.path();
    call("umoci", &["init", "--layout", "l"], folder);
    call("umoci", &["new", "--image", "l:base"], folder);
    for layer in &stage.layers {
        let mut bytes = Vec::new();
        let mut reader = layer.content.open(0).expect("a layer");
        std::io::Read::read_to_end(&mut reader, &mut bytes).expect("bytes");
        fs::write(folder.join("layer.tar"), bytes).expect("a file");
        call(
            "umoci",
            &["raw", "add-layer", "--image", "l:base", "layer.tar"],
            folder,
        );
    }
}

/// The last layer of the image with this name in a layout.
fn last_layer(layout: &Path, name: &str) -> LoadedLayer {
    let json = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
    };
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().expect("a digest").replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let index = json(layout.join("index.json"));
    let named = index["manifests"]
        .as_array()
        .expect("images")
        .iter()
        .find(|it| it["annotations"]["org.opencontainers.image.ref.name"] == name);
    let manifest = json(blob(&named.expect("the image")["digest"]));
    let last = manifest["layers"]
        .as_array()
        .and_then(|it| it.last())
        .expect("a layer");
    let path = blob(&last["digest"]);
    let len = fs::metadata(&path).expect("a blob").len();
    LoadedLayer {
        diff_id: oci_format::Digest::of(b"not asked for"),
        digest: None,
        content: Content::File {
            path,
            offset: 0,
            len,
        },
    }
}

fn compare(stage: &mut Stage, theirs: LoadedLayer) {
    let mut others = stage.layers.clone();
    others.push(theirs);
    stage.run(SCRIPT);
    let (mut ours, mut theirs) = (stage.tree(&stage.layers), stage.tree(&others));
    // Others leave the places that they mount on.
    for path in [
        "dev",
        "sys",
        "run",
        "run/.containerenv",
        "etc/hostname",
        "etc/hosts",
        "etc/resolv.conf",
    ] {
        assert!(!ours.contains_key(path), "{path}");
        theirs.remove(path);
    }
    assert!(ours["lower/owner"].contains(" 12:34 "));
    // Pipes are not unpacked by all of them.
    assert!(ours.remove("pipe").is_some());
    theirs.remove("pipe");
    // Both make a copy of a file of the layers below that gets another name; here it stays one file.
    let third = ours.remove("lower/third").expect("a link");
    assert!(third.ends_with(" as lower/first"), "{third}");
    let copied = theirs.remove("lower/third").expect("a copy");
    assert_eq!(third.split(" as ").next(), copied.split(" as ").next());
    let paths = ours.keys().chain(theirs.keys());
    let differing: BTreeMap<_, _> = paths
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .map(|path| (path, (ours.get(path), theirs.get(path))))
        .collect();
    assert!(differing.is_empty(), "ours, theirs: {differing:#?}");
}

#[test]
fn the_tree_is_that_of_umoci() {
    if !is_root() {
        return skipped("only root can compare owners");
    }
    if !has("umoci") {
        return;
    }
    let Some(mut stage) = Stage::new() else {
        return;
    };
    stage.add(&lower());
    layout(&stage);
    let folder = stage.folder.path().to_owned();
    call("umoci", &["unpack", "--image", "l:base", "bundle"], &folder);
    call(
        "bwrap",
        &[
            "--bind",
            "bundle/rootfs",
            "/",
            "--unshare-pid",
            "/bin/sh",
            "-c",
            SCRIPT,
        ],
        &folder,
    );
    call(
        "umoci",
        &["repack", "--image", "l:changed", "bundle"],
        &folder,
    );
    let theirs = last_layer(&folder.join("l"), "changed");
    compare(&mut stage, theirs);
}

#[test]
fn the_tree_is_that_of_buildah() {
    if !is_root() {
        return skipped("only root can compare owners");
    }
    if !has("umoci") || !has("buildah") {
        return;
    }
    let Some(mut stage) = Stage::new() else {
        return;
    };
    stage.add(&lower());
    layout(&stage);
    let folder = stage.folder.path().to_owned();
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
        folder.display()
    );
    fs::write(folder.join("storage.conf"), storage).expect("a file");
    let script = "set -e; export CONTAINERS_STORAGE_CONF=$PWD/storage.conf BUILDAH_ISOLATION=chroot
         c=$(buildah from oci:l:base); buildah run $c -- /bin/sh -c \"$1\"
         buildah commit -q $c oci:out:changed";
    call("/bin/sh", &["-c", script, "sh", SCRIPT], &folder);
    let theirs = last_layer(&folder.join("out"), "changed");
    compare(&mut stage, theirs);
}
