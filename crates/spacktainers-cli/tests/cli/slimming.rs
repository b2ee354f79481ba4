//! Images of less: what is left out, what still works, symbols kept apart, other compressions, and limits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Ran, Registry, SETTINGS, Stage, fixtures, has, skipped};
use crate::trees::{Thing, tree};

/// A project of the fixtures' packages, all built by real Spack, with more settings.
fn small(settings: &str) -> Option<Stage> {
    let fixtures = fixtures()?;
    let stage = Stage::empty();
    for file in ["spack.yaml", "spack.lock"] {
        let text = fs::read_to_string(fixtures.join("envs/small").join(file)).expect("a fixture");
        stage.write(&format!("container_definitions/amd64/small/{file}"), &text);
    }
    stage.write(
        "spacktainers.toml",
        &format!(
            "[[mirror]]\nname = \"small\"\nurl = \"file://{0}/small-v3\"\nkeys = [\"{0}/signing-key.pub\"]\n{settings}\n",
            fixtures.join("caches").display()
        ),
    );
    Some(stage)
}

fn build(stage: &Stage, name: &str, target: &str, more: &[&str]) -> Ran {
    let args = ["build", name, "--to", target, "--allow-missing-libraries"];
    stage.run(&[&args[..], more].concat())
}

/// The path of a blob of a layout.
fn blob(stage: &Stage, layout: &str, digest: &Value) -> PathBuf {
    let digest = digest.as_str().expect("a digest").replace(':', "/");
    stage.path(&format!("{layout}/blobs/{digest}"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// The manifest that a layout names so.
fn manifest(stage: &Stage, layout: &str, name: &str) -> Value {
    let index = json(&stage.path(&format!("{layout}/index.json")));
    let all = index["manifests"].as_array().expect("a list").clone();
    let named = all
        .iter()
        .find(|it| it["annotations"]["org.opencontainers.image.ref.name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {index}"));
    json(&blob(stage, layout, &named["digest"]))
}

/// Unpacks the layers of an image one over the other, as tar does it.
fn unpack(stage: &Stage, layout: &str, manifest: &Value) -> PathBuf {
    let root = stage.path(&format!("{layout}-root"));
    fs::create_dir_all(&root).expect("a folder");
    for layer in manifest["layers"].as_array().expect("layers") {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).args(["--no-same-owner", "-xf"]);
        let output = tar.arg(blob(stage, layout, &layer["digest"])).output();
        let output = Ran::of(output.expect("tar"));
        output.ends(0);
    }
    root
}

/// Runs a command with the image's `/opt` in place of this machine's.
fn inside(root: &Path, command: &[&str]) -> Ran {
    let mut bwrap = Command::new("bwrap");
    bwrap
        .args(["--dev-bind", "/", "/", "--tmpfs", "/opt", "--bind"])
        .arg(root.join("opt"))
        .arg("/opt")
        .args(["--setenv", "TERM", "dumb", "--"])
        .args(command)
        .stdin(std::process::Stdio::null());
    Ran::of(bwrap.output().expect("bwrap runs"))
}

/// Names of the programs in the view.
fn programs(tree: &BTreeMap<String, Thing>) -> Vec<String> {
    let names = tree.keys().filter_map(|path| {
        let (_, name) = path.split_once("/._view/")?.1.split_once("/bin/")?;
        Some(name.to_owned())
    });
    names.collect()
}

#[test]
fn programs_of_a_slim_image_run_as_those_of_a_full_one() {
    let (Some(full), Some(slim)) = (small(""), small("[slim]\nprofile = \"runtime\"")) else {
        return;
    };
    build(&full, "small", "oci:image:v1", &[]).ends(0);
    build(
        &slim,
        "small",
        "oci:image:v1",
        &["--size-report", "size-{name}.json"],
    )
    .ends(0);
    let (before, after) = (tree(&full, "image"), tree(&slim, "image"));

    let gone: Vec<&String> = before
        .keys()
        .filter(|it| !after.contains_key(*it))
        .collect();
    let is_expected = |path: &str| {
        [
            "/include",
            "/share/man",
            "/man",
            "/share/info",
            "/share/doc",
            "/pkgconfig",
            ".a",
            "/cmake",
            "/lib64",
            "/share",
            "/doc",
        ]
        .iter()
        .any(|it| path.ends_with(it) || path.contains(&format!("{it}/")))
    };
    let wrong: Vec<_> = gone.iter().filter(|it| !is_expected(it)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(gone.len() > 500, "{}", gone.len());
    // What Spack knows an installed package by stays, and no link of the view leads nowhere.
    let specs = |tree: &BTreeMap<String, Thing>| {
        tree.keys()
            .filter(|it| it.ends_with("/.spack/spec.json"))
            .count()
    };
    assert_eq!(specs(&after), 12);
    for (path, thing) in &after {
        if let Thing::Link(target) = thing
            && let Some(target) = target.strip_prefix("/opt/software/")
            && path.contains("/._view/")
        {
            assert!(
                after.contains_key(&format!("opt/software/{target}")),
                "{path} -> {target}"
            );
        }
    }

    let report = json(&slim.path("size-small.json"));
    assert_eq!(report["container"], "small");
    let number = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no {pointer} in {report:#}"))
    };
    for cause in ["headers", "static archives", "manual pages", "symbols"] {
        assert!(
            number(&format!("/size/removed/{cause}/files")) > 0,
            "{cause}"
        );
    }
    let cache = number("/size/packages_in_cache/compressed");
    assert!(number("/size/packages_in_image/compressed") * 2 < cache);
    let layers = manifest(&slim, "image", "v1");
    let layers = layers["layers"].as_array().expect("layers").iter();
    let stored: u64 = layers.filter_map(|it| it["size"].as_u64()).sum();
    assert_eq!(number("/size/image/compressed"), stored);
    let packages = report["size"]["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), 12);

    let lock = slim.read("container_definitions/amd64/small/container.lock");
    let lock: toml::Table = toml::from_str(&lock).expect("a lock");
    assert_eq!(lock["slim"]["profile"].as_str(), Some("runtime"));
    assert_eq!(lock["slim"]["debug"].as_str(), Some("drop"));
    for (package, layer) in lock["package"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(lock["layer"].as_array().into_iter().flatten())
    {
        assert_eq!(package["made"]["digest"], layer["digest"], "{package}");
        assert!(package.get("relocated_from").is_none());
    }

    if !has("bwrap") || !has("tar") {
        return;
    }
    let full_root = unpack(&full, "image", &manifest(&full, "image", "v1"));
    let slim_root = unpack(&slim, "image", &manifest(&slim, "image", "v1"));
    let names = programs(&after);
    assert_eq!(names, programs(&before));
    assert!(names.len() > 30, "{names:?}");
    let mut ran = 0;
    for name in &names {
        let program = format!("/opt/view/bin/{name}");
        let (was, is) = (
            inside(&full_root, &["timeout", "20", &program, "--version"]),
            inside(&slim_root, &["timeout", "20", &program, "--version"]),
        );
        assert_eq!(
            (was.code, &was.stdout),
            (is.code, &is.stdout),
            "{name}: {}",
            is.stderr
        );
        ran += usize::from(is.code == Some(0));
    }
    assert!(ran > 20, "{ran} of {}", names.len());
    // The full image is one to compile against.
    if has("gcc") {
        let source = full.path("a.c");
        let text = "#include <zlib.h>\n#include <stdio.h>\nint main(void) { puts(zlibVersion()); return 0; }\n";
        fs::write(&source, text).expect("a file");
        let program = full.path("a");
        let compile = format!(
            "gcc -I/opt/view/include {} -L/opt/view/lib -Wl,-rpath,/opt/view/lib -lz -o {} && {}",
            source.display(),
            program.display(),
            program.display()
        );
        let ran = inside(&full_root, &["sh", "-c", &compile]).ends(0);
        assert_eq!(ran.stdout, "1.3.1\n");
        assert!(!slim_root.join("opt/view/include").exists());
    }
}

#[test]
fn slimmed_packages_move_and_readelf_has_no_complaint() {
    let settings = "[slim]\nprofile = \"runtime\"\n[install]\nroot = \"/opt/fxroot\"";
    let (Some(stage), Some(again)) = (small(settings), small(settings)) else {
        return;
    };
    build(&stage, "small", "oci:image:v1", &[]).ends(0);
    build(&again, "small", "oci:image:v1", &[]).ends(0);
    let lock = "container_definitions/amd64/small/container.lock";
    assert_eq!(
        stage.read(lock),
        again.read(lock),
        "the same bytes each time"
    );
    if !has("readelf") || !has("bwrap") || !has("tar") {
        return;
    }
    let root = unpack(&stage, "image", &manifest(&stage, "image", "v1"));
    let mut files = 0;
    for (path, thing) in tree(&stage, "image") {
        let file = root.join(&path);
        if !matches!(thing, Thing::File { .. })
            || !fs::read(&file).expect("a file").starts_with(b"\x7fELF")
        {
            continue;
        }
        let told = Ran::of(
            Command::new("readelf")
                .arg("-SlsdW")
                .arg(&file)
                .output()
                .expect("readelf"),
        );
        assert_eq!(told.stderr, "", "{path}");
        assert!(!told.stdout.contains(".symtab"), "{path}");
        files += 1;
    }
    assert!(files > 40, "{files}");
    let ran = inside(
        &root,
        &["/opt/view/bin/sqlite3", ":memory:", "select 6 * 7"],
    )
    .ends(0);
    assert_eq!(ran.stdout, "42\n");
}

#[test]
fn a_container_says_more_than_the_settings() {
    let Some(stage) = small("[slim]\nprofile = \"runtime\"") else {
        return;
    };
    stage.write(
        "container_definitions/amd64/small/container.toml",
        "[slim]\nkeep = [\"share/man/man1/xz.1\"]\n[slim.packages.zlib]\nprofile = \"full\"\n\
         [slim.packages.bzip2]\ndrop = [\"bin/bzmore\"]\n[slim.strip]\nkeep = [\"bin/sqlite3\"]\n",
    );
    build(&stage, "small", "oci:image:v1", &["--size-report", "-"])
        .ends(0)
        .stdout
        .contains("`bin/sqlite3` keeps its symbols: named by a rule or the settings")
        .then_some(())
        .expect("the report says what kept its symbols");
    let tree = tree(&stage, "image");
    let ends = |end: &str| {
        tree.keys()
            .any(|it| it.starts_with("opt/software") && it.ends_with(end))
    };
    assert!(ends("/share/man/man1/xz.1") && !ends("/share/man/man1/xzcat.1"));
    assert!(ends("/include/zlib.h") && !ends("/include/lzma.h"));
    assert!(!ends("/bin/bzmore") && ends("/bin/bzip2"));
}

#[test]
fn symbols_are_kept_apart_and_gdb_finds_them() {
    let Some(stage) = small("[slim]\ndebug = \"separate\"") else {
        return;
    };
    let built = build(&stage, "small", "oci:image:v1", &["--json"])
        .ends(0)
        .json();
    let image = manifest(&stage, "image", "v1");
    let digest = built["digest"].as_str().expect("a digest");
    let list = manifest(&stage, "image", &digest.replace(':', "-"));
    let listed = &list["manifests"][0];
    assert_eq!(
        listed["artifactType"],
        "application/vnd.spacktainers.debug.v1"
    );
    assert_eq!(listed["digest"], built["debug"]);
    let debug = json(&blob(&stage, "image", &listed["digest"]));
    assert_eq!(debug["subject"]["digest"], digest);
    // A second image of the same name in the layout, and the first once more: nothing is listed twice.
    build(&stage, "small", "oci:image:v2", &[]).ends(0);
    let list = manifest(&stage, "image", &digest.replace(':', "-"));
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1));
    if !has("gdb") || !has("tar") {
        return;
    }
    let root = unpack(&stage, "image", &image);
    fs::rename(root, stage.path("here")).expect("renames");
    let symbols = unpack(&stage, "image", &debug);
    let packages = fs::read_dir(stage.path("here/opt/software"))
        .expect("a store")
        .flatten();
    let mut pending: Vec<PathBuf> = packages.map(|it| it.path()).collect();
    let program = loop {
        let path = pending.pop().expect("has sqlite3");
        if path.ends_with("bin/sqlite3") {
            break path;
        }
        if path.is_dir() && !path.is_symlink() {
            let inside = fs::read_dir(&path).expect("a folder").flatten();
            pending.extend(inside.map(|it| it.path()));
        }
    };
    let ask = |folder: &Path| {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-iex"])
            .arg(format!("set debug-file-directory {}", folder.display()))
            .args(["-ex", "info address main"])
            .arg(&program);
        let ran = Ran::of(gdb.output().expect("gdb runs"));
        ran.stdout + &ran.stderr
    };
    let found = ask(&symbols.join("usr/lib/debug"));
    assert!(found.contains("Symbol \"main\" is"), "{found}");
    let without = ask(Path::new("/nowhere"));
    assert!(without.contains("No symbol"), "{without}");
}

#[test]
fn a_registry_lists_debug_symbols_beside_the_image() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let Some(stage) = small("[slim]\nprofile = \"runtime\"\ndebug = \"separate\"") else {
        return;
    };
    let target = format!("docker://{}/small:v1", registry.address);
    let built = build(&stage, "small", &target, &["--json"]).ends(0).json();
    let digest = built["digest"].as_str().expect("a digest").to_owned();
    if !has("skopeo") {
        return;
    }
    // This registry keeps no lists of referrers: the tag does.
    let raw = |name: &str| {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["inspect", "--tls-verify=false", "--raw"]);
        let name = format!("docker://{}/small{name}", registry.address);
        let ran = Ran::of(skopeo.arg(name).output().expect("skopeo runs")).ends(0);
        serde_json::from_str::<Value>(&ran.stdout).expect("JSON")
    };
    let list = raw(&format!(":{}", digest.replace(':', "-")));
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["manifests"][0]["digest"], built["debug"]);
    let debug = raw(&format!("@{}", built["debug"].as_str().expect("a digest")));
    assert_eq!(debug["subject"]["digest"], digest.as_str());
    // Again, nothing is sent and nothing changes.
    build(&stage, "small", &target, &["--force"])
        .ends(0)
        .says("has the debug symbols")
        .says("has it already");
    assert_eq!(raw(&format!(":{}", digest.replace(':', "-"))), list);
}

