//! Objects into files: continued where they broke off, verified, then renamed into place.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use object_store::{GetOptions, GetRange, ObjectStore as _};
use oci_format::Digest;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::upload::OnBytes;
use super::{Bucket, BucketError, ObjectFacts};
use crate::local_cache::{Claim, LocalCache};

/// Pieces that may wait for the disk.
const BEHIND: usize = 16;
/// Between attempts. The client library has its own for requests that are not answered; these are for answers that stop in
/// the middle.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

impl Bucket {
    /// Brings an object whose digest is known into the local cache, from where an earlier run stopped.
    ///
    /// # Errors
    /// When the bucket does not give it, it is not what the digest says, or the cache fails.
    pub async fn download(
        &self,
        key: &str,
        facts: &ObjectFacts,
        digest: &Digest,
        cache: &LocalCache,
        on_bytes: &OnBytes,
    ) -> Result<(), BucketError> {
        // What came before is told once.
        let told = Arc::new(AtomicU64::new(0));
        for pause in PAUSES {
            match self
                .attempt(key, facts, digest, cache, on_bytes, &told)
                .await
            {
                Err(BucketError::Failed { .. }) => tokio::time::sleep(pause).await,
                done => return done,
            }
        }
        self.attempt(key, facts, digest, cache, on_bytes, &told)
            .await
    }

    /// One attempt, from where the last one stopped.
    async fn attempt(
        &self,
        key: &str,
        facts: &ObjectFacts,
        digest: &Digest,
        cache: &LocalCache,
        on_bytes: &OnBytes,
        told: &AtomicU64,
    ) -> Result<(), BucketError> {
        let on_bytes = |now: u64| {
            let before = told.fetch_max(now, Ordering::Relaxed);
            on_bytes(now.saturating_sub(before));
        };
        let (path, object) = self.object(key)?;
        let interrupted = |_| BucketError::Interrupted(object.clone());
        let claim = {
            let (cache, digest, size) = (cache.clone(), *digest, facts.size);
            spawn_blocking(move || cache.claim(&digest, size))
                .await
                .map_err(interrupted)??
        };
        let mut partial = match claim {
            Claim::Present(_) => return Ok(()),
            Claim::Mine(partial) => partial,
            // `claim` waits for whoever is busy.
            Claim::Busy => return Err(BucketError::Interrupted(object)),
        };
        let mut here = partial.offset();
        on_bytes(here);
        let options = GetOptions {
            // Another object under the same key has another digest: what is here would be of no use.
            if_match: facts.etag.clone(),
            range: (partial.offset() > 0).then(|| GetRange::Offset(partial.offset())),
            ..GetOptions::default()
        };
        let (sender, mut receiver) = mpsc::channel::<bytes::Bytes>(BEHIND);
        let is_whole = partial.offset() == facts.size;
        let writer = spawn_blocking(move || {
            while let Some(piece) = receiver.blocking_recv() {
                partial.append(&piece)?;
            }
            partial.commit()
        });
        let mut broken = None;
        if !is_whole {
            let failed = || BucketError::failed("read", &object);
            let opened = self.store.get_opts(&path, options).await;
            match opened {
                Ok(result) => {
                    let mut body = result.into_stream();
                    while let Some(piece) = body.next().await {
                        match piece {
                            Ok(piece) => {
                                here += piece.len() as u64;
                                on_bytes(here);
                                if sender.send(piece).await.is_err() {
                                    break;
                                }
                            }
                            Err(error) => {
                                broken = Some(failed()(error));
                                break;
                            }
                        }
                    }
                }
                Err(error) => broken = Some(failed()(error)),
            }
        }
        drop(sender);
        let written = writer.await.map_err(interrupted)?;
        match broken {
            // What came so far stays in the cache, to be continued.
            Some(error) => Err(error),
            None => Ok(written.map(drop)?),
        }
    }

    /// Writes an object of which nothing is known into `file`, from its beginning.
    ///
    /// # Errors
    /// When the bucket does not give all of it, or the file cannot be written.
    pub async fn download_whole(
        &self,
        key: &str,
        facts: &ObjectFacts,
        file: &mut fs::File,
        shown: &Path,
        on_bytes: &OnBytes,
    ) -> Result<(), BucketError> {
        let (path, object) = self.object(key)?;
        let failed = || BucketError::failed("read", &object);
        let options = GetOptions {
            if_match: facts.etag.clone(),
            ..GetOptions::default()
        };
        let result = self.store.get_opts(&path, options).await;
        let mut body = result.map_err(failed())?.into_stream();
        let mut written = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(failed())?;
            file.write_all(&piece)
                .map_err(BucketError::file("write", shown))?;
            written += piece.len() as u64;
            on_bytes(piece.len() as u64);
        }
        if written == facts.size {
            return Ok(());
        }
        let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "the object ended early");
        Err(BucketError::file("write", shown)(ended))
    }
}
