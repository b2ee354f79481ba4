//! Making a `spack.lock` where there is none, or a new one is asked for: what `lock` and `build` share.
//!
//! ```text
//! definition ─► from_cache: out of what the mirrors hold ─► spack.lock
//!                   └─ nothing fits, and somebody names a Spack ─► with_spack ─► spack.lock
//! ```

mod from_cache;
mod with_spack;

use spacktainers::project::{Definition, DefinitionKind, Project};

use super::session::Session;
use crate::args::{LockArgs, Solver};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) use with_spack::open;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// Who solves, if that is said: then also what is solved already.
    with: Option<Solver>,
    /// Whether what is solved already is solved anew.
    is_update: bool,
    /// Whether it is shown what was chosen from what.
    is_explained: bool,
    /// Whether the base image is decided anew.
    is_base_updated: bool,
    /// Whether Spack is asked although it has solved the same before.
    is_asked_again: bool,
}

impl Wish {
    pub(super) fn of(args: &LockArgs) -> Self {
        Self {
            with: args.with,
            is_update: args.update || args.with.is_some(),
            is_explained: args.explain,
            is_base_updated: args.update_base,
            is_asked_again: args.again,
        }
    }
}

/// Solves those of `definitions` that want it. Gives back those that have a `spack.lock` to go on with, and the worst ending
/// of the others, which was told.
pub(super) async fn locks<'p>(
    project: &'p Project,
    definitions: Vec<&'p Definition>,
    wish: Wish,
    session: &Session,
    context: &Context,
) -> Result<(Vec<&'p Definition>, Exit), Failure> {
    let is_wanted = |it: &&Definition| {
        matches!(it.kind, DefinitionKind::Spack(_))
            && (wish.is_update || wish.is_explained || !it.spack_lock().exists())
    };
    let wanted: Vec<&Definition> = definitions.iter().copied().filter(is_wanted).collect();
    let (mut worst, mut failed, mut of_spack) = (Exit::Done, Vec::new(), Vec::new());
    match wish.with {
        Some(Solver::Spack) => of_spack = wanted,
        with => {
            let cache = from_cache::Solver::new(project, session, context);
            for definition in wanted {
                let how = from_cache::How {
                    is_written: wish.is_update || !definition.spack_lock().exists(),
                    is_explained: wish.is_explained,
                    keeps_base: !wish.is_base_updated,
                };
                match cache.solve(definition, how).await {
                    Ok(()) => {}
                    Err(failure)
                        if failure.exit == Exit::Missing
                            && with.is_none()
                            && how.is_written
                            && with_spack::is_named(project) =>
                    {
                        if context.verbosity > Verbosity::Quiet {
                            let why = format!("{:#}", failure.error);
                            let why = why.lines().next().unwrap_or_default().to_owned();
                            printer::err(&format!("{why}; asking Spack"));
                        }
                        of_spack.push(definition);
                    }
                    Err(failure) => {
                        super::report(&failure, context.json);
                        worst = worst.max(failure.exit);
                        failed.push(definition);
                    }
                }
            }
        }
    }
    if !of_spack.is_empty() {
        let again = wish.is_asked_again;
        let (unsolved, exit) = with_spack::solve(project, &of_spack, again, context).await?;
        worst = worst.max(exit);
        failed.extend(unsolved);
    }
    let is_left = |it: &&Definition| !failed.iter().any(|other| std::ptr::eq(*it, *other));
    let rest = definitions.into_iter().filter(is_left).collect();
    Ok((rest, worst))
}