#[test]
fn layers_in_zstd_hold_the_same_and_go_into_oci_images_alone() {
    let zstd = format!("{SETTINGS}\n[layers]\ncompression = \"zstd\"\n");
    let (plain, stage) = (Stage::demo(), Stage::demo());
    stage.write("spacktainers.toml", &zstd);
    plain.build("oci:image:v1").ends(0);
    stage.build("oci:image:v1").ends(0);
    assert_eq!(tree(&plain, "image"), tree(&stage, "image"));
    let (old, new) = (
        manifest(&plain, "image", "v1"),
        manifest(&stage, "image", "v1"),
    );
    let diff_ids = |stage: &Stage, manifest: &Value| {
        let config = json(&blob(stage, "image", &manifest["config"]["digest"]));
        config["rootfs"]["diff_ids"]
            .as_array()
            .expect("a list")
            .clone()
    };
    // Only the compression is another one; the site layer names the environment's files, which are the same.
    assert_eq!(diff_ids(&plain, &old), diff_ids(&stage, &new));
    let layers = new["layers"].as_array().expect("layers");
    let (site, packages) = layers.split_last().expect("layers");
    for layer in packages {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.oci.image.layer.v1.tar+zstd"
        );
    }
    assert_eq!(
        site["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    stage
        .build("docker-archive:image.tar")
        .ends(2)
        .says("takes no layers in zstd");
    assert!(!stage.path("image.tar").exists());
    if has("skopeo") {
        for target in ["oci-archive:copy.tar", "dir:copy"] {
            let mut skopeo = Command::new("skopeo");
            let folder = stage.path("");
            let copy = skopeo
                .args(["copy", "--insecure-policy", "oci:image:v1", target])
                .current_dir(folder);
            Ran::of(copy.output().expect("skopeo runs")).ends(0);
        }
    }
}

#[test]
fn an_image_that_is_too_large_is_refused_and_says_what_grew() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    let index = stage.read("image/index.json");
    stage.write(
        "container_definitions/amd64/spike/container.toml",
        "[limits]\nsize = \"2 kB\"\n",
    );
    stage
        .run(&[
            "build",
            "spike",
            "--to",
            "oci:image:v1",
            "--allow-missing-libraries",
            "--size-report",
            "size.txt",
        ])
        .ends(2)
        .says("`[limits] size` allows 2.0 kB")
        .says("help:");
    assert_eq!(
        stage.read("image/index.json"),
        index,
        "the old image is still there"
    );
    assert!(
        stage.read("size.txt").contains("compressed"),
        "the report is written all the same"
    );
    // A package that was smaller when it was locked last is named.
    let lock = "container_definitions/amd64/spike/container.lock";
    let text = stage.read(lock);
    let (before, after) = text.split_once("\nsize = ").expect("a size");
    let rest = after.split_once('\n').expect("a line").1;
    stage.write(lock, &format!("{before}\nsize = 1\n{rest}"));
    stage.build("oci:image:v1").ends(2).says("grew from 1 B to");
    // A limit of the settings, of what is unpacked.
    let stage = Stage::demo();
    let settings = format!("{SETTINGS}\n[limits]\nunpacked_size = \"1 kB\"\nsize = \"1 GB\"\n");
    stage.write("spacktainers.toml", &settings);
    stage
        .build("oci:image:v1")
        .ends(2)
        .says("`[limits] unpacked_size` allows");
}

