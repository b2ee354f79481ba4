//! Build caches: pushed to, killed while pushing, verified, copied, and read by real Spack.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Ran, Registry, Stage, repository, skipped};

/// A key that signs, and what checks it.
fn key(ending: &str) -> String {
    let file = format!("crates/spacktainers/tests/data/openpgp/alpha.{ending}");
    repository().join(file).display().to_string()
}

fn hash(name: &str) -> String {
    format!("{name:a<32}")
}

/// An install tree below `root` with packages that need nothing: one for each name and version.
fn tree(stage: &Stage, packages: &[(String, &str)]) {
    let mut installs = Vec::new();
    for (name, version) in packages {
        let hash = hash(name);
        let node = format!(
            "{{\"name\":\"{name}\",\"version\":\"{version}\",\"arch\":{{\"platform\":\"linux\",\
             \"platform_os\":\"debian12\",\"target\":\"x86_64\"}},\"namespace\":\"builtin\",\
             \"parameters\":{{\"build_system\":\"generic\"}},\
             \"annotations\":{{\"original_specfile_version\":5}},\"hash\":\"{hash}\"}}"
        );
        let below = format!("root/linux-x86_64/{name}-{version}-{hash}");
        let spec = format!("{{\"spec\":{{\"_meta\":{{\"version\":5}},\"nodes\":[{node}]}}}}");
        stage.write(&format!("{below}/.spack/spec.json"), &spec);
        let prefix = stage.path(&below).display().to_string();
        // Large enough that a push takes a while.
        let text: String = (0..20_000_u32)
            .map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)))
            .collect();
        stage.write(
            &format!("{below}/share/numbers"),
            &format!("{prefix}\n{text}"),
        );
        installs.push(format!(
            "\"{hash}\":{{\"spec\":{node},\"ref_count\":0,\"path\":\"{prefix}\",\"installed\":true,\
             \"explicit\":true,\"installation_time\":1.0,\"deprecated_for\":null}}"
        ));
    }
    let database = format!(
        "{{\"database\":{{\"version\":\"8\",\"installs\":{{{}}}}}}}",
        installs.join(",")
    );
    stage.write("root/.spack-db/index.json", &database);
}

fn names(count: u8) -> Vec<(String, &'static str)> {
    (0..count)
        .map(|number| (format!("p{}", char::from(b'a' + number)), "1.0"))
        .collect()
}

#[test]
fn a_push_killed_at_any_time_leaves_a_whole_cache_and_is_finished_by_the_next() {
    let (secret, public) = (key("secret"), key("pub"));
    let stage = Stage::empty();
    tree(&stage, &names(8));
    for milliseconds in (0..120).step_by(8) {
        let mirror = format!("./mirror-{milliseconds}");
        let push = [
            "cache", "push", "--from", "root", "--mirror", &mirror, "--key", &secret,
        ];
        let mut child = stage
            .command(&push)
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = child.kill();
        let _ = child.wait();
        let verify = ["cache", "verify", &mirror, "--key", &public];
        stage.run(&verify).ends(0);
        stage.run(&push).ends(0);
        stage
            .run(&verify)
            .ends(0)
            .says("8 entries")
            .says(" 0 faults; 0 entries are not in the index");
    }
}

