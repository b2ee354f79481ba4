//! Blobs from a registry: streamed, continued by `Range` where a connection breaks, and verified.
//!
//! Source: OCI distribution specification 1.1, "Pulling blobs"; RFC 9110 section 14.

use bytes::Bytes;
use oci_format::{Descriptor, Digest};
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::http::shown;
use super::request::{Message, connection, refusal, watched};
use super::{RegistryError, Repository};
use crate::content::Content;
use crate::local_cache::{Claim, LocalCache, LocalCacheError, PartialBlob};

/// Pieces that may wait for the disk.
const BEHIND: usize = 16;

impl Repository {
    /// Whether the registry has the blob, and its size where it tells.
    ///
    /// # Errors
    /// When the registry cannot or will not tell.
    pub async fn blob_head(&self, digest: &Digest) -> Result<Option<Option<u64>>, RegistryError> {
        let message = Message::new(Method::HEAD, self.url(&format!("blobs/{digest}"))?);
        let response = self.send(&message).await?;
        match response.status() {
            StatusCode::OK => {
                let length = response.headers().get(reqwest::header::CONTENT_LENGTH);
                let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
                Ok(Some(length))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(response).await),
        }
    }

    /// The bytes of a blob, piece by piece. Nothing is asked before the first piece is.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> BlobStream {
        BlobStream {
            ranges: self.ranges(blob, 0),
            hasher: Some(Sha256::new()),
        }
    }

    /// All bytes of a small blob.
    ///
    /// # Errors
    /// When it has more than `limit` bytes, is not there, or is not what its digest says.
    pub async fn blob_bytes(
        &self,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        if blob.size > limit {
            return Err(RegistryError::TooLarge {
                url: shown(&self.url(&format!("blobs/{}", blob.digest))?),
                limit,
            });
        }
        let mut stream = self.blob(blob);
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The blob in the local cache, fetched if it is not there yet and continued where an earlier
    /// process stopped. `on_bytes` hears of the bytes that come.
    ///
    /// # Errors
    /// When the registry cannot or will not give it, gives something else, or the cache fails.
    pub async fn blob_to_cache(
        &self,
        blob: &Descriptor,
        cache: &LocalCache,
        on_bytes: impl Fn(u64) + Send + Sync,
    ) -> Result<Content, RegistryError> {
        let claim = {
            let (cache, digest, size) = (cache.clone(), blob.digest, blob.size);
            blocking(move || cache.claim(&digest, size)).await??
        };
        let partial = match claim {
            Claim::Present(content) => return Ok(content),
            Claim::Mine(partial) => partial,
            // `claim` waits for whoever is busy, and then finds the blob or is given the claim.
            Claim::Busy => return Err(gone(blob)),
        };
        let mut ranges = self.ranges(blob, partial.offset());
        let (sender, receiver) = mpsc::channel(BEHIND);
        let writer = tokio::task::spawn_blocking(move || write(partial, receiver));
        let mut broken = None;
        loop {
            match ranges.next().await {
                Ok(Some(piece)) => {
                    on_bytes(piece.len() as u64);
                    if sender.send(piece).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let written = writer.await.map_err(|_| gone(blob))?;
        match broken {
            // What came so far stays in the cache, to be continued.
            Some(error) => Err(error),
            None => Ok(written?),
        }
    }

    fn ranges(&self, blob: &Descriptor, offset: u64) -> Ranges {
        Ranges {
            repository: self.clone(),
            digest: blob.digest,
            size: blob.size,
            offset,
            response: None,
            skip: 0,
            failures: 0,
        }
    }
}

fn write(
    mut partial: PartialBlob,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<Content, LocalCacheError> {
    while let Some(piece) = pieces.blocking_recv() {
        partial.append(&piece)?;
    }
    partial.commit()
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RegistryError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| RegistryError::Missing("the work of a thread that ended".to_owned()))
}

fn gone(blob: &Descriptor) -> RegistryError {
    RegistryError::Missing(blob.digest.to_string())
}

/// The bytes of a blob, which are verified when they end.
#[derive(Debug)]
pub struct BlobStream {
    ranges: Ranges,
    hasher: Option<Sha256>,
}

impl BlobStream {
    /// The next piece; nothing at the end, after the digest was found right.
    ///
    /// # Errors
    /// When the blob is not there, the connection breaks more often than it may, or the bytes are
    /// others than promised.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if let Some(piece) = self.ranges.next().await? {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&piece);
            }
            return Ok(Some(piece));
        }
        if let Some(hasher) = self.hasher.take() {
            let actual = Digest::from_bytes(hasher.finalize().into());
            let expected = self.ranges.digest;
            if actual != expected {
                return Err(RegistryError::Digest {
                    url: self.ranges.shown(),
                    expected,
                    actual,
                });
            }
        }
        Ok(None)
    }
}

