//! Mirrors that speak HTTP: plain web servers, and S3 by signed URLs.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::s3::S3Address;
use super::{Download, Location, Mirror, MirrorError, MirrorFault, Start, is_plain};

/// Redirects followed for one request: a load balancer and a store behind it, with room to spare.
const REDIRECTS: usize = 8;

/// The most that is read of an error page, to find the reason in it.
const LONGEST_ERROR_PAGE: usize = 8 * 1024;

/// The HTTP client that all mirrors of a run share, so that they share connections.
#[derive(Debug, Clone)]
pub struct Network {
    patience: Duration,
    /// Made when it is first needed: loading the system's certificates takes a while, and a run
    /// from a folder never needs them.
    client: Arc<OnceLock<Client>>,
}

impl Network {
    /// A client that gives up on connections that say nothing for `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            client: Arc::default(),
        }
    }

    /// The client itself.
    pub(crate) fn client(&self) -> Result<Client, MirrorFault> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(concat!("spacktainers/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience.min(Duration::from_secs(20)))
            .read_timeout(self.patience)
            .redirect(redirect_policy())
            // A referrer would tell a signed URL to whom we are redirected.
            .referer(false)
            .build()
            .map_err(|error| MirrorFault::Client(error.into()))?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Follows some redirects, but none that leads from https to plain http.
fn redirect_policy() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let was_secure = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else if was_secure && attempt.url().scheme() != "https" {
            attempt.error("redirected from https to plain http")
        } else {
            attempt.follow()
        }
    })
}

/// A mirror whose objects have URLs.
pub struct HttpMirror {
    network: Network,
    address: Address,
    label: String,
}

pub(super) enum Address {
    /// Objects lie below this URL.
    Below(Url),
    /// Objects of a bucket.
    S3(S3Address),
}

impl HttpMirror {
    /// The objects below `url`.
    #[must_use]
    pub fn new(network: &Network, url: Url) -> Self {
        let label = Location::Http(url.clone()).to_string();
        Self::at(network, Address::Below(url), label)
    }

    pub(super) fn at(network: &Network, address: Address, label: String) -> Self {
        Self {
            network: network.clone(),
            address,
            label,
        }
    }

    fn error(&self, key: &str, fault: MirrorFault) -> MirrorError {
        MirrorError {
            mirror: self.label.clone(),
            key: key.to_owned(),
            fault: Box::new(fault),
        }
    }

    async fn request(&self, key: &str) -> Result<RequestBuilder, MirrorFault> {
        if !is_plain(key) {
            return Err(MirrorFault::Key);
        }
        let url = match &self.address {
            Address::Below(url) => below(url, key),
            Address::S3(address) => address.url(key).await?,
        };
        // We hash and count the bytes that are stored: no compression on the way.
        Ok(self
            .network
            .client()?
            .get(url)
            .header(header::ACCEPT_ENCODING, "identity"))
    }

    /// The answer to a request if it has bytes for us; nothing when the object is absent.
    async fn answer(&self, request: RequestBuilder) -> Result<Option<Response>, MirrorFault> {
        let response = request.send().await.map_err(fault)?;
        let status = response.status();
        if status.is_success() {
            return Ok(Some(response));
        }
        let retry_after = retry_after(response.headers());
        let said = error_code(response).await;
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE if said == "NoSuchBucket" => {
                Err(MirrorFault::NoBucket)
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(MirrorFault::Denied {
                status: status.as_u16(),
                said,
            }),
            _ => Err(MirrorFault::Status {
                status: status.as_u16(),
                said,
                retry_after,
            }),
        }
    }

    async fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorFault> {
        let request = self.request(key).await?;
        let Some(response) = self.answer(request).await? else {
            return Ok(None);
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(MirrorFault::TooLarge { limit });
        }
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(fault)?;
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(MirrorFault::TooLarge { limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    async fn start(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorFault> {
        let mut request = self.request(key).await?;
        if start.offset > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", start.offset));
            if let Some(version) = &start.version {
                request = request.header(header::IF_RANGE, version);
            }
        }
        let response = match self.answer(request).await {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(None),
            // The object is not longer than what we have: see it from the beginning.
            Err(MirrorFault::Status { status: 416, .. }) if start.offset > 0 => {
                let request = self.request(key).await?;
                match self.answer(request).await? {
                    Some(response) => response,
                    None => return Ok(None),
                }
            }
            Err(fault) => return Err(fault),
        };
        let (offset, total) = if response.status() == StatusCode::PARTIAL_CONTENT {
            let (offset, total) = content_range(response.headers())
                .ok_or(MirrorFault::Answer("206 without a usable Content-Range"))?;
            if offset != start.offset {
                return Err(MirrorFault::Answer("a range that was not asked for"));
            }
            (offset, total)
        } else {
            (0, response.content_length())
        };
        let version = strong_entity_tag(response.headers());
        let (mirror, key) = (self.label.clone(), key.to_owned());
        let body = response
            .bytes_stream()
            .map_err(move |error| MirrorError {
                mirror: mirror.clone(),
                key: key.clone(),
                fault: Box::new(fault(error)),
            })
            .boxed();
        Ok(Some(Download {
            offset,
            total,
            version,
            body,
        }))
    }
}

#[async_trait]
impl Mirror for HttpMirror {
    fn url(&self) -> &str {
        &self.label
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let result = self.read(key, limit).await;
        result.map_err(|fault| self.error(key, fault))
    }

    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError> {
        let result = self.start(key, start).await;
        result.map_err(|fault| self.error(key, fault))
    }
}

/// The URL of an object below `base`, keeping its query (some stores want a token there).
fn below(base: &Url, key: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/{}", base.path().trim_end_matches('/'), encode(key));
    url.set_path(&path);
    url
}

/// Percent-encodes all but `/` and what never needs it. `+` is encoded, although paths may hold it,
/// because S3 takes it for a blank.
pub(super) fn encode(key: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Sorts the client's errors. Their URLs are taken off: they may be signed.
pub(super) fn fault(error: reqwest::Error) -> MirrorFault {
    let error = error.without_url();
    if error.is_timeout() {
        MirrorFault::TimedOut
    } else if error.is_connect() {
        MirrorFault::Unreachable(error.into())
    } else if error.is_redirect() {
        MirrorFault::Redirect(error.into())
    } else if error.is_builder() {
        MirrorFault::Client(error.into())
    } else {
        MirrorFault::Interrupted(error.into())
    }
}

/// The `<Code>` of an S3 error page: `AccessDenied`, `NoSuchBucket`, `SlowDown`, …
async fn error_code(response: Response) -> String {
    let mut page = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(Ok(chunk)) = body.next().await {
        page.extend_from_slice(&chunk);
        if page.len() > LONGEST_ERROR_PAGE {
            break;
        }
    }
    let page = String::from_utf8_lossy(&page);
    let code = page
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map_or("", |(code, _)| code);
    let is_code = code.len() < 100 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_code {
        code.to_owned()
    } else {
        String::new()
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// First byte and total of `bytes 100-199/200` (RFC 9110, 14.4).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// The entity tag, unless it is a weak one, which says nothing about bytes (RFC 9110, 8.8.3).
fn strong_entity_tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(header::ETAG)?.to_str().ok()?;
    tag.starts_with('"').then(|| tag.to_owned())
}
