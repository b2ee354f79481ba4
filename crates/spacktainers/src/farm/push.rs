//! Where what is built goes: objects of a folder or bucket are written by us, images of a registry by Spack.

use std::path::Path;
use std::sync::Arc;

use spack_format::dag_hash::DagHash;

use super::{FarmError, PackageError};
use crate::build::World;
use crate::build_cache::{
    Destination, IndexScope, PushOptions, Pushed, Signing, push_installed, update_index,
};
use crate::event::Event;
use crate::fetch::{self, Trust};
use crate::install_tree::InstallTree;
use crate::mirror::{Access, WriteTarget, connect_writer};
use crate::openpgp::{self, SecretKey};
use crate::project::MirrorSettings;
use crate::spack::Spack;

/// The mirror that takes what is built.
pub(super) enum Goal<'a> {
    /// Layout 3, written by us.
    Objects {
        destination: Box<Destination>,
        context: fetch::Context<'a>,
    },
    /// A registry, which Spack writes, without signatures.
    Registry {
        /// The mirror's name.
        mirror: String,
    },
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
        let writer = match target.map_err(FarmError::Write)? {
            WriteTarget::Objects(writer) => writer,
            WriteTarget::Repository(_) => {
                return Ok(Self::Registry {
                    mirror: mirror.name.clone(),
                });
            }
        };
        let signing = signing(spack, mirror, &cache.trust, world)?;
        let destination = Destination::new(writer, signing, PushOptions::default());
        Ok(Self::Objects {
            destination: Box::new(destination),
            context: fetch::Context {
                cache: world.cache,
                reporter,
                jobs: world.jobs,
                now: world.now,
            },
        })
    }

    /// Pushes a package that lies in the install tree at `tree`; nothing for registries.
    pub(super) async fn push(&self, tree: &Path, hash: &DagHash) -> Result<(), PackageError> {
        let Self::Objects {
            destination,
            context,
        } = self
        else {
            return Ok(());
        };
        // Read anew each time: the package was just written into its database.
        let tree = InstallTree::open(tree)?;
        match push_installed(&tree, hash, destination, context).await? {
            Pushed::Written { .. } | Pushed::Present => Ok(()),
            Pushed::Refused { .. } => Err(PackageError::Refused),
            Pushed::Mutable { package, source } => Err(PackageError::Mutable {
                package,
                why: source.to_string(),
            }),
        }
    }

    /// Brings the index up to date. We never read it, and plain Spack does.
    pub(super) async fn update_index(&self) {
        let Self::Objects {
            destination,
            context,
        } = self
        else {
            return;
        };
        let updated = update_index(destination.writer(), IndexScope::Pending, context).await;
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
    let Some(text) = spack.signing_key()? else {
        return match mirror.signed {
            true => Err(FarmError::NoKey {
                mirror: mirror.name.clone(),
            }),
            false => Ok(Signing::Unsigned),
        };
    };
    let key = SecretKey::parse(&text).map_err(FarmError::Key)?;
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
