//! The values that an image is made of between planning and publishing.

use oci_format::{Descriptor, Digest};

use crate::content::Content;

/// A layer with its digests known: enough to describe it without moving a byte, and to stream it
/// whenever a target lacks it.
#[derive(Debug, Clone)]
pub struct RecordedLayer {
    /// Media type, digest and size of the layer as stored.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Where its bytes are.
    pub content: LayerContent,
    /// Repositories that are known to hold the blob: a target in the same registry can mount it.
    pub origins: Vec<RegistryOrigin>,
    /// What it holds, for people and for the image's history: `zlib@1.3.1 /abc1234`.
    pub title: String,
}

/// Where the bytes of a layer are.
#[derive(Debug, Clone)]
pub enum LayerContent {
    /// On this machine.
    Here(Content),
    /// Only in a registry so far: fetched when a target lacks the blob and cannot mount it.
    Remote(RegistryOrigin),
}

/// A repository in a registry that holds a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryOrigin {
    /// Host and port, as written in references.
    pub registry: String,
    /// Repository name within it.
    pub repository: String,
    /// Spoken to without TLS.
    pub plain_http: bool,
}

/// A finished image: all digests known, nothing sent.
#[derive(Debug, Clone)]
pub struct Image {
    /// The config blob, byte for byte.
    pub config: Vec<u8>,
    /// Its descriptor.
    pub config_descriptor: Descriptor,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// Its descriptor; the image's digest is in it.
    pub manifest_descriptor: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<RecordedLayer>,
}
