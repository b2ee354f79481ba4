//! Solving with Spack, before a lock is made: `lock --with spack`, and `lock` where nobody has solved yet.

use spacktainers::project::{Definition, DefinitionKind, Project};
use spacktainers::spack::{Spack, concretize_all};

use super::session::{spack_context, spack_failure};
use crate::args::LockArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

/// Solves those of `definitions` that want it, and writes their `spack.lock`. Gives back those that have one to go on
/// with, and the worst ending of the others, which was told.
pub(super) async fn with_spack<'p>(
    project: &'p Project,
    definitions: Vec<&'p Definition>,
    args: &LockArgs,
    context: &Context,
) -> Result<(Vec<&'p Definition>, Exit), Failure> {
    if args.with.is_none() {
        return missing_locks(project, definitions, context).await;
    }
    let wanted = definitions.clone();
    solve(project, definitions, &wanted, args.again, context).await
}

/// The same for definitions that have no `spack.lock`, if anybody says where Spack is: where nobody does, what is said of
/// a missing lock says more than that.
pub(super) async fn missing_locks<'p>(
    project: &'p Project,
    definitions: Vec<&'p Definition>,
    context: &Context,
) -> Result<(Vec<&'p Definition>, Exit), Failure> {
    let is_unsolved = |definition: &&Definition| {
        matches!(definition.kind, DefinitionKind::Spack(_)) && !definition.spack_lock().exists()
    };
    let wanted: Vec<&Definition> = match names_spack(project) {
        true => definitions.iter().copied().filter(is_unsolved).collect(),
        false => Vec::new(),
    };
    solve(project, definitions, &wanted, false, context).await
}

async fn solve<'p>(
    project: &'p Project,
    definitions: Vec<&'p Definition>,
    wanted: &[&'p Definition],
    again: bool,
    context: &Context,
) -> Result<(Vec<&'p Definition>, Exit), Failure> {
    if wanted.is_empty() {
        return Ok((definitions, Exit::Done));
    }
    let spack = open(project, context).await?;
    let mut worst = Exit::Done;
    let mut unsolved: Vec<&Definition> = Vec::new();
    let solutions = concretize_all(&spack, project, wanted, again).await;
    for (definition, solved) in wanted.iter().copied().zip(solutions) {
        let written = solved.and_then(|solved| {
            let is_new = solved.write(definition)?;
            Ok((solved, is_new))
        });
        match written {
            Ok((solved, is_new)) if context.verbosity > Verbosity::Quiet => {
                let how = match (solved.is_remembered, is_new) {
                    (true, _) => "solved before from the same inputs",
                    (false, true) => "solved by Spack",
                    (false, false) => "solved by Spack, with the same result",
                };
                printer::err(&format!("{}: {how}", definition.title()));
            }
            Ok(_) => {}
            Err(error) => {
                let failure = spack_failure(error);
                worst = worst.max(failure.exit);
                super::report(&failure, context.json);
                unsolved.push(definition);
            }
        }
    }
    let rest = definitions
        .into_iter()
        .filter(|it| !unsolved.iter().any(|other| std::ptr::eq(*it, *other)))
        .collect();
    Ok((rest, worst))
}

/// Whether anybody says where Spack is.
fn names_spack(project: &Project) -> bool {
    let variable = std::env::var_os("SPACK_ROOT");
    project.settings.spack.is_set() || variable.is_some_and(|root| !root.is_empty())
}

/// The Spack of the project.
pub(super) async fn open(project: &Project, context: &Context) -> Result<Spack, Failure> {
    let spack = spack_context(context.local_cache()?, context);
    Spack::open(&project.settings, spack)
        .await
        .map_err(spack_failure)
}
