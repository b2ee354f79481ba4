//! References: `registry/repository:tag@digest`, as people type them and as registries take them.
//!
//! ```text
//! reference  = [ domain "/" ] path [ ":" tag ] [ "@" digest ]
//! domain     = host [ ":" port ]          host: a DNS name, an IPv4 address or [IPv6]
//! path       = component { "/" component }
//! component  = lower-case letters and digits, with single '.', one or two '_' or any '-' between
//! tag        = up to 128 of letters, digits, '_', '.', '-'; not '.' or '-' first
//! ```
//!
//! What stands before the first slash is a domain when it has a dot, a colon or an upper-case
//! letter, or is `localhost`; otherwise the registry is `docker.io`, and a path of one component
//! there means `library/…`.
//!
//! Source: the grammar of `distribution/reference` and the distribution specification's `<name>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, DigestError};

/// The registry that is meant when none is named.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that is meant when neither tag nor digest is given.
pub const DEFAULT_TAG: &str = "latest";
/// The most bytes of registry and repository together, as Docker and most registries have it.
const MAX_NAME: usize = 255;
/// The most bytes of a tag.
const MAX_TAG: usize = 128;

/// A reference with its registry and namespace spoken out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {fault}, at character {}", self.column())]
pub struct ReferenceError {
    /// What was read.
    pub text: String,
    /// Bytes before the fault; at most the length of `text`.
    pub at: usize,
    /// What is wrong there.
    pub fault: ReferenceFault,
}

/// What is wrong in a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceFault {
    /// Nothing where a repository name must be.
    #[error("a repository name is missing")]
    MissingRepository,
    /// `Foo/bar`.
    #[error("repository names are lower case")]
    UpperCase,
    /// A character that has no place in a repository name, or a separator too many.
    #[error("`{0}` cannot stand here in a repository name")]
    Repository(char),
    /// A repository name that begins or ends with a separator, or has an empty component.
    #[error("a letter or digit must stand here")]
    Separator,
    /// A character that has no place in a host name.
    #[error("`{0}` cannot stand here in a host name")]
    Host(char),
    /// A host name that is empty or begins or ends a label with `-`.
    #[error("the host name is not complete")]
    IncompleteHost,
    /// A port that is no number up to 65535.
    #[error("the port is not a number between 1 and 65535")]
    Port,
    /// A colon without a tag after it.
    #[error("a tag is missing after `:`")]
    MissingTag,
    /// A character that has no place in a tag.
    #[error("`{0}` cannot stand here in a tag")]
    Tag(char),
    /// A tag of more than 128 characters.
    #[error("the tag is longer than 128 characters")]
    LongTag,
    /// Registry and repository of more than 255 characters.
    #[error("the name is longer than 255 characters")]
    LongName,
    /// What follows `@` is no digest.
    #[error("{0}")]
    Digest(DigestError),
}

impl ReferenceError {
    /// The place of the fault, in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.text
            .get(..self.at)
            .map_or(1, |before| before.chars().count() + 1)
    }
}

impl Reference {
    /// Host and port as people write them: `docker.io`, `127.0.0.1:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry: `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, when one is given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one is given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
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

