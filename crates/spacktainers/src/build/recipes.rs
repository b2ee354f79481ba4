//! What recipes set at run time: as the lock before has it, or asked from Spack.

use spack_format::dag_hash::DagHash;

use super::gather::Package;
use super::{BuildInput, World};
use crate::event::Event;
use crate::lock::LockedRecipes;
use crate::spack::{RecipeQuestion, SpackError};

/// What is known of the recipes of `packages`; nothing without a Spack, or if it fails, which is told: an image without
/// what recipes set is better than none, and the lock says which of both it is.
pub(super) async fn ask(
    input: &BuildInput<'_>,
    roots: &[DagHash],
    packages: &[Package<'_>],
    world: &World<'_>,
) -> Option<LockedRecipes> {
    if let Some(recipes) = input.recipes {
        return Some(recipes.clone());
    }
    let spack = world.spack?;
    let question = RecipeQuestion {
        manifest: input.manifest,
        lock: input.spack_lock,
        roots,
        packages: packages
            .iter()
            .map(|package| (package.spec.hash, &*package.record))
            .collect(),
        title: input.name,
    };
    let asked = async { spack.get().await?.run_environment(&question).await };
    match asked.await {
        Ok(recipes) => Some(recipes),
        Err(error) => {
            world.reporter.event(Event::Warning(warning(input, &error)));
            None
        }
    }
}

fn warning(input: &BuildInput<'_>, error: &SpackError) -> String {
    format!(
        "{}: what recipes set at run time is not known, as Spack could not be asked: {}",
        input.name,
        crate::base::one_line(error)
    )
}
