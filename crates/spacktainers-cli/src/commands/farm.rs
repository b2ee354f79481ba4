//! `build --build`: what is in no mirror is built and pushed, before the main job goes on.

use std::num::NonZeroUsize;

use serde_json::json;
use spack_format::spec::SatisfiesIn;
use spacktainers::build::Container;
use spacktainers::farm::{self, Failed, FarmError, FarmOptions, Order, Report, RoomOptions};
use spacktainers::project::{Definition, DefinitionKind, Project};

use super::session::{Session, access, build_failure, container_failure, exit_of};
use crate::args::BuildHow;
use crate::context::{Context, Failure};
use crate::printer::{self, Verbosity};

/// More packages at once would wait for Spack's locks and for the disk.
const MOST_AT_ONCE: usize = 4;

/// Builds what is missing of `definitions`. What fails is told; the containers that need it will say so again.
pub(super) async fn build_missing(
    project: &Project,
    definitions: &[&Definition],
    how: &BuildHow,
    session: &Session,
    context: &Context,
) -> Result<(), Failure> {
    let containers: Vec<Container<'_>> = definitions
        .iter()
        .filter(|it| matches!(it.kind, DefinitionKind::Spack(_)))
        .map(|definition| Container::load(project, definition).map_err(container_failure))
        .collect::<Result<_, _>>()?;
    let orders: Vec<Order<'_>> = containers
        .iter()
        .map(|container| {
            let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
            let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
            container.order(&satisfies).map_err(build_failure)
        })
        .collect::<Result<_, _>>()?;
    let options = FarmOptions {
        install: project.settings.install.clone(),
        at_once: context
            .jobs
            .min(NonZeroUsize::new(MOST_AT_ONCE).unwrap_or(NonZeroUsize::MIN)),
        room: match how.no_sandbox {
            true => None,
            false => Some(RoomOptions {
                settings: project.settings.clone(),
                architecture: super::base::machine_architecture()?,
            }),
        },
    };
    let spack = super::solve::open(project, context).await?;
    let access = access(&project.settings, &how.insecure, context);
    let world = session.world(context);
    let report = farm::build_missing(&orders, &spack, &options, &world, &access)
        .await
        .map_err(farm_failure)?;
    tell(&report, context);
    Ok(())
}

fn farm_failure(error: FarmError) -> Failure {
    let (exit, hint) = (exit_of(error.kind()), error.hint());
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

fn tell(report: &Report, context: &Context) {
    if context.json {
        let failed: Vec<_> = report.failed.iter().map(failed_json).collect();
        let document = json!({
            "event": "farm",
            "built": report.built,
            "failed": failed,
            "held_up": report.held_up,
        });
        printer::out(&document.to_string());
    }
    for failed in &report.failed {
        printer::err(&format!("error: {}: {}", failed.package, failed.message));
        let Some(capsule) = &failed.capsule else {
            continue;
        };
        if let Some(first) = &capsule.summary.first_error {
            printer::err(&format!("  line {} of its log: {}", first.line, first.text));
        }
        let folder = capsule.folder.display();
        printer::err(&format!(
            "  help: look at it with `spacktainers replay {folder}`"
        ));
    }
    for package in &report.held_up {
        printer::err(&format!("not built: {package}, as it needs what failed"));
    }
    if context.verbosity > Verbosity::Quiet && !report.built.is_empty() {
        printer::err(&format!("built and pushed {} packages", report.built.len()));
    }
}

fn failed_json(failed: &Failed) -> serde_json::Value {
    json!({
        "package": failed.package,
        "message": failed.message,
        "capsule": failed.capsule.as_ref().map(|it| it.folder.display().to_string()),
    })
}
