//! Where a stage begins: the bootstrap agent and what it is given.
//!
//! ```text
//! docker, oras                     From: [HOST[:PORT]/]NAME[:TAG][@DIGEST]
//! docker-archive                   From: FILE[:NAME:TAG | :@INDEX]
//! oci, oci-archive                 From: PATH[:REF | :@INDEX]
//! localimage                       From: PATH           a SIF file, a squashfs, or a folder
//! scratch                          nothing
//! debootstrap                      OSVersion: MirrorURL: Include:
//! ```
//!
//! With `Registry:` and `Namespace:` the reference of the first line and the paths of the next two are
//! `REGISTRY/NAMESPACE/FROM`.
//!
//! Sources: Apptainer's `internal/pkg/build/conveyorPacker.go` and `internal/pkg/build/sources`;
//! containers-transports(5).

use super::fault::Faults;
use super::header::{HeaderEntry, entry};
use super::reference::{ImageReference, ReferenceFault};
use super::suggest::nearest;
use super::{DeffileError, Span};

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `docker`: an image in a registry.
    Docker(ImageReference),
    /// `docker-archive`: a file that `docker save` wrote.
    DockerArchive(PathAndImage),
    /// `oci`: an OCI image layout.
    Oci(PathAndImage),
    /// `oci-archive`: a tar file of an OCI image layout.
    OciArchive(PathAndImage),
    /// `localimage`: an image of Apptainer's.
    LocalImage {
        /// A SIF file, another image file, or a folder.
        path: String,
        /// Fingerprints of the keys that must have signed it.
        fingerprints: Vec<String>,
    },
    /// `oras`: a SIF file in a registry.
    Oras(ImageReference),
    /// `scratch`: an empty tree.
    Scratch,
    /// `debootstrap`: Debian or one of its kin, from packages.
    Debootstrap(Debootstrap),
    /// One of Apptainer's other agents, which this crate does not take apart.
    Other {
        /// The agent.
        agent: &'static str,
        /// The `From:`.
        from: Option<String>,
    },
}

/// A path, and which image of those at that path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathAndImage {
    /// The path.
    pub path: String,
    /// Which image.
    pub image: Which,
}

/// Which image of an archive or layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Which {
    /// The only one there.
    Only,
    /// By name: `NAME:TAG` in archives of Docker, a `org.opencontainers.image.ref.name` in layouts.
    Named(String),
    /// By place, counted from 0.
    Index(usize),
}

/// What `debootstrap` is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Debootstrap {
    /// The release: `bookworm`.
    pub suite: String,
    /// The package mirror.
    pub mirror: String,
    /// Packages beyond the minimal ones, which are `apt` and what is essential.
    pub include: Vec<String>,
}

/// The agents whose `From:` is read here, and those of the other kinds.
const AGENTS: [&str; 17] = [
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "localimage",
    "oras",
    "scratch",
    "debootstrap",
    "library",
    "shub",
    "busybox",
    "arch",
    "yum",
    "dnf",
    "zypper",
    "buildkit",
];

impl Source {
    /// The name of the bootstrap agent.
    #[must_use]
    pub fn agent(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::DockerArchive(_) => "docker-archive",
            Self::Oci(_) => "oci",
            Self::OciArchive(_) => "oci-archive",
            Self::LocalImage { .. } => "localimage",
            Self::Oras(_) => "oras",
            Self::Scratch => "scratch",
            Self::Debootstrap(_) => "debootstrap",
            Self::Other { agent, .. } => agent,
        }
    }

    /// The tag of `From:`; `latest` where a registry would take none for that.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Docker(reference) | Self::Oras(reference) => reference.effective_tag(),
            Self::DockerArchive(from) | Self::Oci(from) | Self::OciArchive(from) => {
                match &from.image {
                    // NAME:TAG, or a TAG alone.
                    Which::Named(name) => match name.rsplit_once(':') {
                        Some((_, tag)) if !tag.contains('/') => Some(tag),
                        _ if name.contains('/') => None,
                        _ => Some(name),
                    },
                    Which::Only | Which::Index(_) => None,
                }
            }
            Self::LocalImage { .. } | Self::Scratch | Self::Debootstrap(_) | Self::Other { .. } => {
                None
            }
        }
    }
}

