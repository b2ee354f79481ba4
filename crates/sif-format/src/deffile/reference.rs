//! References to images in registries, as `From:` has them.
//!
//! ```text
//! reference = [ registry "/" ] repository [ ":" tag ] [ "@" digest ]
//! ```
//!
//! What stands before the first slash is a registry when it has a dot, a colon or an upper-case letter, or is
//! `localhost`. This module takes a reference apart and finds what cannot be one; registries may refuse more.
//!
//! Source: the grammar of `distribution/reference`, which Apptainer uses by way of `containers/image`.

use std::fmt;
use std::ops::Range;

/// The tag that is meant when neither tag nor digest is given.
pub const DEFAULT_TAG: &str = "latest";
/// The most bytes of a tag.
const MAX_TAG: usize = 128;

/// A reference, with nothing added to what was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// Host and port; Docker Hub is meant when there is none.
    pub registry: Option<String>,
    /// The repository: `library/debian`, or `debian` as people write it.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest: `sha256:…`.
    pub digest: Option<String>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReferenceFault {
    /// Nothing where a repository must be.
    #[error("the name of a repository is missing")]
    MissingRepository,
    /// `Foo/bar`.
    #[error("the name of a repository is in lower case")]
    UpperCase,
    /// A character that has no place there.
    #[error("`{0}` cannot stand in the name of a repository")]
    Repository(char),
    /// A host that is none.
    #[error("this is not the name of a host")]
    Host,
    /// A port that is no number up to 65535.
    #[error("the port is not a number between 1 and 65535")]
    Port,
    /// Nothing, or too much, or a wrong character after the colon.
    #[error("this is not a tag")]
    Tag,
    /// What follows `@` is no digest.
    #[error("this is not a digest")]
    Digest,
    /// What follows `:@` is no number.
    #[error("the place of an image in an archive is a number")]
    Index,
}

impl ReferenceFault {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::MissingRepository => "no repository",
            Self::UpperCase => "upper case",
            Self::Repository(_) => "not allowed",
            Self::Host => "not a host",
            Self::Port => "not a port",
            Self::Tag => "not a tag",
            Self::Digest => "not a digest",
            Self::Index => "not a number",
        }
    }

    pub(super) fn hint(self) -> Option<String> {
        let text = match self {
            Self::Tag => {
                "tags are up to 128 letters, digits, `_`, `.` and `-`, not beginning with the last two"
            }
            Self::Digest => "write `@sha256:` and 64 digits in lower case",
            Self::Repository(_) | Self::MissingRepository => {
                "write `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`"
            }
            Self::UpperCase | Self::Host | Self::Port | Self::Index => return None,
        };
        Some(text.to_owned())
    }
}

impl ImageReference {
    /// Takes a reference apart.
    ///
    /// # Errors
    /// When it is none: what is wrong, and which bytes of `text` are.
    pub fn parse(text: &str) -> Result<Self, (Range<usize>, ReferenceFault)> {
        let (name_and_tag, digest) = match text.split_once('@') {
            Some((before, digest)) => (before, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest
            && !is_digest(digest)
        {
            return Err((name_and_tag.len() + 1..text.len(), ReferenceFault::Digest));
        }
        let (registry, rest) = match name_and_tag.split_once('/') {
            Some((first, rest)) if is_registry(first) => (Some(first), rest),
            _ => (None, name_and_tag),
        };
        if let Some(registry) = registry {
            check_registry(registry)?;
        }
        let rest_at = name_and_tag.len() - rest.len();
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        check_repository(repository)
            .map_err(|(range, fault)| (rest_at + range.start..rest_at + range.end, fault))?;
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            let at = rest_at + repository.len() + 1;
            return Err((at..at + tag.len(), ReferenceFault::Tag));
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The tag that is meant: the one given, or `latest` when there is no digest either.
    #[must_use]
    pub fn effective_tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, None) => Some(DEFAULT_TAG),
            (None, Some(_)) => None,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(char::is_uppercase)
}

fn check_registry(registry: &str) -> Result<(), (Range<usize>, ReferenceFault)> {
    let host_end = match registry.strip_prefix('[') {
        // [IPv6]:port
        Some(address) => address.find(']').map_or(registry.len(), |end| end + 2),
        None => registry.find(':').unwrap_or(registry.len()),
    };
    let (host, port) = registry.split_at(host_end);
    let is_host = match host.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<core::net::Ipv6Addr>().is_ok()),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    if !is_host {
        return Err((0..host.len(), ReferenceFault::Host));
    }
    if port.is_empty() {
        return Ok(());
    }
    let digits = port.strip_prefix(':').unwrap_or_default();
    let is_port = digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits.parse::<u16>().is_ok_and(|port| port > 0);
    if is_port {
        Ok(())
    } else {
        Err((host.len()..registry.len(), ReferenceFault::Port))
    }
}

/// Components of lower-case letters and digits, with `.`, one or two `_` or any number of `-` between them.
fn check_repository(repository: &str) -> Result<(), (Range<usize>, ReferenceFault)> {
    if repository.is_empty() {
        return Err((0..0, ReferenceFault::MissingRepository));
    }
    let mut separator = String::from("/");
    for (at, letter) in repository.char_indices() {
        let range = at..at + letter.len_utf8();
        match letter {
            'a'..='z' | '0'..='9' => separator.clear(),
            'A'..='Z' => return Err((range, ReferenceFault::UpperCase)),
            '/' | '.' | '_' | '-' => {
                separator.push(letter);
                let may_stand = matches!(separator.as_str(), "/" | "." | "_" | "__")
                    || separator.bytes().all(|byte| byte == b'-');
                if !may_stand {
                    return Err((range, ReferenceFault::Repository(letter)));
                }
            }
            _ => return Err((range, ReferenceFault::Repository(letter))),
        }
    }
    match separator.chars().next() {
        None => Ok(()),
        Some(letter) => {
            let end = repository.len();
            Err((
                end - separator.len()..end,
                ReferenceFault::Repository(letter),
            ))
        }
    }
}

fn is_tag(tag: &str) -> bool {
    (1..=MAX_TAG).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let is_hex = |hex: &str| {
        hex.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match digest.split_once(':') {
        Some(("sha256", hex)) => hex.len() == 64 && is_hex(hex),
        Some(("sha384", hex)) => hex.len() == 96 && is_hex(hex),
        Some(("sha512", hex)) => hex.len() == 128 && is_hex(hex),
        _ => false,
    }
}
