//! Where packages are pushed to, and who vouches for them.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use oci_format::Digest;
use spack_format::build_cache::v3;
use tokio::sync::OnceCell;

use super::error::CacheFault;
use super::keys;
use super::object::checksum;
use crate::mirror::{SharedWriter, When};
use crate::openpgp::SecretKey;

/// Who vouches for what is pushed.
#[derive(Debug, Clone)]
pub enum Signing {
    /// The holder of this key.
    Key(Arc<SecretKey>),
    /// Nobody: for mirrors of which everybody says `signed: false`.
    Unsigned,
}

impl Signing {
    /// What is written as the manifest: the text, in a signature's frame where there is a key.
    pub(super) fn signed(&self, text: String, now: SystemTime) -> Result<String, CacheFault> {
        match self {
            Self::Key(key) => Ok(key.clear_sign(&text, now)?.message),
            Self::Unsigned => Ok(text),
        }
    }

    /// Publishes the key that checks the signatures.
    pub(super) async fn publish(&self, writer: &SharedWriter) -> Result<(), CacheFault> {
        match self {
            Self::Key(key) => keys::publish(writer, key).await,
            Self::Unsigned => Ok(()),
        }
    }
}

/// What is done about packages that are there already, and about those that ought not to be pushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// What is done where there is an entry of the same hash.
    pub existing: Existing,
    /// Push packages although their sources may change under their hash.
    pub allow_mutable: bool,
    /// Push packages although their recipes forbid to give binaries to others: the mirror is not for others.
    pub private: bool,
}

/// What is done where there is an entry of the same hash. Two builds of one hash are hardly ever the same bytes: each keeps
/// the log and the times of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// The package is archived and compared with what the entry names, without fetching that: the same content is
    /// [`Pushed::Present`], another one [`Pushed::Refused`]. What was laid down from a build cache is no content of its own.
    ///
    /// [`Pushed::Present`]: super::Pushed::Present
    /// [`Pushed::Refused`]: super::Pushed::Refused
    #[default]
    Compare,
    /// It stays, whatever it is, and nothing is archived.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// A build cache that is written, in layout 3. One for a whole run: the key is published once.
pub struct Destination {
    pub(super) writer: SharedWriter,
    pub(super) options: PushOptions,
    pub(super) signing: Signing,
    is_prepared: OnceCell<()>,
}

impl Destination {
    /// The build cache that `writer` writes to, as [`connect_writer`](crate::mirror::connect_writer) gives it.
    #[must_use]
    pub fn new(writer: SharedWriter, signing: Signing, options: PushOptions) -> Self {
        Self {
            writer,
            options,
            signing,
            is_prepared: OnceCell::new(),
        }
    }

    /// The mirror itself, for [`update_index`](super::update_index).
    #[must_use]
    pub const fn writer(&self) -> &SharedWriter {
        &self.writer
    }

    /// Its URL, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        self.writer.url()
    }

    /// Whether a blob of it can be read in place, on this machine.
    pub(super) fn is_here(&self, blob: &Digest) -> bool {
        let path = v3::blob_path(&checksum(blob));
        self.writer.local_path(&path).is_some()
    }

    /// Writes what a build cache has beside its entries: how it is laid out, and the key that checks its signatures.
    pub(super) async fn prepare(&self) -> Result<(), CacheFault> {
        let prepared = self.is_prepared.get_or_try_init(|| async {
            publish_layout(&self.writer).await?;
            self.signing.publish(&self.writer).await
        });
        prepared.await.copied()
    }
}

/// Writes the layout file, which is the same for all, where there is none.
pub(super) async fn publish_layout(writer: &SharedWriter) -> Result<(), CacheFault> {
    if writer.size(v3::LAYOUT_PATH).await?.is_none() {
        let text = Bytes::from_static(v3::LAYOUT_TEXT.as_bytes());
        writer.put(v3::LAYOUT_PATH, text, &When::Absent).await?;
    }
    Ok(())
}
