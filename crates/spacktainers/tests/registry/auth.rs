//! Registries that want to know who asks.

use oci_format::Digest;
use spacktainers::registry::auth::{Credential, CredentialStore};
use spacktainers::registry::{ManifestKey, RegistryError, RegistrySettings};

use crate::client::{repository, send};
use crate::proxy::{Act, Gate, Proxy};
use crate::sample::{settings, told};
use crate::server::{self, PASSWORD, USER};

fn with_credential(address: &str, credential: Credential) -> RegistrySettings {
    let mut settings = settings();
    settings.credentials.insert(address, credential);
    settings
}

fn key() -> ManifestKey {
    ManifestKey::Tag("x".into())
}

#[tokio::test]
async fn a_password_is_sent_when_it_is_asked_for() {
    let Some(server) = server::start_with_password() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let address = &proxy.address;
    let settings = with_credential(address, Credential::password(USER, PASSWORD));
    let repository = repository(address, settings);
    send(&repository, b"hello").await.expect("sends");
    assert_eq!(
        proxy.methods(),
        ["POST 202", "POST 401", "PUT 201"],
        "asked once, remembered from then on"
    );
}

#[tokio::test]
async fn credentials_are_found_in_the_files_of_the_container_tools() {
    let Some(server) = server::start_with_password() else {
        return;
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("auth.json");
    // base64 of `tester:open sesame`
    let text = format!(
        r#"{{"auths":{{"{}/team":{{"auth":"dGVzdGVyOm9wZW4gc2VzYW1l"}}}}}}"#,
        server.address
    );
    std::fs::write(&file, text).expect("writes");
    let credentials = CredentialStore::discover(|name| {
        (name == "REGISTRY_AUTH_FILE").then(|| file.clone().into_os_string())
    });
    let settings = RegistrySettings {
        credentials,
        ..settings()
    };
    send(&repository(&server.address, settings), b"hello")
        .await
        .expect("sends");
}

#[tokio::test]
async fn wrong_and_absent_credentials_are_told_apart_and_nothing_secret_is_said() {
    let Some(server) = server::start_with_password() else {
        return;
    };
    let address = &server.address;
    let wrong = with_credential(address, Credential::password(USER, "hunter2"));
    let error = repository(address, wrong)
        .manifest(key())
        .await
        .expect_err("wrong");
    assert_eq!(
        told(&error),
        format!(
            "`{address}` does not let us use `team/thing`: it refused the credentials on this machine; log in again"
        )
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = repository(address, settings())
        .manifest(key())
        .await
        .expect_err("none");
    assert_eq!(
        told(&error),
        format!(
            "`{address}` does not let us use `team/thing`: there are no credentials for it; log in with `podman login` or `docker login`"
        )
    );
}

fn gate(proxy: &Proxy, token: &str, scope: &str) -> Gate {
    Gate {
        token: token.to_owned(),
        challenge: format!(
            "Bearer realm=\"http://{}/token\",service=\"test\",scope=\"{scope}\"",
            proxy.address
        ),
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_used_for_all_and_renewed_when_it_is_refused() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let address = &proxy.address;
    let settings = with_credential(address, Credential::password("u", "p"));
    let repository = repository(address, settings).writable(["library/base"]);
    proxy.gate(Some(gate(
        &proxy,
        "first",
        "repository:team/thing:pull,push",
    )));
    let token = |token: &str| format!(r#"{{"token":"{token}","expires_in":300}}"#).into_bytes();
    proxy.on("GET", "/token", 1, Act::Answer(200, "", token("first")));
    let digests = [Digest::of(b"1"), Digest::of(b"2"), Digest::of(b"3")];
    let heads = digests.iter().map(|digest| repository.blob_head(digest));
    for head in futures::future::join_all(heads).await {
        assert_eq!(head.expect("asks"), None);
    }
    let seen = proxy.seen();
    let asked: Vec<_> = seen
        .iter()
        .filter(|it| it.path.starts_with("/token"))
        .collect();
    assert_eq!(asked.len(), 1, "three at once want one token");
    assert_eq!(
        asked[0].path,
        "/token?service=test&scope=repository%3Ateam%2Fthing%3Apull%2Cpush&scope=repository%3Alibrary%2Fbase%3Apull"
    );
    assert_eq!(asked[0].header("authorization"), Some("Basic dTpw"));
    // The token ends before its time; the second one comes from an identity-less answer field.
    proxy.gate(Some(gate(
        &proxy,
        "second",
        "repository:team/thing:pull,push",
    )));
    let second = br#"{"access_token":"second"}"#.to_vec();
    proxy.on("GET", "/token", 1, Act::Answer(200, "", second));
    assert_eq!(repository.blob_head(&digests[0]).await.expect("asks"), None);
    let methods = proxy.methods();
    assert_eq!(methods, ["GET 200", "HEAD 401", "HEAD 404"]);
}

#[tokio::test]
async fn an_upload_survives_the_end_of_its_token() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    proxy.gate(Some(gate(&proxy, "a", "repository:team/thing:pull,push")));
    let token = |token: &str| format!(r#"{{"token":"{token}"}}"#).into_bytes();
    proxy.on("GET", "/token", 1, Act::Answer(200, "", token("a")));
    proxy.on("PUT", "/uploads/", 1, Act::Answer(401, "", Vec::new()));
    proxy.on("GET", "/token", 1, Act::Answer(200, "", token("a")));
    let digest = send(&repository, &crate::sample::noise(4, 200_000))
        .await
        .expect("in the end");
    assert!(repository.blob_head(&digest).await.expect("asks").is_some());
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_oauth2() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let address = &proxy.address;
    let settings = with_credential(address, Credential::IdentityToken("long lived".into()));
    let repository = repository(address, settings);
    proxy.gate(Some(gate(&proxy, "t", "")));
    proxy.on(
        "POST",
        "/token",
        1,
        Act::Answer(200, "", br#"{"access_token":"t"}"#.to_vec()),
    );
    assert!(repository.manifest(key()).await.expect("asks").is_none());
    let seen = proxy.seen();
    let asked = seen.iter().find(|it| it.path == "/token").expect("asked");
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn a_token_that_opens_nothing_ends_the_attempt() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    proxy.gate(Some(gate(&proxy, "the right one", "")));
    proxy.on(
        "GET",
        "/token",
        9,
        Act::Answer(200, "", br#"{"token":"another"}"#.to_vec()),
    );
    let error = repository.manifest(key()).await.expect_err("refused");
    assert!(
        matches!(error, RegistryError::Unauthorized { .. }),
        "{error}"
    );
    assert_eq!(proxy.seen().len(), 3, "asked, got a token, was refused");
    proxy.on("GET", "/token", 9, Act::Answer(200, "", b"<html>".to_vec()));
    proxy.forget_rules();
    proxy.on("GET", "/token", 1, Act::Answer(200, "", b"<html>".to_vec()));
    let error = repository.manifest(key()).await.expect_err("no JSON");
    assert!(told(&error).contains("token server"), "{error}");
}
