//! Results by what they come from: the layers below, and all that the step says.
//!
//! A record of the local cache names the layer, a blob of the same cache. It is written last, so that a run that was killed
//! leaves nothing that could be taken for a result.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oci_format::Digest;
use serde::{Deserialize, Serialize};

use super::machine::Owners;
use super::{Place, Ran, SandboxError, Step};
use crate::local_cache::LocalCache;
use crate::source::LoadedLayer;

/// The kind of the records. Another number when results of old programs are not those of new ones any more.
const KIND: &str = "executed-1";

/// What is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    layer: Option<Digest>,
    handed_back: BTreeMap<String, Vec<u8>>,
}

/// What names the result of a step; nothing if it depends on more than is known.
pub(super) fn key(layers: &[LoadedLayer], step: &Step, owners: Owners) -> Option<String> {
    let Place::Image(folder) = &step.place else {
        return None;
    };
    let ids: Vec<String> = layers.iter().map(|it| it.diff_id.to_string()).collect();
    let script = step.script.as_ref().map(|it| (&it.path, &it.text));
    let mut text = String::new();
    // Debug quotes, so that no two things look the same.
    let _ = write!(
        text,
        "{ids:?} {folder:?} {:?} {script:?} {:?} {:o} {:?} {:?} {} {owners:?}",
        step.command, step.environment, step.umask, step.forgotten, step.handed_back, step.newest,
    );
    Some(Digest::of(text.as_bytes()).hex())
}

/// The result, if it is known and still there.
pub(super) fn recall(cache: &LocalCache, key: &str) -> Option<Ran> {
    let record = cache.record(KIND, key)?;
    let remembered: Remembered = serde_json::from_slice(&record).ok()?;
    let layer = match remembered.layer {
        None => None,
        Some(digest) => Some(LoadedLayer {
            diff_id: digest,
            digest: Some(digest),
            content: cache.blob(&digest)?,
        }),
    };
    Some(Ran {
        layer,
        handed_back: remembered.handed_back,
        is_remembered: true,
    })
}

/// Remembers a result.
pub(super) fn remember(cache: &LocalCache, key: &str, ran: &Ran) -> Result<(), SandboxError> {
    let remembered = Remembered {
        layer: ran.layer.as_ref().map(|layer| layer.diff_id),
        handed_back: ran.handed_back.clone(),
    };
    let record = serde_json::to_vec(&remembered).unwrap_or_default();
    Ok(cache.put_record(KIND, key, &record)?)
}
