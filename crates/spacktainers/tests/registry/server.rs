//! A `docker-registry` on a free port of this machine.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running registry; it ends with this value.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:<port>`
    pub(crate) address: String,
    _directory: tempfile::TempDir,
}

/// The user of [`start_with_password`].
pub(crate) const USER: &str = "tester";
/// Its password.
pub(crate) const PASSWORD: &str = "open sesame";
/// `htpasswd -nbB -C 4 tester "open sesame"`
const HTPASSWD: &str = "tester:$2y$04$FqHkDTXGhKU/5w2PUyfq7.48xpOLvC9GusKPsvXxG16pnTBW8wqwa\n";

/// A registry that lets everybody in; nothing where there is no such program.
pub(crate) fn start() -> Option<Server> {
    launch(false)
}

/// A registry that wants a password.
pub(crate) fn start_with_password() -> Option<Server> {
    launch(true)
}

/// Whether a program is on `PATH`; says so where it is not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: `{program}` is not on PATH");
    false
}

fn launch(with_password: bool) -> Option<Server> {
    if !has("docker-registry") {
        return None;
    }
    // Somebody else may take the port in between; then the next one is tried.
    (0..5)
        .find_map(|_| try_launch(with_password))
        .or_else(|| panic!("docker-registry does not start"))
}

fn try_launch(with_password: bool) -> Option<Server> {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address")
        .port();
    let address = format!("127.0.0.1:{port}");
    let passwords = root.join("htpasswd");
    fs::write(&passwords, HTPASSWD).expect("writes");
    let auth = if with_password {
        format!(
            "auth:\n  htpasswd: {{realm: test, path: {}}}\n",
            passwords.display()
        )
    } else {
        String::new()
    };
    let config = root.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"{address}\", secret: tests}}\n{auth}",
        root.join("data").display()
    );
    fs::write(&config, text).expect("writes");
    let log = fs::File::create(root.join("log")).expect("writes");
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("it is on PATH");
    let mut server = Server {
        child,
        address,
        _directory: directory,
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if TcpStream::connect(&server.address).is_ok() {
            return Some(server);
        }
        if server.child.try_wait().expect("a child").is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
