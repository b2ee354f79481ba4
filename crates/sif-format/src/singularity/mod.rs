//! What lies under `/.singularity.d` of a container, and the JSON objects beside it in a SIF file.
//!
//! ```text
//! Source (OCI config | image | bare root) ─┐
//! DefinitionParts (scripts, labels, apps) ─┼─► assemble ─► Assembled { entries, objects, notices }
//! BuildFacts (time, architecture, …)      ─┤                  │          └─ definition file, inspect-metadata.json, oci-config.json
//! ExistingRoot (what the image holds)     ─┘                  └─ files, directories and links to put over the image
//! ```
//!
//! | file | job |
//! |---|---|
//! | [`oci_config`] | the OCI config: environment and runscript made from it |
//! | [`definition`] | the scripts, labels and apps of a definition file |
//! | [`existing`] | what the image holds already |
//! | [`labels`] | labels, merged as Apptainer merges them |
//! | [`mount_points`] | the files and directories that the runtime mounts onto |
//! | [`apps`] | SCIF apps below `/scif` |
//!
//! `exec`, `run`, `shell`, `test`, `instance start`, `run-help`, `inspect` and `--app` then do what they do with an image that
//! Apptainer has built. Where Apptainer 1.4.5 is known to be wrong (values that are escaped twice, paths of apps whose names
//! hold a dash), what was meant is written.
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/sources/{base_environment,conveyorPacker_oci}.go`,
//! `internal/pkg/build/metadata.go`, `internal/pkg/build/apps/apps.go` and, for what the runtime makes of it,
//! `internal/pkg/util/fs/files/action_script.sh`.

pub mod apps;
mod assemble;
mod base_files;
mod build_time;
pub mod definition;
pub mod existing;
mod inspect;
pub mod labels;
pub mod mount_points;
pub mod oci_config;
mod root;
mod shell;

pub use assemble::{
    Assembled, BuildFacts, MetadataObject, Notice, Source, assemble, before_scripts,
    definition_of_pull,
};
pub use definition::{AppParts, DefinitionParts, Script};
pub use existing::{EmptyRoot, EntryKind, ExistingRoot};
pub use inspect::{INSPECT_METADATA_NAME, inspect_metadata};
pub use oci_config::{OCI_CONFIG_NAME, OciConfig};
pub use root::{EntryContent, RootEntry};

/// Why the metadata of a container cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SingularityError {
    /// A file of the image could not be read.
    #[error("cannot read `/{path}` of the image: {source}")]
    Read {
        /// The file, from the root and without a slash in front.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The image's labels are not an object of strings.
    #[error("`/.singularity.d/labels.json` of the image is not an object of strings: {0}")]
    Labels(serde_json::Error),
    /// A name that cannot be a directory and a word of a shell script.
    #[error("`{0}` cannot be the name of an app: use letters, digits and `_`, `-`, `.`, `+`")]
    AppName(String),
    /// A member of the OCI config has another type than the specification says.
    #[error("the image config is not usable: {0}")]
    OciConfig(serde_json::Error),
}
