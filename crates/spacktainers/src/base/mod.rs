//! The base image below the packages: from a registry, an image layout, a tar, or Debian packages.
//!
//! ```text
//! base = "…" ──► BaseSource ──► resolve ──► LockedBase (in container.lock) ──► materialise ──► Base
//! ```
//!
//! [`resolve`] decides once what the base is, down to digests; [`materialise`] gets those very bytes, on
//! any machine. A base's layers are described and, where they lie in a registry, not fetched before a
//! target lacks them; who needs to look into them asks [`layer_content`].

mod context;
pub mod debian;
mod gzip;
mod image;
pub mod images;
mod libc;
mod locked;
mod rootfs;
mod source;
#[cfg(test)]
mod tests;

use std::error::Error;

use oci_format::Platform;
use oci_format::config::ImageConfig;

use crate::content::Content;
use crate::image::{LayerContent, RecordedLayer};
use crate::libraries::{self, BaseRecord, BaseScanError};
use crate::registry::RegistryError;

pub use context::BaseContext;
pub use debian::DebianError;
pub use image::BaseImageError;
pub use libc::libc;
pub use locked::{LockedBase, LockedDebian, LockedImage, LockedLayer, LockedPackage, LockedRootfs};
pub use rootfs::RootfsError;
pub use source::{BaseArchitecture, BaseSource, BaseSourceError};

/// Where programs are when nobody says otherwise: Debian's own default for root.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A base image: what packages are put on.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its layers, lowest first; none for `scratch`.
    pub layers: Vec<RecordedLayer>,
    /// Its config: environment, user, command. None for `scratch`.
    pub config: Option<ImageConfig>,
    /// What people should know about it, one sentence each.
    pub warnings: Vec<String>,
    /// The layer that was made of locked packages, to be noted in the lock by
    /// [`LockedBase::with_layer`]; none for bases that consist of layers already.
    pub made: Option<LockedLayer>,
}