/// Reads the source out of a header that has no templates any more.
pub(super) fn parse(header: &[HeaderEntry], faults: &mut Faults) -> Option<Source> {
    let bootstrap = entry(header, "bootstrap")?;
    if bootstrap.value.is_empty() {
        faults.push(
            bootstrap.key_span,
            DeffileError::MissingBootstrap {
                before_first: false,
            },
        );
        return None;
    }
    let Some(&agent) = AGENTS.iter().find(|agent| **agent == bootstrap.value) else {
        faults.push(
            bootstrap.value_span,
            DeffileError::UnknownAgent {
                agent: bootstrap.value.clone(),
                nearest: nearest(&bootstrap.value, AGENTS),
            },
        );
        return None;
    };
    let mut reader = Reader {
        header,
        agent,
        agent_span: bootstrap.key_span.to(bootstrap.value_span),
        faults,
    };
    match agent {
        "docker" => reader.reference(true).map(Source::Docker),
        "oras" => reader.reference(false).map(Source::Oras),
        "docker-archive" => reader.path_and_image().map(Source::DockerArchive),
        "oci" => reader.path_and_image().map(Source::Oci),
        "oci-archive" => reader.path_and_image().map(Source::OciArchive),
        "localimage" => reader
            .required("from", "From")
            .map(|from| Source::LocalImage {
                path: from.value.clone(),
                fingerprints: fingerprints(header),
            }),
        "scratch" => Some(Source::Scratch),
        "debootstrap" => reader.debootstrap().map(Source::Debootstrap),
        "docker-daemon" | "library" | "shub" => {
            reader.required("from", "From").map(|from| Source::Other {
                agent,
                from: Some(from.value.clone()),
            })
        }
        _ => Some(Source::Other {
            agent,
            from: entry(header, "from").map(|from| from.value.clone()),
        }),
    }
}

/// The keys that must have signed a local image.
fn fingerprints(header: &[HeaderEntry]) -> Vec<String> {
    entry(header, "fingerprints")
        .map(|entry| entry.value.as_str())
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|fingerprint| !fingerprint.is_empty())
        .map(str::to_owned)
        .collect()
}

struct Reader<'a> {
    header: &'a [HeaderEntry],
    agent: &'static str,
    agent_span: Span,
    faults: &'a mut Faults,
}

impl<'a> Reader<'a> {
    fn required(&mut self, key: &str, written: &'static str) -> Option<&'a HeaderEntry> {
        let found = entry(self.header, key).filter(|entry| !entry.value.is_empty());
        if found.is_none() {
            self.faults.push(
                self.agent_span,
                DeffileError::MissingKey {
                    agent: self.agent.to_owned(),
                    key: written,
                },
            );
        }
        found
    }

    /// The `From:`, and what `Registry:` and `Namespace:` put before it.
    fn from(&mut self) -> Option<(&'a HeaderEntry, String)> {
        let from = self.required("from", "From")?;
        if let Some((scheme, rest)) = from.value.split_once("://")
            && AGENTS.contains(&scheme)
        {
            self.faults.push(
                part(from, 0..scheme.len() + 3),
                DeffileError::SchemeInFrom {
                    instead: rest.to_owned(),
                },
            );
            return None;
        }
        let prefix = ["registry", "namespace"]
            .iter()
            .filter_map(|key| entry(self.header, key))
            .filter(|entry| !entry.value.is_empty())
            .map(|entry| format!("{}/", entry.value))
            .collect();
        Some((from, prefix))
    }

    fn reference(&mut self, with_prefix: bool) -> Option<ImageReference> {
        let (from, mut prefix) = self.from()?;
        if !with_prefix {
            prefix.clear();
        }
        match ImageReference::parse(&format!("{prefix}{}", from.value)) {
            Ok(reference) => Some(reference),
            Err((range, fault)) => {
                let place = match range.start.checked_sub(prefix.len()) {
                    Some(start) => part(from, start..range.end - prefix.len()),
                    None => entry(self.header, "registry")
                        .or_else(|| entry(self.header, "namespace"))
                        .map_or(from.value_span, |entry| entry.value_span),
                };
                self.faults.push(place, DeffileError::Reference(fault));
                None
            }
        }
    }

    fn path_and_image(&mut self) -> Option<PathAndImage> {
        let (from, prefix) = self.from()?;
        let whole = format!("{prefix}{}", from.value);
        let (path, image) = match whole.split_once(':') {
            Some((path, image)) => (path, image),
            None => (whole.as_str(), ""),
        };
        if path.is_empty() {
            self.faults.push(from.value_span, DeffileError::MissingPath);
            return None;
        }
        let image_at = (path.len() + 1).saturating_sub(prefix.len());
        let image = match (image, image.strip_prefix('@')) {
            ("", _) => Which::Only,
            (_, Some(index)) => match index.parse() {
                Ok(index) => Which::Index(index),
                Err(_) => {
                    self.faults.push(
                        part(from, image_at..image_at + image.len()),
                        DeffileError::Reference(ReferenceFault::Index),
                    );
                    return None;
                }
            },
            _ => Which::Named(image.to_owned()),
        };
        Some(PathAndImage {
            path: path.to_owned(),
            image,
        })
    }

    fn debootstrap(&mut self) -> Option<Debootstrap> {
        let mirror = self.required("mirrorurl", "MirrorURL");
        let suite = self.required("osversion", "OSVersion");
        let include = entry(self.header, "include").map(|entry| entry.value.as_str());
        Some(Debootstrap {
            suite: suite?.value.clone(),
            mirror: mirror?.value.clone(),
            include: include
                .unwrap_or_default()
                .split([' ', ',', '\t', '\n'])
                .filter(|package| !package.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// The place of a part of a value; the whole value where it does not stand in the file as it is.
fn part(entry: &HeaderEntry, range: std::ops::Range<usize>) -> Span {
    let span = entry.value_span;
    if span.end - span.start == entry.value.len() && range.end <= entry.value.len() {
        Span::new(span.start + range.start, span.start + range.end)
    } else {
        span
    }
}
