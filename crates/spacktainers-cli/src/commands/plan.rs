//! `plan`: what a build would do, and why. Nothing is fetched, written or sent.

use serde_json::{Value, json};
use spack_format::spec::SatisfiesIn;
use spacktainers::build::{Container, LockState, Sharing, staleness};
use spacktainers::fetch::{self, CacheEntry, Found};
use spacktainers::project::{Definition, DefinitionKind, Project};
use spacktainers::publish::{Existing, PublishContext, existing};
use spacktainers::resolve::{Decided, decide};

use super::build::targets;
use super::plan_layers::{LayerPlan, Pull};
use super::session::{Session, build_failure, container_failure};
use super::{architecture, block_on, sound_project};
use crate::args::PlanArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, bytes};

pub(super) fn run(args: &PlanArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    block_on(async {
        let session = Session::new(&project.settings, &[], context).await?;
        let mut worst = Exit::Done;
        for definition in selected
            .iter()
            .copied()
            .filter(|it| matches!(it.kind, DefinitionKind::Spack(_)))
        {
            match plan_one(&project, definition, args, &session, context).await {
                Ok(exit) => worst = worst.max(exit),
                Err(failure) => {
                    let failure = failure.about(&definition.title());
                    super::report(&failure, context.json);
                    worst = worst.max(failure.exit);
                }
            }
        }
        if args.build {
            super::farm::estimate(&project, &selected, &session, context).await?;
        }
        Ok(worst)
    })
}

async fn plan_one(
    project: &Project,
    definition: &Definition,
    args: &PlanArgs,
    session: &Session,
    context: &Context,
) -> Result<Exit, Failure> {
    let container = Container::load(project, definition).map_err(container_failure)?;
    let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
    let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
    let target = project
        .settings
        .platform(definition.architecture, definition.variant.as_deref())
        .target;
    let decided = decide(
        container.wanted(),
        &container.spack_lock,
        target.as_deref(),
        &satisfies,
    )
    .map_err(|mismatches| build_failure(spacktainers::build::BuildError::Mismatch(mismatches)))?;
    let packages = packages(&decided, &container, session, context).await?;
    let mut lines = vec![format!("{}: {}", definition.title(), container.lock_state)];
    lines.extend(package_lines(&decided, &packages));
    let sharing = args
        .layers
        .then(|| Sharing::of(project, definition, session.world(context).cache));
    let entries: Vec<&CacheEntry> = packages.here.iter().chain(&packages.to_fetch).collect();
    let layers = sharing
        .as_ref()
        .map(|sharing| LayerPlan::new(&container, &decided, &entries, sharing));
    let mut pulls: Vec<Pull> = Vec::new();
    let mut told = Vec::new();
    let publish = PublishContext {
        platform: Some(definition.platform()),
        ..session.publish_context(context)
    };
    for target in targets(&args.targets, project, &container)? {
        let found = existing(&target, &publish)
            .await
            .map_err(|error| Failure::new(Exit::Refused, error))?;
        let labels = found.as_ref().map(|found| &found.config.config.labels);
        let why = staleness(
            labels,
            &container.spack.digest,
            container.lock_state.current().as_ref(),
        );
        if let (Some(layers), Some(found)) = (&layers, &found) {
            pulls.push(layers.against_image(&target.to_string(), found, &entries));
        }
        let to_send = to_send(&container, found.as_ref());
        lines.push(match &why {
            None => format!("  {target}: up to date"),
            Some(why) => format!(
                "  {target}: to be written, because {why}{}",
                to_send.map_or_else(String::new, |size| format!(
                    "; package layers that it lacks: {}",
                    bytes(size)
                ))
            ),
        });
        told.push(json!({"target": target.to_string(), "up_to_date": why.is_none(), "why": why.map(|why| why.to_string()), "lacks": to_send}));
    }
    let mut document = document(definition, &container, &packages, told);
    if let Some(layers) = &layers {
        pulls.extend(layers.against_lock(&container));
        lines.extend(layers.lines(&pulls));
        document["layers"] = layers.document(&pulls);
    }
    if context.json {
        printer::out(&document.to_string());
    } else {
        lines.iter().for_each(|line| printer::out(line));
    }
    Ok(if packages.missing.is_empty() {
        Exit::Done
    } else {
        Exit::Missing
    })
}