#[test]
fn exit_codes_tell_what_became_of_a_build_cache() {
    let (secret, public) = (key("secret"), key("pub"));
    let stage = Stage::empty();
    let mut packages = names(2);
    packages.push(("branch".to_owned(), "develop"));
    tree(&stage, &packages);
    let push = ["cache", "push", "--from", "root", "--mirror", "./m"];
    let with = |more: &[&str]| stage.run(&[&push, more].concat());
    let no_key = stage
        .command(&push)
        .env_remove("SPACK_DEPLOYMENT_KEY_PRIVATE")
        .output();
    Ran::of(no_key.expect("runs"))
        .ends(2)
        .says("SPACK_DEPLOYMENT_KEY_PRIVATE");
    with(&["--key", &secret, "absent@3"])
        .ends(2)
        .says("absent@3");
    with(&["--key", "absent.key"]).ends(2).says("absent.key");
    stage
        .run(&[
            "cache",
            "push",
            "--from",
            "nowhere",
            "--mirror",
            "./m",
            "--unsigned",
        ])
        .ends(2)
        .says("no install tree");
    // The key from the variable, as its text.
    let text = fs::read_to_string(&secret).expect("the key");
    let mut command = stage.command(&[&push[..], &["pa", "--json"]].concat());
    command.env("SPACK_DEPLOYMENT_KEY_PRIVATE", text);
    let pushed = Ran::of(command.output().expect("runs")).ends(0).json();
    assert_eq!(pushed["packages"][0]["state"], "written", "{pushed}");
    let all = with(&["--key", &secret, "--json"]).ends(0);
    all.json()["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .for_each(|it| {
            let expected = match it["package"].as_str() {
                Some(text) if text.starts_with("pa@") => "present",
                Some(text) if text.starts_with("branch@") => "mutable",
                _ => "written",
            };
            assert_eq!(it["state"], expected, "{it}");
        });
    all.says("the version `develop` is a branch");
    let listed = stage
        .run(&["cache", "list", "./m", "--json"])
        .ends(0)
        .json();
    assert_eq!(listed["packages"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["packages"][0]["indexed"], true);

    // Another content under the same hash.
    let changed = format!("root/linux-x86_64/pa-1.0-{}/share/more", hash("pa"));
    stage.write(&changed, "built twice");
    let refused = with(&["--key", &secret, "pa", "--json"]).ends(5);
    let row = &refused.json()["packages"][0];
    assert_eq!(row["state"], "refused", "{row}");
    assert!(row["digest"] != row["theirs"] && row["theirs"].is_string());
    refused.says("--force").says("--keep");
    with(&["--key", &secret, "pa", "--keep"])
        .ends(0)
        .says("1 were there");
    with(&["--key", &secret, "pa", "--keep", "--force"]).ends(2);
    fs::remove_file(stage.path(&changed)).expect("removes");
    with(&["--key", &secret, "pa", "--force"])
        .ends(0)
        .says("1 packages pushed");
    // A recipe that forbids to give its binary to others.
    stage.write(
        &format!(
            "root/linux-x86_64/pb-1.0-{}/.spack/repos/spack_repo/builtin/packages/pb/package.py",
            hash("pb")
        ),
        "class Pb(Package):\n    redistribute(source=False, binary=False)\n",
    );
    let elsewhere = |more: &[&str]| {
        let push = ["cache", "push", "--from", "root", "--mirror", "./private"];
        stage.run(&[&push[..], &["--key", &secret, "pb"], more].concat())
    };
    elsewhere(&[])
        .ends(0)
        .says("--private")
        .says("0 packages pushed");
    elsewhere(&["--private"]).ends(0).says("1 packages pushed");

    stage.run(&["cache", "verify", "./m"]).ends(2).says("--key");
    stage
        .run(&["cache", "verify", "./m", "--key", &public])
        .ends(0);
    stage
        .run(&["cache", "sync", "./m", "./copy", "--key", &public])
        .ends(0)
        .says("2 entries copied");
    stage
        .run(&["cache", "sync", "./m", "./copy", "--key", &public])
        .ends(0)
        .says("0 entries copied");
    stage
        .run(&["cache", "verify", "./copy", "--key", &public])
        .ends(0)
        .says("0 entries are not in the index");
    let blob = largest(&stage.path("m/blobs"));
    fs::write(&blob, "other bytes").expect("writes");
    let name = blob
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    stage
        .run(&["cache", "verify", "./m", "--key", &public])
        .ends(5)
        .says(&name);
    stage
        .run(&["cache", "index", "./m", "--rebuild"])
        .ends(0)
        .says("2 packages in the index");
    stage
        .run(&["cache", "list", "nowhere"])
        .ends(2)
        .says("there is no mirror `nowhere`");
}

fn largest(folder: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                pending.push(entry.path());
            } else {
                files.push((entry.metadata().expect("a file").len(), entry.path()));
            }
        }
    }
    files.into_iter().max().expect("a blob").1
}

