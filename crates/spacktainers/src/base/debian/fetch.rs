//! Files of an archive, by HTTP or from a directory.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use oci_format::Digest;

use super::apt_sources::AptProxies;
use crate::content::Content;
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::local_cache::{LocalCache, LocalCacheError};

/// Tries of one address before the next one is asked.
const TRIES: u32 = 4;
/// The wait before the second try; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// A server that sends nothing for so long is as good as gone.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a file of an archive is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Work offline, and it is not in the local cache.
    #[error("`{0}` is not in the local cache, and this run is offline")]
    Offline(String),
    /// The server has no such file.
    #[error("`{0}` does not exist")]
    Missing(String),
    /// The server answered something else.
    #[error("`{url}`: the server answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// Status code and its name.
        status: String,
    },
    /// No answer, or one that broke off.
    #[error("cannot fetch `{url}`")]
    Transport {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A `file:` address that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More bytes than such a file may have.
    #[error("`{url}` has more than {limit} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// Bytes allowed.
        limit: u64,
    },
    /// Bytes that are not those promised by the index above.
    #[error("`{url}` is not the file that the signed index names")]
    Checksum {
        /// What was asked for.
        url: String,
        /// Which difference.
        source: LocalCacheError,
    },
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// A way of transport that only apt knows.
    #[error("`{0}`: only http, https and file addresses of mirrors can be used")]
    Scheme(String),
    /// No HTTP client, for instance because a proxy's address is malformed.
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
}

impl FetchError {
    /// Whether another address may have what this one has not.
    fn is_final(&self) -> bool {
        match self {
            Self::Transport { source, .. } => {
                !(source.is_connect()
                    || source.is_timeout()
                    || source.is_body()
                    || source.is_request())
            }
            Self::Status { status, .. } => !(status.starts_with('5') || status.starts_with("429")),
            _ => true,
        }
    }
}

/// Fetches files of archives into the local cache.
#[derive(Clone)]
pub(super) struct Fetcher {
    client: reqwest::Client,
    cache: LocalCache,
    offline: bool,
}

impl Fetcher {
    /// The proxies of the environment are used; apt's own settings go before them.
    pub(super) fn new(
        cache: LocalCache,
        offline: bool,
        proxies: &AptProxies,
    ) -> Result<Self, FetchError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("spacktainers/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(READ_TIMEOUT);
        if let Some(proxy) = &proxies.http {
            builder = builder.proxy(reqwest::Proxy::http(proxy).map_err(FetchError::Client)?);
        }
        if let Some(proxy) = &proxies.https {
            builder = builder.proxy(reqwest::Proxy::https(proxy).map_err(FetchError::Client)?);
        }
        let client = builder.build().map_err(FetchError::Client)?;
        Ok(Self {
            client,
            cache,
            offline,
        })
    }

