//! From installed packages to images.

use std::collections::BTreeMap;
use std::path::Path;

use futures::{StreamExt, stream};
use oci_format::manifest::ImageManifest;
use oci_format::{Digest, media_type};
use spack_format::build_cache::oci::tag;
use spack_format::build_cache::{PackageImage, package_config_text};
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;
use spack_format::environment_modifications::{
    EnvironmentRequest, Modifications, PrefixInspections, for_prefixes,
};
use spack_format::microarchitecture::Microarchitecture;

use super::{Layer, RegistryCache, package_manifest};
use crate::build_cache::archive::{Archive, archive};
use crate::build_cache::destination::Existing;
use crate::build_cache::error::{CacheError, CacheFault};
use crate::build_cache::object::{checksum, digest};
use crate::build_cache::push::{Pushed, mutable_below};
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::fetch::Context;
use crate::install_tree::{InstallTree, InstallTreeError, InstalledPackage};

/// What is searched for programs where no package says anything.
const PATH: &str = "/bin:/usr/bin";

/// What an image says of the package, for people.
const DESCRIPTION: &str = "org.opencontainers.image.description";

/// How far a package has come.
enum Step {
    /// Nothing more is to be done.
    Done(Pushed),
    /// Its layer is there, its image is not.
    Sent {
        task: TaskId,
        package: Box<InstalledPackage>,
        layer: Layer,
    },
}

impl RegistryCache {
    /// Pushes one package; see [`push_all`](Self::push_all).
    ///
    /// # Errors
    /// When the package is not installed or cannot be archived, or the registry or the local cache fails. The build cache
    /// is then as it was, but for blobs that nothing names.
    pub async fn push_installed(
        &self,
        tree: &InstallTree,
        hash: &DagHash,
        context: &Context<'_>,
    ) -> Result<Pushed, CacheError> {
        let mut results = self.push_all(tree, [*hash], context).await;
        let none = || CacheError::about(format!("cannot push /{hash}"))(CacheFault::Abandoned);
        results.pop().unwrap_or_else(|| Err(none()))
    }

    /// Pushes packages that lie in `tree`, as many at once as the context says; the results are in the order of `hashes`.
    ///
    /// An entry that is there costs one small request; [`Existing`] says whether the package is archived to compare it. The layers of all are sent before the first image
    /// is written, so that images have the layers of what they need, in whatever order they are named. What an image
    /// needs and is neither named nor there is left out of it, as Spack does, with a warning: Spack installs from it all
    /// the same, and only running it as a container fails.
    ///
    /// Variables of images are those of `spack load`, with what is known of recipes without asking Spack.
    ///
    /// Each result is an error when the package is not installed or cannot be archived, or the registry or the local
    /// cache fails. The build cache is then as it was, but for blobs that nothing names.
    pub async fn push_all(
        &self,
        tree: &InstallTree,
        hashes: impl IntoIterator<Item = DagHash>,
        context: &Context<'_>,
    ) -> Vec<Result<Pushed, CacheError>> {
        let at_once = context.jobs.get();
        let sent: Vec<(DagHash, Result<Step, CacheFault>)> = stream::iter(hashes)
            .map(|hash| async move { (hash, self.send_layer(tree, hash, context).await) })
            .buffered(at_once)
            .collect()
            .await;
        stream::iter(sent)
            .map(|(hash, step)| async move {
                let label = tree
                    .specs()
                    .get(&hash)
                    .map_or_else(|| format!("/{hash}"), ToString::to_string);
                let pushed = match step {
                    Err(fault) => Err(fault),
                    Ok(Step::Done(pushed)) => Ok(pushed),
                    Ok(Step::Sent {
                        task,
                        package,
                        layer,
                    }) => {
                        let parts = Parts::of(tree, hash, &package.spec_text);
                        let pushed = self.write_image(&parts, &layer, context);
                        finished(task, pushed.await, context)
                    }
                };
                pushed.map_err(|fault| {
                    let subject = format!("cannot push {label} to {}", self.url);
                    CacheError::about(subject)(fault)
                })
            })
            .buffered(at_once)
            .collect()
            .await
    }

