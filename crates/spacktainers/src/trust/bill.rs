//! What is in an image, before it takes the form of a specification.

use std::collections::BTreeMap;

use oci_format::Digest;
use spack_format::concrete::{ConcreteSpec, DepTypes, VariantValue};
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::base::LockedBase;
use crate::lock::Lock;

/// A bill of materials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// The container's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// Digest of the image's manifest.
    pub image: Digest,
    /// When the image says that it was made: RFC 3339, UTC.
    pub created: String,
    /// Everything in it: Spack packages with dependencies before dependents, then packages of the base.
    pub components: Vec<Component>,
}

/// Something in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Unique in the bill; letters, digits, `.` and `-`.
    pub id: String,
    /// What kind of package.
    pub kind: ComponentKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// Digest of its binary archive, as fetched.
    pub archive: Option<Digest>,
    /// What its recipe says of its licence: an SPDX expression, or what the recipe's author took for one.
    pub licence: Option<String>,
    /// SHA-256 of the patches that were applied to its sources.
    pub patches: Vec<String>,
    /// How it was built, for people: its spec without dependencies.
    pub spec: Option<String>,
    /// Ids of components that it links to or runs with.
    pub needs: Vec<String>,
}

/// Whose package something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentKind {
    /// Built by Spack.
    Spack,
    /// A binary package of Debian or Ubuntu.
    Debian,
    /// A base image or root file system that is taken as a whole.
    Base,
}

impl Bill {
    /// The bill of the image that `lock` decided. `licences` are those of the packages whose recipes declare one.
    #[must_use]
    pub fn new(
        lock: &Lock,
        spack: &SpackLockfile,
        image: Digest,
        created: String,
        licences: &BTreeMap<DagHash, String>,
    ) -> Self {
        let is_here = |hash: &DagHash| lock.packages.iter().any(|it| it.hash == *hash);
        let mut components = Vec::with_capacity(lock.packages.len());
        for package in &lock.packages {
            let spec = spack.specs.get(&package.hash);
            let needs = spec.into_iter().flat_map(|it| &it.edges);
            let needs = needs
                .filter(|edge| edge.deptypes.intersects(DepTypes::RUNTIME) && is_here(&edge.hash))
                .map(|edge| spack_id(&edge.name, &edge.hash));
            components.push(Component {
                id: spack_id(&package.name, &package.hash),
                kind: ComponentKind::Spack,
                name: package.name.clone(),
                version: package.version.clone(),
                purl: spack_purl(spec, &package.name, &package.version, &package.hash),
                archive: Some(package.blob),
                licence: licences.get(&package.hash).cloned(),
                patches: spec.map(|it| it.patches.clone()).unwrap_or_default(),
                spec: spec.map(short_spec),
                needs: needs.collect(),
            });
        }
        components.extend(of_base(&lock.base));
        Self {
            name: lock.container.name.clone(),
            version: lock.container.version.clone(),
            architecture: lock.container.arch.clone(),
            image,
            created,
            components,
        }
    }

    /// The image's package URL, type `oci`: name, digest and architecture.
    #[must_use]
    pub fn purl(&self) -> String {
        let name = encoded(&self.name.to_lowercase());
        let digest = encoded(&self.image.to_string());
        let arch = encoded(&self.architecture);
        format!("pkg:oci/{name}@{digest}?arch={arch}")
    }
}

fn of_base(base: &LockedBase) -> Vec<Component> {
    let whole = |name: &str, version: String, purl: String, archive: Digest| Component {
        id: format!("base-{}", plain(name)),
        kind: ComponentKind::Base,
        name: name.to_owned(),
        version,
        purl,
        archive: Some(archive),
        licence: None,
        patches: Vec::new(),
        spec: None,
        needs: Vec::new(),
    };
    match base {
        LockedBase::Scratch => Vec::new(),
        LockedBase::Registry(image) | LockedBase::Layout(image) => {
            let name = image.reference.rsplit('/').next().unwrap_or_default();
            let name = name.split([':', '@']).next().unwrap_or(name);
            let digest = image.manifest.to_string();
            let purl = format!("pkg:oci/{}@{}", encoded(name), encoded(&digest));
            vec![whole(&image.reference, digest, purl, image.manifest)]
        }
        LockedBase::Rootfs(rootfs) => {
            let digest = rootfs.digest.to_string();
            let purl = format!("pkg:generic/{}@{}", encoded(&rootfs.file), encoded(&digest));
            vec![whole(&rootfs.file, digest, purl, rootfs.digest)]
        }
        LockedBase::Debian(debian) => {
            let packages = debian.packages.iter().map(|package| {
                let (name, version) = (encoded(&package.name), encoded(&package.version));
                let (arch, suite) = (encoded(&package.architecture), encoded(&debian.suite));
                let origin = encoded(&debian.origin);
                Component {
                    id: format!(
                        "deb-{}-{}",
                        plain(&package.name),
                        plain(&package.architecture)
                    ),
                    kind: ComponentKind::Debian,
                    name: package.name.clone(),
                    version: package.version.clone(),
                    purl: format!("pkg:deb/{origin}/{name}@{version}?arch={arch}&distro={suite}"),
                    archive: format!("sha256:{}", package.sha256).parse().ok(),
                    licence: None,
                    patches: Vec::new(),
                    spec: None,
                    needs: Vec::new(),
                }
            });
            packages.collect()
        }
    }
}

fn spack_id(name: &str, hash: &DagHash) -> String {
    format!("spack-{}-{hash}", plain(name))
}

/// The type `spack` is on its way into the specification (package-url/purl-spec, pull request 898): namespace, name and
/// version are Spack's, and the DAG hash is the qualifier without which two builds could not be told apart.
fn spack_purl(spec: Option<&ConcreteSpec>, name: &str, version: &str, hash: &DagHash) -> String {
    let namespace = spec.and_then(|it| it.namespace.as_deref());
    let namespace = encoded(namespace.unwrap_or("builtin"));
    let (name, version) = (encoded(name), encoded(version));
    format!("pkg:spack/{namespace}/{name}@{version}?hash={hash}")
}

/// Name, version, variants and architecture, as `spack find -v` has them.
fn short_spec(spec: &ConcreteSpec) -> String {
    let mut text = format!("{}@{}", spec.name, spec.version);
    for (name, value) in &spec.variants {
        match value {
            VariantValue::Bool(true) => text.push_str(&format!("+{name}")),
            VariantValue::Bool(false) => text.push_str(&format!("~{name}")),
            // Patches are listed by themselves.
            _ if name == "patches" => {}
            value => text.push_str(&format!(" {name}={value}")),
        }
    }
    let arch = &spec.arch;
    text.push_str(&format!(
        " arch={}-{}-{}",
        arch.platform, arch.os, arch.target
    ));
    text
}

/// Letters, digits, `.` and `-`: what ids of SPDX may have. Everything else becomes `-`.
fn plain(text: &str) -> String {
    let keep = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-');
    text.chars()
        .map(|it| if keep(it) { it } else { '-' })
        .collect()
}

/// Percent-encoded as package URLs are. [purl-spec: "Character encoding"]
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
