//! How an image came to be, as SLSA 1.0 says it.
//!
//! Sources: in-toto/attestation, `spec/v1/statement.md` and `spec/v1/resource_descriptor.md`; slsa.dev, "Provenance", v1.0.

use oci_format::Digest;
use serde_json::{Map, Value, json};

use crate::base::LockedBase;
use crate::lock::Lock;

/// The predicate type.
pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// What the parameters of a build mean; the version changes when they do.
const BUILD_TYPE: &str = "urn:spacktainers:build:v1";

/// Where a build's inputs were, and who built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Address of the project's repository, without credentials.
    pub repository: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// Who built: an address of a CI system's job or runner; nothing: somebody at a machine of theirs.
    pub builder: Option<String>,
    /// The run, as the builder names it.
    pub invocation: Option<String>,
    /// Spack and the repositories of recipes that the settings pin.
    pub sources: Vec<Source>,
}

/// A pinned repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `spack`, or the repository's name.
    pub name: String,
    /// Its address, without credentials.
    pub url: String,
    /// The commit.
    pub commit: String,
}

/// The statement that `subject` was made from what `lock` pins. No times are in it but the image's own, so that the same
/// build says the same again.
pub(super) fn statement(
    lock: &Lock,
    lock_digest: &Digest,
    subject: &Digest,
    origin: &Origin,
    tool: &str,
) -> Value {
    let mut external = Map::new();
    external.insert("container".to_owned(), json!(lock.container.name));
    external.insert("architecture".to_owned(), json!(lock.container.arch));
    external.insert("version".to_owned(), json!(lock.container.version));
    if let Some(repository) = &origin.repository {
        external.insert("repository".to_owned(), json!(repository));
    }
    let builder = origin.builder.as_deref();
    let mut details = json!({
        "builder": {
            "id": builder.unwrap_or("urn:spacktainers:builder:unidentified"),
            "version": {"spacktainers": tool},
        },
    });
    if let Some(invocation) = &origin.invocation {
        details["metadata"] = json!({"invocationId": invocation});
    }
    let predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "internalParameters": {
                "store": lock.install.store,
                "views": lock.install.views,
                "target": lock.spack.target,
            },
            "resolvedDependencies": dependencies(lock, lock_digest, origin),
        },
        "runDetails": details,
    });
    in_toto(&lock.container.name, subject, PREDICATE_TYPE, predicate)
}

/// A statement about one image.
pub(super) fn in_toto(
    name: &str,
    subject: &Digest,
    predicate_type: &str,
    predicate: Value,
) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": subject.hex()}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

fn dependencies(lock: &Lock, lock_digest: &Digest, origin: &Origin) -> Vec<Value> {
    let of = |name: &str, uri: &str, digest: &Digest| json!({"name": name, "uri": uri, "digest": {"sha256": digest.hex()}});
    let mut found = Vec::new();
    if let Some(commit) = &origin.commit {
        let uri = origin.repository.as_deref();
        found.push(json!({
            "name": "project",
            "uri": format!("git+{}", uri.unwrap_or("urn:spacktainers:project")),
            "digest": {"gitCommit": commit},
        }));
    }
    let name = &lock.container.name;
    found.push(of(
        "definition",
        &format!("urn:spacktainers:definition:{name}"),
        &lock.container.definition,
    ));
    found.push(of(
        "container.lock",
        &format!("urn:spacktainers:lock:{name}"),
        lock_digest,
    ));
    found.push(of(
        "spack.lock",
        &format!("urn:spacktainers:spack-lock:{name}"),
        &lock.spack.lock,
    ));
    if let Some(commit) = &lock.spack.commit {
        found.push(json!({
            "name": "spack",
            "uri": "urn:spack:source",
            "digest": {"gitCommit": commit},
            "annotations": {"version": lock.spack.version},
        }));
    }
    found.extend(origin.sources.iter().map(|source| {
        json!({
            "name": source.name,
            "uri": format!("git+{}", source.url),
            "digest": {"gitCommit": source.commit},
        })
    }));
    found.extend(base(&lock.base));
    found.extend(lock.packages.iter().map(|package| {
        let uri = format!(
            "urn:spack:package:{}@{}/{}",
            package.name, package.version, package.hash
        );
        let mut value = of(&package.name, &uri, &package.blob);
        if let Some(key) = &package.signed_by {
            value["annotations"] = json!({"signedBy": key});
        }
        value
    }));
    found
}

fn base(base: &LockedBase) -> Vec<Value> {
    let of = |uri: String, digest: String| json!({"name": "base", "uri": uri, "digest": {"sha256": digest}});
    match base {
        LockedBase::Scratch => Vec::new(),
        LockedBase::Registry(image) => {
            vec![of(
                format!("docker://{}", image.reference),
                image.manifest.hex(),
            )]
        }
        LockedBase::Layout(image) => {
            vec![of(format!("oci:{}", image.reference), image.manifest.hex())]
        }
        LockedBase::Rootfs(rootfs) => {
            vec![of(format!("rootfs:{}", rootfs.file), rootfs.digest.hex())]
        }
        LockedBase::Debian(debian) => {
            let package = |it: &crate::base::LockedPackage| {
                json!({
                    "name": it.name,
                    "uri": format!("urn:{}:{}:{}", debian.origin, it.suite, it.filename),
                    "digest": {"sha256": it.sha256},
                })
            };
            debian.packages.iter().map(package).collect()
        }
    }
}
