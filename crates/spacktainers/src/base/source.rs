//! What the settings say about the base image: `base = "…"`.

use std::fmt;
use std::path::PathBuf;

/// Where a base image comes from, as written in `[arch.<arch>] base = "…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSource {
    /// `docker://host/repository:tag`: an image in a registry. The reference is kept as written,
    /// without the transport.
    Registry(String),
    /// `oci:DIR[:ref]`: an image in an OCI layout. Without `ref` the layout must hold one image for
    /// the architecture.
    Layout {
        /// The layout's directory.
        directory: PathBuf,
        /// Its `org.opencontainers.image.ref.name`.
        reference: Option<String>,
    },
    /// `rootfs:FILE.tar`: a tar of a root file system, plain or compressed with gzip, xz or zstd.
    Rootfs(PathBuf),
    /// `scratch`: nothing at all.
    Scratch,
    /// `debian`: Debian or Ubuntu packages, described by `[base.debian]`.
    Debian,
}

/// Why a text names no base image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseSourceError {
    /// None of the known forms.
    #[error(
        "`{0}` is not a base image: use `docker://…`, `oci:DIR[:ref]`, `rootfs:FILE.tar`, `scratch` or `debian`"
    )]
    Unknown(String),
    /// The transport without what follows it.
    #[error("`{0}` names a transport and nothing after it")]
    Empty(String),
}

impl BaseSource {
    /// Reads the text of a setting. Relative paths stay relative: they are the project folder's.
    ///
    /// # Errors
    /// When it is none of the known forms.
    pub fn parse(text: &str) -> Result<Self, BaseSourceError> {
        let needs = |rest: &str| match rest {
            "" => Err(BaseSourceError::Empty(text.to_owned())),
            _ => Ok(()),
        };
        if let Some(reference) = text.strip_prefix("docker://") {
            needs(reference)?;
            return Ok(Self::Registry(reference.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            needs(rest)?;
            // As skopeo reads it: the directory ends at the first colon.
            let (directory, reference) = match rest.split_once(':') {
                Some((directory, reference)) => (directory, Some(reference)),
                None => (rest, None),
            };
            needs(directory)?;
            return Ok(Self::Layout {
                directory: directory.into(),
                reference: reference.filter(|text| !text.is_empty()).map(str::to_owned),
            });
        }
        if let Some(file) = text.strip_prefix("rootfs:") {
            needs(file)?;
            return Ok(Self::Rootfs(file.into()));
        }
        match text {
            "scratch" => Ok(Self::Scratch),
            "debian" => Ok(Self::Debian),
            _ => Err(BaseSourceError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for BaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::Layout {
                directory,
                reference: None,
            } => write!(f, "oci:{}", directory.display()),
            Self::Layout {
                directory,
                reference: Some(reference),
            } => write!(f, "oci:{}:{reference}", directory.display()),
            Self::Rootfs(file) => write!(f, "rootfs:{}", file.display()),
            Self::Scratch => f.write_str("scratch"),
            Self::Debian => f.write_str("debian"),
        }
    }
}

/// The architecture of an image in Go's words, which are Debian's words too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaseArchitecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl BaseArchitecture {
    /// `amd64` or `arm64`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The family of processors as Spack calls it.
    #[must_use]
    pub fn processor_family(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// From `amd64` or `arm64`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "amd64" => Some(Self::Amd64),
            "arm64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl fmt::Display for BaseArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "docker://docker.io/library/debian:bookworm-slim",
            "oci:layouts/base",
            "oci:layouts/base:v1",
            "rootfs:root.tar.xz",
            "scratch",
            "debian",
        ] {
            let source = BaseSource::parse(text).expect("a known form");
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_forms() {
        for text in [
            "",
            "ubuntu",
            "docker:x",
            "docker://",
            "oci:",
            "oci::v1",
            "rootfs:",
        ] {
            assert!(BaseSource::parse(text).is_err(), "{text}");
        }
        let message = BaseSource::parse("ubuntu")
            .expect_err("unknown")
            .to_string();
        assert!(message.contains("docker://"), "{message}");
    }
}
