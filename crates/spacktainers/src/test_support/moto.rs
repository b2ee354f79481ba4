//! A real S3 server: moto's, when there is one.

use std::io::{self, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server of one test, with one bucket; any credentials will do.
pub(crate) struct Moto {
    child: Child,
    pub(crate) endpoint: String,
}

impl Moto {
    /// Starts a server with an empty bucket, or says why not.
    pub(crate) async fn start(bucket: &str) -> Option<Self> {
        let found = Command::new("moto_server").arg("--help").output();
        if !found.is_ok_and(|output| output.status.success()) {
            let _ = writeln!(io::stderr(), "SKIPPED: no moto_server on PATH");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let moto = Self {
            child,
            endpoint: format!("http://127.0.0.1:{port}"),
        };
        let client = reqwest::Client::new();
        for _ in 0..600 {
            let made = client
                .put(format!("{}/{bucket}", moto.endpoint))
                .send()
                .await;
            if made.is_ok_and(|answer| answer.status().is_success()) {
                return Some(moto);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("moto_server does not answer");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
