//! What a mirror's URL means.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use crate::image::RegistryOrigin;

/// Where a mirror is. Pure: nothing is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A web server.
    Http(Url),
    /// A bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// Where in it the mirror begins; no slash at either end.
        prefix: String,
        /// Where S3 is, when it is not AWS's own: `https://…`.
        endpoint: Option<String>,
    },
    /// A repository of an OCI registry.
    Registry(RegistryOrigin),
}

/// Why a URL is no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Not a URL.
    #[error("`{url}` is not a URL: {reason}")]
    Malformed {
        /// As written, without credentials.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A kind of mirror that we cannot read.
    #[error(
        "`{scheme}:` mirrors are not supported: use a path, file, http, https, s3, oci or oci+http"
    )]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// `file://host/…`.
    #[error("`{url}`: a file URL names no host; write `file:///path`")]
    FileHost {
        /// As written.
        url: String,
    },
    /// A part that must be there is not.
    #[error("`{url}` lacks {part}")]
    Incomplete {
        /// As written, without credentials.
        url: String,
        /// What is missing.
        part: &'static str,
    },
    /// `endpoint` beside a URL that is not of S3.
    #[error("`endpoint` is for s3 mirrors only")]
    Endpoint,
}

impl Location {
    /// Understands `url` as settings have it: with one of the schemes `file`, `http`, `https`, `s3`,
    /// `oci` and `oci+http`, or a path, which is taken from the folder `base` (the project's).
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(url: &str, endpoint: Option<&str>, base: &Path) -> Result<Self, LocationError> {
        // As Spack does it, what has no scheme is a path.
        let Some((scheme, rest)) = url.split_once("://") else {
            return match endpoint {
                Some(_) => Err(LocationError::Endpoint),
                None => Ok(Self::Folder(base.join(url))),
            };
        };
        let scheme = scheme.to_ascii_lowercase();
        if endpoint.is_some() && scheme != "s3" {
            return Err(LocationError::Endpoint);
        }
        match scheme.as_str() {
            "file" => folder(url),
            "http" | "https" => parse(url).map(Self::Http),
            "s3" => bucket(rest, url, endpoint),
            "oci" => registry(rest, url, false),
            "oci+http" => registry(rest, url, true),
            _ => Err(LocationError::Scheme { scheme }),
        }
    }

    /// Whether it is on this machine, so that it can be read offline.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

/// As in settings, without credentials.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file://{}", path.display()),
            Self::Http(url) => {
                let mut url = url.clone();
                // Refused only by URLs that cannot have a user, which then have none.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.set_query(None);
                f.write_str(url.as_str().trim_end_matches('/'))
            }
            Self::S3 { bucket, prefix, .. } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Registry(origin) => {
                let scheme = if origin.plain_http { "oci+http" } else { "oci" };
                write!(f, "{scheme}://{}/{}", origin.registry, origin.repository)
            }
        }
    }
}

fn parse(url: &str) -> Result<Url, LocationError> {
    let parsed = Url::parse(url).map_err(|error| LocationError::Malformed {
        url: without_user(url),
        reason: error.to_string(),
    })?;
    Ok(parsed)
}

fn folder(url: &str) -> Result<Location, LocationError> {
    let parsed = parse(url)?;
    match parsed.to_file_path() {
        Ok(path) => Ok(Location::Folder(path)),
        Err(()) => Err(LocationError::FileHost {
            url: url.to_owned(),
        }),
    }
}

fn bucket(rest: &str, url: &str, endpoint: Option<&str>) -> Result<Location, LocationError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(LocationError::Incomplete {
            url: url.to_owned(),
            part: "the bucket: `s3://BUCKET/PREFIX`",
        });
    }
    if let Some(endpoint) = endpoint {
        let scheme = parse(endpoint)?.scheme().to_owned();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(LocationError::Malformed {
                url: without_user(endpoint),
                reason: "an endpoint begins with http:// or https://".to_owned(),
            });
        }
    }
    Ok(Location::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint: endpoint.map(str::to_owned),
    })
}

