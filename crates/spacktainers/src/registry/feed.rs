//! Local bytes as the body of a request: read and hashed by a thread, sent as they come.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream;
use oci_format::Digest;
use reqwest::Body;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::RegistryError;
use crate::content::Content;

/// Bytes handed over at a time.
const PIECE: usize = 256 << 10;
/// Pieces read ahead: enough for disk, hash and network to overlap.
const AHEAD: usize = 4;

/// Called with bytes that have left for the registry.
pub(super) type OnBytes = Arc<dyn Fn(u64) + Send + Sync>;

/// The state of a body that is being sent.
pub(super) struct Feed {
    /// Bytes that have left.
    pub(super) sent: Arc<AtomicU64>,
    fault: Arc<Mutex<Option<RegistryError>>>,
}

impl Feed {
    /// Why the body broke off on this side, if it did.
    pub(super) fn take_fault(&self) -> Option<RegistryError> {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The bytes `from..to` of `content`, whose digest as a whole must be `digest`.
///
/// What comes before `from` is read and hashed too. Where `to` is the end, the last piece is held
/// back until the digest is known to be right, so that a registry never gets all of something wrong.
pub(super) fn body(
    content: &Content,
    digest: Digest,
    from: u64,
    to: u64,
    on_bytes: OnBytes,
) -> (Body, Feed) {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let sent = Arc::new(AtomicU64::new(0));
    let fault = Arc::new(Mutex::new(None));
    let feed = Feed {
        sent: Arc::clone(&sent),
        fault: Arc::clone(&fault),
    };
    let content = content.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = pump(&content, digest, from, to, &sender) {
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // The request fails; the error above says why.
            let _ = sender.blocking_send(Err(io::Error::from(io::ErrorKind::InvalidData)));
        }
    });
    let pieces = stream::unfold(
        (receiver, sent, on_bytes),
        async |(mut receiver, sent, on_bytes)| {
            let piece = receiver.recv().await?;
            if let Ok(bytes) = &piece {
                sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                on_bytes(bytes.len() as u64);
            }
            Some((piece, (receiver, sent, on_bytes)))
        },
    );
    (Body::wrap_stream(pieces), feed)
}

/// Reads, hashes and hands over; ends early when nobody listens any more.
fn pump(
    content: &Content,
    digest: Digest,
    from: u64,
    to: u64,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), RegistryError> {
    let read = |source| RegistryError::Read { digest, source };
    let total = content.len();
    let mut reader = content.open(0).map_err(read)?;
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < to {
        // Pieces end where the part to send begins and ends.
        let limit = if at < from { from } else { to };
        let want = usize::try_from(limit - at).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; want];
        reader.read_exact(&mut piece).map_err(read)?;
        hasher.update(&piece);
        let skipped = at < from;
        at += want as u64;
        if at == total {
            let actual = Digest::from_bytes(std::mem::take(&mut hasher).finalize().into());
            if actual != digest {
                return Err(RegistryError::Changed {
                    expected: digest,
                    actual,
                });
            }
        }
        if !skipped && sender.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn drain(content: &Content, digest: Digest, from: u64, to: u64) -> (Vec<u8>, Feed) {
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let owned = content.clone();
        let fault = Arc::new(Mutex::new(None));
        let feed = Feed {
            sent: Arc::default(),
            fault: Arc::clone(&fault),
        };
        tokio::task::spawn_blocking(move || {
            if let Err(error) = pump(&owned, digest, from, to, &sender) {
                *fault.lock().expect("no panic") = Some(error);
            }
        });
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.recv().await {
            bytes.extend_from_slice(&piece.expect("bytes"));
        }
        (bytes, feed)
    }

    #[tokio::test]
    async fn parts_are_sent_as_asked_for_and_add_up_to_the_whole() {
        let data: Vec<u8> = (0..1_000_000_u32).map(|it| (it % 251) as u8).collect();
        let content = Content::Memory(data.clone().into());
        let digest = Digest::of(&data);
        for (from, to) in [
            (0, 1_000_000),
            (0, 300_000),
            (300_000, 1_000_000),
            (999_999, 1_000_000),
        ] {
            let (bytes, feed) = drain(&content, digest, from, to).await;
            assert_eq!(bytes, data[from as usize..to as usize]);
            assert!(feed.take_fault().is_none());
        }
    }

    #[tokio::test]
    async fn of_something_wrong_the_last_piece_is_never_sent() {
        let data = vec![7; PIECE * 2 + 10];
        let content = Content::Memory(data.into());
        let (bytes, feed) = drain(&content, Digest::of(b"other"), 0, content.len()).await;
        assert_eq!(bytes.len(), PIECE * 2);
        assert!(matches!(
            feed.take_fault(),
            Some(RegistryError::Changed { .. })
        ));
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), b"short").expect("writes");
        let content = Content::File {
            path: file.path().to_owned(),
            offset: 0,
            len: 100,
        };
        let (_, feed) = drain(&content, Digest::of(b"short"), 0, 100).await;
        assert!(matches!(
            feed.take_fault(),
            Some(RegistryError::Read { .. })
        ));
    }
}