    /// Archives a package and sends its layer, unless its image is there.
    async fn send_layer(
        &self,
        tree: &InstallTree,
        hash: DagHash,
        context: &Context<'_>,
    ) -> Result<Step, CacheFault> {
        let spec = spec_of(tree, hash)?;
        if !self.options.allow_mutable
            && let Some((package, source)) = mutable_below(tree, spec)
        {
            return Ok(Step::Done(Pushed::Mutable { package, source }));
        }
        if !self.options.private && tree.is_restricted(spec) {
            return Ok(Step::Done(Pushed::Restricted));
        }
        let task = TaskId::next();
        context.reporter.event(Event::Started {
            task,
            kind: TaskKind::Upload,
            label: spec.to_string(),
            total: None,
        });
        let sent = async {
            let name = tag(spec);
            let there = match self.options.existing {
                Existing::Replace => None,
                Existing::Keep if self.is_there(&name).await? => return Ok(Err(Pushed::Present)),
                Existing::Keep => None,
                Existing::Compare => self.there(&name).await?,
            };
            if there.is_some() && tree.is_from_build_cache(spec) {
                return Ok(Err(Pushed::Present));
            }
            let (package, archived) = archived(tree, hash, context).await?;
            if let Some(theirs) = there {
                let compared = Pushed::beside(theirs, archived.digest);
                if compared != Pushed::Present {
                    context.cache.remove(&archived.digest)?;
                }
                return Ok(Err(compared));
            }
            let layer = self.send_archive(hash, &archived, task, context).await?;
            Ok(Ok((package, layer)))
        };
        match sent.await {
            Ok(Ok((package, layer))) => Ok(Step::Sent {
                task,
                package,
                layer,
            }),
            Ok(Err(pushed)) => finished(task, Ok(pushed), context).map(Step::Done),
            Err(fault) => finished(task, Err(fault), context).map(Step::Done),
        }
    }

    /// Sends an archive as a layer.
    async fn send_archive(
        &self,
        hash: DagHash,
        archived: &Archive,
        task: TaskId,
        context: &Context<'_>,
    ) -> Result<Layer, CacheFault> {
        self.send(&archived.content, archived.digest).await?;
        let bytes = archived.content.len();
        context.reporter.event(Event::Advanced { task, bytes });
        let blob = oci_format::Descriptor::new(media_type::LAYER_TAR_GZIP, archived.digest, bytes);
        let diff_id = archived.diff_id;
        let layer = Layer { blob, diff_id };
        self.remember(hash, layer.clone());
        Ok(layer)
    }

    /// What one does who has found that a package is not there.
    #[cfg(test)]
    pub(in crate::build_cache) async fn write_again(
        &self,
        tree: &InstallTree,
        hash: DagHash,
        context: &Context<'_>,
    ) -> Result<Pushed, CacheFault> {
        let task = TaskId::next();
        let (package, archived) = archived(tree, hash, context).await?;
        let layer = self.send_archive(hash, &archived, task, context).await?;
        let parts = Parts::of(tree, hash, &package.spec_text);
        self.write_image(&parts, &layer, context).await
    }

    /// Writes the image of a package whose layer is there.
    pub(super) async fn write_image(
        &self,
        parts: &Parts<'_>,
        own: &Layer,
        context: &Context<'_>,
    ) -> Result<Pushed, CacheFault> {
        let (specs, hash) = (parts.specs, parts.hash);
        let spec = specs.get(&hash).ok_or_else(|| CacheFault::Absent {
            key: format!("/{hash}"),
        })?;
        let (mut layers, mut missing) = (Vec::new(), Vec::new());
        let mut needed = specs.topological([hash], DepTypes::RUNTIME);
        needed.reverse();
        for needed in needed {
            if needed.is_external() || needed.hash == hash {
                continue;
            }
            if let Some(layer) = self.layer(needed).await? {
                layers.push(layer);
            } else {
                missing.push(needed.to_string());
            }
        }
        if !missing.is_empty() {
            let warning = format!(
                "the image of {spec} lacks what is not in {}: {}; Spack installs from it, and it may not run as a container",
                self.url,
                missing.join(", ")
            );
            context.reporter.event(Event::Warning(warning));
        }
        layers.push(own.clone());
        let diff_ids: Vec<_> = layers.iter().map(|it| checksum(&it.diff_id)).collect();
        let image = PackageImage {
            architecture: &architecture(spec),
            diff_ids: &diff_ids,
            environment: &parts.environment,
            tarball: &checksum(&own.blob.digest),
            tarball_size: own.blob.size,
        };
        let config = package_config_text(parts.spec_text, &image)?;
        let config = self.send_bytes(config.as_bytes(), media_type::IMAGE_CONFIG);
        let layers = layers.into_iter().map(|it| it.blob).collect();
        let mut manifest = ImageManifest::new(config.await?, layers);
        let description = spec.to_string();
        manifest
            .annotations
            .insert(DESCRIPTION.to_owned(), description);
        let name = tag(spec);
        let ours = own.blob.digest;
        // Somebody else may have been faster.
        if self.options.existing != Existing::Replace
            && let Some(theirs) = self.there(&name).await?
        {
            return Ok(Pushed::beside(theirs, ours));
        }
        self.put(&name, &manifest.to_json()).await?;
        let theirs = self.there(&name).await?.flatten();
        Ok(match Pushed::beside(theirs, ours) {
            Pushed::Present => Pushed::Written {
                tarball: ours,
                size: own.blob.size,
            },
            other => other,
        })
    }