/// Two packages that are built in no time: what they install has everything that archives treat in its own way.
const RECIPES: [(&str, &str); 2] = [
    (
        "cachelib",
        "\
class Cachelib(Package):
    has_code = False
    version('1.0')

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
        with open(join_path(prefix.lib, 'where.txt'), 'w') as f:
            f.write('prefix=' + prefix + '\\n')
        copy('/bin/true', join_path(prefix.lib, 'elf'))
        os.link(join_path(prefix.lib, 'where.txt'), join_path(prefix.lib, 'again.txt'))
",
    ),
    (
        "cacheapp",
        "\
class Cacheapp(Package):
    has_code = False
    version('2.0')
    depends_on('cachelib', type=('build', 'link', 'run'))

    def install(self, spec, prefix):
        mkdirp(prefix.bin, prefix.share.empty)
        program = join_path(prefix.bin, 'app')
        with open(program, 'w') as f:
            f.write('#!/bin/sh\\ncat ' + spec['cachelib'].prefix.lib + '/where.txt\\n')
        set_executable(program)
        with open(join_path(prefix.share, 'latin'), 'wb') as f:
            f.write(b'caf\\xe9 ' + prefix.encode() + b'\\n')
        with open(join_path(prefix.share, 'bytes'), 'wb') as f:
            f.write(b'\\x00\\x01' + prefix.encode())
        symlink(spec['cachelib'].prefix.lib, join_path(prefix, 'lib'))
        symlink('bin/app', join_path(prefix, 'app'))
",
    ),
];

/// A real Spack with settings of its own.
struct Spack {
    program: PathBuf,
    stage: Stage,
}

impl Spack {
    fn find() -> Option<Self> {
        let program = std::env::var_os("SPACK").map(PathBuf::from).or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path)
                .map(|folder| folder.join("spack"))
                .find(|it| it.is_file())
        });
        let Some(program) = program else {
            skipped("there is no spack on PATH, and SPACK names none");
            return None;
        };
        let stage = Stage::empty();
        stage.write(
            "repo/spack_repo/cachetest/repo.yaml",
            "repo:\n  namespace: cachetest\n  api: v2.0\n",
        );
        stage.write("repo/spack_repo/cachetest/__init__.py", "");
        stage.write("repo/spack_repo/cachetest/packages/__init__.py", "");
        for (name, recipe) in RECIPES {
            let text = format!(
                "import os\nfrom spack_repo.builtin.build_systems.generic import Package\nfrom spack.package import *\n\n\n{recipe}"
            );
            let folder = format!("repo/spack_repo/cachetest/packages/{name}");
            stage.write(&format!("{folder}/package.py"), &text);
            stage.write(&format!("{folder}/__init__.py"), "");
        }
        fs::create_dir_all(stage.path("gpg")).expect("makes");
        let spack = Self { program, stage };
        spack.scope("one", "root-one", 90);
        spack.scope("two", "root-two", 0);
        Some(spack)
    }

    fn scope(&self, name: &str, root: &str, padding: usize) {
        let at = |below: &str| self.stage.path(below).display().to_string();
        let padding = if padding == 0 {
            String::new()
        } else {
            format!("    padded_length: {}\n", at(root).len() + padding)
        };
        let text = format!(
            "config:\n  install_tree:\n    root: {}\n{padding}  build_stage: [{}]\n",
            at(root),
            at("stage")
        );
        self.stage.write(&format!("{name}/config.yaml"), &text);
        let repo = at("repo/spack_repo/cachetest");
        self.stage.write(
            &format!("{name}/repos.yaml"),
            &format!("repos:\n  cachetest: {repo}\n"),
        );
        let mirrors = format!(
            "mirrors::\n  ours:\n    url: file://{}\n    signed: true\n",
            at("ours")
        );
        self.stage.write(&format!("{name}/mirrors.yaml"), &mirrors);
    }

    fn run(&self, scope: &str, args: &[&str]) -> Ran {
        let output = Command::new(&self.program)
            .arg("-C")
            .arg(self.stage.path(scope))
            .args(args)
            .env("SPACK_GNUPGHOME", self.stage.path("gpg"))
            .env("SPACK_USER_CACHE_PATH", self.stage.path("user"))
            .env("SPACK_DISABLE_LOCAL_CONFIG", "1")
            .output();
        Ran::of(output.expect("Spack runs"))
    }
}

