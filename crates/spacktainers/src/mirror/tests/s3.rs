//! Against a real S3 server: moto's, when there is one.

use super::super::http::encode;
use super::super::*;
use super::suite::{OBJECTS, behaves_like_a_mirror};
use super::writers::behaves_like_a_writer;
use crate::test_support::moto::{BUCKET, KEYS, Moto, access};

async fn fill(moto: &Moto, prefix: &str) {
    let client = reqwest::Client::new();
    for (key, bytes) in OBJECTS {
        let url = format!("{}/{BUCKET}/{prefix}{}", moto.endpoint, encode(key));
        let request = client
            .put(url)
            .header("x-amz-acl", "public-read")
            .body(*bytes);
        let answer = request.send().await.expect("answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

async fn mirror(moto: &Moto, url: &str, variables: &[(&str, &str)]) -> SharedMirror {
    let location = Location::parse(url, Some(&moto.endpoint), "/".as_ref()).expect("s3");
    match connect(&location, &access(variables)).await {
        Ok(Source::Objects(mirror)) => mirror,
        _ => panic!("a bucket holds objects"),
    }
}

#[tokio::test]
async fn a_bucket_can_be_written() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    behaves_like_a_writer(&moto.writer("").await).await;
    behaves_like_a_writer(&moto.writer("some/prefix").await).await;
}

#[tokio::test]
async fn a_bucket_behaves_like_a_mirror() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    fill(&moto, "").await;
    fill(&moto, "some/prefix/").await;
    let keys = KEYS;
    behaves_like_a_mirror(&*mirror(&moto, "s3://cache", &keys).await).await;
    behaves_like_a_mirror(&*mirror(&moto, "s3://cache/some/prefix/", &keys).await).await;
    // Without credentials, as of a public bucket.
    let nobody = [("AWS_EC2_METADATA_DISABLED", "true")];
    behaves_like_a_mirror(&*mirror(&moto, "s3://cache/some/prefix", &nobody).await).await;
    // From a profile.
    let home = tempfile::tempdir().expect("a home");
    std::fs::create_dir(home.path().join(".aws")).expect("makes");
    let profile = "[work]\naws_access_key_id = test\naws_secret_access_key = test\n";
    std::fs::write(home.path().join(".aws/credentials"), profile).expect("writes");
    let home = home.path().to_string_lossy().into_owned();
    let with_profile = [("HOME", home.as_str()), ("AWS_PROFILE", "work")];
    behaves_like_a_mirror(&*mirror(&moto, "s3://cache", &with_profile).await).await;
    let absent = mirror(&moto, "s3://no-such-bucket", &keys).await;
    let error = absent
        .get("v3/layout.json", 10)
        .await
        .expect_err("no bucket");
    assert!(matches!(*error.fault, MirrorFault::NoBucket), "{error}");
    assert!(!format!("{error:?}").contains("Signature"), "{error:?}");
}
