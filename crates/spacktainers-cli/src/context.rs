//! The settings of one run: arguments with every default applied, and what the environment says.
//!
//! This is the only place that reads environment variables for the product; the rest is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use spacktainers::assemble::SourceDateEpoch;
use spacktainers::local_cache::LocalCache;

use crate::args::GlobalArgs;
use crate::exit::Exit;
use crate::printer::{self, Tally, Verbosity};

/// What every command works with.
pub(crate) struct Context {
    pub(crate) project: PathBuf,
    pub(crate) arch: Option<String>,
    pub(crate) json: bool,
    pub(crate) verbosity: Verbosity,
    pub(crate) offline: bool,
    pub(crate) jobs: NonZeroUsize,
    pub(crate) cache: PathBuf,
    pub(crate) created: SourceDateEpoch,
    pub(crate) reporter: Arc<Tally>,
}

/// A fault with the exit code it ends in and what can be done about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    /// The same, saying which container it is about.
    pub(crate) fn about(mut self, container: &str) -> Self {
        self.error = self.error.context(format!("{container} was not built"));
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Context {
    /// Applies every default.
    ///
    /// # Errors
    /// When `SOURCE_DATE_EPOCH` is no number, or there is no place for a local cache.
    pub(crate) fn new(args: &GlobalArgs) -> Result<Self, Failure> {
        let verbosity = match (args.quiet, args.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        Ok(Self {
            project: args.project.clone(),
            arch: args.arch.clone(),
            json: args.json,
            verbosity,
            offline: args.offline,
            jobs: args
                .jobs
                .or_else(|| std::thread::available_parallelism().ok())
                .unwrap_or(NonZeroUsize::MIN),
            cache: cache_dir(args)?,
            created: source_date_epoch()?,
            reporter: Arc::new(Tally::new(printer::reporter(args.json, verbosity))),
        })
    }

    /// Opens the local cache.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub(crate) fn local_cache(&self) -> Result<LocalCache, Failure> {
        LocalCache::open(&self.cache).map_err(|error| {
            Failure::new(Exit::Fault, error)
                .hint("choose another place with --cache DIR or the variable SPACKTAINERS_CACHE")
        })
    }
}

fn cache_dir(args: &GlobalArgs) -> Result<PathBuf, Failure> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    args.cache
        .clone()
        .or_else(|| variable("SPACKTAINERS_CACHE"))
        .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("spacktainers")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/spacktainers")))
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                anyhow::anyhow!("there is no place for a local cache: HOME is not set"),
            )
            .hint("say --cache DIR")
        })
}

fn source_date_epoch() -> Result<SourceDateEpoch, Failure> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else {
        return Ok(SourceDateEpoch::default());
    };
    text.trim().parse().map(SourceDateEpoch).map_err(|_| {
        Failure::new(
            Exit::Usage,
            anyhow::anyhow!("SOURCE_DATE_EPOCH is `{text}`, which is not a number of seconds"),
        )
    })
}
