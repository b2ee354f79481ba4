//! Projects whose packages a stand-in for Spack builds.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value as Json, json};
use spack_format::dag_hash::{HashVerdict, verify};
use spack_format::lockfile::SpackLockfile;

use super::slurm::Slurm;
use crate::support::{Ran, Stage, has, repository};

/// A value that no file of a run may hold.
pub(super) const CANARY: &str = "canary-2718";

/// A package: its name, what it needs, and how it behaves.
pub(super) type Package<'a> = (&'a str, &'a [&'a str], Json);

/// A package that behaves.
pub(super) fn good<'a>(name: &'a str, needs: &'a [&'a str]) -> Package<'a> {
    (name, needs, json!({}))
}

/// A project with an empty mirror.
pub(super) struct Yard {
    pub(super) stage: Stage,
    slurm: Option<Slurm>,
}

impl Yard {
    /// One whose packages are built here.
    pub(super) fn local() -> Option<Self> {
        Self::new(None, "")
    }

    /// One whose packages are built by jobs of a Slurm with arrays of so many tasks; `more` is put below `[farm.slurm]`.
    pub(super) fn slurm(array: usize, more: &str) -> Option<Self> {
        let slurm = Slurm::start(array)?;
        Self::new(Some(slurm), more)
    }

    fn new(slurm: Option<Slurm>, more: &str) -> Option<Self> {
        if !has("python3") || !has("gpg") {
            return None;
        }
        let yard = Self {
            stage: Stage::empty(),
            slurm,
        };
        let stage = &yard.stage;
        let key = repository().join("crates/spacktainers/tests/data/openpgp/alpha.pub");
        stage.write("keys/alpha.pub", &fs::read_to_string(key).expect("a key"));
        stage.write("spack/bin/spack", include_str!("spack.py"));
        stage.write(
            "spack/lib/spack/spack/__init__.py",
            "spack_version = \"1.1.0\"\n",
        );
        let program = stage.path("spack/bin/spack");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("permissions");
        for folder in ["mirror", "scratch"] {
            fs::create_dir_all(stage.path(folder)).expect("a folder");
        }
        let settings = format!(
            "[[mirror]]\nname = \"ours\"\nurl = \"mirror\"\nkeys = [\"keys/alpha.pub\"]\npush = true\n\
             [install]\nroot = \"{}\"\n[arch.amd64]\nbase = \"scratch\"\ntarget = \"x86_64\"\n\
             [spack]\nroot = \"spack\"\n\
             [farm]\nmemory = \"100MB\"\n\
             [farm.slurm]\nscratch = \"{}\"\ncores = 2\nmemory = \"500MB\"\n{more}\n",
            stage.path("store").display(),
            stage.path("scratch").display(),
        );
        stage.write("spacktainers.toml", &settings);
        Some(yard)
    }

    /// A container of these packages; the first is what it is for.
    pub(super) fn define(&self, name: &str, packages: &[Package<'_>]) {
        let folder = format!("container_definitions/amd64/{name}");
        let (root, ..) = packages.first().expect("a package");
        let definition = format!("spack:\n  specs: [{root}]\n");
        self.stage
            .write(&format!("{folder}/spack.yaml"), &definition);
        let mut specs = serde_json::Map::new();
        let mut hashes = HashMap::new();
        // What is needed stands behind.
        for (name, needs, behaviour) in packages.iter().rev() {
            let edges: Vec<Json> = needs
                .iter()
                .map(|it| {
                    let parameters = json!({"deptypes": ["build", "link"], "virtuals": []});
                    json!({"name": it, "hash": hashes[it], "parameters": parameters})
                })
                .collect();
            let mut node = json!({
                "name": name, "version": "1.0",
                "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64"},
                "namespace": "tests", "parameters": behaviour, "dependencies": edges,
                "hash": "a".repeat(32),
            });
            let hash = hash(&specs, &node);
            node["hash"] = json!(hash);
            specs.insert(hash.clone(), node);
            hashes.insert(*name, hash);
        }
        let lock = lock(&specs, root, &hashes[root]);
        self.stage.write(&format!("{folder}/spack.lock"), &lock);
    }

