//! Against a real S3 server: moto's, when there is one.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::super::http::encode;
use super::super::*;
use crate::registry::{RegistryClient, RegistrySettings};

use super::suite::{OBJECTS, behaves_like_a_mirror};

const BUCKET: &str = "cache";

struct Moto {
    child: Child,
    endpoint: String,
}

impl Moto {
    /// Starts a server with an empty bucket, or says why not.
    async fn start() -> Option<Self> {
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

    async fn fill(&self, prefix: &str) {
        let client = reqwest::Client::new();
        for (key, bytes) in OBJECTS {
            let url = format!("{}/{BUCKET}/{prefix}{}", self.endpoint, encode(key));
            let request = client
                .put(url)
                .header("x-amz-acl", "public-read")
                .body(*bytes);
            let answer = request.send().await.expect("answers");
            assert!(answer.status().is_success(), "{answer:?}");
        }
    }

    async fn mirror(&self, url: &str, variables: &[(&str, &str)]) -> SharedMirror {
        let location = Location::parse(url, Some(&self.endpoint), "/".as_ref()).expect("s3");
        match connect(&location, &access(variables)).await {
            Ok(Source::Objects(mirror)) => mirror,
            _ => panic!("a bucket holds objects"),
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn access(variables: &[(&str, &str)]) -> Access {
    let environment: BTreeMap<_, _> = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Access {
        network: Network::new(Duration::from_secs(10)),
        registries: RegistryClient::new(RegistrySettings::default()),
        is_offline: false,
        retry: RetryPolicy::default(),
        environment: Arc::new(environment),
    }
}

#[tokio::test]
async fn a_bucket_behaves_like_a_mirror() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    moto.fill("").await;
    moto.fill("some/prefix/").await;
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    behaves_like_a_mirror(&*moto.mirror("s3://cache", &keys).await).await;
    behaves_like_a_mirror(&*moto.mirror("s3://cache/some/prefix/", &keys).await).await;
    // Without credentials, as of a public bucket.
    let nobody = [("AWS_EC2_METADATA_DISABLED", "true")];
    behaves_like_a_mirror(&*moto.mirror("s3://cache/some/prefix", &nobody).await).await;
    // From a profile.
    let home = tempfile::tempdir().expect("a home");
    std::fs::create_dir(home.path().join(".aws")).expect("makes");
    let profile = "[work]\naws_access_key_id = test\naws_secret_access_key = test\n";
    std::fs::write(home.path().join(".aws/credentials"), profile).expect("writes");
    let home = home.path().to_string_lossy().into_owned();
    let with_profile = [("HOME", home.as_str()), ("AWS_PROFILE", "work")];
    behaves_like_a_mirror(&*moto.mirror("s3://cache", &with_profile).await).await;
    let absent = moto.mirror("s3://no-such-bucket", &keys).await;
    let error = absent
        .get("v3/layout.json", 10)
        .await
        .expect_err("no bucket");
    assert!(matches!(*error.fault, MirrorFault::NoBucket), "{error}");
    assert!(!format!("{error:?}").contains("Signature"), "{error:?}");
}
