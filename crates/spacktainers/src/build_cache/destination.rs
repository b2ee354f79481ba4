//! Where packages are pushed to, and who vouches for them.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use spack_format::build_cache::v3;
use tokio::sync::OnceCell;

use super::error::CacheFault;
use super::keys;
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

/// What is done about packages that ought not to be pushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// Put new entries in place of those that are there.
    pub replace: bool,
    /// Push packages although their sources may change under their hash.
    pub allow_mutable: bool,
}

/// A build cache that is written, in layout 3. One for a whole run: the key is published once.
pub struct Destination {
    pub(super) writer: SharedWriter,
    pub(super) options: PushOptions,
    signing: Signing,
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

    /// What is written as the manifest: the text, in a signature's frame where there is a key.
    pub(super) fn signed(&self, text: String, now: SystemTime) -> Result<String, CacheFault> {
        match &self.signing {
            Signing::Key(key) => Ok(key.clear_sign(&text, now)?.message),
            Signing::Unsigned => Ok(text),
        }
    }

    /// Writes what a build cache has beside its entries: how it is laid out, and the key that checks its signatures.
    pub(super) async fn prepare(&self) -> Result<(), CacheFault> {
        let prepared = self.is_prepared.get_or_try_init(|| async {
            publish_layout(&self.writer).await?;
            match &self.signing {
                Signing::Key(key) => keys::publish(&self.writer, key).await,
                Signing::Unsigned => Ok(()),
            }
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
