//! What is attached to images: found again in registries with and without lists of referrers, and in layouts.

use std::path::Path;

use oci_format::{Descriptor, media_type};
use spacktainers::publish::{
    AttachedBlob, Attachment, PublishContext, PublishError, Target, attach, attachments,
    read_attachment,
};
use spacktainers::registry::{ReferrerListing, fallback_tag};

use crate::listing_server::ListingServer;
use crate::proxy::{Act, Proxy};
use crate::push::target;
use crate::sample::{context, image, settings};
use crate::server;

/// The image that attachments are about; it need not be there.
fn subject() -> Descriptor {
    Descriptor::of(media_type::IMAGE_MANIFEST, b"the image")
}

fn note(text: &str) -> Attachment {
    let blob = AttachedBlob::new("text/plain", text.as_bytes().to_vec()).with_title("note.txt");
    let mut attachment = Attachment::new("application/vnd.example.note", blob);
    attachment.annotations.insert("k".into(), "v".into());
    attachment
}

/// Attaches a note twice and another one; all is found and nothing is sent twice.
async fn goes_round(target: &Target, context: &PublishContext, listing: Option<ReferrerListing>) {
    let subject = subject();
    let first = attach(target, &subject, &note("one"), context).await;
    let first = first.expect("attaches");
    assert_eq!(first.listing, listing);
    assert!(!first.unchanged && first.bytes_sent > 3);
    assert_eq!(first.descriptor, note("one").descriptor(&subject));
    let again = attach(target, &subject, &note("one"), context).await;
    let again = again.expect("attaches");
    assert!(again.unchanged && again.bytes_sent == 0, "{again:?}");
    let mut bare = note("");
    bare.blobs.clear();
    let second = attach(target, &subject, &bare, context)
        .await
        .expect("attaches");

    let mut listed = attachments(target, &subject.digest, context)
        .await
        .expect("lists");
    listed.sort_by_key(|it| it.digest);
    let mut expected = [first.descriptor.clone(), second.descriptor];
    expected.sort_by_key(|it| it.digest);
    assert_eq!(listed, expected);
    for entry in &listed {
        assert_eq!(
            entry.artifact_type.as_deref(),
            Some("application/vnd.example.note")
        );
        assert_eq!(entry.annotations["k"], "v");
    }
    let (manifest, blobs) = read_attachment(target, &first.descriptor, 100, context)
        .await
        .expect("reads");
    assert_eq!(blobs, [b"one"]);
    assert_eq!(manifest.subject, Some(subject));
    let too_long = read_attachment(target, &first.descriptor, 2, context).await;
    too_long.expect_err("three bytes are too many");
    let nobody = attachments(target, &Descriptor::of("a/b", b"other").digest, context).await;
    assert!(nobody.expect("lists").is_empty());
}

fn workshop() -> (tempfile::TempDir, PublishContext) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let context = context(directory.path(), settings());
    (directory, context)
}

#[tokio::test]
async fn a_registry_without_lists_gets_the_fallback_tag() {
    let Some(server) = server::start() else {
        return;
    };
    let (_directory, context) = workshop();
    let place = target(&server.address, "team/thing:v1");
    goes_round(&place, &context, Some(ReferrerListing::Tag)).await;
}

#[tokio::test]
async fn a_registry_with_lists_gets_no_tag_even_if_its_list_is_late() {
    let server = ListingServer::start().await;
    let (_directory, context) = workshop();
    let place = target(&server.address, "team/thing:v1");
    server.lag(1);
    goes_round(&place, &context, Some(ReferrerListing::Api)).await;
    let tag = fallback_tag(&subject().digest);
    assert!(!server.manifests().contains(&tag));
}

#[tokio::test]
async fn an_empty_list_and_a_page_for_people_are_no_lists() {
    let Some(server) = server::start() else {
        return;
    };
    let (_directory, context) = workshop();
    for (name, body) in [
        (
            "team/empty",
            br#"{"schemaVersion":2,"manifests":[]}"#.to_vec(),
        ),
        ("team/page", b"<html>welcome</html>".to_vec()),
    ] {
        let proxy = Proxy::before(&server.address).await;
        proxy.on("GET", "/referrers/", usize::MAX, Act::Answer(200, "", body));
        let place = target(&proxy.address, name);
        goes_round(&place, &context, Some(ReferrerListing::Tag)).await;
    }
}

#[tokio::test]
async fn the_header_alone_is_not_believed() {
    // As ECR did: the answer tells the subject, and no list has it.
    let server = ListingServer::start().await;
    server.lag(usize::MAX);
    let (_directory, context) = workshop();
    let place = target(&server.address, "team/thing:v1");
    goes_round(&place, &context, Some(ReferrerListing::Tag)).await;
}

#[tokio::test]
async fn those_who_attach_at_the_same_time_lose_nothing_once_all_have_looked_again() {
    let Some(server) = server::start() else {
        return;
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    // Debian's registry answers 500 when many write one tag at once; at other times that would not pass.
    let mut patient = settings();
    patient.retry.tries = 40;
    let context = context(directory.path(), patient);
    let place = target(&server.address, "team/crowd:v1");
    let subject = subject();
    let notes: Vec<Attachment> = (0..8).map(|it| note(&format!("note {it}"))).collect();
    for _ in 0..2 {
        let all = notes
            .iter()
            .map(|it| attach(&place, &subject, it, &context));
        for attached in futures::future::join_all(all).await {
            attached.expect("attaches");
        }
    }
    let listed = attachments(&place, &subject.digest, &context).await;
    let listed = listed.expect("lists");
    for note in &notes {
        let entry = note.descriptor(&subject);
        assert!(listed.contains(&entry), "{entry:?}");
    }
    assert_eq!(listed.len(), notes.len());
}

#[tokio::test]
async fn a_layout_keeps_its_image_and_what_is_attached_to_it() {
    let (directory, context) = workshop();
    let layout = directory.path().join("layout");
    let place: Target = format!("oci:{}:v1", layout.display())
        .parse()
        .expect("a target");
    let image = image(directory.path(), 3, &[1000]);
    for result in
        spacktainers::publish::publish(&image, std::slice::from_ref(&place), &context).await
    {
        result.expect("publishes");
    }
    goes_round(&place, &context, None).await;
    let there = spacktainers::publish::existing(&place, &context).await;
    let there = there.expect("reads").expect("the image");
    assert_eq!(there.descriptor.digest, image.manifest_descriptor.digest);
    damaged_is_told(&layout, &place, &context).await;
}

/// A byte of the note is changed: what was listed is not what is there.
async fn damaged_is_told(layout: &Path, place: &Target, context: &PublishContext) {
    let one = note("one");
    let digest = one.blobs[0].descriptor.digest;
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), "0ne").expect("writes");
    let error = read_attachment(place, &one.descriptor(&subject()), 100, context).await;
    let error = error.expect_err("damaged");
    assert!(error.is_verification(), "{error}");
}

#[tokio::test]
async fn an_archive_has_no_room_for_attachments() {
    let (_directory, context) = workshop();
    let place: Target = "oci-archive:image.tar".parse().expect("a target");
    let error = attach(&place, &subject(), &note("one"), &context).await;
    assert!(matches!(error, Err(PublishError::NoAttachments(_))));
}
