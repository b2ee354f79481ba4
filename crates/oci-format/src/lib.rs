//! What an OCI image is: digests, descriptors, references, configs, manifests, indexes,
//! image layouts, and the tar streams that layers are made of.
//!
//! ```text
//! ImageIndex ──► ImageManifest ──► ImageConfig      (each found by Descriptor: media type + digest + size)
//!                      └─────────► layers           (tar of file changes, usually compressed)
//! ```
//!
//! Start at [`manifest::ImageManifest`] for the structure and at [`layer`] for the bytes.
//!
//! This crate is pure: it opens no file, talks to nobody and asks no clock. It reads from `Read`
//! and writes to `Write`.
//!
//! Sources: the OCI image specification 1.1 and distribution specification 1.1.

pub mod annotation;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod index;
pub mod json;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod media_type;
pub mod reference;

pub use config::ImageConfig;
pub use descriptor::{Descriptor, Platform};
pub use digest::{Digest, DigestError, DigestReader, DigestWriter};
pub use index::ImageIndex;
pub use json::JsonError;
pub use manifest::{ImageManifest, Manifest};
pub use reference::{Reference, ReferenceError};
