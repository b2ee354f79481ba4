//! Blobs to a registry: mounted from another repository, sent in one request, or in chunks.
//!
//! ```text
//! POST uploads/?mount=…&from=…  ─ 201 ► mounted
//!                               ─ 202 ► a session all the same: used for what follows
//! POST uploads/                 ─ 202 ► a session
//! PUT session?digest=…  (body)  ─ 201 ► done, in one request
//!        │ broke off, 5xx, 429
//!        ▼
//! HEAD blob                     ─ 200 ► done after all
//! GET session                   ─ 204 ► its offset: goes on from there with PATCH, then PUT
//!                               ─ 4xx ► a new session, from the beginning, in chunks
//! ```
//!
//! A retry never guesses an offset: registries answer a wrong one with 416, and some throw the session
//! away. Registries that throw it away when asked (distribution 2 does after a broken request) cost us
//! a new session and nothing else.
//!
//! Source: OCI distribution specification 1.1, "Pushing blobs".

use std::fmt;
use std::time::SystemTime;

use oci_format::Digest;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::feed::{self, OnBytes};
use super::http::shown;
use super::request::{Message, location, refusal};
use super::retry::retry_after;
use super::{RegistryError, Repository};
use crate::content::Content;

/// The least bytes of a chunk that a registry takes, but for the last one.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// The most bytes of a chunk that we let a registry ask for.
const MAX_CHUNK: u64 = 1 << 30;

/// An upload that the registry has begun.
#[derive(Debug, Clone)]
pub struct UploadSession {
    location: Url,
    /// Bytes that the registry has.
    offset: u64,
    /// The least bytes of a chunk.
    chunk_min: u64,
}

/// What became of a wish to mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is in the repository now; no byte moved.
    Mounted,
    /// It is not; the registry began an upload instead.
    Session(UploadSession),
    /// It is not, and the registry knows no mounts.
    Refused,
}

/// A blob to send.
pub struct Upload<'a> {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub content: &'a Content,
    /// A session that a mount left.
    pub session: Option<UploadSession>,
    /// Called with bytes as they leave; bytes that are sent again count again.
    pub on_bytes: OnBytes,
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Asks the registry to take the blob from its repository `source`.
    ///
    /// # Errors
    /// When the registry fails altogether; a mere refusal is no error.
    pub async fn mount(&self, digest: &Digest, source: &str) -> Result<Mount, RegistryError> {
        let mut url = self.url("blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", &digest.to_string())
            .append_pair("from", source);
        let response = self.send(&Message::new(Method::POST, url.clone())).await?;
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Mounted),
            StatusCode::ACCEPTED => session(&url, &response).map(Mount::Session),
            status if status.is_client_error() => Ok(Mount::Refused),
            _ => Err(refusal(response).await),
        }
    }

    /// Sends a blob. The registry has it afterwards, and had its digest checked on both sides.
    ///
    /// # Errors
    /// When the registry refuses, fails more often than it may, or the bytes on this machine are not
    /// what their digest says.
    pub async fn upload(&self, upload: Upload<'_>) -> Result<(), RegistryError> {
        let policy = &self.settings().retry;
        let mut session = upload.session.clone();
        let mut best = 0;
        let mut failures = 0;
        loop {
            let error = match self.attempt(&upload, &mut session, failures > 0).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let reached = session.as_ref().map_or(0, |session| session.offset);
            failures = if reached > best { 1 } else { failures + 1 };
            best = best.max(reached);
            if !error.may_pass || failures >= policy.tries {
                if let Some(session) = session {
                    self.cancel(&session).await;
                }
                return Err(error.error);
            }
            self.check_patience(&self.base, error.asked)?;
            policy.pause(failures, error.asked).await;
            // The answer may be all that was lost.
            if self.blob_head(&upload.digest).await?.is_some() {
                return Ok(());
            }
            if let Some(known) = session.take() {
                session = self.stand(known, upload.content.len()).await?;
            }
        }
    }

    /// Tries once; `session` tells afterwards how far it came, as far as that is known.
    async fn attempt(
        &self,
        upload: &Upload<'_>,
        session: &mut Option<UploadSession>,
        in_chunks: bool,
    ) -> Result<(), Failure> {
        let size = upload.content.len();
        let open = match session {
            Some(session) => session,
            None => session.insert(self.begin().await.map_err(Failure::last)?),
        };
        if open.offset == 0 && !in_chunks {
            return self.finish(upload, open, 0).await;
        }
        let chunk = self.settings().chunk.max(open.chunk_min);
        while open.offset < size {
            let end = open.offset.saturating_add(chunk).min(size);
            self.chunk(upload, open, end).await?;
        }
        self.finish(upload, open, size).await
    }

    /// Opens a session.
    async fn begin(&self) -> Result<UploadSession, RegistryError> {
        let url = self.url("blobs/uploads/")?;
        let response = self.send(&Message::new(Method::POST, url.clone())).await?;
        match response.status() {
            StatusCode::ACCEPTED => session(&url, &response),
            _ => Err(refusal(response).await),
        }
    }

    /// Sends the bytes from the session's offset to `end`.
    async fn chunk(
        &self,
        upload: &Upload<'_>,
        session: &mut UploadSession,
        end: u64,
    ) -> Result<(), Failure> {
        let mut message = Message::new(Method::PATCH, session.location.clone());
        let range = format!("{}-{}", session.offset, end.saturating_sub(1));
        insert(&mut message.headers, "content-range", &range);
        let response = self.stream(message, upload, session.offset, end).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED => {
                session.location = location(&session.location, &response).map_err(Failure::from)?;
                // A registry that took less than all says so.
                session.offset = match received(response.headers()) {
                    Some(received) if received > session.offset && received < end => received,
                    _ => end,
                };
                Ok(())
            }
            _ => Err(Failure::of(response).await),
        }
    }

    /// Ends the session with the bytes from `from` on, under the blob's digest.
    async fn finish(
        &self,
        upload: &Upload<'_>,
        session: &UploadSession,
        from: u64,
    ) -> Result<(), Failure> {
        let mut url = session.location.clone();
        url.query_pairs_mut()
            .append_pair("digest", &upload.digest.to_string());
        let message = Message::new(Method::PUT, url);
        let response = self
            .stream(message, upload, from, upload.content.len())
            .await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT | StatusCode::OK => Ok(()),
            _ => Err(Failure::of(response).await),
        }
    }

    /// Sends `message` once with a part of the blob as its body.
    async fn stream(
        &self,
        mut message: Message,
        upload: &Upload<'_>,
        from: u64,
        to: u64,
    ) -> Result<Response, Failure> {
        insert(
            &mut message.headers,
            CONTENT_TYPE.as_str(),
            "application/octet-stream",
        );
        insert(
            &mut message.headers,
            CONTENT_LENGTH.as_str(),
            &(to - from).to_string(),
        );
        if self.owns(&message.url) {
            message.authorization = self.client.shared.authorizations.current(self).await;
        }
        if from == to {
            return self
                .once(&message, "".into(), None)
                .await
                .map_err(Failure::from);
        }
        let (body, feed) = feed::body(
            upload.content,
            upload.digest,
            from,
            to,
            upload.on_bytes.clone(),
        );
        let outcome = self.once(&message, body, Some(&feed.sent)).await;
        match feed.take_fault() {
            Some(fault) => Err(Failure::from(fault)),
            None => outcome.map_err(Failure::from),
        }
    }

    /// Asks where a session stands; nothing when it is gone or makes no sense any more.
    async fn stand(
        &self,
        session: UploadSession,
        size: u64,
    ) -> Result<Option<UploadSession>, RegistryError> {
        let message = Message::new(Method::GET, session.location.clone());
        let response = self.send(&message).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let Some(offset) = received(response.headers()).filter(|offset| *offset <= size) else {
            self.cancel(&session).await;
            return Ok(None);
        };
        let location = location(&session.location, &response).unwrap_or(session.location);
        Ok(Some(UploadSession {
            location,
            offset,
            ..session
        }))
    }

    /// Tells the registry that nobody needs the session; whether it listens does not matter.
    pub async fn cancel(&self, session: &UploadSession) {
        let mut message = Message::new(Method::DELETE, session.location.clone());
        if self.owns(&message.url) {
            message.authorization = self.client.shared.authorizations.current(self).await;
        }
        let _ = self.once(&message, "".into(), None).await;
    }
}

