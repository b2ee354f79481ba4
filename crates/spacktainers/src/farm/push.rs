//! Where what is built goes: objects of a folder or bucket, images of a registry.

use std::path::Path;
use std::sync::Arc;

use spack_format::dag_hash::DagHash;

use super::{FarmError, PackageError};
use crate::build::World;
use crate::build_cache::{
    Destination, Existing, IndexScope, PushOptions, Pushed, RegistryCache, Signing, push_installed,
    update_index,
};
use crate::event::Event;
use crate::fetch::{self, Trust};
use crate::install_tree::{InstallTree, Mount};
use crate::mirror::{Access, WriteTarget, connect_writer};
use crate::openpgp;
use crate::project::MirrorSettings;
use crate::spack::Spack;

/// The mirror that takes what is built.
pub(super) struct Goal<'a> {
    kind: Kind,
    context: fetch::Context<'a>,
}

enum Kind {
    /// Layout 3.
    Objects(Box<Destination>),
    /// Images, which nobody signs.
    Registry(Box<RegistryCache>),
}

impl<'a> Goal<'a> {
    /// The mirror of the settings, with the key to sign for it. What would be refused after the first build is refused
    /// now.
    pub(super) async fn open(
        spack: &Spack,
        world: &World<'a>,
        reporter: &'a dyn crate::event::Reporter,
        access: &Access,
    ) -> Result<Self, FarmError> {
        let mirrors = spack.mirrors().iter().zip(world.mirrors);
        let (mirror, cache) = mirrors
            .into_iter()
            .find(|(settings, _)| settings.push)
            .ok_or(FarmError::NoMirror)?;
        let target = connect_writer(&mirror.location, access).await;
        let options = PushOptions {
            existing: Existing::Keep,
            allow_mutable: false,
            private: mirror.private,
        };
        let kind = match target.map_err(FarmError::Write)? {
            WriteTarget::Objects(writer) => {
                let signing = signing(spack, mirror, &cache.trust, world)?;
                Kind::Objects(Box::new(Destination::new(writer, signing, options)))
            }
            WriteTarget::Repository(_) if mirror.signed => {
                return Err(FarmError::Unsignable {
                    mirror: mirror.name.clone(),
                });
            }
            WriteTarget::Repository(repository) => {
                Kind::Registry(Box::new(RegistryCache::new(repository, options)))
            }
        };
        Ok(Self {
            kind,
            context: fetch::Context {
                cache: world.cache,
                reporter,
                jobs: world.jobs,
                now: world.now,
            },
        })
    }

    /// Pushes a package that lies in the install tree at `tree`, or where `mount` says that this tree lies.
    pub(super) async fn push(
        &self,
        tree: &Path,
        mount: Option<&Mount>,
        hash: &DagHash,
    ) -> Result<(), PackageError> {
        // Read anew each time: the package was just written into its database.
        let tree = match mount {
            Some(mount) => InstallTree::open_mounted(mount)?,
            None => InstallTree::open(tree)?,
        };
        let pushed = match &self.kind {
            Kind::Objects(destination) => {
                push_installed(&tree, hash, destination, &self.context).await?
            }
            Kind::Registry(cache) => cache.push_installed(&tree, hash, &self.context).await?,
        };
        match pushed {
            Pushed::Written { .. } | Pushed::Present => Ok(()),
            // Two farms that built it at the same time: the first one stays, and either will do.
            Pushed::Refused { ours, theirs } => {
                let theirs = theirs.map_or_else(|| "another".to_owned(), |it| it.to_string());
                self.context.reporter.event(Event::Note(format!(
                    "/{hash} was pushed by somebody else meanwhile: {theirs} stays, and not {ours}"
                )));
                Ok(())
            }
            Pushed::Restricted => Err(PackageError::Restricted),
            Pushed::Mutable { package, source } => Err(PackageError::Mutable {
                package,
                why: source.to_string(),
            }),
        }
    }

    /// Brings the index up to date. We never read it, and plain Spack does.
    pub(super) async fn update_index(&self) {
        let (scope, context) = (IndexScope::Pending, &self.context);
        let updated = match &self.kind {
            Kind::Objects(destination) => update_index(destination.writer(), scope, context).await,
            Kind::Registry(cache) => cache.update_index(scope, context).await,
        };
        if let Err(error) = updated {
            let warning = format!(
                "plain Spack will not see what was pushed until the index is written: {}",
                crate::base::one_line(&error)
            );
            context.reporter.event(Event::Warning(warning));
        }
    }
}

/// Who vouches for what is built; the mirror's own keys have to agree.
fn signing(
    spack: &Spack,
    mirror: &MirrorSettings,
    trust: &Trust,
    world: &World<'_>,
) -> Result<Signing, FarmError> {
    let Some(key) = spack.signing_key().map_err(FarmError::Key)? else {
        return match mirror.signed {
            true => Err(FarmError::NoKey {
                mirror: mirror.name.clone(),
            }),
            false => Ok(Signing::Unsigned),
        };
    };
    let signed = key
        .clear_sign("a text\n", world.now)
        .map_err(FarmError::Key)?;
    match trust {
        Trust::Signed(keys) if openpgp::verify(&signed.message, keys, world.now).is_err() => {
            Err(FarmError::Untrusted {
                mirror: mirror.name.clone(),
            })
        }
        Trust::Signed(_) | Trust::Unsigned(_) => Ok(Signing::Key(Arc::new(key))),
    }
}