#[test]
fn real_spack_makes_the_same_archives_and_installs_ours() {
    let Some(spack) = Spack::find() else { return };
    let stage = &spack.stage;
    spack
        .run("one", &["install", "--fresh", "--no-checksum", "cacheapp"])
        .ends(0);
    let theirs = format!("file://{}", stage.path("theirs").display());
    spack
        .run(
            "one",
            &["buildcache", "push", "--unsigned", &theirs, "cacheapp"],
        )
        .ends(0);
    let (secret, public) = (key("secret"), key("pub"));
    stage
        .run(&[
            "cache", "push", "cacheapp", "--from", "root-one", "--mirror", "./ours", "--key",
            &secret,
        ])
        .ends(0)
        .says("2 packages pushed");
    for (name, _) in RECIPES {
        let (theirs, ours) = (members(stage, "theirs", name), members(stage, "ours", name));
        assert!(theirs.len() > 10, "{name}");
        assert_eq!(ours, theirs, "{name}");
    }

    spack.run("two", &["gpg", "trust", &public]).ends(0);
    let listed = spack
        .run("two", &["buildcache", "list", "--allarch"])
        .ends(0);
    assert!(listed.stdout.contains("cacheapp@2.0") && listed.stdout.contains("cachelib@1.0"));
    spack
        .run("two", &["install", "--cache-only", "cacheapp"])
        .ends(0);
    spack
        .run("two", &["verify", "libraries", "cacheapp"])
        .ends(0);
    let found = spack.run("two", &["location", "-i", "cacheapp"]).ends(0);
    let prefix = PathBuf::from(found.stdout.trim());
    assert!(
        prefix.starts_with(stage.path("root-two")),
        "{}",
        prefix.display()
    );
    let ran = Ran::of(Command::new(prefix.join("bin/app")).output().expect("runs")).ends(0);
    let at = stage.path("root-two").display().to_string();
    assert!(
        ran.stdout.starts_with(&format!("prefix={at}/")),
        "relocated: {}",
        ran.stdout
    );
    let latin = fs::read(prefix.join("share/latin")).expect("reads");
    assert!(
        latin.starts_with(
            format!("caf\u{e9} {at}/")
                .chars()
                .map(|it| it as u8)
                .collect::<Vec<_>>()
                .as_slice()
        )
    );
    // What plain Spack makes of the cache from now on.
    spack
        .run("two", &["buildcache", "update-index", "ours"])
        .ends(0);
    stage
        .run(&["cache", "verify", "./ours", "--key", &public])
        .ends(0);
}

/// What `spack buildcache list` does, for any scheme: Spack 1.1 asks for indices of `oci:` and passes over those of
/// `oci+http:`, also its own.
const READ_INDEX: &str = "\
import pathlib, sys, tempfile
import spack.binary_distribution as b
fetched = b.OCIIndexFetcher(b.MirrorURLAndVersion(sys.argv[1], 3), None).conditional_fetch()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'index.json')
    path.write_text(fetched.data)
    db = b.BuildCacheDatabase(folder)
    db._read_from_file(path)
    specs = db.query_local(installed=False, in_buildcache=True)
    print('\\n'.join(sorted(it.name + '@' + str(it.version) for it in specs)))
";