    /// A small file whose content nobody promised; at most `limit` bytes.
    pub(super) async fn small(&self, url: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        self.with_retries(url, limit, |chunk| {
            match chunk {
                None => bytes.clear(),
                Some(chunk) => bytes.extend_from_slice(chunk),
            }
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// A file with a known checksum, from the first of `urls` that has it, by way of the local cache.
    pub(super) async fn blob(
        &self,
        urls: &[String],
        digest: &Digest,
        size: u64,
    ) -> Result<Content, FetchError> {
        if let Some(content) = self
            .cache
            .blob(digest)
            .filter(|content| content.len() == size)
        {
            return Ok(content);
        }
        let mut last = None;
        for url in urls {
            match self.blob_from(url, digest, size).await {
                Ok(content) => return Ok(content),
                // The first fault that is more than absence is the one worth telling.
                Err(error) => {
                    last = match last {
                        Some(first @ FetchError::Missing(_))
                        | Some(first @ FetchError::Scheme(_)) => {
                            Some(if matches!(error, FetchError::Missing(_)) {
                                first
                            } else {
                                error
                            })
                        }
                        Some(first) => Some(first),
                        None => Some(error),
                    };
                }
            }
        }
        Err(last.unwrap_or_else(|| FetchError::Missing(digest.to_string())))
    }

    async fn blob_from(
        &self,
        url: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<Content, FetchError> {
        let mut writer = self.cache.writer()?;
        let cache = &self.cache;
        self.with_retries(url, size, |chunk| {
            match chunk {
                None => writer = cache.writer()?,
                Some(chunk) => writer.write_all(chunk).map_err(|source| FetchError::Read {
                    path: cache.root().to_owned(),
                    source,
                })?,
            }
            Ok(())
        })
        .await
        .map_err(|error| match error {
            FetchError::TooLong { url, limit } => FetchError::Checksum {
                url,
                source: LocalCacheError::Size {
                    digest: *digest,
                    expected: limit,
                    actual: limit + 1,
                },
            },
            other => other,
        })?;
        writer
            .finish_as(digest, size)
            .map_err(|source| match source {
                LocalCacheError::Digest { .. } | LocalCacheError::Size { .. } => {
                    FetchError::Checksum {
                        url: url.to_owned(),
                        source,
                    }
                }
                other => FetchError::Cache(other),
            })
    }

    /// Gives chunk after chunk to `sink`; `None` tells it to forget what it got and start over.
    async fn with_retries(
        &self,
        url: &str,
        limit: u64,
        mut sink: impl FnMut(Option<&[u8]>) -> Result<(), FetchError>,
    ) -> Result<(), FetchError> {
        if let Some(path) = url
            .strip_prefix("file:")
            .or_else(|| url.strip_prefix("copy:"))
        {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return read_file(url, path, limit, sink);
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(FetchError::Scheme(url.to_owned()));
        }
        if self.offline {
            return Err(FetchError::Offline(url.to_owned()));
        }
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            match self.once(url, limit, &mut sink).await {
                Err(error) if attempt < TRIES && !error.is_final() => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    sink(None)?;
                }
                other => return other,
            }
        }
        Ok(())
    }

    async fn once(
        &self,
        url: &str,
        limit: u64,
        sink: &mut impl FnMut(Option<&[u8]>) -> Result<(), FetchError>,
    ) -> Result<(), FetchError> {
        let failed = |source| FetchError::Transport {
            url: url.to_owned(),
            source,
        };
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        match response.status() {
            status if status.is_success() => {}
            reqwest::StatusCode::NOT_FOUND | reqwest::StatusCode::GONE => {
                return Err(FetchError::Missing(url.to_owned()));
            }
            status => {
                return Err(FetchError::Status {
                    url: url.to_owned(),
                    status: status.to_string(),
                });
            }
        }
        let mut left = limit;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            left = left
                .checked_sub(chunk.len() as u64)
                .ok_or_else(|| FetchError::TooLong {
                    url: url.to_owned(),
                    limit,
                })?;
            sink(Some(&chunk))?;
        }
        Ok(())
    }
}

fn read_file(
    url: &str,
    path: PathBuf,
    limit: u64,
    mut sink: impl FnMut(Option<&[u8]>) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    use std::io::Read as _;
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => FetchError::Missing(url.to_owned()),
        _ => FetchError::Read {
            path: path.clone(),
            source,
        },
    };
    let file = std::fs::File::open(&path).map_err(failed)?;
    let mut file = file.take(limit.saturating_add(1));
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        total += count as u64;
        if total > limit {
            return Err(FetchError::TooLong {
                url: url.to_owned(),
                limit,
            });
        }
        if count == 0 {
            return Ok(());
        }
        sink(Some(&buffer[..count]))?;
    }
}

/// Fetches many blobs, `jobs` at a time, in one task for those who watch. The contents come in the
/// order of `wanted`.
pub(super) async fn blobs(
    fetcher: &Fetcher,
    wanted: Vec<(Vec<String>, Digest, u64)>,
    jobs: usize,
    reporter: &dyn crate::event::Reporter,
    label: &str,
) -> Result<Vec<Content>, FetchError> {
    use futures::stream::{StreamExt as _, TryStreamExt as _};
    let is_here = |digest: &Digest, size: u64| {
        fetcher
            .cache
            .blob(digest)
            .is_some_and(|content| content.len() == size)
    };
    let missing: u64 = wanted
        .iter()
        .filter(|(_, digest, size)| !is_here(digest, *size))
        .map(|(_, _, size)| size)
        .sum();
    let task = TaskId::next();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Fetch,
        label: label.to_owned(),
        total: Some(missing),
    });
    let result: Result<Vec<Content>, FetchError> = futures::stream::iter(wanted)
        .map(|(urls, digest, size)| async move {
            let was_here = is_here(&digest, size);
            let content = fetcher.blob(&urls, &digest, size).await?;
            if !was_here {
                reporter.event(Event::Advanced { task, bytes: size });
            }
            Ok(content)
        })
        .buffered(jobs)
        .try_collect::<Vec<_>>()
        .await;
    let outcome = match &result {
        Ok(_) if missing == 0 => Outcome::Reused,
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    reporter.event(Event::Finished { task, outcome });
    result
}
