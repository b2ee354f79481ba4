//! One name for images of several platforms, in registries and layouts.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use oci_format::{ImageIndex, Platform};
use spacktainers::base::{BaseArchitecture, BaseContext};
use spacktainers::event::Silent;
use spacktainers::image::Image;
use spacktainers::publish::release::{Content, Place, Release, gather, release};
use spacktainers::publish::{PublishContext, Target, existing, publish};
use spacktainers::registry::{ManifestKey, RegistryClient};
use spacktainers::source::{self, ImageSource};

use crate::sample::{context, for_platform, image, platform, settings};
use crate::server::{self, has};

/// What a project may have under one name.
fn platforms() -> [Platform; 4] {
    [
        platform("amd64", None),
        platform("amd64", Some("v3")),
        platform("amd64", Some("v4")),
        platform("arm64", None),
    ]
}

/// Images for all of them, each with a layer of its own.
fn images(directory: &Path) -> Vec<Image> {
    let platforms = platforms();
    let numbered = platforms.iter().zip(1u64..);
    numbered
        .map(|(platform, seed)| {
            let layers = image(directory, seed, &[10_000]).layers;
            for_platform(layers, seed, platform)
        })
        .collect()
}

fn of(platform: &Platform, is_one_of_several: bool, context: &PublishContext) -> PublishContext {
    PublishContext {
        platform: Some(platform.clone()),
        is_one_of_several,
        ..context.clone()
    }
}

/// The index that a tag names.
async fn index(target: &Target, context: &PublishContext) -> ImageIndex {
    let Target::Registry(reference) = target else {
        panic!("a registry");
    };
    let repository = context.registry.repository(reference).expect("opens");
    let found = repository.manifest(ManifestKey::from(reference)).await;
    let found = found.expect("answers").expect("is there");
    ImageIndex::parse(&found.bytes).expect("an index")
}

/// Sends all images to one name at the same time, and checks that all of them are there.
async fn all_at_once(target: &Target, directory: &Path) -> Vec<Image> {
    let context = context(directory, settings());
    let images = images(directory);
    let platforms = platforms();
    let jobs = images.iter().zip(&platforms).map(|(image, platform)| {
        let context = of(platform, true, &context);
        async move { publish(image, std::slice::from_ref(target), &context).await }
    });
    for results in futures::future::join_all(jobs).await {
        for result in results {
            assert!(!result.expect("publishes").unchanged);
        }
    }
    for (image, platform) in images.iter().zip(&platforms) {
        let context = of(platform, true, &context);
        let found = existing(target, &context).await.expect("asks");
        let found = found.expect("is there").descriptor;
        assert_eq!(found.digest, image.manifest_descriptor.digest);
        let again = publish(image, std::slice::from_ref(target), &context).await;
        assert!(again.into_iter().all(|it| it.expect("publishes").unchanged));
    }
    images
}

#[tokio::test]
async fn runners_that_push_at_once_do_not_lose_each_others_images() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    let name = format!("{}/team/several:v1", server.address);
    let target: Target = format!("docker://{name}").parse().expect("a target");
    let images = all_at_once(&target, directory.path()).await;
    let context = context(directory.path(), settings());
    let found = index(&target, &context).await;
    let order: Vec<_> = found
        .manifests
        .iter()
        .filter_map(|it| it.platform.clone())
        .collect();
    assert_eq!(order, platforms());
    // Others read it as well.
    if has("skopeo") {
        let read = |more: &[&str]| {
            let line = [
                "inspect",
                "--tls-verify=false",
                "--format",
                "{{.Architecture}} {{.Digest}}",
            ];
            let output = Command::new("skopeo")
                .args(more)
                .args(line)
                .arg(format!("docker://{name}"))
                .output()
                .expect("starts");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        assert!(read(&["--override-arch", "arm64"]).starts_with("arm64 "));
        assert!(read(&["--override-arch", "amd64"]).starts_with("amd64 "));
    }
    // What runs there takes the best that it can.
    let cache = context.cache.clone();
    let jobs = NonZeroUsize::MIN;
    let mut base = BaseContext::new(cache, Arc::new(Silent), jobs, SystemTime::now());
    base.registries = RegistryClient::new(settings());
    let source = ImageSource::parse(&format!("docker://{name}")).expect("a source");
    for (variant, expected) in [(None, 0), (Some("v2"), 0), (Some("v3"), 1), (Some("v4"), 2)] {
        base.variant = variant.map(str::to_owned);
        let loaded = source::load(&source, BaseArchitecture::Amd64, &base).await;
        let manifest = loaded.expect("loads").manifest;
        assert_eq!(manifest, Some(images[expected].manifest_descriptor.digest));
    }
}

