//! The images of the table: one root file system with a static busybox, and a config for each; then definition files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use oci_format::Digest;
use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;
use serde_json::{Value, json};

/// Prints its arguments, one in each pair of brackets, and fails with their number.
const SHOW: &str = "#!/bin/sh\nfor it; do printf '[%s]' \"$it\"; done\necho\nexit $#\n";

const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "env", "grep", "id", "ls", "printf", "pwd", "readlink", "sleep", "sort",
    "touch", "true",
];

/// Image configs by name: what stands under `config`.
pub(super) fn configs() -> Vec<(&'static str, Value)> {
    vec![
        (
            "words",
            json!({
                "Entrypoint": ["/bin/show", "an entry", "it's", "\"q\"", "$HOME", "back\\slash", "`id`", "", "tab\there", "*"],
                "Cmd": ["two words", "$0", "\\$A", "line\nbreak", "a;b&c|d>e #f", "~", "é"],
                "Env": ["PATH=/bin"],
            }),
        ),
        (
            "entry",
            json!({"Entrypoint": ["/bin/show", "entry"], "Env": ["PATH=/bin"]}),
        ),
        (
            "cmd",
            json!({"Entrypoint": [], "Cmd": ["/bin/show", "cmd $PATH"], "Env": ["PATH=/bin"]}),
        ),
        (
            "neither",
            json!({"Entrypoint": [], "Cmd": [], "Env": ["PATH=/bin"]}),
        ),
        (
            "shell",
            json!({
                "Cmd": ["/bin/sh", "-c", "echo \"$GREETING, $0\"; for it in \"$@\"; do echo \"<$it>\"; done; exit 7"],
                "Env": ["PATH=/bin", "GREETING=good morning"],
            }),
        ),
        (
            "env",
            json!({
                "Cmd": ["/bin/env"],
                "Env": [
                    "PATH=/bin:/opt/own/bin", "LD_LIBRARY_PATH=/opt/own/lib", "PLAIN=plain", "SPACES= two  words ",
                    "SINGLE=it's", "EMPTY=",
                    "NOVALUE", "EQUALS=a=b==c", "SIGNS=a;b&c|d>e #f!", "TILDE=~", "STAR=*", "UNICODE=é日",
                    "1BAD=x", "BA-D=x", "DOT.TED=x", "HOME=/image/home", "PWD=/image/pwd", "PS1=own prompt", "USER=own",
                    "TWICE=first", "TWICE=second", "TZ=UTC", "SHELL=/bin/own",
                ],
            }),
        ),
        (
            "quoted",
            json!({
                "Cmd": ["/bin/env"],
                "Env": [
                    "PATH=/bin", "PLAIN=plain", "DOUBLE=a \"b\" c", "DOLLAR=$HOME ${PLAIN} $(echo run)", "LATER=$PLAIN/x",
                    "BACK=a\\b\\\\c\\n", "LINES=one\ntwo",
                ],
            }),
        ),
        (
            "ticked",
            json!({"Cmd": ["/bin/env"], "Env": ["PATH=/bin:/opt/own/bin", "TICK=`id`", "PLAIN=plain"]}),
        ),
        (
            "other",
            json!({
                "Entrypoint": ["/bin/show"],
                "Env": ["PATH=/bin"],
                "User": "1234:5678",
                "WorkingDir": "/data",
                "StopSignal": "SIGINT",
                "ExposedPorts": {"80/tcp": {}},
                "Volumes": {"/volume": {}},
                "Labels": {"one": "1", "two words": "a  b", "quotes": "\"'\\$`", "lines": "a\nb", "html": "<a&b>", "empty": "", "é": "日"},
            }),
        ),
    ]
}

/// Definition files by name; `base.sif` is the file of the one before.
pub(super) const DEFFILES: &[(&str, &str)] = &[
    ("defined", include_str!("defined.def")),
    ("extended", include_str!("extended.def")),
    ("staged", include_str!("staged.def")),
];

