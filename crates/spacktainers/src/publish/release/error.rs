//! Why there is no release.

use oci_format::Digest;

use super::super::{PublishError, Target};
use crate::local_cache::LocalCacheError;

/// A name that stays, and that other content has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The name.
    pub target: Target,
    /// What is there: the digest of an image, or of the file; none where what is there says neither.
    pub there: Option<Digest>,
    /// The image that was to go there; none for what a definition file makes.
    pub ours: Option<Digest>,
}

/// Why there is no release. Unless said otherwise, no name has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Names that stay have other content.
    #[error("{}", taken(.0))]
    Taken(Vec<Taken>),
    /// Places that could not be read or written; at least one.
    #[error("nothing is published: {}", failed(.0))]
    Failed(Vec<PublishError>),
    /// A check refused.
    #[error("nothing is published: `{name}` failed: {why}")]
    Check {
        /// What was tried.
        name: String,
        /// What came of it.
        why: String,
    },
    /// Something that was sent is not there.
    #[error("nothing is published: `{target}` was sent {what} {digest}, and does not have it")]
    NotThere {
        /// Where.
        target: Box<Target>,
        /// What it is: `the layer`, `the manifest`.
        what: &'static str,
        /// Its digest.
        digest: Digest,
    },
    /// Some names have changed and others have not: the next run for the same places changes the others.
    #[error(
        "{done} of {all} names are those of the new release, then `{target}` failed: run the same command again to \
         finish, or with --roll-back to undo it"
    )]
    Unfinished {
        /// Names that have changed.
        done: usize,
        /// All of them.
        all: usize,
        /// The name that could not be changed.
        target: Box<Target>,
        /// Why.
        source: Box<PublishError>,
    },
    /// A name is not what it was changed to: somebody else publishes to the same place.
    #[error("`{target}` was changed by somebody else at the same time: it is {}, not {ours}", found.map_or_else(|| "nothing".to_owned(), |it| it.to_string()))]
    Moved {
        /// The name.
        target: Box<Target>,
        /// What it means now.
        found: Option<Digest>,
        /// What it was changed to.
        ours: Digest,
    },
    /// The release that was to be promoted is not whole.
    #[error("nothing is promoted: {}{why}", target.as_ref().map(|it| format!("`{it}` cannot be its source: ")).unwrap_or_default())]
    Incomplete {
        /// The place.
        target: Option<Box<Target>>,
        /// What is wrong there.
        why: String,
    },
    /// The journal cannot be written.
    #[error("cannot write down what is to change")]
    Journal(#[from] LocalCacheError),
    /// There is nothing to undo.
    #[error("no release to these places was left unfinished on this machine")]
    NoJournal,
}

impl ReleaseError {
    /// Whether bytes or contents were wrong, rather than a place unable or unwilling: exit code 5, not 4.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Check { .. }
            | Self::NotThere { .. }
            | Self::Moved { .. }
            | Self::Incomplete { .. } => true,
            Self::Failed(errors) => errors.iter().any(PublishError::is_verification),
            Self::Unfinished { source, .. } => source.is_verification(),
            Self::Taken(_) | Self::Journal(_) | Self::NoJournal => false,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Taken(_) => Some(
                "give the change a version of its own, or say --replace if users of this version are to get other \
                 content (`replace = true` in the environment's settings says it for good)"
                    .to_owned(),
            ),
            Self::Incomplete { .. } => {
                Some("publish to the environment that it comes from, then promote again".to_owned())
            }
            Self::Moved { .. } => {
                Some("let one pipeline at a time publish to a place, then run this again".to_owned())
            }
            _ => None,
        }
    }
}

fn taken(all: &[Taken]) -> String {
    let shown = |digest: Option<Digest>, none: &str| {
        digest.map_or_else(|| none.to_owned(), |it| it.to_string())
    };
    let places: Vec<String> = all
        .iter()
        .map(|it| {
            format!(
                "`{}` is {} already, and this is {}",
                it.target,
                shown(it.there, "something else"),
                shown(it.ours, "made from another definition"),
            )
        })
        .collect();
    format!("nothing is published: {}", places.join("; "))
}

/// The whole chain of each: there may be several, and an error has but one source.
fn failed(errors: &[PublishError]) -> String {
    let told = |error: &PublishError| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    };
    let texts: Vec<String> = errors.iter().map(told).collect();
    texts.join("; ")
}
