//! `inspect-metadata.json`: what `apptainer inspect` answers from.
//!
//! Without it `inspect` starts the container and reads the files through its shell, which fails where there is none.
//!
//! Source: `apptainer/apptainer`, `pkg/inspect/metadata.go` and `cmd/internal/cli/inspect.go`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::labels::Labels;
use super::root::Overlay;
use super::{EntryKind, ExistingRoot, SingularityError};

/// Name of the JSON object.
pub const INSPECT_METADATA_NAME: &str = "inspect-metadata.json";

/// Members in the order that Apptainer writes them; empty ones are left out.
#[derive(Serialize)]
struct Metadata {
    data: Data,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Data {
    attributes: Attributes,
}

#[derive(Serialize)]
struct Attributes {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    apps: BTreeMap<String, AppAttributes>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: Labels,
    #[serde(skip_serializing_if = "String::is_empty")]
    runscript: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    test: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    helpfile: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    deffile: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    startscript: String,
}

#[derive(Serialize)]
struct AppAttributes {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: Labels,
    #[serde(skip_serializing_if = "String::is_empty")]
    runscript: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    startscript: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    test: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    helpfile: String,
}

/// The object for a root file system that is complete: compact JSON.
///
/// # Errors
/// When a file below `.singularity.d` or `scif/apps` cannot be read.
pub fn inspect_metadata(root: &dyn ExistingRoot) -> Result<String, SingularityError> {
    of_overlay(&Overlay::over(root))
}

pub(crate) fn of_overlay(root: &Overlay<'_>) -> Result<String, SingularityError> {
    const PLACE: &str = ".singularity.d";
    let attributes = Attributes {
        apps: apps(root)?,
        environment: environment(root, PLACE)?,
        labels: labels(root, PLACE)?,
        runscript: text(root, PLACE, "runscript")?,
        test: text(root, PLACE, "test")?,
        helpfile: text(root, PLACE, "runscript.help")?,
        deffile: text(root, PLACE, "Singularity")?,
        startscript: text(root, PLACE, "startscript")?,
    };
    let metadata = Metadata {
        data: Data { attributes },
        kind: "container",
    };
    // Maps with text as keys: this cannot fail.
    Ok(serde_json::to_string(&metadata).unwrap_or_default())
}

fn apps(root: &Overlay<'_>) -> Result<BTreeMap<String, AppAttributes>, SingularityError> {
    let mut apps = BTreeMap::new();
    for name in root.names("scif/apps")? {
        let place = format!("scif/apps/{name}/scif");
        if root.kind(&place) == Some(EntryKind::Directory) {
            let attributes = AppAttributes {
                environment: environment(root, &place)?,
                labels: labels(root, &place)?,
                runscript: text(root, &place, "runscript")?,
                startscript: text(root, &place, "startscript")?,
                test: text(root, &place, "test")?,
                helpfile: text(root, &place, "runscript.help")?,
            };
            apps.insert(name, attributes);
        }
    }
    Ok(apps)
}

/// The environment files, by their path: `env/10-docker*.sh` of the container, and `env/9*-environment.sh`.
fn environment(
    root: &Overlay<'_>,
    place: &str,
) -> Result<BTreeMap<String, String>, SingularityError> {
    let mut found = BTreeMap::new();
    for name in root.names(&format!("{place}/env"))? {
        let of_image =
            place == ".singularity.d" && name.starts_with("10-docker") && name.ends_with(".sh");
        if of_image || (name.starts_with('9') && name.ends_with("-environment.sh")) {
            found.insert(
                format!("/{place}/env/{name}"),
                text(root, place, &format!("env/{name}"))?,
            );
        }
    }
    Ok(found)
}

fn labels(root: &Overlay<'_>, place: &str) -> Result<Labels, SingularityError> {
    match root.text(&format!("{place}/labels.json"))? {
        Some(json) => read_labels(&json),
        None => Ok(Labels::new()),
    }
}

/// The labels in a `labels.json`. Apptainer writes `null` for an image without labels.
pub(crate) fn read_labels(json: &str) -> Result<Labels, SingularityError> {
    let labels: Option<Labels> = serde_json::from_str(json).map_err(SingularityError::Labels)?;
    Ok(labels.unwrap_or_default())
}

/// A file's text without line breaks at its end; empty when there is no file.
fn text(root: &Overlay<'_>, place: &str, name: &str) -> Result<String, SingularityError> {
    let text = root.text(&format!("{place}/{name}"))?.unwrap_or_default();
    Ok(text.trim_end_matches('\n').to_owned())
}
