//! Asks again when a mirror fails in a way that may pass.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};

use super::retry::{RetryPolicy, chance};
use super::{Download, Mirror, MirrorError, MirrorFault, SharedMirror, Start};

/// After so many bytes without a fault, faults are counted anew: a slow line that breaks every few
/// minutes gets there in the end.
const PROGRESS: u64 = 4 * 1024 * 1024;

/// A mirror that hides the passing faults of another one: requests are repeated, and streams that
/// break are continued at the offset reached.
pub struct Retrying {
    inner: SharedMirror,
    policy: RetryPolicy,
}

impl Retrying {
    /// Hides the passing faults of `inner`.
    #[must_use]
    pub fn new(inner: SharedMirror, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

#[async_trait]
impl Mirror for Retrying {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let mut failed = 0;
        loop {
            match self.inner.get(key, limit).await {
                Ok(found) => return Ok(found),
                Err(error) => failed = pause(&self.policy, failed, error).await?,
            }
        }
    }

    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError> {
        let mut failed = 0;
        let first = loop {
            match self.inner.open(key, start).await {
                Ok(None) => return Ok(None),
                Ok(Some(download)) => break download,
                Err(error) => failed = pause(&self.policy, failed, error).await?,
            }
        };
        let (offset, total, version) = (first.offset, first.total, first.version.clone());
        let body = Continued {
            inner: self.inner.clone(),
            policy: self.policy,
            key: key.to_owned(),
            position: offset,
            version: version.clone(),
            current: Some(first),
            failed,
            since_fault: 0,
        };
        let body = stream::try_unfold(body, Continued::next).boxed();
        Ok(Some(Download {
            offset,
            total,
            version,
            body,
        }))
    }

    fn local_path(&self, key: &str) -> Option<PathBuf> {
        self.inner.local_path(key)
    }
}

/// Waits before the next attempt, or gives the error back when there is no point in one. The result
/// is the number of attempts that failed.
async fn pause(policy: &RetryPolicy, failed: u32, error: MirrorError) -> Result<u32, MirrorError> {
    let failed = failed + 1;
    if !error.is_transient() {
        return Err(error);
    }
    match policy.wait(failed, error.retry_after(), chance()) {
        Some(wait) => {
            tokio::time::sleep(wait).await;
            Ok(failed)
        }
        None => Err(error),
    }
}

/// A stream that is opened again where it broke.
struct Continued {
    inner: SharedMirror,
    policy: RetryPolicy,
    key: String,
    /// Bytes of the object handed on so far, including those before the start.
    position: u64,
    version: Option<String>,
    current: Option<Download>,
    failed: u32,
    since_fault: u64,
}

impl Continued {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, MirrorError> {
        loop {
            let result = match &mut self.current {
                Some(download) => match download.body.next().await {
                    None if download.total.is_none_or(|total| total <= download.offset) => {
                        return Ok(None);
                    }
                    // Not every way of ending a connection early is an error in itself.
                    None => Err(self.error(MirrorFault::Interrupted("it ended early".into()))),
                    Some(Ok(bytes)) => Ok(self.take(bytes)),
                    Some(Err(error)) => Err(error),
                },
                None => self.reopen().await.map(|()| None),
            };
            match result {
                Ok(Some(bytes)) => return Ok(Some((bytes, self))),
                Ok(None) => {}
                Err(error) => {
                    self.current = None;
                    self.since_fault = 0;
                    self.failed = pause(&self.policy, self.failed, error).await?;
                }
            }
        }
    }

    /// What of `bytes` was not handed on yet.
    fn take(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let download = self.current.as_mut()?;
        let length = bytes.len() as u64;
        let known = self.position.saturating_sub(download.offset).min(length);
        download.offset += length;
        bytes.advance(usize::try_from(known).ok()?);
        if bytes.is_empty() {
            return None;
        }
        self.position += bytes.len() as u64;
        self.since_fault += bytes.len() as u64;
        if self.since_fault > PROGRESS {
            self.failed = 0;
        }
        Some(bytes)
    }

    fn error(&self, fault: MirrorFault) -> MirrorError {
        MirrorError {
            mirror: self.inner.url().to_owned(),
            key: self.key.clone(),
            fault: Box::new(fault),
        }
    }

    async fn reopen(&mut self) -> Result<(), MirrorError> {
        let start = Start {
            offset: self.position,
            version: self.version.clone(),
        };
        let changed = match self.inner.open(&self.key, &start).await? {
            // It was there a moment ago.
            None => true,
            Some(download) if download.offset > self.position => {
                return Err(self.error(MirrorFault::Answer("a range that was not asked for")));
            }
            Some(download) => {
                let changed = self.version.is_some() && download.version != self.version;
                self.current = Some(download);
                changed
            }
        };
        if changed {
            self.current = None;
            // What was handed on is of another object: whoever took it must begin anew.
            self.failed = self.policy.attempts;
            return Err(self.error(MirrorFault::Changed));
        }
        Ok(())
    }
}
