//! Images to registries.

use std::path::Path;

use oci_format::Reference;
use spacktainers::image::{Image, LayerContent, RecordedLayer, RegistryOrigin};
use spacktainers::publish::{PublishContext, PublishError, Receipt, Target, existing, publish};

use crate::proxy::{Act, Proxy};
use crate::sample::{context, image, of_layers, settings, told};
use crate::server;

pub(crate) fn target(address: &str, name: &str) -> Target {
    format!("docker://{address}/{name}")
        .parse()
        .expect("a target")
}

async fn push(
    image: &Image,
    target: &Target,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    publish(image, std::slice::from_ref(target), context)
        .await
        .remove(0)
}

fn workshop() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

#[tokio::test]
async fn pushing_again_sends_nothing_but_heads() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = workshop();
    let context = context(directory.path(), settings());
    let image = image(directory.path(), 1, &[100_000, 2_000, 700_000]);
    let target = target(&proxy.address, "a/b:v1");

    let receipt = push(&image, &target, &context).await.expect("pushes");
    assert_eq!(
        (receipt.blobs_sent, receipt.blobs_reused, receipt.unchanged),
        (4, 0, false)
    );
    let size: u64 = image.layers.iter().map(|layer| layer.descriptor.size).sum();
    let size = size + image.config_descriptor.size + image.manifest_descriptor.size;
    assert_eq!(receipt.bytes_sent, size);
    assert_eq!(receipt.digest, Some(image.manifest_descriptor.digest));
    let seen = proxy.seen();
    let last = seen.last().expect("requests");
    assert_eq!(
        (&*last.method, &*last.path),
        ("PUT", "/v2/a/b/manifests/v1"),
        "the tag comes last"
    );

    let receipt = push(&image, &target, &context).await.expect("pushes");
    assert!(receipt.unchanged);
    assert_eq!((receipt.bytes_sent, receipt.blobs_reused), (0, 4));
    assert_eq!(proxy.methods(), ["HEAD 200", "HEAD 200"]);
}

#[tokio::test]
async fn another_tag_is_one_request_more_and_a_changed_layer_one_blob() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = workshop();
    let context = context(directory.path(), settings());
    let first = image(directory.path(), 1, &[10_000, 20_000]);
    push(&first, &target(&proxy.address, "a/b:v1"), &context)
        .await
        .expect("pushes");
    proxy.seen();

    push(&first, &target(&proxy.address, "a/b:v2"), &context)
        .await
        .expect("pushes");
    assert_eq!(proxy.methods(), ["HEAD 200", "HEAD 404", "PUT 201"]);

    let mut layers: Vec<RecordedLayer> = first.layers.clone();
    layers[1] = image(directory.path(), 77, &[5_000]).layers.remove(0);
    let second = of_layers(layers, 1);
    let receipt = push(&second, &target(&proxy.address, "a/b:v2"), &context)
        .await
        .expect("pushes");
    assert_eq!(
        (receipt.blobs_sent, receipt.blobs_reused),
        (2, 1),
        "config and one layer"
    );
}

#[tokio::test]
async fn blobs_of_the_same_registry_are_mounted() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = workshop();
    let context = context(directory.path(), settings());
    let mut image = image(directory.path(), 1, &[100_000, 200_000]);
    push(&image, &target(&proxy.address, "spack/cache:v1"), &context)
        .await
        .expect("pushes");
    let origin = RegistryOrigin {
        registry: proxy.address.clone(),
        repository: "spack/cache".into(),
        plain_http: true,
    };
    image.layers[0].origins.push(origin.clone());
    image.layers[1].content = LayerContent::Remote(origin);
    proxy.seen();
    let receipt = push(&image, &target(&proxy.address, "team/image:v1"), &context)
        .await
        .expect("pushes");
    assert_eq!(
        (receipt.blobs_mounted, receipt.blobs_sent),
        (2, 1),
        "only the config moves"
    );
    let seen = proxy.seen();
    let bodies: u64 = seen.iter().map(|it| it.body).sum();
    assert!(bodies < 10_000, "{bodies} bytes went out");
    assert!(seen.iter().all(|it| it.method != "GET"), "nothing came in");

    // The same where the registry answers every mount with an upload.
    proxy.on("POST", "mount=", 99, Act::DropQuery);
    let receipt = push(&image, &target(&proxy.address, "third/image:v1"), &context)
        .await
        .expect("pushes");
    assert_eq!((receipt.blobs_mounted, receipt.blobs_sent), (0, 3));
    let opened = proxy.seen().iter().filter(|it| it.method == "POST").count();
    assert_eq!(opened, 3, "the session of a refused mount is used");
}

