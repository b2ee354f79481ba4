//! `Packages`: the index of an archive, one paragraph per binary package.
//!
//! Of some 65,000 paragraphs only the fields that decide what is installed are kept, as text;
//! relations are parsed when the solver comes to them.

use std::collections::HashMap;
use std::io::BufRead;

use super::control::{ControlError, Paragraph, Paragraphs};
use super::relation::{Operator, Relation, parse_relations};
use super::version::DebVersion;

/// More packages than this in one archive are an attack on our memory; the largest has about 70,000.
const MOST_PACKAGES: usize = 1_000_000;

/// One binary package that could be installed.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: DebVersion,
    /// `amd64`, `all`.
    pub(super) architecture: String,
    /// `Essential: yes`
    pub(super) is_essential: bool,
    /// `Priority: required`
    pub(super) is_required: bool,
    /// The suite that it is in.
    pub(super) suite: String,
    /// Below the archive's root.
    pub(super) filename: String,
    /// Bytes of the file.
    pub(super) size: u64,
    /// Checksum of the file in hexadecimal digits, as written.
    pub(super) sha256: String,
    /// `Pre-Depends` and `Depends`, joined.
    pub(super) depends: String,
    /// `Conflicts` and `Breaks`, joined.
    pub(super) conflicts: String,
    /// `Provides`
    pub(super) provides: String,
}

/// A candidate's place in a [`Universe`].
pub(super) type CandidateId = usize;

/// Everything that could be installed.
#[derive(Debug, Default)]
pub(super) struct Universe {
    all: Vec<Candidate>,
    by_name: HashMap<String, Vec<CandidateId>>,
    providers: HashMap<String, Vec<(CandidateId, Option<DebVersion>)>>,
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not control data.
    #[error("the package index cannot be read")]
    Control(#[from] ControlError),
    /// Larger than any archive.
    #[error("the package index has more than {MOST_PACKAGES} packages")]
    TooMany,
}

impl Universe {
    /// Adds the packages of one index that can be installed on `architecture`.
    ///
    /// A paragraph without a name, version, file name or checksum is passed over.
    ///
    /// # Errors
    /// When the index is not control data.
    pub(super) fn read_index(
        &mut self,
        index: impl BufRead,
        suite: &str,
        architecture: &str,
    ) -> Result<(), IndexError> {
        let mut reader = Paragraphs::new(index);
        let mut paragraph = Paragraph::default();
        while reader.next_into(&mut paragraph)? {
            if self.all.len() >= MOST_PACKAGES {
                return Err(IndexError::TooMany);
            }
            if let Some(candidate) = candidate(&paragraph, suite)
                && matches!(candidate.architecture.as_str(), "all" | "")
                    | (candidate.architecture == architecture)
            {
                self.all.push(candidate);
            }
        }
        Ok(())
    }

    /// Makes names findable; call once after all indices are read. Of the same version in several
    /// suites the one read first counts.
    #[must_use]
    pub(super) fn finish(mut self) -> Self {
        for (id, candidate) in self.all.iter().enumerate() {
            self.by_name
                .entry(candidate.name.clone())
                .or_default()
                .push(id);
        }
        let all = &self.all;
        for ids in self.by_name.values_mut() {
            ids.sort_by(|a, b| all[*b].version.compare(&all[*a].version).then(a.cmp(b)));
        }
        for (name, ids) in &self.by_name {
            // Only the newest version of a package provides anything: it is what gets installed.
            let id = ids[0];
            for relation in parse_relations(&all[id].provides).into_iter().flatten() {
                let version = match relation.version {
                    Some((Operator::Equal, version)) => Some(version),
                    _ => None,
                };
                if relation.name != *name {
                    self.providers
                        .entry(relation.name)
                        .or_default()
                        .push((id, version));
                }
            }
        }
        for providers in self.providers.values_mut() {
            // Required ones first, as they are there anyway; then by name, for a stable choice.
            providers.sort_by(|(a, _), (b, _)| {
                let key = |id: &CandidateId| (!all[*id].is_required, all[*id].name.clone());
                key(a).cmp(&key(b))
            });
        }
        self
    }

    /// The candidate.
    #[must_use]
    pub(super) fn get(&self, id: CandidateId) -> &Candidate {
        &self.all[id]
    }

    /// All candidates.
    pub(super) fn iter(&self) -> impl Iterator<Item = (CandidateId, &Candidate)> {
        self.all.iter().enumerate()
    }

    /// The versions of a package, newest first.
    #[must_use]
    pub(super) fn versions(&self, name: &str) -> &[CandidateId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The packages that provide a name, in order of preference, each with the version that it provides.
    #[must_use]
    pub(super) fn providers(&self, name: &str) -> &[(CandidateId, Option<DebVersion>)] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names that look like `name`, best first, at most three.
    #[must_use]
    pub(super) fn similar(&self, name: &str) -> Vec<String> {
        let mut found: Vec<(usize, &str)> = self
            .by_name
            .keys()
            .filter(|known| known.len().abs_diff(name.len()) <= 3)
            .map(|known| (distance(name, known), known.as_str()))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
            .collect();
        found.sort_unstable();
        found
            .into_iter()
            .take(3)
            .map(|(_, name)| name.to_owned())
            .collect()
    }

    /// Whether the candidate answers the relation, by name or by what it provides.
    #[must_use]
    pub(super) fn satisfies(&self, id: CandidateId, relation: &Relation) -> bool {
        let candidate = &self.all[id];
        (candidate.name == relation.name && relation.accepts(&candidate.version))
            || self
                .providers(&relation.name)
                .iter()
                .any(|(provider, version)| {
                    *provider == id && relation.accepts_provided(version.as_ref())
                })
    }
}

fn candidate(paragraph: &Paragraph, suite: &str) -> Option<Candidate> {
    let get = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
    let join = |a: &str, b: &str| match (paragraph.get(a), paragraph.get(b)) {
        (Some(a), Some(b)) => format!("{a}, {b}"),
        (a, b) => a.or(b).unwrap_or_default().to_owned(),
    };
    Some(Candidate {
        name: paragraph.get("Package")?.to_owned(),
        version: DebVersion::new(paragraph.get("Version")?),
        architecture: get("Architecture"),
        is_essential: paragraph.get("Essential") == Some("yes"),
        is_required: paragraph.get("Priority") == Some("required"),
        suite: suite.to_owned(),
        filename: paragraph.get("Filename")?.to_owned(),
        size: paragraph.get("Size")?.parse().ok()?,
        sha256: paragraph.get("SHA256")?.to_owned(),
        depends: join("Pre-Depends", "Depends"),
        conflicts: join("Conflicts", "Breaks"),
        provides: get("Provides"),
    })
}

/// Levenshtein distance, for names of some dozen characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
