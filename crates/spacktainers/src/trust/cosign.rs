//! Signatures of images as cosign writes and reads them.
//!
//! ```text
//! payload: {"critical": {"identity": …, "image": {"docker-manifest-digest": …}, "type": …}, "optional": null}
//!    └─ the one layer of a manifest; its signature is an annotation of the layer's descriptor
//!       ├─ a referrer of the image, and
//!       └─ under the tag `sha256-<digest>.sig`, where cosign and skopeo look for it
//! ```
//!
//! Sources: sigstore/cosign `specs/SIGNATURE_SPEC.md`; containers/image `signature/internal/sigstore_payload.go`.

use std::collections::BTreeMap;

use oci_format::{Descriptor, Digest};
use serde_json::{Value, json};

use super::key::{SigningKey, VerifyingKey};

/// The artifact's type: `cosign sign --registry-referrers-mode=oci-1-1` writes it.
pub const SIGNATURE_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// Media type of the payload.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature.
pub(super) const SIGNATURE_KEY: &str = "dev.cosignproject.cosign/signature";

const KIND: &str = "cosign container image signature";

/// Where cosign looks for the signatures of `image`: `sha256-<64 digits>.sig`.
#[must_use]
pub fn signature_tag(image: &Digest) -> String {
    format!("sha256-{}.sig", image.hex())
}

/// What is signed: that `image` may be called `repository`.
pub(super) fn payload(repository: &str, image: &Digest) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": image.to_string()},
            "type": KIND,
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

/// The descriptor of a payload, with its signature.
pub(super) fn signed(payload: &[u8], key: &SigningKey) -> Descriptor {
    let mut descriptor = Descriptor::of(PAYLOAD_TYPE, payload);
    let signature = key.sign(payload);
    descriptor.annotations = BTreeMap::from([(SIGNATURE_KEY.to_owned(), signature)]);
    descriptor
}

/// The config of the manifest: one without meaning, whose one layer is the payload.
pub(super) fn config(payload: &[u8]) -> Vec<u8> {
    json!({
        "architecture": "",
        "created": "0001-01-01T00:00:00Z",
        "history": [{"created": "0001-01-01T00:00:00Z"}],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(payload).to_string()]},
        "config": {},
    })
    .to_string()
    .into_bytes()
}

/// Whether a payload says that `image` is meant, and the signature is that of `key`; the repository that it names.
pub(super) fn verified(
    payload: &[u8],
    descriptor: &Descriptor,
    image: &Digest,
    key: &VerifyingKey,
) -> Option<String> {
    let signature = descriptor.annotations.get(SIGNATURE_KEY)?;
    if !key.verifies(payload, signature) {
        return None;
    }
    let value: Value = serde_json::from_slice(payload).ok()?;
    let critical = value.get("critical")?;
    let digest = critical
        .pointer("/image/docker-manifest-digest")?
        .as_str()?;
    let is_meant = critical.get("type")?.as_str()? == KIND && digest == image.to_string();
    let repository = critical.pointer("/identity/docker-reference")?.as_str()?;
    is_meant.then(|| repository.to_owned())
}
