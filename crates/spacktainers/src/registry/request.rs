//! One exchange with a registry: login, retries, redirects, and what an error answer says.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Body, Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::RegistryError;
use super::client::Repository;
use super::http::shown;
use super::retry::{self, retry_after};

/// Redirects that are followed: a registry sends to its storage, which may send on once or twice.
const MAX_REDIRECTS: usize = 5;
/// The most bytes of an error answer that we read.
const MAX_ERROR_BYTES: u64 = 64 << 10;
/// The most characters of somebody else's text in our messages.
const MAX_REASON: usize = 300;

/// A request that can be sent any number of times.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Overrides what the repository's login gives.
    pub(super) authorization: Option<HeaderValue>,
}

impl Message {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            authorization: None,
        }
    }
}

impl Repository {
    /// Sends `message` as this repository's user: logs in when asked to, follows redirects of
    /// reading requests, and tries again after failures that may pass. Any final answer is given
    /// back, whatever its status; `401` is turned into an error.
    pub(super) async fn send(&self, message: &Message) -> Result<Response, RegistryError> {
        let authorizations = &self.client.shared.authorizations;
        let mut header = if self.owns(&message.url) {
            authorizations.current(self).await
        } else {
            None
        };
        let mut renewed = false;
        loop {
            let mut attempt = message.clone();
            attempt.authorization.clone_from(&header);
            let response = self.exchange(&attempt).await?;
            if response.status() != StatusCode::UNAUTHORIZED || !self.owns(&message.url) {
                return self.follow(message, response).await;
            }
            if renewed {
                return Err(authorizations.refusal(self).await);
            }
            renewed = true;
            // Boxed: asking for a token sends a message of its own.
            let renewal = authorizations.renew(self, response.headers(), header.as_ref());
            header = Some(Box::pin(renewal).await?);
        }
    }

    /// Sends `message` as it is, again after failures that may pass.
    pub(super) async fn exchange(&self, message: &Message) -> Result<Response, RegistryError> {
        let policy = &self.settings().retry;
        let mut failures = 0;
        loop {
            let outcome = self.once(message, message.body.clone().into(), None).await;
            failures += 1;
            let is_last = failures >= policy.tries;
            let asked = match &outcome {
                Ok(response) if !retry::is_transient(response.status()) || is_last => {
                    return outcome;
                }
                Ok(response) => retry_after(response.headers(), SystemTime::now()),
                Err(error) if !error.is_transient() || is_last => return outcome,
                Err(_) => None,
            };
            self.check_patience(&message.url, asked)?;
            policy.pause(failures, asked).await;
        }
    }

    /// Gives up when the registry asks for a longer pause than we take.
    pub(super) fn check_patience(
        &self,
        url: &Url,
        asked: Option<Duration>,
    ) -> Result<(), RegistryError> {
        match asked {
            Some(wait) if wait > self.settings().retry.longest_asked => {
                Err(RegistryError::Throttled {
                    url: shown(url),
                    wait,
                })
            }
            _ => Ok(()),
        }
    }

    /// One HTTP request and its answer's head. `progress` counts the bytes of `body` as they leave:
    /// the connection counts as dead when neither they nor the answer come for too long.
    pub(super) async fn once(
        &self,
        message: &Message,
        body: Body,
        progress: Option<&Arc<AtomicU64>>,
    ) -> Result<Response, RegistryError> {
        let client = self.client.shared.http.client(&message.url)?;
        let mut request = client
            .request(message.method.clone(), message.url.clone())
            .headers(message.headers.clone());
        if let Some(authorization) = &message.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        // An empty body is still a body: some servers insist on `Content-Length: 0`.
        if !matches!(message.method, Method::GET | Method::HEAD | Method::DELETE) {
            request = request.body(body);
        }
        let answer = watched(
            request.send(),
            progress,
            self.settings().stall,
            &message.url,
        )
        .await?;
        answer.map_err(|error| connection(&message.url, error))
    }

    /// Whether the address is this registry's own, so that it may see our credentials.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Follows the redirects of reading requests; credentials stay with the registry.
    async fn follow(
        &self,
        message: &Message,
        response: Response,
    ) -> Result<Response, RegistryError> {
        let mut response = response;
        let mut message = message.clone();
        message.authorization = None;
        for _ in 0..MAX_REDIRECTS {
            let redirected = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !redirected || !matches!(message.method, Method::GET | Method::HEAD) {
                return Ok(response);
            }
            message.url = location(&message.url, &response)?;
            message.authorization = if self.owns(&message.url) {
                self.client.shared.authorizations.current(self).await
            } else {
                None
            };
            response = self.exchange(&message).await?;
        }
        Err(RegistryError::Answer {
            url: shown(&message.url),
            fault: "it redirects in circles",
        })
    }
}

/// Where an answer sends us; never from https to plain http.
pub(super) fn location(asked: &Url, response: &Response) -> Result<Url, RegistryError> {
    let fault = |fault| RegistryError::Answer {
        url: shown(asked),
        fault,
    };
    let text = response
        .headers()
        .get(LOCATION)
        .ok_or(fault("a location is missing"))?;
    let text = text
        .to_str()
        .map_err(|_| fault("the location is not text"))?;
    let url = asked
        .join(text)
        .map_err(|_| fault("the location is not an address"))?;
    match (asked.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(url),
        _ => Err(fault("the location leads away from https")),
    }
}

/// Runs `work` as long as something moves.
pub(super) async fn watched<F: Future>(
    work: F,
    progress: Option<&Arc<AtomicU64>>,
    stall: Duration,
    url: &Url,
) -> Result<F::Output, RegistryError> {
    let mut work = std::pin::pin!(work);
    let mut before = progress.map(|it| it.load(Ordering::Relaxed));
    loop {
        match tokio::time::timeout(stall, work.as_mut()).await {
            Ok(done) => return Ok(done),
            Err(_) => {
                let now = progress.map(|it| it.load(Ordering::Relaxed));
                if now == before {
                    return Err(RegistryError::Stalled {
                        url: shown(url),
                        waited: stall,
                    });
                }
                before = now;
            }
        }
    }
}

/// A failure of the connection, without the address that `reqwest` would tell in full.
pub(super) fn connection(url: &Url, error: reqwest::Error) -> RegistryError {
    RegistryError::Connection {
        url: shown(url),
        source: error.without_url(),
    }
}

/// Reads an answer of at most `limit` bytes.
pub(super) async fn read_bounded(
    mut response: Response,
    limit: u64,
) -> Result<Vec<u8>, RegistryError> {
    let url = response.url().clone();
    let too_large = || RegistryError::TooLarge {
        url: shown(&url),
        limit,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| connection(&url, error))?
    {
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The error that an answer with an unwelcome status stands for.
pub(super) async fn refusal(response: Response) -> RegistryError {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Entry {
        code: String,
        message: String,
    }
    let status = response.status();
    let url = shown(response.url());
    let bytes = read_bounded(response, MAX_ERROR_BYTES)
        .await
        .unwrap_or_default();
    let first = serde_json::from_slice::<Body>(&bytes).ok();
    let first = first.and_then(|body| body.errors.into_iter().next());
    let (code, reason) = match first {
        Some(entry) => (
            Some(tame(&entry.code)),
            tame(&format!("{}: {}", entry.code, entry.message)),
        ),
        None => (None, tame(&String::from_utf8_lossy(&bytes))),
    };
    RegistryError::Status {
        url,
        status,
        code,
        reason: (!reason.is_empty()).then_some(reason),
    }
}

/// Somebody else's text on one line, without control characters and not too long.
fn tame(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    line.chars().take(MAX_REASON).collect()
}
