//! `publish`: what `build` does, to the places that the settings name, in all of them or in none.

use std::path::PathBuf;

use serde_json::json;
use spacktainers::build::Container;
use spacktainers::project::{Definition, DefinitionKind, Project, PublishSettings};
use spacktainers::publish::Target;
use spacktainers::publish::release::{self, Step};

use super::checkout::checkout;
use super::release::ReleaseHow;
use super::session::{Session, container_failure};
use super::{architecture, block_on, build, sound_project};
use crate::args::BuildHow;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// Containers; none means all
    pub(crate) names: Vec<String>,
    /// Which `[publish.ENVIRONMENT]` of the settings; may be left out where there is but one
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Let versions that are published get other content
    #[arg(long)]
    pub(crate) replace: bool,
    /// The branch that is being built; default: what the CI system says, else git
    #[arg(long, value_name = "BRANCH")]
    pub(crate) branch: Option<String>,
    /// Write a receipt for every place into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) receipts: Option<PathBuf>,
    /// Undo a release that was killed between two names: names get back what they meant before
    #[arg(long)]
    pub(crate) roll_back: bool,
    #[command(flatten)]
    pub(crate) how: BuildHow,
}

pub(super) fn run(args: &PublishArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let (name, settings) = environment(&project, args.environment.as_deref())?;
    let templates = settings.templates();
    let selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let how = ReleaseHow {
        project: &project,
        environment: name,
        settings,
        ecr: &project.settings.ecr,
        checkout: checkout(
            &project.folder,
            args.branch.as_deref(),
            settings.main.as_deref(),
        ),
        replaces: args.replace,
        receipts: args.receipts.as_deref(),
    };
    if args.roll_back {
        return roll_back(&project, &selected, &how, &args.how, context);
    }
    let targets = build::Targets {
        templates: &templates,
        release: Some(&how),
    };
    build::build_all(&project, &selected, targets, &args.how, context)
}

/// The environment of that name, and the name; without one, the only one.
pub(super) fn environment<'a>(
    project: &'a Project,
    name: Option<&str>,
) -> Result<(&'a str, &'a PublishSettings), Failure> {
    let known = &project.settings.publish;
    let names = || {
        let names: Vec<&str> = known.keys().map(|it| &**it).collect();
        names.join(", ")
    };
    let usage = |why: String| Failure::new(Exit::Usage, anyhow::anyhow!(why));
    let of = |(name, settings): (&'a String, &'a PublishSettings)| (&**name, settings);
    match (name, known.len()) {
        (Some(name), 1..) => known.get_key_value(name).map(of).ok_or_else(|| {
            usage(format!("there is no environment `{name}`"))
                .hint(format!("the settings have: {}", names()))
        }),
        (None, 2..) => Err(usage("there are several environments".to_owned())
            .hint(format!("choose one with --environment: {}", names()))),
        (_, _) => known.iter().next().map(of).ok_or_else(|| {
            usage("the settings name no place to publish to".to_owned()).hint(
                "add `[publish.production]` with `targets = [\"docker://HOST/{name}\"]` to spacktainers.toml",
            )
        }),
    }
}

/// Gives names back what they meant.
fn roll_back(
    project: &Project,
    selected: &[&Definition],
    how: &ReleaseHow<'_>,
    build: &BuildHow,
    context: &Context,
) -> Result<Exit, Failure> {
    block_on(async {
        let session = Session::new(&project.settings, &build.insecure, context).await?;
        for definition in selected {
            let publishing = session.publishing(project, definition, context);
            let version = version(project, definition)?;
            let places = how
                .places(definition, &version, &publishing, context)
                .await?;
            let targets: Vec<Target> = places.into_iter().map(|it| it.target).collect();
            let steps = release::roll_back(&targets, &publishing).await;
            let steps =
                steps.map_err(|error| super::release::failure(error).about(&definition.title()))?;
            if context.json {
                let steps: Vec<_> = steps
                    .iter()
                    .map(|(target, step)| {
                        let (state, digest) = match step {
                            Step::Restored(digest) => ("restored", Some(digest.to_string())),
                            Step::Untouched => ("untouched", None),
                            Step::New => ("new", None),
                            Step::Gone => ("gone", None),
                        };
                        json!({"target": target.to_string(), "state": state, "digest": digest})
                    })
                    .collect();
                let document = json!({
                    "event": "result",
                    "container": definition.name,
                    "arch": definition.architecture.as_str(),
                    "state": "rolled back",
                    "targets": steps,
                });
                printer::out(&document.to_string());
            }
            for (target, step) in &steps {
                let text = match step {
                    Step::Restored(digest) => format!("{target} is {digest} again"),
                    Step::Untouched => format!("{target} is what it was"),
                    Step::New => format!("{target} is new and stays: it names nothing else"),
                    Step::Gone => format!("{target} stays: what was there before is gone"),
                };
                printer::err(&text);
            }
        }
        Ok(Exit::Done)
    })
}

/// The version that a container has now.
pub(super) fn version(project: &Project, definition: &Definition) -> Result<String, Failure> {
    if let DefinitionKind::Deffile(deffile) = &definition.kind {
        return Ok(deffile.version.clone().unwrap_or_default());
    }
    let container = Container::load(project, definition).map_err(container_failure)?;
    Ok(container.version().unwrap_or_default())
}