    /// The same repository with this digest; the tag stays as a remark.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The same repository with this tag and no digest.
    ///
    /// # Errors
    /// When `tag` is not a tag.
    pub fn with_tag(mut self, tag: &str) -> Result<Self, ReferenceError> {
        check_tag(tag).map_err(|(at, fault)| ReferenceError {
            text: tag.to_owned(),
            at,
            fault,
        })?;
        self.tag = Some(tag.to_owned());
        self.digest = None;
        Ok(self)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|(at, fault)| ReferenceError {
            text: text.to_owned(),
            at,
            fault,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A fault and the bytes before it.
type Fault = (usize, ReferenceFault);

fn parse(text: &str) -> Result<Reference, Fault> {
    let (name_and_tag, digest) = match text.split_once('@') {
        None => (text, None),
        Some((before, digest)) => {
            let digest = digest
                .parse()
                .map_err(|error| (before.len() + 1, ReferenceFault::Digest(error)))?;
            (before, Some(digest))
        }
    };
    let (domain, rest_at) = split_domain(name_and_tag);
    if let Some(domain) = domain {
        check_domain(domain)?;
    }
    let rest = &name_and_tag[rest_at..];
    let (path, tag) = match rest.split_once(':') {
        None => (rest, None),
        Some((path, tag)) => {
            let tag_at = rest_at + path.len() + 1;
            check_tag(tag).map_err(|(at, fault)| (tag_at + at, fault))?;
            (path, Some(tag.to_owned()))
        }
    };
    check_path(path).map_err(|(at, fault)| (rest_at + at, fault))?;
    let registry = match domain {
        None | Some("index.docker.io" | "registry-1.docker.io") => DEFAULT_REGISTRY,
        Some(domain) => domain,
    };
    let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    // What counts is the name in full, as it will be written.
    if registry.len() + 1 + repository.len() > MAX_NAME {
        return Err((text.len().min(MAX_NAME), ReferenceFault::LongName));
    }
    Ok(Reference {
        registry: registry.to_owned(),
        repository,
        tag,
        digest,
    })
}

/// The domain, when there is one, and where the path begins.
fn split_domain(name: &str) -> (Option<&str>, usize) {
    match name.split_once('/') {
        Some((first, _))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(char::is_uppercase) =>
        {
            (Some(first), first.len() + 1)
        }
        _ => (None, 0),
    }
}

fn check_domain(domain: &str) -> Result<(), Fault> {
    if let Some(rest) = domain.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return Err((domain.len(), ReferenceFault::IncompleteHost));
        };
        if address.parse::<core::net::Ipv6Addr>().is_err() {
            return Err((1, ReferenceFault::IncompleteHost));
        }
        return match port.strip_prefix(':') {
            Some(port) => check_port(port, address.len() + 3),
            None if port.is_empty() => Ok(()),
            None => Err((address.len() + 2, ReferenceFault::Port)),
        };
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    let mut at = 0;
    for label in host.split('.') {
        if let Some((offset, character)) = label
            .char_indices()
            .find(|(_, c)| !c.is_ascii_alphanumeric() && *c != '-')
        {
            return Err((at + offset, ReferenceFault::Host(character)));
        }
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err((at, ReferenceFault::IncompleteHost));
        }
        at += label.len() + 1;
    }
    port.map_or(Ok(()), |port| check_port(port, host.len() + 1))
}

fn check_port(port: &str, at: usize) -> Result<(), Fault> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err((at, ReferenceFault::Port)),
    }
}

fn check_path(path: &str) -> Result<(), Fault> {
    if path.is_empty() {
        return Err((0, ReferenceFault::MissingRepository));
    }
    // The run of separators that precedes the character at hand; a component may neither begin
    // nor end with one.
    let mut separators = "/";
    let mut start = 0;
    for (at, character) in path.char_indices() {
        let run = &path[start..at];
        match character {
            'a'..='z' | '0'..='9' => {
                separators = "";
                start = at + 1;
            }
            'A'..='Z' => return Err((at, ReferenceFault::UpperCase)),
            '/' | '.' | '_' | '-' if separators == "/" => {
                return Err((at, ReferenceFault::Separator));
            }
            '/' if run.is_empty() => {
                separators = "/";
                start = at + 1;
            }
            '/' => return Err((at, ReferenceFault::Separator)),
            '.' if run.is_empty() => {}
            '_' if run.is_empty() || run == "_" => {}
            '-' if run.bytes().all(|byte| byte == b'-') => {}
            other => return Err((at, ReferenceFault::Repository(other))),
        }
    }
    if separators == "/" || start < path.len() {
        return Err((path.len(), ReferenceFault::Separator));
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), Fault> {
    if tag.is_empty() {
        return Err((0, ReferenceFault::MissingTag));
    }
    for (at, character) in tag.char_indices() {
        let fits = character.is_ascii_alphanumeric()
            || character == '_'
            || (at > 0 && matches!(character, '.' | '-'));
        if !fits {
            return Err((at, ReferenceFault::Tag(character)));
        }
    }
    if tag.len() > MAX_TAG {
        Err((MAX_TAG, ReferenceFault::LongTag))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
