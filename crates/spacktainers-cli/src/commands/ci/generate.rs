//! `ci generate`: the committed files, and what one run has to do.

use std::path::Path;

use serde_json::{Value, json};
use spack_format::spec::SatisfiesIn;
use spacktainers::base::BaseArchitecture;
use spacktainers::build::Container;
use spacktainers::farm::Order;
use spacktainers::outstanding::{Asked, everything, outstanding};
use spacktainers::pipeline::{
    Pipeline, Publishing, System, TooBig, Work, github, gitlab, longest_chain, slurm,
};
use spacktainers::project::{Definition, Project};

use super::args::GenerateArgs;
use super::files;
use crate::commands::checkout::checkout;
use crate::commands::farm::farm_failure;
use crate::commands::release::all_places;
use crate::commands::session::Session;
use crate::commands::{affected, architecture, block_on, publish, sound_project};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) fn run(args: &GenerateArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let system = System::from(args.system);
    let folder = args.output.as_deref().unwrap_or(&context.project);
    if args.dynamic || system == System::Slurm {
        return dynamic(args, system, &project, folder, context);
    }
    let files = committed(&project, system)?;
    if args.check {
        let again = format!("spacktainers ci generate --for {}", system.as_str());
        return files::check(folder, &files, &again, context);
    }
    files::write(folder, &files, context)?;
    Ok(Exit::Done)
}

/// The files that are committed. They follow from settings, definitions and locks alone.
pub(in crate::commands) fn committed(
    project: &Project,
    system: System,
) -> Result<Vec<(String, String)>, Failure> {
    let selected = all(project)?;
    match system {
        System::Gitlab => {
            let text = gitlab::committed(&project.settings, &architectures(&selected));
            Ok(vec![(gitlab::FILE.to_owned(), text)])
        }
        System::Github => {
            let containers = load(project, &selected);
            let all = everything(&asked(&selected, &containers), &project.settings);
            github::committed(&project.settings, &all).map_err(too_big)
        }
        System::Slurm => Ok(Vec::new()),
    }
}

/// All containers: somebody may ask for one that is skipped otherwise.
fn all(project: &Project) -> Result<Vec<&Definition>, Failure> {
    let selected = project.select(&[], None);
    selected.map_err(|error| Failure::new(Exit::Usage, error))
}

fn architectures(selected: &[&Definition]) -> Vec<BaseArchitecture> {
    let mut all: Vec<BaseArchitecture> = selected.iter().map(|it| it.architecture).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Each definition with its locks, as far as it has any.
fn load<'p>(project: &'p Project, selected: &[&'p Definition]) -> Vec<Option<Container<'p>>> {
    let load = |it: &&'p Definition| Container::load(project, it).ok();
    selected.iter().map(load).collect()
}

fn asked<'a>(
    selected: &[&'a Definition],
    containers: &'a [Option<Container<'a>>],
) -> Vec<Asked<'a>> {
    let pairs = selected.iter().zip(containers);
    pairs
        .map(|(definition, container)| Asked {
            definition,
            container: container.as_ref(),
            order: container.as_ref().and_then(order),
            targets: Vec::new(),
        })
        .collect()
}

/// What mirrors have to hold for a container. A lock that does not fit its definition has no packages to build before:
/// publishing it will say why.
fn order<'a>(container: &'a Container<'_>) -> Option<Order<'a>> {
    let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
    let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
    container.order(&satisfies).ok()
}