/// The bytes of a blob from some offset on, over as many connections as it takes; not verified.
#[derive(Debug)]
struct Ranges {
    repository: Repository,
    digest: Digest,
    size: u64,
    /// Bytes given so far.
    offset: u64,
    response: Option<Response>,
    /// Bytes to leave out: of a server that knows no ranges.
    skip: u64,
    /// Connections that broke since the last piece.
    failures: u32,
}

impl Ranges {
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        while self.offset < self.size {
            if self.response.is_none() {
                let response = self.ask().await?;
                self.response = Some(response);
            }
            match self.piece().await {
                Ok(Some(piece)) => {
                    self.failures = 0;
                    return Ok(Some(piece));
                }
                // All of it was to be skipped.
                Ok(None) => {}
                Err(error) => {
                    self.response = None;
                    self.failures += 1;
                    if self.failures >= self.repository.settings().retry.tries {
                        return Err(error);
                    }
                    self.repository
                        .settings()
                        .retry
                        .pause(self.failures, None)
                        .await;
                }
            }
        }
        Ok(None)
    }

    /// The next bytes of the connection at hand.
    async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let url = response.url().clone();
        let stall = self.repository.settings().stall;
        let chunk = watched(response.chunk(), None, stall, &url).await?;
        let Some(mut piece) = chunk.map_err(|error| connection(&url, error))? else {
            // A connection that ends early and cleanly, or a blob that is too short.
            return Err(RegistryError::Answer {
                url: shown(&url),
                fault: "the blob ends before its size is reached",
            });
        };
        let skipped = self.skip.min(piece.len() as u64);
        self.skip -= skipped;
        piece = piece.slice(usize::try_from(skipped).unwrap_or(piece.len())..);
        if self.offset + piece.len() as u64 > self.size {
            return Err(RegistryError::TooLarge {
                url: shown(&url),
                limit: self.size,
            });
        }
        self.offset += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Asks for what is missing.
    async fn ask(&mut self) -> Result<Response, RegistryError> {
        let url = self.repository.url(&format!("blobs/{}", self.digest))?;
        let mut message = Message::new(Method::GET, url.clone());
        if self.offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.offset));
            message
                .headers
                .extend(range.ok().map(|range| (RANGE, range)));
        }
        let response = self.repository.send(&message).await?;
        match response.status() {
            StatusCode::OK => {
                self.skip = self.offset;
                Ok(response)
            }
            StatusCode::PARTIAL_CONTENT if self.begins_right(&response) => {
                self.skip = 0;
                Ok(response)
            }
            StatusCode::PARTIAL_CONTENT => Err(RegistryError::Answer {
                url: shown(&url),
                fault: "it sends another part than was asked for",
            }),
            StatusCode::NOT_FOUND => Err(RegistryError::Missing(shown(&url))),
            _ => Err(refusal(response).await),
        }
    }

    /// `Content-Range: bytes 100-199/200`
    fn begins_right(&self, response: &Response) -> bool {
        let range = response.headers().get(CONTENT_RANGE);
        let text = range.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let first = text
            .trim_start_matches("bytes")
            .trim_start()
            .split('-')
            .next();
        first.and_then(|it| it.parse::<u64>().ok()) == Some(self.offset)
    }

    fn shown(&self) -> String {
        format!("{}blobs/{}", shown(&self.repository.base), self.digest)
    }
}