#[test]
fn real_spack_lists_and_installs_what_we_push_to_a_registry() {
    let Some(spack) = Spack::find() else { return };
    let Some(registry) = Registry::start() else {
        return skipped("docker-registry is not installed");
    };
    let (stage, url) = (
        &spack.stage,
        format!("oci+http://{}/ours", registry.address),
    );
    spack
        .run("one", &["install", "--fresh", "--no-checksum", "cacheapp"])
        .ends(0);
    let push = [
        "cache", "push", "cacheapp", "--from", "root-one", "--mirror", &url,
    ];
    stage.run(&push).ends(2).says("are not signed");
    let push = [&push[..], &["--unsigned"]].concat();
    stage.run(&push).ends(0).says("2 packages pushed");
    stage.run(&push).ends(0).says("2 were there");
    let listed = stage.run(&["cache", "list", &url]).ends(0);
    assert!(listed.stdout.contains("cacheapp@2.0") && !listed.stdout.contains("not in the index"));
    stage
        .run(&["cache", "verify", &url, "--unsigned"])
        .ends(0)
        .says("2 entries");

    // Out of the registry, and into another repository: what Spack reads from now on.
    stage
        .run(&["cache", "sync", &url, "./back"])
        .ends(2)
        .says("--unsigned");
    let (secret, public) = (key("secret"), key("pub"));
    let back = ["cache", "sync", &url, "./back", "--unsigned"];
    let signed = [&back[..], &["--sign", &secret]].concat();
    stage.run(&signed).ends(0).says("2 entries copied");
    stage
        .run(&["cache", "verify", "./back", "--key", &public])
        .ends(0)
        .says("2 entries")
        .says("0 entries are not in the index");
    let url = format!("oci+http://{}/again", registry.address);
    let again = ["cache", "sync", "./back", &url, "--key", &public];
    stage.run(&again).ends(0).says("2 entries copied");
    stage.run(&again).ends(0).says("0 entries copied");
    stage
        .run(&[&again[..], &["--sign", &secret]].concat())
        .ends(2)
        .says("are not signed");

    let mirrors = format!("mirrors::\n  ours:\n    url: {url}\n    signed: false\n");
    stage.write("two/mirrors.yaml", &mirrors);
    stage.write("index.py", READ_INDEX);
    let script = stage.path("index.py").display().to_string();
    let listed = spack.run("two", &["python", &script, &url]).ends(0);
    assert_eq!(listed.stdout, "cacheapp@2.0\ncachelib@1.0\n");
    let install = ["install", "--fresh", "--cache-only", "--no-check-signature"];
    spack
        .run("two", &[&install[..], &["cacheapp"]].concat())
        .ends(0);
    let found = spack.run("two", &["location", "-i", "cacheapp"]).ends(0);
    let program = PathBuf::from(found.stdout.trim()).join("bin/app");
    let ran = Ran::of(Command::new(program).output().expect("runs")).ends(0);
    let at = stage.path("root-two").display().to_string();
    assert!(
        ran.stdout.starts_with(&format!("prefix={at}/")),
        "relocated: {}",
        ran.stdout
    );
    // What plain Spack makes of the cache from now on is what we made of it already.
    spack
        .run("two", &["buildcache", "update-index", "ours"])
        .ends(0);
    stage
        .run(&["cache", "index", &url])
        .ends(0)
        .says("2 packages in the index, 0 new, 0 gone");
}

/// One line for each member of the archive of a package: all that a tar says, and the content.
fn members(stage: &Stage, mirror: &str, package: &str) -> Vec<String> {
    let folder = stage.path(mirror).join("v3/manifests/spec").join(package);
    let manifest = fs::read_dir(folder).expect("the package").flatten().next();
    let text = fs::read_to_string(manifest.expect("a manifest").path()).expect("text");
    let (_, rest) = text.split_once("\"checksum\":").expect("a checksum");
    let digest = rest.trim_start().get(1..65).expect("a digest");
    let blob = stage
        .path(mirror)
        .join(format!("blobs/sha256/{}/{digest}", &digest[..2]));
    let script = "\
import re, sys, tarfile
tar = tarfile.open(sys.argv[1])
for it in tar:
    content = tar.extractfile(it).read() if it.isreg() else b''
    size = it.size
    if it.name.endswith('.spack/binary_distribution'):
        words = re.sub(rb'spackprefix: [^,]*, ', b'', content.replace(b'\"', b''))
        content, size = b' '.join(sorted(re.split(rb'[{}, ]+', words.strip()))), 0
    print(it.name, it.type, oct(it.mode), it.uid, it.gid, it.uname, it.gname, it.mtime, size, it.linkname, content)
";
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(blob)
        .output();
    let ran = Ran::of(output.expect("python3 runs")).ends(0);
    ran.stdout.lines().map(str::to_owned).collect()
}
