//! `build --build`: what is in no mirror is built and pushed, before the main job goes on.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::json;
use spack_format::spec::SatisfiesIn;
use spacktainers::build::Container;
use spacktainers::farm::{
    self, Estimate, Failed, FarmError, FarmOptions, Order, Report, RoomOptions,
};
use spacktainers::project::{Definition, DefinitionKind, Project, Settings};

use super::cluster;
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
    let containers = containers(project, definitions)?;
    let orders = orders(&containers)?;
    let built = build_orders(&orders, project, how, session, context).await;
    built.map(drop)
}

/// Builds what is missing of `orders`, and tells what came of it.
pub(super) async fn build_orders(
    orders: &[Order<'_>],
    project: &Project,
    how: &BuildHow,
    session: &Session,
    context: &Context,
) -> Result<Report, Failure> {
    let options = options(&project.settings, how.no_sandbox, context)?;
    let executor = cluster::executor(project, how, context)?;
    let spack = super::solve::open(project, context).await?;
    let access = access(&project.settings, &how.insecure, context);
    let world = session.world(context);
    let report = farm::build_missing(orders, &spack, &options, &world, &access, &*executor)
        .await
        .map_err(farm_failure)?;
    tell(&report, context);
    Ok(report)
}

/// Those of the definitions that are of Spack packages.
fn containers<'p>(
    project: &'p Project,
    definitions: &[&'p Definition],
) -> Result<Vec<Container<'p>>, Failure> {
    definitions
        .iter()
        .filter(|it| matches!(it.kind, DefinitionKind::Spack(_)))
        .map(|definition| Container::load(project, definition).map_err(container_failure))
        .collect()
}

/// What has to be in a mirror for them.
fn orders<'a>(containers: &'a [Container<'_>]) -> Result<Vec<Order<'a>>, Failure> {
    let order = |container: &'a Container<'_>| {
        let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
        let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
        container.order(&satisfies).map_err(build_failure)
    };
    containers.iter().map(order).collect()
}

/// How packages are built on one machine.
pub(super) fn options(
    settings: &Settings,
    no_sandbox: bool,
    context: &Context,
) -> Result<FarmOptions, Failure> {
    Ok(FarmOptions {
        install: settings.install.clone(),
        at_once: at_once(settings, context),
        room: match no_sandbox {
            true => None,
            false => Some(RoomOptions {
                settings: settings.clone(),
                architecture: super::base::machine_architecture()?,
            }),
        },
        memory: None,
        needs: settings.farm.needs.clone(),
        capsules: None,
    })
}

/// Packages that one machine builds at the same time.
fn at_once(settings: &Settings, context: &Context) -> NonZeroUsize {
    let at_once = settings.farm.at_once.unwrap_or(MOST_AT_ONCE);
    let at_once = NonZeroUsize::new(at_once).unwrap_or(NonZeroUsize::MIN);
    context.jobs.min(at_once)
}

/// `plan --build`: what would be built, and how long it takes.
pub(super) async fn estimate(
    project: &Project,
    definitions: &[&Definition],
    session: &Session,
    context: &Context,
) -> Result<(), Failure> {
    let containers = containers(project, definitions)?;
    let orders = orders(&containers)?;
    let needs = &project.settings.farm.needs;
    let world = session.world(context);
    let estimate = farm::estimate_missing(&orders, needs, &world).await;
    let estimate = estimate.map_err(farm_failure)?;
    let at_once = at_once(&project.settings, context).get();
    tell_estimate(&estimate, at_once, context);
    Ok(())
}

fn tell_estimate(estimate: &Estimate, at_once: usize, context: &Context) {
    let at_least = estimate.at_least(at_once);
    if context.json {
        let document = json!({
            "event": "estimate",
            "packages": estimate.packages,
            "unknown": estimate.unknown,
            "seconds_in_all": estimate.total.as_secs(),
            "seconds_longest_path": estimate.longest.as_secs(),
            "longest_path": estimate.path,
            "at_once": at_once,
            "seconds_at_least": at_least.as_secs(),
        });
        printer::out(&document.to_string());
        return;
    }
    if estimate.packages.is_empty() {
        printer::out("nothing has to be built");
        return;
    }
    printer::out(&format!(
        "to build, with what that needs: {} packages, {} at once; at least {}",
        estimate.packages.len(),
        at_once,
        time(at_least),
    ));
    printer::out(&format!(
        "  {} of work; the longest path, {}: {}",
        time(estimate.total),
        time(estimate.longest),
        estimate.path.join(", "),
    ));
    if !estimate.unknown.is_empty() {
        printer::out(&format!(
            "  never built here, and counted as no time: {}",
            estimate.unknown.join(", ")
        ));
    }
}

/// `1 h 25 min`, `25 min`, `25 s`.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

pub(super) fn farm_failure(error: FarmError) -> Failure {
    let (exit, hint) = (exit_of(error.kind()), error.hint());
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

pub(super) fn tell(report: &Report, context: &Context) {
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
