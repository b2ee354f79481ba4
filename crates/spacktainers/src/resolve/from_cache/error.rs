//! Why there is no solution.

use std::io;

use spack_format::dag_hash::DagHash;
use spack_format::lockfile::LockfileWriteError;
use spack_format::yaml::Span;

use super::Reason;
use crate::diagnostic::Sources;

/// Why nothing was chosen.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The definition asks for nothing.
    #[error("the definition asks for no specs")]
    Empty,
    /// A text that is no spec.
    #[error("`{text}` is no spec: {message}")]
    Spec {
        /// The text.
        text: String,
        /// Where it is written.
        place: Span,
        /// What is wrong.
        message: String,
    },
    /// Roots that nothing in the caches fits.
    #[error("the build caches hold nothing for {}", .0.iter().map(|it| format!("`{}`", it.text)).collect::<Vec<_>>().join(", "))]
    NoCandidate(Vec<NoCandidate>),
    /// Roots that each have candidates, but none that go together.
    #[error(
        "the build caches hold no specs for all roots that go together: for `{root}`, {candidate} needs {needs}, and {chosen} was chosen for others"
    )]
    Clash {
        /// The root that nothing was left for.
        root: String,
        /// Where it is written.
        place: Span,
        /// Its best candidate.
        candidate: String,
        /// What that needs.
        needs: String,
        /// What others need instead.
        chosen: String,
    },
    /// No solution was found, and not why.
    #[error("the build caches hold no specs for all roots that go together")]
    Undecided,
    /// Splices are asked for, which only Spack makes.
    #[error(
        "`concretizer:splice` asks for other dependencies under specs of the caches, which only Spack decides about"
    )]
    Splices {
        /// Where.
        place: Span,
    },
    /// More roots than are unified.
    #[error("{count} specs are more than the {most} that can be unified")]
    TooManyRoots {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A spec cannot be read from the local cache.
    #[error("cannot read {spec} from the local cache")]
    Read {
        /// Which.
        spec: String,
        /// Why.
        source: io::Error,
    },
    /// What was chosen cannot be written as a lock.
    #[error("the choice cannot be written as a spack.lock")]
    Write(#[from] LockfileWriteError),
}

/// A root that nothing fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCandidate {
    /// As written.
    pub text: String,
    /// Where.
    pub place: Span,
    /// How many specs of the package there are.
    pub considered: usize,
    /// A package with a similar name, where there is none of this one.
    pub similar: Option<String>,
    /// Those that fit best.
    pub nearest: Vec<Nearest>,
}

/// A spec that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// For people: `zlib@1.3.1 /v2xkvre`.
    pub title: String,
    /// Its hash.
    pub hash: DagHash,
    /// Why not.
    pub reasons: Vec<Reason>,
}

/// The most reasons that are told of one spec.
const MOST_REASONS: usize = 3;

impl ResolveError {
    /// Whether the caches do not have the answer, and Spack may: packages are missing, and building them would help; or
    /// there would have to be splices.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::NoCandidate(_) | Self::Clash { .. } | Self::Undecided | Self::Splices { .. }
        )
    }

    /// The details, one line each, with places as file and line.
    #[must_use]
    pub fn details(&self, sources: &Sources) -> Vec<String> {
        match self {
            Self::NoCandidate(roots) => roots.iter().flat_map(|it| it.details(sources)).collect(),
            Self::Clash { place, .. } | Self::Spec { place, .. } | Self::Splices { place } => {
                let at = sources.locate(*place);
                let at = at.map(|at| format!("asked for at {}:{}", at.path.display(), at.line));
                at.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl NoCandidate {
    fn details(&self, sources: &Sources) -> Vec<String> {
        let at = sources.locate(self.place).map_or_else(String::new, |at| {
            format!(" ({}:{})", at.path.display(), at.line)
        });
        let mut lines = Vec::new();
        if self.considered == 0 {
            let similar = self.similar.as_ref();
            let similar = similar.map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
            lines.push(format!("`{}`{at}: no such package{similar}", self.text));
            return lines;
        }
        lines.push(format!(
            "`{}`{at}: none of {} fits; the nearest:",
            self.text, self.considered
        ));
        let nearest = self.nearest.iter().flat_map(|it| it.details(sources));
        lines.extend(nearest.map(|it| format!("  {it}")));
        lines
    }
}

impl Nearest {
    /// Why it does not fit, one line per reason, with places as file and line.
    #[must_use]
    pub fn details(&self, sources: &Sources) -> Vec<String> {
        let told = self.reasons.iter().take(MOST_REASONS);
        let mut lines: Vec<String> = told
            .map(|reason| format!("{} {}", self.title, reason.describe(sources)))
            .collect();
        let more = self.reasons.len().saturating_sub(MOST_REASONS);
        if more > 0 {
            lines.push(format!("{} has {more} more such reasons", self.title));
        }
        lines
    }
}
