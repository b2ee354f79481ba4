//! Releases: what goes with an image, who is asked before it gets its names, and who came in between.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use spacktainers::mirror::Network;
use spacktainers::publish::release::{
    Check, CheckSubject, Content, Place, Release, ReleaseError, gather, release,
};
use spacktainers::publish::{AttachedBlob, Attachment, attachments};
use spacktainers::registry::ecr::{EcrAccess, MAX_LAYER};
use spacktainers::registry::{ManifestKey, RegistryClient};

use crate::proxy::{Act, Proxy};
use crate::push::target;
use crate::sample::{context, image, settings};
use crate::server;

/// Looks whether the image can be pulled by digest, and says what it was told to say.
struct Tried {
    verdict: Result<(), String>,
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl Check for Tried {
    fn name(&self) -> String {
        "true --version".to_owned()
    }

    async fn check(&self, subject: &CheckSubject<'_>) -> Result<(), String> {
        let client = RegistryClient::new(settings());
        for reference in &subject.references {
            let repository = client.repository(reference).expect("an address");
            let found = repository.manifest(ManifestKey::from(reference)).await;
            assert!(found.expect("asks").is_some(), "{reference} can be pulled");
            let tags = repository.tags().await.expect("asks");
            // The list of what is attached is a tag in this registry.
            assert!(tags.iter().all(|it| it.starts_with("sha256-")), "{tags:?}");
            let mut seen = self.seen.lock().expect("no panic");
            seen.push(reference.to_string());
        }
        self.verdict.clone()
    }
}

#[tokio::test]
async fn attachments_and_checks_come_before_names() {
    let (Some(one), Some(two)) = (server::start(), server::start()) else {
        return;
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    let context = context(directory.path(), settings());
    let image = image(directory.path(), 7, &[1000, 2000]);
    let places = [
        Place::fixed(target(&one.address, "a/b:v1")),
        Place::moving(target(&one.address, "a/b:latest")),
        Place::fixed(target(&two.address, "c:v1")),
    ];
    let blob = AttachedBlob::new("application/spdx+json", b"{}".to_vec());
    let attachment = [Attachment::new("application/spdx+json", blob)];
    let with = async |verdict: Result<(), String>| {
        let seen = Mutex::default();
        let tried = Arc::new(Tried { verdict, seen });
        let checks: [Arc<dyn Check>; 1] = [tried.clone()];
        let wanted = Release {
            content: Content::Image(&image),
            places: &places,
            attachments: &attachment,
            sif: None,
            checks: &checks,
            replaces: false,
        };
        let outcome = release(&wanted, &context).await;
        let seen = tried.seen.lock().expect("no panic").len();
        (outcome, seen)
    };
    let (refused, seen) = with(Err("it does not start".to_owned())).await;
    let error = refused.expect_err("the check refuses");
    assert!(error.is_verification());
    assert_eq!(
        error.to_string(),
        "nothing is published: `true --version` failed: it does not start"
    );
    assert_eq!(seen, 2, "one reference for each repository");
    let digest = image.manifest_descriptor.digest;
    for place in &places {
        let listed = attachments(&place.target, &digest, &context).await;
        assert_eq!(listed.expect("lists").len(), 1, "attached before any name");
    }
    let (released, _) = with(Ok(())).await;
    let receipts = released.expect("is released");
    assert_eq!(receipts.len(), 3);
    for receipt in receipts {
        assert_eq!(receipt.receipt.bytes_sent, 0, "all was there");
        assert_eq!(receipt.attachments.len(), 1);
        assert_eq!(receipt.before, None);
    }
}

#[tokio::test]
async fn what_is_promoted_has_the_same_bytes_and_attachments() {
    let (Some(one), Some(two)) = (server::start(), server::start()) else {
        return;
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    let context = context(directory.path(), settings());
    let image = image(directory.path(), 17, &[1000, 2000]);
    let from = [Place::fixed(target(&one.address, "staging/b:v1"))];
    let to = [
        Place::fixed(target(&one.address, "production/b:v1")),
        Place::fixed(target(&two.address, "b:v1")),
    ];
    let blob = AttachedBlob::new("application/spdx+json", b"{}".to_vec());
    let attachment = [Attachment::new("application/spdx+json", blob)];
    let to_staging = Release {
        content: Content::Image(&image),
        places: &from,
        attachments: &attachment,
        sif: None,
        checks: &[],
        replaces: false,
    };
    let nothing = gather(&from, &context).await.expect_err("nothing is there");
    assert!(
        matches!(nothing, ReleaseError::Incomplete { .. }),
        "{nothing}"
    );
    assert!(nothing.is_verification());
    release(&to_staging, &context).await.expect("is released");
    let gathered = gather(&from, &context).await.expect("is whole");
    let promotion = Release {
        content: Content::Image(&gathered.image),
        places: &to,
        attachments: &gathered.attachments,
        ..to_staging
    };
    let receipts = release(&promotion, &context).await.expect("is promoted");
    // The config is here already: it is sent.
    assert_eq!(receipts[0].receipt.blobs_mounted, 2, "within one registry");
    assert_eq!(receipts[1].receipt.blobs_sent, 3, "to another one");
    let digest = image.manifest_descriptor.digest;
    let listed = async |place: &Place| {
        let listed = attachments(&place.target, &digest, &context).await;
        listed.expect("lists")
    };
    let expected = listed(&from[0]).await;
    assert_eq!(expected.len(), 1);
    for (place, receipt) in to.iter().zip(&receipts) {
        assert_eq!(receipt.receipt.digest, Some(digest));
        assert_eq!(listed(place).await, expected);
    }
    // Places of the source that hold different images are no source.
    let other = crate::sample::image(directory.path(), 18, &[1000]);
    let mixed = [from[0].clone(), Place::fixed(target(&two.address, "c:v1"))];
    let another = Release {
        content: Content::Image(&other),
        places: &mixed[1..],
        attachments: &[],
        ..to_staging
    };
    release(&another, &context).await.expect("is released");
    let error = gather(&mixed, &context).await.expect_err("they differ");
    assert!(error.to_string().contains("and the others hold"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_when_it_is_read_back_gets_no_name() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = tempfile::tempdir().expect("temporary directory");
    let context = context(directory.path(), settings());
    let image = image(directory.path(), 8, &[1000]);
    let places = [Place::fixed(target(&proxy.address, "a/b:v1"))];
    let wanted = Release {
        content: Content::Image(&image),
        places: &places,
        attachments: &[],
        sif: None,
        checks: &[],
        replaces: false,
    };
    // Both blobs are missing, are sent, and one is gone again.
    proxy.on("HEAD", "/blobs/", 2, Act::Pass);
    proxy.on("HEAD", "/blobs/", 1, Act::Answer(404, "", Vec::new()));
    let error = release(&wanted, &context).await.expect_err("lost a blob");
    assert!(matches!(error, ReleaseError::NotThere { .. }), "{error}");
    assert!(error.is_verification());
    let puts = proxy.seen();
    let tagged = |it: &&crate::proxy::Seen| it.method == "PUT" && it.path.ends_with("/v1");
    assert_eq!(puts.iter().filter(tagged).count(), 0);
    proxy.forget_rules();
    release(&wanted, &context).await.expect("all is there");
}

#[tokio::test]
async fn a_name_that_somebody_else_takes_at_the_same_time_is_told() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = tempfile::tempdir().expect("temporary directory");
    let context = context(directory.path(), settings());
    let image = image(directory.path(), 9, &[1000]);
    let places = [Place::moving(target(&proxy.address, "a/b:latest"))];
    let wanted = Release {
        content: Content::Image(&image),
        places: &places,
        attachments: &[],
        sif: None,
        checks: &[],
        replaces: false,
    };
    // Ours is accepted, and means nothing by the time we look.
    proxy.on(
        "PUT",
        "/manifests/latest",
        1,
        Act::Answer(201, "", Vec::new()),
    );
    let error = release(&wanted, &context).await.expect_err("another's");
    assert!(matches!(error, ReleaseError::Moved { .. }), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_layer_that_ecr_does_not_take_is_told_before_anything_is_sent() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = tempfile::tempdir().expect("temporary directory");
    let network = Network::new(std::time::Duration::from_secs(10));
    let hosts = [proxy.address.clone()].into();
    let mut settings = settings();
    settings.credentials =
        settings
            .credentials
            .with_ecr(EcrAccess::new(network, Arc::default(), hosts));
    let context = context(directory.path(), settings);
    let mut image = image(directory.path(), 10, &[1000]);
    image.layers[0].descriptor.size = MAX_LAYER + 1;
    let places = [Place::fixed(target(&proxy.address, "a/b:v1"))];
    let wanted = Release {
        content: Content::Image(&image),
        places: &places,
        attachments: &[],
        sif: None,
        checks: &[],
        replaces: false,
    };
    let error = release(&wanted, &context).await.expect_err("too big");
    assert!(error.to_string().contains("52,000 MiB"), "{error}");
    assert!(proxy.seen().iter().all(|it| it.method == "GET"));
}