/// Why there is no base image.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// An image in a registry or layout.
    #[error(transparent)]
    Image(#[from] BaseImageError),
    /// A tar.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// Debian or Ubuntu packages.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// A layer that is only in a registry cannot be fetched to be looked into.
    #[error("a layer of the base image cannot be fetched")]
    Layer(#[from] RegistryError),
    /// A layer cannot be looked into.
    #[error(transparent)]
    Scan(#[from] BaseScanError),
}

impl BaseError {
    /// Whether the settings lack what is needed to find one.
    #[must_use]
    pub fn is_settings(&self) -> bool {
        matches!(
            self,
            Self::Debian(DebianError::NoSettings | DebianError::Plan(_) | DebianError::Solve(_))
        )
    }

    /// Whether something was not what its signature or digest says: the kind of error that no retry heals.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        use debian::{ArchiveError, FetchError};
        match self {
            Self::Image(BaseImageError::Digest { .. })
            | Self::Rootfs(RootfsError::Changed { .. }) => true,
            Self::Image(BaseImageError::Registry(error)) | Self::Layer(error) => {
                error.is_verification()
            }
            Self::Debian(DebianError::Archive(error)) => matches!(
                error,
                ArchiveError::Signature { .. }
                    | ArchiveError::Suite { .. }
                    | ArchiveError::Stale { .. }
                    | ArchiveError::Keyring(_)
                    | ArchiveError::Fetch(FetchError::Checksum { .. })
            ),
            Self::Debian(
                DebianError::Fetch(FetchError::Checksum { .. }) | DebianError::Different { .. },
            ) => true,
            _ => false,
        }
    }
}

/// Decides what the base is, down to digests. Asks registries and archives; moves no layer.
///
/// # Errors
/// When there is no such base, or none for the architecture.
pub async fn resolve(
    source: &BaseSource,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LockedBase, BaseError> {
    Ok(match source {
        BaseSource::Registry(reference) => {
            LockedBase::Registry(image::resolve_registry(reference, architecture, context).await?)
        }
        BaseSource::Layout {
            directory,
            reference,
        } => LockedBase::Layout(
            image::resolve_layout(directory, reference.as_deref(), architecture, context).await?,
        ),
        BaseSource::Rootfs(file) => LockedBase::Rootfs(rootfs::resolve(file, context).await?),
        BaseSource::Scratch => LockedBase::Scratch,
        BaseSource::Debian => LockedBase::Debian(debian::resolve(architecture, context).await?),
    })
}

/// The same, once for all that share a [`BaseContext`]: what follows from the decision in one run follows from the same one.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_once(
    source: &BaseSource,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LockedBase, BaseError> {
    let debian = context.debian.as_ref();
    let debian = debian.filter(|_| *source == BaseSource::Debian);
    let variant = context.variant.as_deref().unwrap_or_default();
    let question = format!("{architecture} {variant} {source} {debian:?}");
    if let Some(decided) = context.decided(&question) {
        return Ok(decided);
    }
    let decided = resolve(source, architecture, context).await?;
    context.remember(question, decided.clone());
    Ok(decided)
}

/// The base that was decided.
///
/// # Errors
/// When its bytes cannot be had, or are not those of the lock.
pub async fn materialise(locked: &LockedBase, context: &BaseContext) -> Result<Base, BaseError> {
    Ok(match locked {
        LockedBase::Registry(locked) => image::registry_base(locked, context).await?,
        LockedBase::Layout(locked) => image::layout_base(locked, context).await?,
        LockedBase::Rootfs(locked) => rootfs::base(locked, context).await?,
        LockedBase::Scratch => Base {
            layers: Vec::new(),
            config: None,
            warnings: Vec::new(),
            made: None,
        },
        LockedBase::Debian(locked) => {
            let (layer, made, warnings) = debian::make(locked, context).await?;
            let has = |name: &str| locked.packages.iter().any(|package| package.name == name);
            let mut config = default_config(Some(&locked.architecture), has("bash"));
            if has("libc-bin") {
                // The one locale that needs no generating, and the one that scripts expect.
                config.config.env.push("LANG=C.UTF-8".to_owned());
            }
            Base {
                layers: vec![layer],
                config: Some(config),
                warnings,
                made: Some(made),
            }
        }
    })
}

/// The bytes of a base's layer, fetched into the local cache if they are only in a registry.
///
/// # Errors
/// When they cannot be fetched.
pub async fn layer_content(
    layer: &RecordedLayer,
    context: &BaseContext,
) -> Result<Content, BaseError> {
    match &layer.content {
        LayerContent::Here(content) => Ok(content.clone()),
        LayerContent::Remote(origin) => {
            if context.offline && context.cache.blob(&layer.descriptor.digest).is_none() {
                return Err(BaseImageError::Offline(layer.title.clone()).into());
            }
            let repository = context.registries.origin(origin)?;
            Ok(repository
                .blob_to_cache(&layer.descriptor, &context.cache, |_| {})
                .await?)
        }
    }
}

/// The kind of record that what is known of a layer's libraries is remembered as; the number changes with [`BaseRecord`].
const LIBRARIES: &str = "base-libraries-2";

/// What each layer of a base has for the dynamic linker, lowest first. Found out once per layer.
///
/// # Errors
/// When a layer cannot be fetched or read.
pub async fn library_records(
    base: &Base,
    context: &BaseContext,
) -> Result<Vec<BaseRecord>, BaseError> {
    let mut records = Vec::new();
    for layer in &base.layers {
        let key = layer.diff_id.hex();
        let remembered = context.cache.record(LIBRARIES, &key);
        let record = match remembered.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(record) => record,
            None => {
                let content = layer_content(layer, context).await?;
                let record = blocking(move || libraries::scan_base(&content)).await?;
                if let Ok(bytes) = serde_json::to_vec(&record) {
                    // Not remembered is only slower.
                    let _ = context.cache.put_record(LIBRARIES, &key, &bytes);
                }
                record
            }
        };
        records.push(record);
    }
    Ok(records)
}

/// The config of a base that comes without one.
fn default_config(architecture: Option<&str>, has_bash: bool) -> ImageConfig {
    let platform = Platform {
        architecture: architecture.unwrap_or_default().to_owned(),
        os: "linux".to_owned(),
        variant: None,
    };
    let mut config = ImageConfig::new(&platform);
    config.config.env.push(DEFAULT_PATH.to_owned());
    config.config.cmd = Some(vec![if has_bash { "bash" } else { "sh" }.to_owned()]);
    config
}

/// Runs what takes the processor or the disk for long beside the asynchronous work.
pub(crate) async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // A panic goes on where it was waited for; nothing cancels these tasks.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// An error with its causes.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