    /// The image that is there: the archive that it names, if it can be read.
    async fn there(&self, name: &str) -> Result<Option<Option<Digest>>, CacheFault> {
        let found = self.manifest(name).await?;
        Ok(found.map(|found| {
            let manifest = package_manifest(name, &found).ok();
            manifest.map(|it| digest(&it.tarball.checksum))
        }))
    }
}

/// A package, and its archive.
async fn archived(
    tree: &InstallTree,
    hash: DagHash,
    context: &Context<'_>,
) -> Result<(Box<InstalledPackage>, Archive), CacheFault> {
    let package = tree.package(&hash)?;
    let (installed, cache) = (package.clone(), context.cache.clone());
    let archived = tokio::task::spawn_blocking(move || archive(&installed, &cache)).await;
    let archived = archived.map_err(|_| CacheFault::Abandoned)??;
    Ok((Box::new(package), archived))
}

fn spec_of(tree: &InstallTree, hash: DagHash) -> Result<&ConcreteSpec, CacheFault> {
    tree.specs().get(&hash).ok_or_else(|| {
        let root = tree.root().to_owned();
        InstallTreeError::NotInstalled { hash, root }.into()
    })
}

fn finished(
    task: TaskId,
    pushed: Result<Pushed, CacheFault>,
    context: &Context<'_>,
) -> Result<Pushed, CacheFault> {
    let outcome = match &pushed {
        Ok(Pushed::Present) => Outcome::Reused,
        Ok(_) => Outcome::Done,
        Err(fault) => Outcome::Failed(fault.to_string()),
    };
    context.reporter.event(Event::Finished { task, outcome });
    pushed
}

/// The processor in the words of images, as Spack maps them.
fn architecture(spec: &ConcreteSpec) -> String {
    let processor = Microarchitecture::from_name(&spec.arch.target);
    match processor.family() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

/// What an image is made from, besides its layers.
pub(super) struct Parts<'a> {
    /// The package and what it needs.
    pub(super) specs: &'a ConcreteSpecs,
    pub(super) hash: DagHash,
    /// Any text that has the spec.
    pub(super) spec_text: &'a str,
    /// Its variables.
    pub(super) environment: Vec<String>,
}

impl<'a> Parts<'a> {
    /// Of a package that lies in a tree.
    fn of(tree: &'a InstallTree, hash: DagHash, spec_text: &'a str) -> Self {
        let specs = tree.specs();
        let prefix = |spec: &ConcreteSpec| tree.prefix(&spec.hash).map(str::to_owned);
        let is_folder = |path: &str| Path::new(path).is_dir();
        Self {
            specs,
            hash,
            spec_text,
            environment: environment(specs, hash, &prefix, &is_folder),
        }
    }
}

/// The variables of an image: what loading the package sets, on top of [`PATH`].
pub(super) fn environment(
    specs: &ConcreteSpecs,
    hash: DagHash,
    prefix: &dyn Fn(&ConcreteSpec) -> Option<String>,
    is_folder: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let modifications = for_prefixes(&EnvironmentRequest {
        specs,
        roots: &[hash],
        prefix,
        is_directory: is_folder,
        inspections: &PrefixInspections::default(),
        env_vars: &Modifications::new(),
        recipes: &|_| None,
    });
    let start = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    let variables = modifications.apply(&start);
    let lines = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    lines.collect()
}