    /// The program, told of the signing key and of a secret by the environment.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stage.command(arguments);
        let key = repository().join("crates/spacktainers/tests/data/openpgp/alpha.secret");
        let key = fs::read_to_string(key).expect("a key");
        command
            .env("SPACK_DEPLOYMENT_KEY_PRIVATE", key)
            .env("FARMING_TOKEN", CANARY)
            .env("FARMING_LOG", self.stage.path("builds"))
            .env_remove("SPACK_ROOT");
        if let Some(slurm) = &self.slurm {
            slurm.known_to(&mut command);
        }
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("it runs"))
    }

    /// Arguments that build `name`, with `more`.
    pub(super) fn build<'a>(&self, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let on = if self.slurm.is_some() {
            "slurm"
        } else {
            "local"
        };
        let mut arguments = vec![
            "build",
            name,
            "--to",
            "oci:out:x",
            "--build",
            "--no-sandbox",
        ];
        arguments.extend(["--on", on]);
        arguments.extend(more);
        arguments
    }

    /// Starts the program and waits until it says `words`.
    pub(super) fn start_until(&self, arguments: &[&str], words: &str) -> Started {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut heard = String::new();
        while !heard.contains(words) {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("text");
            assert!(read > 0, "`{words}` is not in\n{heard}");
            heard.push_str(&line);
        }
        Started {
            child,
            _stdout: stdout,
        }
    }

    /// What the stand-in noted of builds.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.stage.path("builds")).unwrap_or_default()
    }

    /// How often a package was begun.
    pub(super) fn begun(&self, name: &str) -> usize {
        let begin = format!("begin {name} ");
        self.log()
            .lines()
            .filter(|it| it.starts_with(&begin))
            .count()
    }

    /// Its Slurm.
    pub(super) fn scheduler(&self) -> &Slurm {
        self.slurm.as_ref().expect("there is one")
    }

    /// Fails if a file that jobs share holds the secret or the signing key.
    #[track_caller]
    pub(super) fn has_no_secrets(&self) {
        let mut open = vec![self.stage.path(".spacktainers")];
        let mut files = 0;
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                    continue;
                }
                let text =
                    String::from_utf8_lossy(&fs::read(entry.path()).expect("a file")).into_owned();
                for secret in [CANARY, "PRIVATE KEY BLOCK"] {
                    assert!(!text.contains(secret), "{}", entry.path().display());
                }
                files += 1;
            }
        }
        assert!(files > 5, "{files}");
    }
}

/// A run that goes on.
pub(super) struct Started {
    child: Child,
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Started {
    /// Ends it without a chance to say anything.
    pub(super) fn kill(mut self) {
        self.child.kill().expect("it runs");
        let _ = self.child.wait();
    }

    /// What it said on standard error, and how it ended. Nothing is read of its output from here on.
    pub(super) fn ends(mut self, code: i32) -> String {
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("a pipe");
        std::io::Read::read_to_string(&mut pipe, &mut stderr).expect("text");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{stderr}");
        stderr
    }
}

/// The text of a lock with one root.
fn lock(specs: &Map<String, Json>, root: &str, hash: &str) -> String {
    let lock = json!({
        "_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
        "roots": [{"hash": hash, "spec": root}],
        "concrete_specs": specs,
    });
    lock.to_string()
}

/// The hash of a node that states another one, over nodes that are right.
fn hash(specs: &Map<String, Json>, node: &Json) -> String {
    let stated = node["hash"].as_str().expect("a hash");
    let mut specs = specs.clone();
    specs.insert(stated.to_owned(), node.clone());
    let lock = SpackLockfile::parse(&lock(&specs, "x", stated)).expect("a lock");
    let spec = lock
        .specs
        .get(&stated.parse().expect("a hash"))
        .expect("it is there");
    match verify(spec) {
        HashVerdict::Mismatch { computed, .. } => computed.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The store and the mirror as they were before anything was built.
pub(super) fn forget(yard: &Yard, package: &str) {
    let gone: [PathBuf; 2] = [
        yard.stage.path("store"),
        yard.stage
            .path(&format!("mirror/v3/manifests/spec/{package}")),
    ];
    for folder in gone {
        fs::remove_dir_all(folder).expect("it is there");
    }
}