/// A missing host means Docker's registry, and names are lower-cased: Spack, `oci/image.py`.
fn registry(rest: &str, url: &str, plain_http: bool) -> Result<Location, LocationError> {
    let rest = rest.trim_matches('/');
    if rest.contains('@') {
        return Err(LocationError::Malformed {
            url: without_user(url),
            reason: "a registry's credentials belong into `auth.json`".to_owned(),
        });
    }
    let first = rest.split('/').next().unwrap_or_default();
    let has_host = first.contains(['.', ':']) || first == "localhost";
    let (host, repository) = match rest.split_once('/') {
        Some((host, repository)) if has_host => (host, repository.to_owned()),
        None if has_host => (first, String::new()),
        // Images of one name are in `library` there.
        None => ("docker.io", format!("library/{rest}")),
        Some(_) => ("docker.io", rest.to_owned()),
    };
    if rest.is_empty() || repository.is_empty() {
        return Err(LocationError::Incomplete {
            url: url.to_owned(),
            part: "the repository: `oci://HOST/NAME`",
        });
    }
    Ok(Location::Registry(RegistryOrigin {
        registry: host.to_owned(),
        repository: repository.to_lowercase(),
        plain_http,
    }))
}

/// The URL with whatever stands before an `@` taken out.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Location, LocationError> {
        Location::parse(url, None, Path::new("/project"))
    }

    #[test]
    fn paths_are_taken_from_the_project_and_file_urls_are_absolute() {
        assert_eq!(
            parsed("cache"),
            Ok(Location::Folder("/project/cache".into()))
        );
        assert_eq!(
            parsed("/srv/cache"),
            Ok(Location::Folder("/srv/cache".into()))
        );
        assert_eq!(
            parsed("file:///srv/a%20b"),
            Ok(Location::Folder("/srv/a b".into()))
        );
        assert!(matches!(
            parsed("file://srv/cache"),
            Err(LocationError::FileHost { .. })
        ));
    }

    #[test]
    fn buckets_have_a_prefix_and_an_endpoint() {
        let with_endpoint =
            Location::parse("s3://b/x/y/", Some("http://127.0.0.1:9"), Path::new("/"));
        let bucket = Location::S3 {
            bucket: "b".into(),
            prefix: "x/y".into(),
            endpoint: Some("http://127.0.0.1:9".into()),
        };
        assert_eq!(with_endpoint, Ok(bucket));
        assert!(matches!(
            parsed("s3:///x"),
            Err(LocationError::Incomplete { .. })
        ));
        for (url, endpoint) in [("cache", "http://x"), ("https://x", "http://x")] {
            let error = Location::parse(url, Some(endpoint), Path::new("/"));
            assert_eq!(error, Err(LocationError::Endpoint));
        }
        assert!(Location::parse("s3://b", Some("127.0.0.1:9000"), Path::new("/")).is_err());
    }

    #[test]
    fn registries_are_written_as_spack_writes_them() {
        let registry = |host: &str, repository: &str, plain_http| {
            Ok(Location::Registry(RegistryOrigin {
                registry: host.into(),
                repository: repository.into(),
                plain_http,
            }))
        };
        assert_eq!(
            parsed("oci://ghcr.io/Org/Cache"),
            registry("ghcr.io", "org/cache", false)
        );
        assert_eq!(
            parsed("oci+http://127.0.0.1:5000/c"),
            registry("127.0.0.1:5000", "c", true)
        );
        assert_eq!(
            parsed("oci://org/cache"),
            registry("docker.io", "org/cache", false)
        );
        assert!(matches!(
            parsed("oci://ghcr.io"),
            Err(LocationError::Incomplete { .. })
        ));
    }

    #[test]
    fn errors_name_the_scheme_and_no_credentials() {
        assert_eq!(
            parsed("gs://bucket"),
            Err(LocationError::Scheme {
                scheme: "gs".into()
            })
        );
        let error = parsed("https://user:secret@[bad/x")
            .expect_err("bad host")
            .to_string();
        assert!(!error.contains("secret"), "{error}");
        let error = parsed("oci://user:secret@host.org/x")
            .expect_err("no users")
            .to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
