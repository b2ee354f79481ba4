//! By real Spack.

use spacktainers::project::{Definition, Project};
use spacktainers::spack::{Spack, concretize_all};

use crate::commands::session::{spack_context, spack_failure};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

/// Solves definitions, and writes their `spack.lock`. Gives back those that have no solution, which was told, and how that
/// ends.
pub(super) async fn solve<'p>(
    project: &Project,
    wanted: &[&'p Definition],
    again: bool,
    context: &Context,
) -> Result<(Vec<&'p Definition>, Exit), Failure> {
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
                crate::commands::report(&failure, context.json);
                unsolved.push(definition);
            }
        }
    }
    Ok((unsolved, worst))
}

/// Whether anybody says where Spack is.
pub(super) fn is_named(project: &Project) -> bool {
    let variable = std::env::var_os("SPACK_ROOT");
    project.settings.spack.is_set() || variable.is_some_and(|root| !root.is_empty())
}

/// The Spack of the project.
pub(in crate::commands) async fn open(
    project: &Project,
    context: &Context,
) -> Result<Spack, Failure> {
    let spack = spack_context(context.local_cache()?, context);
    Spack::open(&project.settings, spack)
        .await
        .map_err(spack_failure)
}
