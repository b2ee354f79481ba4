//! Looking into SIF files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use oci_format::ImageConfig;
use serde_json::Value;
use sif_format::sif::{SifError, SifReader};
use sif_format::singularity::{INSPECT_METADATA_NAME, OCI_CONFIG_NAME};

use super::{RECORD_NAME, SifRecord};

/// The longest JSON object that is taken into memory.
const LONGEST_JSON: u64 = 16 << 20;

/// A SIF file on this machine, open for reading.
pub type OpenSif = SifReader<BufReader<File>>;

/// Why a SIF file cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum SifOpenError {
    /// It cannot be opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is none, or a broken one.
    #[error("`{}` is not a SIF file that can be used", path.display())]
    Sif {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SifError,
    },
}

/// Opens a file.
///
/// # Errors
/// When it is not there, or no SIF file whose offsets and sizes can be true.
pub fn open(path: &Path) -> Result<OpenSif, SifOpenError> {
    let file = File::open(path).map_err(|source| SifOpenError::Open {
        path: path.to_owned(),
        source,
    })?;
    SifReader::open(BufReader::new(file)).map_err(|source| SifOpenError::Sif {
        path: path.to_owned(),
        source,
    })
}

/// A JSON object of the file, if it has one of that name that is JSON.
fn json(sif: &mut OpenSif, name: &str) -> Option<Value> {
    let id = sif.json_named(name)?.id;
    serde_json::from_slice(&sif.read_object(id, LONGEST_JSON).ok()?).ok()
}

/// What we said about the file when we made it.
#[must_use]
pub fn record(sif: &mut OpenSif) -> Option<SifRecord> {
    serde_json::from_value(json(sif, RECORD_NAME)?).ok()
}

/// The labels of the image that the file was made from.
#[must_use]
pub fn image_labels(sif: &mut OpenSif) -> Option<BTreeMap<String, String>> {
    let config = json(sif, OCI_CONFIG_NAME)?;
    serde_json::from_value(config.get("Labels")?.clone()).ok()
}

/// The image config that the file was made from, as far as SIF files keep it.
#[must_use]
pub fn image_config(sif: &mut OpenSif, architecture: &str) -> Option<ImageConfig> {
    let config = json(sif, OCI_CONFIG_NAME)?;
    let whole = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    serde_json::from_value(whole).ok()
}

/// What `apptainer inspect` shows: labels, scripts, environment.
#[must_use]
pub fn metadata(sif: &mut OpenSif) -> Option<Value> {
    json(sif, INSPECT_METADATA_NAME)
}