#[test]
fn faults_in_settings_are_told_with_their_place() {
    let stage = Stage::demo();
    let settings = format!(
        "{SETTINGS}\n[slim]\nprofile = \"tiny\"\nkeep = [\"/usr\", \"[a\"]\n[limits]\nsize = \"big\"\n\
         [layers]\ncompression = \"gzip\"\nlevel = 12\n"
    );
    stage.write("spacktainers.toml", &settings);
    stage
        .run(&["check"])
        .ends(2)
        .says("tiny")
        .says("below a package's prefix")
        .says("this is not a size")
        .says("this level says nothing here")
        .says("spacktainers.toml:");
}

#[test]
fn spack_finds_and_loads_what_is_slimmed() {
    let Some(spack) = std::env::var_os("SPACKTAINERS_TEST_SPACK").map(PathBuf::from) else {
        skipped("SPACKTAINERS_TEST_SPACK names no Spack");
        return;
    };
    let Some(stage) = small("[slim]\nprofile = \"runtime\"\n[install]\nroot = \"/opt/fxslim\"")
    else {
        return;
    };
    if !has("bwrap") || !has("tar") {
        return;
    }
    build(&stage, "small", "oci:image:v1", &[]).ends(0);
    let root = unpack(&stage, "image", &manifest(&stage, "image", "v1"));
    let scope = stage.path("scope");
    stage.write(
        "scope/config.yaml",
        "config:\n  install_tree:\n    root: /opt/fxslim\n    padded_length: false\n",
    );
    stage.write("scope/upstreams.yaml", "upstreams:: {}\n");
    let script = format!(
        "export SPACK_DISABLE_LOCAL_CONFIG=1 SPACK_USER_CACHE_PATH=/tmp/spack-cache; \
         {0} -C {1} find --format '{{name}}' && {0} -C {1} load --sh sqlite && {0} -C {1} verify manifest -a -j | head -c 300",
        spack.join("bin/spack").display(),
        scope.display()
    );
    let ran = inside(&root, &["sh", "-c", &script]).ends(0);
    assert!(
        ran.stdout.lines().filter(|it| it.len() < 20).count() >= 12,
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("export PATH="), "{}", ran.stdout);
}