/// Makes an OCI layout with one image, for each config, and the definition files with what they copy.
pub(super) fn write(folder: &Path, busybox: &Path) {
    let layer = layer(busybox);
    for (name, config) in configs() {
        layout(&folder.join(name), &layer, &config);
    }
    for (name, text) in DEFFILES {
        fs::write(folder.join(format!("{name}.def")), text).expect("a file");
    }
    for (name, text) in [("one.txt", "one\n"), ("two words.txt", "two\n")] {
        fs::create_dir_all(folder.join("files")).expect("a folder");
        fs::write(folder.join("files").join(name), text).expect("a file");
    }
}

/// A root file system of busybox.
pub(crate) fn layer(busybox: &Path) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    let mut put =
        |entry: Entry, content: &[u8]| tar.append_bytes(&entry, content).expect("memory takes all");
    for folder in ["bin", "data", "etc", "mount", "run", "var"] {
        put(Entry::directory(folder, 0o755, 1), b"");
    }
    let program = fs::read(busybox).expect("was looked for");
    put(
        Entry::file("bin/busybox", 0o755, 1, program.len() as u64),
        &program,
    );
    for applet in APPLETS {
        put(Entry::symlink(format!("bin/{applet}"), "busybox", 1), b"");
    }
    let files: &[(&str, u32, &str)] = &[
        ("bin/show", 0o755, SHOW),
        ("data/text", 0o644, "words\n"),
        (
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\nsomebody:x:1234:5678::/home/somebody:/bin/sh\n",
        ),
        ("etc/group", 0o644, "root:x:0:\nsome:x:5678:\n"),
        ("mount/file", 0o644, "of the image\n"),
    ];
    for (path, mode, text) in files {
        put(
            Entry::file(*path, *mode, 1, text.len() as u64),
            text.as_bytes(),
        );
    }
    // Mount points that distributions have as links.
    put(
        Entry::symlink("etc/resolv.conf", "../run/resolv.conf", 1),
        b"",
    );
    put(Entry::symlink("var/run", "../run", 1), b"");
    put(Entry::symlink("mount/link", "file", 1), b"");
    tar.finish().expect("memory takes all")
}

/// An OCI image layout of one image with one layer.
pub(super) fn layout(folder: &Path, layer: &[u8], config: &Value) {
    layout_of(folder, &[layer.to_vec()], config);
}

/// A layer with all that the runtime mounts onto, so that nothing of it is missing.
pub(crate) fn mount_points() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    let mut put = |entry: Entry, content: &[u8]| {
        tar.append_bytes(&entry, content).expect("memory takes all");
    };
    let folders = [
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("var", 0o755),
        ("var/tmp", 0o1777),
    ];
    for (path, mode) in folders {
        put(Entry::directory(path, mode, 1), b"");
    }
    for (name, text) in [
        ("group", "root:x:0:\n"),
        ("hosts", ""),
        ("localtime", ""),
        ("passwd", "root:x:0:0::/:/bin/sh\n"),
        ("resolv.conf", ""),
    ] {
        put(
            Entry::file(format!("etc/{name}"), 0o644, 1, text.len() as u64),
            text.as_bytes(),
        );
    }
    tar.finish().expect("memory takes all")
}

/// An OCI image layout of one image with layers, plain or in gzip in turn, lowest first.
pub(crate) fn layout_of(folder: &Path, layers: &[Vec<u8>], config: &Value) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    let put = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).expect("a file");
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest.to_string(), "size": bytes.len()})
    };
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| Digest::of(layer).to_string())
        .collect();
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = put("config.v1+json", config.to_string().as_bytes());
    let layers: Vec<Value> = layers
        .iter()
        .enumerate()
        .map(|(number, layer)| match number % 2 {
            0 => put("layer.v1.tar", layer),
            _ => put("layer.v1.tar+gzip", &in_gzip(layer)),
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    });
    let manifest = put("manifest.v1+json", manifest.to_string().as_bytes());
    let mut manifest = manifest;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string()).expect("a file");
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .expect("a file");
}

/// The static busybox on the search path.
pub(crate) fn busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("busybox"))
        .find(|it| it.is_file());
    if found.is_none() {
        crate::support::skipped("there is no busybox");
    }
    found
}

fn in_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory takes all");
    gzip.finish().expect("memory takes all")
}