#[tokio::test]
async fn a_layout_holds_an_index_too() {
    let directory = tempfile::tempdir().expect("a folder");
    let layout = directory.path().join("layout");
    let target: Target = format!("oci:{}:v1", layout.display())
        .parse()
        .expect("a target");
    all_at_once(&target, directory.path()).await;
    if has("skopeo") {
        let copied = Command::new("skopeo")
            .args(["copy", "-q", "--all"])
            .arg(format!("oci:{}:v1", layout.display()))
            .arg(format!(
                "oci:{}:v1",
                directory.path().join("copy").display()
            ))
            .status();
        assert!(copied.is_ok_and(|it| it.success()));
    }
}

#[tokio::test]
async fn an_image_becomes_an_index_when_one_for_another_platform_comes() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    let context = context(directory.path(), settings());
    let images = images(directory.path());
    let [amd64, .., arm64] = platforms();
    for text in [
        format!("docker://{}/team/later:v1", server.address),
        format!("oci:{}/layout:v1", directory.path().display()),
    ] {
        let target: Target = text.parse().expect("a target");
        let targets = std::slice::from_ref(&target);
        let held = async |platform: &Platform| {
            let found = existing(&target, &of(platform, false, &context)).await;
            found.expect("asks").map(|it| it.descriptor.digest)
        };
        // Nobody has said that there are more: the name is the image's.
        for result in publish(&images[0], targets, &of(&amd64, false, &context)).await {
            result.expect("publishes");
        }
        assert_eq!(
            held(&amd64).await,
            Some(images[0].manifest_descriptor.digest)
        );
        assert_eq!(held(&arm64).await, None);
        for result in publish(&images[3], targets, &of(&arm64, false, &context)).await {
            result.expect("publishes");
        }
        assert_eq!(
            held(&amd64).await,
            Some(images[0].manifest_descriptor.digest)
        );
        assert_eq!(
            held(&arm64).await,
            Some(images[3].manifest_descriptor.digest)
        );
    }
}

fn of_image<'a>(image: &'a Image, places: &'a [Place]) -> Release<'a> {
    Release {
        content: Content::Image(image),
        places,
        attachments: &[],
        sif: None,
        checks: &[],
        replaces: false,
    }
}

#[tokio::test]
async fn releases_for_several_platforms_share_a_name_and_are_promoted_one_by_one() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    let context = context(directory.path(), settings());
    let images = images(directory.path());
    let place = |name: &str| {
        let text = format!("docker://{}/{name}", server.address);
        [Place::fixed(text.parse().expect("a target"))]
    };
    let (staging, production) = (place("staging/several:v1"), place("several:v1"));
    // A version has room for one image of each platform: none of them replaces another.
    for (image, platform) in images.iter().zip(&platforms()) {
        let context = of(platform, true, &context);
        let released = release(&of_image(image, &staging), &context).await;
        released.expect("is released");
    }
    for platform in &platforms() {
        let context = of(platform, true, &context);
        let gathered = gather(&staging, &context).await.expect("is whole");
        let promoted = release(&of_image(&gathered.image, &production), &context).await;
        assert_eq!(promoted.expect("is promoted")[0].receipt.blobs_mounted, 1);
    }
    let digests = async |places: &[Place]| {
        let index = index(&places[0].target, &context).await;
        let digests = index.manifests.iter().map(|it| it.digest);
        digests.collect::<Vec<_>>()
    };
    let there = digests(&production).await;
    assert_eq!(there.len(), images.len());
    assert_eq!(there, digests(&staging).await);
    let other = of(&platform("riscv64", None), true, &context);
    let error = gather(&staging, &other)
        .await
        .expect_err("not for this one");
    assert!(error.to_string().contains("no image for this platform"));
}
