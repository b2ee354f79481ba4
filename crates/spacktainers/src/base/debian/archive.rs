//! An archive's suite, opened: its `InRelease` fetched and checked, its package indices read.

use std::io::BufReader;
use std::time::SystemTime;

use oci_format::layer::compression::Decoder;

use super::fetch::{FetchError, Fetcher};
use super::machine::{self, KeyringError};
use super::packages::{IndexError, Universe};
use super::plan::SuitePlan;
use super::release::{Release, ReleaseError, ReleaseFile};
use super::settings::{DebianSettings, ValidUntil};
use crate::base::context::BaseContext;
use crate::content::Content;
use crate::openpgp::{self, PublicKeys, Reservation, SignatureError};

/// The largest `InRelease`; those of the large archives have about 250 KiB.
const RELEASE_MAX: u64 = 16 << 20;
/// The largest package index, uncompressed; the largest known has about 60 MiB.
const INDEX_MAX: u64 = 1 << 30;
/// The kind of record that verified `InRelease` files are remembered as, for offline runs.
const RECORD: &str = "debian-inrelease";

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file of it cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There is no `InRelease` at this place.
    #[error(
        "`{url}` does not exist: is the mirror's address the part before `/dists`, and does it have this suite? (Debian keeps security updates in an archive of their own: `security_mirror`)"
    )]
    NoRelease {
        /// What was asked for.
        url: String,
    },
    /// Its `InRelease` is not text.
    #[error("`{0}` is not text")]
    NotText(String),
    /// It is not signed by whom it should be.
    #[error("`{url}` is not to be trusted")]
    Signature {
        /// What was checked.
        url: String,
        /// Why.
        source: SignatureError,
    },
    /// There are no keys to check with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Its `Release` cannot be read.
    #[error("`{url}` cannot be used")]
    Release {
        /// What was read.
        url: String,
        /// Why.
        source: ReleaseError,
    },
    /// It is the release of another suite.
    #[error("`{url}` is about `{found}`, not `{wanted}`: somebody mixed up suites")]
    Suite {
        /// What was read.
        url: String,
        /// The suite wanted.
        wanted: String,
        /// What it says it is.
        found: String,
    },
    /// It is no longer valid, and the settings are strict about it.
    #[error(
        "`{url}` was valid until {until}: the mirror is stale (`check_valid_until = \"warn\"` allows it)"
    )]
    Stale {
        /// What was read.
        url: String,
        /// When it ended.
        until: String,
    },
    /// It has no packages of a component for the architecture.
    #[error(
        "{suite} has no packages of component `{component}` for {architecture}; it has components {available}"
    )]
    NoIndex {
        /// The suite.
        suite: String,
        /// The component.
        component: String,
        /// The architecture.
        architecture: String,
        /// What it says it has.
        available: String,
    },
    /// An index cannot be read.
    #[error("the package index `{path}` of {suite} cannot be used")]
    Index {
        /// The suite.
        suite: String,
        /// Which index.
        path: String,
        /// Why.
        source: IndexError,
    },
    /// None of several places can be used.
    #[error("none of the sources of `{suite}` can be used: {}", reasons.join("; "))]
    NoPlace {
        /// The suite.
        suite: String,
        /// One reason for each.
        reasons: Vec<String>,
    },
}

/// A suite whose `Release` is known to be genuine.
pub(super) struct OpenSuite {
    pub(super) suite: String,
    root: String,
    pub(super) release: Release,
}