/// What this run has to do.
fn dynamic(
    args: &GenerateArgs,
    system: System,
    project: &Project,
    folder: &Path,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    if args.names.is_empty() {
        selected.retain(|it| !project.settings.ci.skip.contains(&it.name));
    }
    if let Some(base) = &args.affected_by {
        affected::keep(&mut selected, project, base, context)?;
    }
    let environment = match project.settings.publish.is_empty() {
        true => None,
        false => Some(publish::environment(project, args.environment.as_deref())?),
    };
    let name = environment.map(|(name, _)| name);
    let containers = load(project, &selected);
    let mut wanted = asked(&selected, &containers);
    if let Some((_, settings)) = environment {
        let branch = checkout(&project.folder, None, settings.main.as_deref()).branch;
        for it in &mut wanted {
            if let Some(container) = it.container {
                let version = container.version().unwrap_or_default();
                let places =
                    all_places(project, settings, container.definition, &version, &branch)?;
                it.targets = places.into_iter().map(|it| it.target).collect();
            }
        }
    }
    let work = block_on(async {
        let session = Session::new(&project.settings, &[], context).await?;
        let publish = session.publish_context(context);
        outstanding(
            &wanted,
            &project.settings,
            &session.world(context),
            &publish,
        )
        .await
        .map_err(farm_failure)
    })?;
    let publishing = Publishing {
        environment: name,
        updates_base: args.update_base,
        sandbox: project.settings.ci.sandbox,
    };
    let pipeline = Pipeline::of(&work, system, &project.settings.ci);
    tell(&work, &pipeline, context);
    match system {
        System::Gitlab => {
            let known = all(project)?;
            let mut files = Vec::new();
            for architecture in architectures(&known) {
                let text = gitlab::child(
                    &project.settings,
                    architecture,
                    &work,
                    &pipeline,
                    &publishing,
                );
                files.push((gitlab::child_file(architecture), text.map_err(too_big)?));
            }
            files::write(folder, &files, context)?;
        }
        System::Github => {
            let known = all(project)?;
            let containers = load(project, &known);
            let whole = everything(&asked(&known, &containers), &project.settings);
            let text = github::outputs(&project.settings, &whole, &work).map_err(too_big)?;
            match context.json {
                true => printer::out(&json!({"event": "result", "outputs": text}).to_string()),
                false => printer::out(text.trim_end()),
            }
        }
        System::Slurm => {
            let text = slurm::script(&project.settings, &work, &publishing);
            files::write(folder, &[(slurm::FILE.to_owned(), text)], context)?;
        }
    }
    Ok(Exit::Done)
}

fn too_big(error: TooBig) -> Failure {
    let hint = error.hint();
    Failure::new(Exit::Usage, error).hint(hint)
}

fn tell(work: &Work, pipeline: &Pipeline, context: &Context) {
    if context.json {
        printer::out(&document(work, pipeline).to_string());
    }
    if context.verbosity == Verbosity::Quiet {
        return;
    }
    let count = |number: usize, what: &str| {
        format!("{number} {what}{}", if number == 1 { "" } else { "s" })
    };
    for container in &work.containers {
        let unsolved = if container.is_solved {
            ""
        } else {
            "; its packages are chosen and built as it is published"
        };
        printer::err(&format!(
            "{} ({}): {}{unsolved}",
            container.name, container.architecture, container.why
        ));
    }
    printer::err(&format!(
        "{} to build, {} to publish, in {}; the longest chain takes about {} min",
        count(work.packages.len(), "package"),
        count(work.containers.len(), "container"),
        count(pipeline.jobs.len(), "job"),
        longest_chain(&work.tasks()).div_ceil(60),
    ));
}

/// The plan, for programs.
fn document(work: &Work, pipeline: &Pipeline) -> Value {
    let package = |it: &usize| work.packages.get(*it).map(|it| it.hash.to_string());
    let container = |it: &usize| work.containers.get(*it).map(|it| it.name.clone());
    let jobs = pipeline.jobs.iter().map(|job| {
        let after = job.after.iter().filter_map(|it| pipeline.jobs.get(*it));
        json!({
            "id": job.id,
            "arch": job.architecture.as_str(),
            "after": after.map(|it| &it.id).collect::<Vec<_>>(),
            "packages": job.packages.iter().filter_map(package).collect::<Vec<_>>(),
            "containers": job.containers.iter().filter_map(container).collect::<Vec<_>>(),
            "seconds": job.seconds,
        })
    });
    let containers = work.containers.iter().map(|it| {
        json!({"name": it.name, "arch": it.architecture.as_str(), "solved": it.is_solved, "because": it.why})
    });
    json!({
        "event": "plan",
        "packages": work.packages.len(),
        "containers": containers.collect::<Vec<_>>(),
        "jobs": jobs.collect::<Vec<_>>(),
        "longest_chain_seconds": longest_chain(&work.tasks()),
    })
}
