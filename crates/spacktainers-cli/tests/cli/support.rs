//! Projects made of the demo's packages, and the program run on them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Says that a test did not run, and why.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The directory of real build caches, or nothing where there is none.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("SPACKTAINERS_FIXTURES")
        .map_or_else(|| repository().join("../shared/fixtures"), PathBuf::from);
    if folder.is_dir() {
        return fs::canonicalize(folder).ok();
    }
    skipped(&format!("no fixtures at {}", folder.display()));
    None
}

/// Whether a program is on the search path.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        skipped(&format!("there is no {program}"));
    }
    found
}

/// What a run printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails with all that was printed unless the program ended with `code`.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Fails unless people were told this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "`{text}` is not in:\n{}",
            self.stderr
        );
        self
    }

    /// The last JSON document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("no JSON: {error}\n{}", self.stdout))
    }
}

/// A project in a folder of its own, with a local cache of its own.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

/// The demo's container, on nothing.
pub(crate) const SETTINGS: &str = "\
[[mirror]]
name = \"demo\"
url = \"cache\"
keys = [\"keys/demo.pub\"]

[arch.amd64]
base = \"scratch\"
target = \"x86_64_v3\"
";

impl Stage {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// The demo project with [`SETTINGS`].
    pub(crate) fn demo() -> Self {
        let stage = Self::empty();
        let demo = repository().join("demo");
        for part in ["cache", "keys", "container_definitions"] {
            copy(&demo.join(part), &stage.path(part));
        }
        // Left by somebody who ran the demo.
        let _ = fs::remove_file(stage.path("container_definitions/amd64/spike/container.lock"));
        stage.write("spacktainers.toml", SETTINGS);
        stage
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("a file")
    }

    /// The program, about to be run here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spacktainers"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("SPACKTAINERS_CACHE", self.path("local"))
            .env("CI", "true")
            .env("NO_COLOR", "1")
            .env_remove("SOURCE_DATE_EPOCH");
        // The pipeline that runs the tests is not what the tests build.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CI_") || text.starts_with("GITHUB_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Runs the program here.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("the program runs"))
    }

    /// Builds the demo's container to `target`; there is no C library below it.
    pub(crate) fn build(&self, target: &str) -> Ran {
        self.run(&[
            "build",
            "spike",
            "--to",
            target,
            "--allow-missing-libraries",
        ])
    }

    /// The container's definition.
    pub(crate) fn definition(&self) -> &'static str {
        "container_definitions/amd64/spike/spack.yaml"
    }

    /// The archive in the build cache of the package with this name.
    pub(crate) fn archive(&self, package: &str) -> PathBuf {
        let folder = self.path(&format!("cache/v3/manifests/spec/{package}"));
        let manifest = fs::read_dir(folder)
            .expect("the package")
            .flatten()
            .next()
            .expect("a manifest");
        let text = fs::read_to_string(manifest.path()).expect("text");
        let (_, install) = text
            .split_once("application/vnd.spack.install")
            .expect("an archive");
        let checksum = install
            .split_once("\"checksum\": \"")
            .or_else(|| install.split_once("\"checksum\":\""));
        let (_, rest) = checksum.expect("a checksum");
        let digest = &rest[..64];
        self.path(&format!("cache/blobs/sha256/{}/{digest}", &digest[..2]))
    }
}

/// Copies a folder. Plain copies: tests change them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file");
        }
    }
}

/// A registry of our own on a free port, gone at the end.
pub(crate) struct Registry {
    child: std::process::Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one, where the program is there.
    pub(crate) fn start() -> Option<Self> {
        Self::with("")
    }

    /// One that lets in who has the token that moto's ECR gives: the name `AWS`, and a password of the account's.
    pub(crate) fn start_like_ecr() -> Option<Self> {
        // `htpasswd -nbB -C 4 AWS 123456789012-auth-token`
        Self::with("AWS:$2b$04$izxBGbtBlycQePeEdTMU4O26WktYSfORepv.Fl/P1wPulhU13peC.\n")
    }

    fn with(passwords: &str) -> Option<Self> {
        if !has("docker-registry") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|it| it.local_addr())
            .expect("a port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.path().join("config.yml");
        let file = folder.path().join("passwords");
        fs::write(&file, passwords).expect("a file");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n{}",
            folder.path().join("data").display(),
            match passwords {
                "" => String::new(),
                _ => format!(
                    "auth: {{htpasswd: {{realm: ecr, path: {}}}}}\n",
                    file.display()
                ),
            }
        );
        fs::write(&config, text).expect("a file");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        for _ in 0..200 {
            if std::net::TcpStream::connect(&address).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        Some(Self {
            child,
            address,
            _folder: folder,
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bucket on an S3 server of our own, gone at the end.
pub(crate) struct Bucket {
    child: std::process::Child,
    endpoint: String,
}

impl Bucket {
    /// Starts a server with one empty bucket, where the program is there.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let works = Command::new("moto_server").arg("--help").output();
        if !works.is_ok_and(|output| output.status.success()) {
            skipped("there is no moto_server");
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|it| it.local_addr())
            .expect("a port")
            .port();
        let child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("moto_server starts");
        let bucket = Self {
            child,
            endpoint: format!("http://127.0.0.1:{port}"),
        };
        for _ in 0..600 {
            if bucket
                .make(port, name)
                .is_ok_and(|answer| answer.contains(" 200 "))
            {
                return Some(bucket);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("moto_server does not answer");
    }

    fn make(&self, port: u16, name: &str) -> std::io::Result<String> {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        write!(
            stream,
            "PUT /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// Tells a program where the server is, and who asks.
    pub(crate) fn known_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ENDPOINT_URL_S3", &self.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