/// Opens a suite at the first of its places that has it, genuine.
pub(super) async fn open(
    plan: &SuitePlan,
    settings: &DebianSettings,
    fetcher: &Fetcher,
    context: &BaseContext,
) -> Result<OpenSuite, ArchiveError> {
    let mut errors = Vec::new();
    for place in &plan.places {
        let url = format!("{}/dists/{}/InRelease", place.root, plan.suite);
        let keys = match (&settings.keyring, &place.signed_by) {
            (Some(file), _) => machine::keyring(file)?,
            (None, Some(signed_by)) => {
                let mut keys = machine::source_keys(signed_by);
                if keys.is_empty() {
                    keys = machine::distribution_keys(&context.keyring_directory)?;
                }
                keys
            }
            (None, None) => machine::distribution_keys(&context.keyring_directory)?,
        };
        match read_release(&url, &keys, plan, settings, fetcher, context).await {
            Ok(release) => {
                return Ok(OpenSuite {
                    suite: plan.suite.clone(),
                    root: place.root.clone(),
                    release,
                });
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.len() > 1 {
        let reasons = errors
            .iter()
            .map(|error| crate::base::one_line(error))
            .collect();
        return Err(ArchiveError::NoPlace {
            suite: plan.suite.clone(),
            reasons,
        });
    }
    // A plan has at least one place, so there is one error here.
    Err(errors.pop().unwrap_or(ArchiveError::NoRelease {
        url: plan.suite.clone(),
    }))
}

async fn read_release(
    url: &str,
    keys: &PublicKeys,
    plan: &SuitePlan,
    settings: &DebianSettings,
    fetcher: &Fetcher,
    context: &BaseContext,
) -> Result<Release, ArchiveError> {
    let remembered = || {
        context
            .offline
            .then(|| context.cache.record(RECORD, url))
            .flatten()
    };
    let bytes = match remembered() {
        Some(bytes) => bytes,
        None => fetcher
            .small(url, RELEASE_MAX)
            .await
            .map_err(|error| match error {
                FetchError::Missing(url) => ArchiveError::NoRelease { url },
                other => ArchiveError::Fetch(other),
            })?,
    };
    let text = String::from_utf8(bytes).map_err(|_| ArchiveError::NotText(url.to_owned()))?;
    let verified =
        openpgp::verify(&text, keys, context.now).map_err(|source| ArchiveError::Signature {
            url: url.to_owned(),
            source,
        })?;
    if verified.reservations.contains(&Reservation::KeyExpired) {
        context.warn(format!("`{url}` is signed by a key that has expired since"));
    }
    let release =
        Release::parse(verified.text.as_bytes()).map_err(|source| ArchiveError::Release {
            url: url.to_owned(),
            source,
        })?;
    if release.suite != plan.suite
        && release.codename != plan.suite
        && !is_pocket(&release, &plan.suite)
    {
        return Err(ArchiveError::Suite {
            url: url.to_owned(),
            wanted: plan.suite.clone(),
            found: format!("{} ({})", release.codename, release.suite),
        });
    }
    if let Some(until) = release.valid_until.filter(|until| *until < context.now) {
        let until = http_date(until);
        match settings.check_valid_until {
            ValidUntil::Strict => return Err(ArchiveError::Stale { url: url.to_owned(), until }),
            ValidUntil::Warn => context.warn(format!(
                "`{url}` was valid until {until}: a frozen or stale mirror, whose packages may lack security updates"
            )),
        }
    }
    // Forgetting it costs nothing but an offline run.
    let _ = context.cache.put_record(RECORD, url, text.as_bytes());
    Ok(release)
}

/// Old security archives are `Codename: bookworm` with `Suite: stable-security`, or the like.
fn is_pocket(release: &Release, wanted: &str) -> bool {
    match (wanted.split_once('-'), release.suite.split_once('-')) {
        (Some((base, pocket)), Some((_, found))) => base == release.codename && pocket == found,
        _ => false,
    }
}

fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// An index to read.
pub(super) struct Index {
    suite: String,
    file: ReleaseFile,
    urls: Vec<String>,
}

impl OpenSuite {
    /// The indices of the components, for the architecture.
    pub(super) fn indices(
        &self,
        components: &[String],
        architecture: &str,
        is_main: bool,
    ) -> Result<Vec<Index>, ArchiveError> {
        let mut indices = Vec::new();
        for component in components {
            let Some(own) = self.release.packages_index(component, architecture) else {
                // A pocket may lack what the main suite has.
                if !is_main {
                    continue;
                }
                return Err(ArchiveError::NoIndex {
                    suite: self.suite.clone(),
                    component: component.clone(),
                    architecture: architecture.to_owned(),
                    available: self.release.components.join(", "),
                });
            };
            let all = self
                .release
                .separate_all
                .then(|| self.release.packages_index(component, "all"));
            for file in std::iter::once(own).chain(all.flatten()) {
                let folder = format!("{}/dists/{}", self.root, self.suite);
                let mut urls = vec![format!("{folder}/{}", file.path)];
                if self.release.by_hash {
                    urls.insert(0, format!("{folder}/{}", file.path_by_hash()));
                }
                indices.push(Index {
                    suite: self.suite.clone(),
                    file: file.clone(),
                    urls,
                });
            }
        }
        Ok(indices)
    }
}

/// Fetches all indices and reads them into one universe, in order.
pub(super) async fn read_indices(
    indices: Vec<Index>,
    architecture: &str,
    fetcher: &Fetcher,
    context: &BaseContext,
) -> Result<Universe, ArchiveError> {
    let wanted = indices
        .iter()
        .map(|index| (index.urls.clone(), index.file.sha256, index.file.size))
        .collect();
    let reporter = context.reporter.as_ref();
    let contents = super::fetch::blobs(
        fetcher,
        wanted,
        context.jobs.get(),
        reporter,
        "package indices",
    )
    .await?;
    let architecture = architecture.to_owned();
    let read = move || {
        let mut universe = Universe::default();
        for (index, content) in indices.iter().zip(&contents) {
            read_index(&mut universe, index, content, &architecture).map_err(|source| {
                ArchiveError::Index {
                    suite: index.suite.clone(),
                    path: index.file.path.clone(),
                    source,
                }
            })?;
        }
        Ok(universe.finish())
    };
    crate::base::blocking(read).await
}

fn read_index(
    universe: &mut Universe,
    index: &Index,
    content: &Content,
    architecture: &str,
) -> Result<(), IndexError> {
    let source = content
        .open(0)
        .map_err(super::control::ControlError::Read)?;
    let decoder = Decoder::new(source, INDEX_MAX).map_err(super::control::ControlError::Read)?;
    universe.read_index(
        BufReader::with_capacity(1 << 18, decoder),
        &index.suite,
        architecture,
    )
}
