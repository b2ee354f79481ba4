//! What can go wrong when a mirror is asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::aws::AwsError;
use crate::registry::RegistryError;

/// A mirror could not answer. That an object is absent is an answer.
#[derive(Debug, thiserror::Error)]
#[error("mirror {mirror}: {}", what(key))]
pub struct MirrorError {
    /// Which mirror: its URL without credentials.
    pub mirror: String,
    /// What it was asked for; empty when it was not about one object.
    pub key: String,
    /// Why it could not answer.
    #[source]
    pub fault: Box<MirrorFault>,
}

/// Why a mirror could not answer.
#[derive(Debug, thiserror::Error)]
pub enum MirrorFault {
    /// No connection.
    #[error("cannot connect: is the address right, and the network there?")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// A connection that broke.
    #[error("the connection broke")]
    Interrupted(#[source] Box<dyn Error + Send + Sync>),
    /// Silence for too long.
    #[error("no answer for too long")]
    TimedOut,
    /// Not allowed to read.
    #[error("access denied ({status}{}): check the credentials", in_brackets(said))]
    Denied {
        /// HTTP status: 401 or 403.
        status: u16,
        /// The server's own code, such as `InvalidAccessKeyId`; empty when it gave none.
        said: String,
    },
    /// Any other status that is neither success nor absence.
    #[error("the server answered {status}{}", in_brackets(said))]
    Status {
        /// HTTP status.
        status: u16,
        /// The server's own code; empty when it gave none.
        said: String,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// An answer that makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Answer(&'static str),
    /// More redirects than are followed, or one from https to plain http.
    #[error("the server redirects in a circle, or to where we must not follow")]
    Redirect(#[source] Box<dyn Error + Send + Sync>),
    /// An object longer than it may be.
    #[error("the object is longer than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// The object was replaced while it was read.
    #[error("the object was replaced while it was being read: try again")]
    Changed,
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder that the mirror is does not exist.
    #[error("there is no folder `{}`: check the mirror's `url`", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The bucket that the mirror is in does not exist.
    #[error("there is no such bucket: check the mirror's `url` and `endpoint`")]
    NoBucket,
    /// A key that would leave the mirror.
    #[error("a name that cannot be part of a build cache")]
    Key,
    /// A registry, which has errors of its own.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Credentials for S3.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client")]
    Client(#[source] Box<dyn Error + Send + Sync>),
}

impl MirrorError {
    /// Whether asking again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &*self.fault {
            MirrorFault::Unreachable(_)
            | MirrorFault::Interrupted(_)
            | MirrorFault::TimedOut
            | MirrorFault::Changed => true,
            // Request timeout, too early, too many requests, and what proxies and servers say when
            // they are overwhelmed. 501 and 505 will not change.
            MirrorFault::Status { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// How long the server wants to be left alone, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.fault {
            MirrorFault::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server refused in a way in which some stores speak of absent objects: those that
    /// let nobody list a bucket do not tell apart what is absent and what is forbidden.
    #[must_use]
    pub fn may_mean_absent(&self) -> bool {
        matches!(&*self.fault, MirrorFault::Denied { status: 403, said }
            if said.is_empty() || said == "AccessDenied")
    }
}

fn what(key: &str) -> String {
    if key.is_empty() {
        "cannot be used".to_owned()
    } else {
        format!("cannot read `{key}`")
    }
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(", {code}")
    }
}
