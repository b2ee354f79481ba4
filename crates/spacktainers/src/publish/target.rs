//! Where an image goes, as people type it.
//!
//! ```text
//! docker://host/repository:tag
//! oci:DIRECTORY[:name]
//! oci-archive:FILE[:name]
//! docker-archive:FILE[:repository:tag]
//! sif:FILE
//! squashfs:FILE
//! s3://bucket/key.sif
//! oras://host/repository:tag
//! ```
//!
//! Paths end at the first colon, as skopeo and podman have it.
//!
//! Source: containers-transports(5).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use oci_format::{Reference, ReferenceError};

use crate::bucket::ObjectName;

/// A place to publish to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A tag in a registry.
    Registry(Reference),
    /// An image layout; other names in it are kept.
    OciLayout {
        /// The directory.
        directory: PathBuf,
        /// The name within it.
        reference: Option<String>,
    },
    /// An image layout in a tar; the file is replaced.
    OciArchive {
        /// The file.
        file: PathBuf,
        /// The name within it.
        reference: Option<String>,
    },
    /// What `docker save` makes, and an image layout in the same tar; the file is replaced.
    DockerArchive {
        /// The file.
        file: PathBuf,
        /// The name that `docker load` gives it.
        reference: Option<Reference>,
    },
    /// A SIF file, for Apptainer and Singularity; the file is replaced.
    Sif(PathBuf),
    /// The bare file system, for uenv and whoever mounts squashfs; the file is replaced.
    Squashfs(PathBuf),
    /// A SIF file in a bucket.
    Object(ObjectName),
    /// A SIF file in a registry, as Apptainer's `oras://` has it.
    Oras(Reference),
}

impl Target {
    /// Whether a SIF file, or the file system in it, goes there: only that can be made from a definition file.
    #[must_use]
    pub fn takes_sif(&self) -> bool {
        matches!(
            self,
            Self::Sif(_) | Self::Squashfs(_) | Self::Object(_) | Self::Oras(_)
        )
    }
}

/// Why a text is not a target, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a target: {fault}, at character {}", self.column())]
pub struct TargetError {
    /// What was read.
    pub text: String,
    /// Bytes before the fault; at most the length of `text`.
    pub at: usize,
    /// What is wrong there.
    pub fault: TargetFault,
}

/// What is wrong in a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// `debian:12`, `./dir`: nothing says how to get there.
    #[error("a transport must come first; did you mean `{0}`?")]
    MissingTransport(String),
    /// `dokcer://…`
    #[error(
        "there is no transport `{0}`; use docker://, oci:, oci-archive:, docker-archive:, sif:, squashfs:, s3:// or oras://"
    )]
    UnknownTransport(String),
    /// `docker:host/name`
    #[error("`//` must follow `{0}:`")]
    MissingSlashes(&'static str),
    /// `s3://bucket`
    #[error("a key is missing after the bucket: `s3://bucket/name.sif`")]
    MissingKey,
    /// `s3:///key`
    #[error("the bucket is missing: `s3://bucket/name.sif`")]
    MissingBucket,
    /// `s3://bucket/a//b`
    #[error("parts of a key are neither empty nor `.` nor `..`")]
    Key,
    /// `oci:`
    #[error("a path is missing")]
    MissingPath,
    /// `oci:dir:`
    #[error("a name is missing after `:`")]
    MissingName,
    /// A character that has no place in a name within a layout.
    #[error("`{0}` cannot stand in the name of an image in a layout")]
    Name(char),
    /// The image's digest is known when it is made, not before.
    #[error("a target is named by a tag, not by a digest")]
    Digest,
    /// What follows is no image reference.
    #[error("{0}")]
    Reference(oci_format::reference::ReferenceFault),
}

impl TargetError {
    /// The place of the fault, in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        let before = self.text.get(..self.at);
        before.map_or(1, |before| before.chars().count() + 1)
    }
}

/// A fault and the bytes before it.
type Fault = (usize, TargetFault);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        parse(text).map_err(|(at, fault)| TargetError {
            text: text.to_owned(),
            at,
            fault,
        })
    }
}

