//! A real S3 server, moto's, when there is one.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::mirror::{
    Access, Location, Network, RetryPolicy, SharedWriter, WriteTarget, connect_writer,
};
use crate::registry::{RegistryClient, RegistrySettings};

/// The bucket that every server has.
pub(crate) const BUCKET: &str = "cache";

/// What the server takes for credentials.
pub(crate) const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
];

/// A server of its own for one test.
pub(crate) struct Moto {
    child: Child,
    /// Where it is.
    pub(crate) endpoint: String,
}

impl Moto {
    /// Starts a server with an empty bucket, or says why not.
    pub(crate) async fn start() -> Option<Self> {
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
            let bucket = client
                .put(format!("{}/{BUCKET}", moto.endpoint))
                .send()
                .await;
            if bucket.is_ok_and(|answer| answer.status().is_success()) {
                return Some(moto);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("moto_server does not answer");
    }

    /// A mirror in the bucket, to write to.
    pub(crate) async fn writer(&self, prefix: &str) -> SharedWriter {
        let url = format!("s3://{BUCKET}/{prefix}");
        let location = Location::parse(&url, Some(&self.endpoint), "/".as_ref()).expect("s3");
        match connect_writer(&location, &access(&KEYS)).await {
            Ok(WriteTarget::Objects(writer)) => writer,
            _ => panic!("a bucket can be written"),
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What mirrors are connected to with, when the environment is this.
pub(crate) fn access(variables: &[(&str, &str)]) -> Access {
    let environment: BTreeMap<_, _> = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Access {
        network: Network::new(Duration::from_secs(60)),
        registries: RegistryClient::new(RegistrySettings::default()),
        is_offline: false,
        retry: RetryPolicy::default(),
        environment: Arc::new(environment),
    }
}
