//! Every place of an image and of a project that a secret could stand in.

use std::io;
use std::path::PathBuf;

use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarReader;

use super::{Search, Sighting, Values};
use crate::content::Content;
use crate::local_cache::LocalCache;
use oci_format::Digest;

/// The kind of record of layers without secrets.
const CLEAN: &str = "no-secrets-1";

/// Bytes that a layer may have.
const LAYER_LIMIT: u64 = 1 << 40;

/// How a layer is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Written by this project: values and shapes count.
    Ours,
    /// Software of others: values count.
    Others,
}

/// What is scanned.
pub struct ScanInput<'a> {
    /// Texts by name: definitions, the config, the manifest.
    pub texts: &'a [(String, Vec<u8>)],
    /// Layers: name for people, digest of the blob, its bytes.
    pub layers: &'a [(String, Digest, Content, Scope)],
    /// Paths (of texts, or in layers) that are known to be harmless: patterns as in `.gitignore`, `*` within a name.
    pub allowed: &'a [glob::Pattern],
    /// Secrets in use.
    pub values: &'a Values,
    /// Where layers without secrets are remembered.
    pub cache: &'a LocalCache,
}

/// A secret where it must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What: never the secret itself.
    pub what: String,
    /// In which text or layer.
    pub place: String,
    /// In which file of the layer.
    pub path: Option<String>,
    /// Bytes before it, in the text or file.
    pub offset: u64,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            Some(path) => write!(
                f,
                "{} in `{path}` (layer {}), byte {}",
                self.what, self.place, self.offset
            ),
            None => write!(f, "{} in {}, byte {}", self.what, self.place, self.offset),
        }
    }
}

/// Why a scan could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A layer cannot be read.
    #[error("the layer {layer} cannot be searched for secrets: {source}")]
    Layer {
        /// Which.
        layer: String,
        /// Why.
        source: io::Error,
    },
    /// Secrets were found.
    #[error("{}", told(.0))]
    Secrets(Vec<Found>),
    /// A file of the project cannot be read.
    #[error("`{}` cannot be searched for secrets: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn told(found: &[Found]) -> String {
    let lines: Vec<String> = found.iter().map(|it| format!("  {it}")).collect();
    format!("secrets would be published:\n{}", lines.join("\n"))
}

/// Looks through everything. Layers without secrets are remembered, so that each is read once for the same values.
///
/// # Errors
/// When there is a secret, or something cannot be read.
pub fn scan_image(input: &ScanInput<'_>) -> Result<(), ScanError> {
    let (ours, others) = (
        Search::new(input.values, true),
        Search::new(input.values, false),
    );
    let is_allowed = |path: &str| input.allowed.iter().any(|it| it.matches(path));
    let mut found = Vec::new();
    for (name, text) in input.texts {
        if !is_allowed(name) {
            let seen = ours.in_bytes(text).into_iter();
            found.extend(seen.map(|it| Found {
                what: it.what,
                place: name.clone(),
                path: None,
                offset: it.offset,
            }));
        }
    }
    let fingerprint = input.values.fingerprint();
    for (name, digest, content, scope) in input.layers {
        let search = match scope {
            Scope::Ours => &ours,
            Scope::Others => &others,
        };
        if search.is_empty() {
            continue;
        }
        let key = Digest::of(format!("{digest} {scope:?} {fingerprint}").as_bytes()).hex();
        if input.cache.record(CLEAN, &key).is_some() {
            continue;
        }
        let failed = |source| ScanError::Layer {
            layer: name.clone(),
            source,
        };
        let seen = layer(content, search, &is_allowed).map_err(failed)?;
        if seen.is_empty() {
            // Not remembered is only slower.
            let _ = input.cache.put_record(CLEAN, &key, b"1");
        }
        found.extend(seen.into_iter().map(|(path, it)| Found {
            what: it.what,
            place: name.clone(),
            path: Some(path),
            offset: it.offset,
        }));
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(ScanError::Secrets(found)),
    }
}

/// Secrets in the files of a layer, with their paths; in their names and the targets of links too.
fn layer(
    content: &Content,
    search: &Search,
    is_allowed: &dyn Fn(&str) -> bool,
) -> io::Result<Vec<(String, Sighting)>> {
    let mut tar = TarReader::new(Decoder::new(content.open(0)?, LAYER_LIMIT)?);
    let mut found = Vec::new();
    while let Some(member) = tar.next_member().map_err(io::Error::other)? {
        let path = String::from_utf8_lossy(&member.entry.path).into_owned();
        if is_allowed(&path) {
            continue;
        }
        let seen = search.in_bytes(path.as_bytes()).into_iter();
        found.extend(seen.map(|it| (path.clone(), it)));
        let seen = search.in_stream(member)?.into_iter();
        found.extend(seen.map(|it| (path.clone(), it)));
    }
    Ok(found)
}