fn parse(text: &str) -> Result<Target, Fault> {
    if let Some(rest) = text.strip_prefix("docker://") {
        let at = text.len() - rest.len();
        return reference(rest, at).map(Target::Registry);
    }
    if let Some(rest) = text.strip_prefix("oras://") {
        let at = text.len() - rest.len();
        return reference(rest, at).map(Target::Oras);
    }
    if let Some(rest) = text.strip_prefix("s3://") {
        let at = text.len() - rest.len();
        return object(rest, at).map(Target::Object);
    }
    let Some((transport, rest)) = text.split_once(':') else {
        return Err((0, TargetFault::MissingTransport(guess(text))));
    };
    let at = transport.len() + 1;
    match transport {
        "docker" => Err((at, TargetFault::MissingSlashes("docker"))),
        "oras" => Err((at, TargetFault::MissingSlashes("oras"))),
        "s3" => Err((at, TargetFault::MissingSlashes("s3"))),
        "oci" => {
            let (directory, name) = path_and_name(rest, at)?;
            Ok(Target::OciLayout {
                directory,
                reference: name.map(|(name, at)| layout_name(name, at)).transpose()?,
            })
        }
        "oci-archive" => {
            let (file, name) = path_and_name(rest, at)?;
            Ok(Target::OciArchive {
                file,
                reference: name.map(|(name, at)| layout_name(name, at)).transpose()?,
            })
        }
        "docker-archive" => {
            let (file, name) = path_and_name(rest, at)?;
            Ok(Target::DockerArchive {
                file,
                reference: name.map(|(name, at)| reference(name, at)).transpose()?,
            })
        }
        "sif" | "squashfs" if rest.is_empty() => Err((at, TargetFault::MissingPath)),
        "sif" => Ok(Target::Sif(rest.into())),
        "squashfs" => Ok(Target::Squashfs(rest.into())),
        // `host:5000/name` and `name:tag` have a colon and no transport.
        other
            if other.contains(['.', '/'])
                || !rest.starts_with("//") && text.parse::<Reference>().is_ok() =>
        {
            Err((0, TargetFault::MissingTransport(guess(text))))
        }
        other => Err((0, TargetFault::UnknownTransport(other.to_owned()))),
    }
}

/// What somebody may have meant who named no transport.
fn guess(text: &str) -> String {
    let is_path = text.starts_with(['.', '/', '~']);
    if !is_path && text.contains('/') && text.parse::<Reference>().is_ok() {
        format!("docker://{text}")
    } else {
        format!("oci:{text}")
    }
}

fn reference(text: &str, at: usize) -> Result<Reference, Fault> {
    let parsed = text.parse::<Reference>();
    let reference = parsed
        .map_err(|error: ReferenceError| (at + error.at, TargetFault::Reference(error.fault)))?;
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err((at + text.find('@').unwrap_or(0), TargetFault::Digest)),
    }
}

