//! All that is attached to one image.

use std::collections::BTreeMap;

use oci_format::{Descriptor, Digest};
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use super::bill::Bill;
use super::key::SigningKey;
use super::provenance::{self, Origin, in_toto};
use super::{bundle, cosign, cyclonedx, spdx};
use crate::content::Content;
use crate::lock::Lock;
use crate::publish::{AttachedBlob, Attachment};

/// What is known of an image when it is published.
pub struct TrustInput<'a> {
    /// What was decided.
    pub lock: &'a Lock,
    /// Digest of the text of `container.lock`.
    pub lock_digest: Digest,
    /// What Spack decided.
    pub spack: &'a SpackLockfile,
    /// Digest of the image's manifest.
    pub image: Digest,
    /// When the image says that it was made: RFC 3339, UTC.
    pub created: String,
    /// What recipes declare of licences.
    pub licences: &'a BTreeMap<DagHash, String>,
    /// Where the inputs were, and who built.
    pub origin: &'a Origin,
    /// Name and version of this program: `spacktainers-0.1.0`.
    pub tool: &'a str,
    /// Who signs; nobody: nothing is signed.
    pub key: Option<&'a SigningKey>,
    /// What the image may be called: `host/repository`, without a tag.
    pub repository: &'a str,
}

/// Something to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is.
    pub artifact_type: String,
    /// The one blob: type, digest, size and annotations.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The config, where it has one: media type and bytes.
    pub config: Option<(String, Vec<u8>)>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The name of the file, for programs that make files of blobs.
    pub title: &'static str,
    /// A tag that the manifest has besides.
    pub tag: Option<String>,
}

impl From<Artifact> for Attachment {
    fn from(artifact: Artifact) -> Self {
        let blob = AttachedBlob {
            descriptor: artifact.descriptor,
            content: Content::Memory(artifact.bytes.into()),
        };
        let mut attachment = Self::new(&artifact.artifact_type, blob.with_title(artifact.title));
        let config = artifact.config;
        attachment.config = config.map(|(kind, bytes)| AttachedBlob::new(&kind, bytes));
        attachment.annotations = artifact.annotations;
        attachment.tag = artifact.tag;
        attachment
    }
}

/// Everything that is attached to the image; the same input gives the same bytes.
///
/// Two bills of materials always; with a key also the image's signature, and signed statements of the bills and of the
/// provenance. Provenance that nobody signs would say nothing.
#[must_use]
pub fn artifacts(input: &TrustInput<'_>) -> Vec<Artifact> {
    let bill = Bill::new(
        input.lock,
        input.spack,
        input.image,
        input.created.clone(),
        input.licences,
    );
    let spdx = spdx::document(&bill, input.tool);
    let cyclonedx = cyclonedx::document(&bill, input.tool);
    let plain = |media_type: &str, document: &serde_json::Value, title| {
        let bytes = document.to_string().into_bytes();
        Artifact {
            artifact_type: media_type.to_owned(),
            descriptor: Descriptor::of(media_type, &bytes),
            bytes,
            config: None,
            annotations: BTreeMap::new(),
            title,
            tag: None,
        }
    };
    let mut found = vec![
        plain(spdx::MEDIA_TYPE, &spdx, "sbom.spdx.json"),
        plain(cyclonedx::MEDIA_TYPE, &cyclonedx, "sbom.cdx.json"),
    ];
    let Some(key) = input.key else {
        return found;
    };
    let name = &input.lock.container.name;
    let provenance = provenance::statement(
        input.lock,
        &input.lock_digest,
        &input.image,
        input.origin,
        input.tool,
    );
    let statements = [
        (
            spdx::PREDICATE_TYPE,
            in_toto(name, &input.image, spdx::PREDICATE_TYPE, spdx),
            "sbom.spdx.sigstore.json",
        ),
        (
            cyclonedx::PREDICATE_TYPE,
            in_toto(name, &input.image, cyclonedx::PREDICATE_TYPE, cyclonedx),
            "sbom.cdx.sigstore.json",
        ),
        (
            provenance::PREDICATE_TYPE,
            provenance,
            "provenance.sigstore.json",
        ),
    ];
    for (predicate_type, statement, title) in statements {
        let bytes = bundle::sealed(&statement, key);
        found.push(Artifact {
            artifact_type: bundle::BUNDLE_TYPE.to_owned(),
            descriptor: Descriptor::of(bundle::BUNDLE_TYPE, &bytes),
            bytes,
            config: None,
            annotations: bundle::annotations(predicate_type),
            title,
            tag: None,
        });
    }
    found.push(signature(&input.image, input.repository, key));
    found
}

/// The signature of an image, or of an index of images.
pub(crate) fn signature(image: &Digest, repository: &str, key: &SigningKey) -> Artifact {
    let payload = cosign::payload(repository, image);
    let config = cosign::config(&payload);
    Artifact {
        artifact_type: cosign::SIGNATURE_TYPE.to_owned(),
        descriptor: cosign::signed(&payload, key),
        bytes: payload,
        config: Some((oci_format::media_type::IMAGE_CONFIG.to_owned(), config)),
        annotations: BTreeMap::new(),
        title: "signature",
        tag: Some(cosign::signature_tag(image)),
    }
}