/// Why an attempt failed, and whether another one may do better.
struct Failure {
    error: RegistryError,
    may_pass: bool,
    asked: Option<std::time::Duration>,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let may_pass = error.is_transient();
        Self {
            error,
            may_pass,
            asked: None,
        }
    }
}

impl Failure {
    /// Of a request that was tried again as often as it may.
    fn last(error: RegistryError) -> Self {
        Self {
            error,
            may_pass: false,
            asked: None,
        }
    }

    async fn of(response: Response) -> Self {
        let asked = retry_after(response.headers(), SystemTime::now());
        let error = refusal(response).await;
        let may_pass = match &error {
            // 401: the token ended on the way. 404: the session did. 416: its offset is another one.
            RegistryError::Status { status, code, .. } => {
                error.is_transient()
                    || matches!(status.as_u16(), 401 | 404 | 416)
                    || matches!(
                        code.as_deref(),
                        Some("BLOB_UPLOAD_INVALID" | "BLOB_UPLOAD_UNKNOWN")
                    )
            }
            _ => error.is_transient(),
        };
        Self {
            error,
            may_pass,
            asked,
        }
    }
}

/// The session that an answer describes.
fn session(asked: &Url, response: &Response) -> Result<UploadSession, RegistryError> {
    let minimum = response.headers().get(CHUNK_MIN_LENGTH);
    let minimum = minimum.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    let session = UploadSession {
        location: location(asked, response)?,
        offset: 0,
        chunk_min: minimum.unwrap_or(0),
    };
    if session.chunk_min > MAX_CHUNK {
        return Err(RegistryError::Answer {
            url: shown(asked),
            fault: "it wants chunks of more than a gibibyte",
        });
    }
    Ok(session)
}

/// Bytes that a session has, by its `Range: 0-99`.
///
/// `0-0` is what distribution says of none as well as of one; none is the safe reading, because a
/// wrong one is answered with 416 and asked again.
fn received(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (first, last) = text.trim_start_matches("bytes=").split_once('-')?;
    match (
        first.trim().parse::<u64>().ok()?,
        last.trim().parse::<u64>().ok()?,
    ) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

/// Our own texts, which are all fit for a header.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_a_session_is_one_more_than_its_last_byte() {
        let received = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(text));
            received(&headers)
        };
        assert_eq!(received("0-99"), Some(100));
        assert_eq!(received("bytes=0-99"), Some(100));
        assert_eq!(received("0-0"), Some(0));
        assert_eq!(received("5-9"), None);
        assert_eq!(received("0-18446744073709551615"), None);
        assert_eq!(received("x"), None);
    }
}