#[tokio::test]
async fn layers_of_another_registry_are_carried_over() {
    let (Some(here), Some(there)) = (server::start(), server::start()) else {
        return;
    };
    let directory = workshop();
    let context = context(directory.path(), settings());
    let mut image = image(directory.path(), 1, &[100_000, 1_000]);
    push(&image, &target(&there.address, "base:v1"), &context)
        .await
        .expect("pushes");
    let LayerContent::Here(spacktainers::content::Content::File { path, .. }) =
        &image.layers[0].content
    else {
        panic!("a file");
    };
    std::fs::remove_file(path).expect("removes");
    image.layers[0].content = LayerContent::Remote(RegistryOrigin {
        registry: there.address.clone(),
        repository: "library/base".replace("library/", ""),
        plain_http: true,
    });
    let layout = directory.path().join("layout");
    let targets = [
        target(&here.address, "copy:v1"),
        format!("oci:{}:v1", layout.display())
            .parse()
            .expect("a target"),
    ];
    for result in publish(&image, &targets, &context).await {
        assert_eq!(result.expect("publishes").blobs_sent, 3);
    }
    assert!(
        context
            .cache
            .blob(&image.layers[0].descriptor.digest)
            .is_some()
    );
}

#[tokio::test]
async fn one_target_that_fails_does_not_stop_the_others() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = workshop();
    let mut hasty = settings();
    hasty.retry.tries = 1;
    let context = context(directory.path(), hasty);
    let image = image(directory.path(), 1, &[1_000]);
    let taken = directory.path().join("taken");
    std::fs::create_dir(&taken).expect("makes");
    std::fs::write(taken.join("thesis.tex"), "precious").expect("writes");
    let layout = directory.path().join("layout");
    let targets: Vec<Target> = [
        "docker://127.0.0.1:1/a:b".to_owned(),
        format!("docker://{}/a:b", server.address),
        format!("oci:{}", taken.display()),
        format!("oci:{}:v1", layout.display()),
        "oci-archive:/dev/null/x.tar".to_owned(),
    ]
    .iter()
    .map(|text| text.parse().expect("a target"))
    .collect();
    let results = publish(&image, &targets, &context).await;
    let told: Vec<String> = results
        .iter()
        .map(|result| {
            result
                .as_ref()
                .map_or_else(|error| told(error), |_| "done".to_owned())
        })
        .collect();
    assert!(
        told[0].starts_with("cannot publish to `docker://127.0.0.1:1/a:b`: cannot reach"),
        "{}",
        told[0]
    );
    assert_eq!(told[1], "done");
    assert!(
        told[2].ends_with("is not an image layout: give another directory, or empty it"),
        "{}",
        told[2]
    );
    assert_eq!(told[3], "done");
    assert!(
        told[4].starts_with("cannot create a file in `/dev/null`"),
        "{}",
        told[4]
    );
}

#[tokio::test]
async fn a_run_that_ends_before_the_tag_leaves_the_old_image_and_the_next_run_sends_no_blob() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let directory = workshop();
    let context = context(directory.path(), settings());
    let target = target(&proxy.address, "a/b:v1");
    let old = image(directory.path(), 1, &[10_000]);
    let new = image(directory.path(), 2, &[20_000, 30_000]);
    push(&old, &target, &context).await.expect("pushes");

    proxy.on("PUT", "/manifests/", 99, Act::Answer(500, "", Vec::new()));
    push(&new, &target, &context)
        .await
        .expect_err("never gets to the tag");
    proxy.forget_rules();
    let found = existing(&target, &context)
        .await
        .expect("asks")
        .expect("is there");
    assert_eq!(found.descriptor.digest, old.manifest_descriptor.digest);
    assert_eq!(found.config.config.labels["seed"], "1");

    proxy.seen();
    let receipt = push(&new, &target, &context).await.expect("pushes");
    assert_eq!((receipt.blobs_sent, receipt.blobs_reused), (0, 3));
    assert_eq!(receipt.bytes_sent, new.manifest_descriptor.size);
    let found = existing(&target, &context)
        .await
        .expect("asks")
        .expect("is there");
    assert_eq!(found.config.config.labels["seed"], "2");
}

#[tokio::test]
async fn a_layer_that_changed_on_this_machine_is_refused_and_the_tag_stays() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = workshop();
    let context = context(directory.path(), settings());
    let target = target(&server.address, "a/b:v1");
    let image = image(directory.path(), 1, &[100_000, 600_000]);
    let LayerContent::Here(spacktainers::content::Content::File { path, .. }) =
        &image.layers[1].content
    else {
        panic!("a file");
    };
    flip_a_bit(path);
    let error = push(&image, &target, &context).await.expect_err("changed");
    assert!(error.is_verification(), "{}", told(&error));
    assert!(told(&error).contains("have changed"), "{}", told(&error));
    assert!(existing(&target, &context).await.expect("asks").is_none());
}

fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("writes");
}

#[tokio::test]
async fn what_is_not_there_is_not_existing() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = workshop();
    let context = context(directory.path(), settings());
    let none = existing(&target(&server.address, "no/such:tag"), &context)
        .await
        .expect("asks");
    assert!(none.is_none());
    let reference: Reference = format!("{}/no/such", server.address)
        .parse()
        .expect("a reference");
    let repository = context.registry.repository(&reference).expect("an address");
    assert_eq!(repository.as_origin().repository, "no/such");
}