/// `bucket/key`.
fn object(text: &str, at: usize) -> Result<ObjectName, Fault> {
    let (bucket, key) = text
        .split_once('/')
        .filter(|(_, key)| !key.is_empty())
        .ok_or((at + text.len(), TargetFault::MissingKey))?;
    if bucket.is_empty() {
        return Err((at, TargetFault::MissingBucket));
    }
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if !key.split('/').all(is_plain) {
        return Err((at + bucket.len() + 1, TargetFault::Key));
    }
    Ok(ObjectName {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

/// A name and the bytes before it, where there is one.
type Name<'a> = Option<(&'a str, usize)>;

/// A path, and what follows its colon.
fn path_and_name(rest: &str, at: usize) -> Result<(PathBuf, Name<'_>), Fault> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some((name, at + path.len() + 1))),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err((at, TargetFault::MissingPath));
    }
    match name {
        Some(("", at)) => Err((at, TargetFault::MissingName)),
        name => Ok((path.into(), name)),
    }
}

/// The characters of the image specification's `org.opencontainers.image.ref.name`.
fn layout_name(name: &str, at: usize) -> Result<String, Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:@/+".contains(c);
    match name.char_indices().find(|(_, c)| !fits(*c)) {
        Some((offset, character)) => Err((at + offset, TargetFault::Name(character))),
        None => Ok(name.to_owned()),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, name) = match self {
            Self::Registry(reference) => return write!(f, "docker://{reference}"),
            Self::Oras(reference) => return write!(f, "oras://{reference}"),
            Self::Object(object) => return object.fmt(f),
            Self::Sif(file) => ("sif", file, None),
            Self::Squashfs(file) => ("squashfs", file, None),
            Self::OciLayout {
                directory,
                reference,
            } => ("oci", directory, reference.clone()),
            Self::OciArchive { file, reference } => ("oci-archive", file, reference.clone()),
            Self::DockerArchive { file, reference } => (
                "docker-archive",
                file,
                reference.as_ref().map(Reference::to_string),
            ),
        };
        write!(f, "{transport}:{}", path.display())?;
        match name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Target>()
            .map_or_else(|error| error.to_string(), |target| target.to_string())
    }

    #[test]
    fn the_transports_are_read_as_skopeo_reads_them() {
        for text in [
            "docker://127.0.0.1:5000/a/b:c",
            "oci:dir",
            "oci:/a/dir:v1",
            "oci:dir:ghcr.io/a/b:v1",
            "oci-archive:image.tar",
            "oci-archive:image.tar:v1",
            "docker-archive:image.tar",
            "docker-archive:image.tar:ghcr.io/a/b:v1",
            "sif:image.sif",
            "squashfs:/a/image.squashfs",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(
            shown("docker://debian"),
            "docker://docker.io/library/debian"
        );
        assert_eq!(
            shown("docker-archive:a.tar:b:c"),
            "docker-archive:a.tar:docker.io/library/b:c"
        );
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let digest = format!("docker://h.io/a@sha256:{}", "0".repeat(64));
        let faults = [
            (
                "",
                "a transport must come first; did you mean `oci:`?, at character 1",
            ),
            (
                "ghcr.io/a/b:c",
                "a transport must come first; did you mean `docker://ghcr.io/a/b:c`?, at character 1",
            ),
            (
                "./dir",
                "a transport must come first; did you mean `oci:./dir`?, at character 1",
            ),
            (
                "docker:h.io/a",
                "`//` must follow `docker:`, at character 8",
            ),
            (
                "dokcer://h.io/a",
                "there is no transport `dokcer`; use docker://, oci:, oci-archive:, docker-archive:, sif:, squashfs:, s3:// or oras://, at character 1",
            ),
            (
                "docker://h.io/A",
                "repository names are lower case, at character 15",
            ),
            ("oci:", "a path is missing, at character 5"),
            ("sif:", "a path is missing, at character 5"),
            ("oci::v1", "a path is missing, at character 5"),
            ("oci:dir:", "a name is missing after `:`, at character 9"),
            (
                "oci:dir:a b",
                "` ` cannot stand in the name of an image in a layout, at character 10",
            ),
            (
                "docker-archive:a.tar:B",
                "repository names are lower case, at character 22",
            ),
            (
                digest.as_str(),
                "a target is named by a tag, not by a digest, at character 16",
            ),
        ];
        for (text, expected) in faults {
            assert_eq!(shown(text), format!("`{text}` is not a target: {expected}"));
        }
    }

    #[test]
    fn objects_have_a_bucket_and_a_plain_key() {
        for text in [
            "s3://bucket/a.sif",
            "s3://b/deep/er/a__1.0.sif",
            "oras://h.io/a:b",
        ] {
            assert_eq!(text.parse::<Target>().expect("parses").to_string(), text);
        }
        let faults = [
            (
                "s3://bucket",
                "a key is missing after the bucket: `s3://bucket/name.sif`, at character 12",
            ),
            (
                "s3://bucket/",
                "a key is missing after the bucket: `s3://bucket/name.sif`, at character 13",
            ),
            (
                "s3:///key",
                "the bucket is missing: `s3://bucket/name.sif`, at character 6",
            ),
            (
                "s3://bucket/a//b",
                "parts of a key are neither empty nor `.` nor `..`, at character 13",
            ),
            ("s3:bucket", "`//` must follow `s3:`, at character 4"),
            ("oras:a/b", "`//` must follow `oras:`, at character 6"),
        ];
        for (text, expected) in faults {
            assert_eq!(shown(text), format!("`{text}` is not a target: {expected}"));
        }
    }
}