/// Where the packages are.
#[derive(Default)]
struct Packages {
    here: Vec<CacheEntry>,
    to_fetch: Vec<CacheEntry>,
    missing: Vec<fetch::Missing>,
}

async fn packages(
    decided: &Decided<'_>,
    container: &Container<'_>,
    session: &Session,
    context: &Context,
) -> Result<Packages, Failure> {
    let world = session.world(context);
    let asking = fetch::Context {
        cache: world.cache,
        reporter: &*world.reporter,
        jobs: world.jobs,
        now: world.now,
    };
    let wanted = decided.packages.iter().copied();
    let mut packages = Packages::default();
    let mut errors = Vec::new();
    for found in fetch::find_all(world.mirrors, wanted, &container.spack_lock.specs, &asking).await
    {
        match found {
            Ok(Found::Here(entry)) => {
                let is_here =
                    entry.path().is_some() || world.cache.blob(&entry.tarball.digest).is_some();
                if is_here {
                    packages.here.push(*entry)
                } else {
                    packages.to_fetch.push(*entry)
                }
            }
            Ok(Found::Nowhere(missing)) => packages.missing.push(missing),
            Err(error) => errors.push(error),
        }
    }
    match errors.is_empty() {
        true => Ok(packages),
        false => Err(build_failure(spacktainers::build::BuildError::Find(errors))),
    }
}

fn size(entries: &[CacheEntry]) -> u64 {
    entries.iter().map(|entry| entry.tarball.size).sum()
}

fn package_lines(decided: &Decided<'_>, packages: &Packages) -> Vec<String> {
    let mut lines = vec![format!(
        "  {} packages, {} externals from the base: {} here ({}), {} to fetch ({})",
        decided.packages.len(),
        decided.externals.len(),
        packages.here.len(),
        bytes(size(&packages.here)),
        packages.to_fetch.len(),
        bytes(size(&packages.to_fetch)),
    )];
    for entry in &packages.to_fetch {
        lines.push(format!(
            "    fetch {} ({}) from {}",
            entry.package,
            bytes(entry.tarball.size),
            entry.mirror_url
        ));
    }
    for missing in &packages.missing {
        let mirrors = missing
            .asked
            .iter()
            .chain(&missing.offline)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        lines.push(format!(
            "    build {}: in no mirror ({mirrors})",
            missing.package
        ));
    }
    lines
}

/// Bytes of locked package layers that the image at the target does not have; unknown while nothing is locked.
fn to_send(container: &Container<'_>, found: Option<&Existing>) -> Option<u64> {
    let LockState::Current(lock, _) = &container.lock_state else {
        return None;
    };
    let has = |digest| {
        found.is_some_and(|it| {
            it.manifest
                .layers
                .iter()
                .any(|layer| layer.digest == digest)
        })
    };
    Some(
        lock.layers
            .iter()
            .filter(|layer| !has(layer.digest))
            .map(|layer| layer.size)
            .sum(),
    )
}

fn document(
    definition: &Definition,
    container: &Container<'_>,
    packages: &Packages,
    targets: Vec<Value>,
) -> Value {
    let entries = |entries: &[CacheEntry]| -> Vec<Value> {
        entries
            .iter()
            .map(|it| json!({"package": it.package, "hash": it.hash.to_string(), "size": it.tarball.size, "mirror": it.mirror_url}))
            .collect()
    };
    let missing: Vec<Value> = packages
        .missing
        .iter()
        .map(|it| json!({"package": it.package, "hash": it.hash.to_string(), "asked": it.asked, "offline": it.offline}))
        .collect();
    json!({
        "event": "result",
        "container": definition.name,
        "arch": definition.platform_name(),
        "version": container.version(),
        "lock": container.lock_state.to_string(),
        "here": entries(&packages.here),
        "fetch": entries(&packages.to_fetch),
        "build": missing,
        "targets": targets,
    })
}
