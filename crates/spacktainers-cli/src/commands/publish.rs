//! `publish`: what `build` does, to the places that the settings name.

use spacktainers::project::{Project, PublishSettings};

use super::{architecture, build, sound_project};
use crate::args::PublishArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;

pub(super) fn run(args: &PublishArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let settings = environment(&project, args.environment.as_deref())?;
    let templates: Vec<String> = settings.targets.iter().map(|it| it.0.clone()).collect();
    let selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let targets = build::Targets {
        templates: &templates,
        are_chosen_for_all: true,
    };
    build::build_all(&project, &selected, targets, &args.how, context)
}

/// The environment of that name; without a name, the only one.
pub(super) fn environment<'a>(
    project: &'a Project,
    name: Option<&str>,
) -> Result<&'a PublishSettings, Failure> {
    let known = &project.settings.publish;
    let names = || {
        let names: Vec<&str> = known.keys().map(|it| &**it).collect();
        names.join(", ")
    };
    let usage = |why: String| Failure::new(Exit::Usage, anyhow::anyhow!(why));
    match (name, known.len()) {
        (_, 0) => Err(usage("the settings name no place to publish to".to_owned()).hint(
            "add `[publish.production]` with `targets = [\"docker://HOST/{name}:{version}\"]` to spacktainers.toml",
        )),
        (Some(name), _) => known.get(name).ok_or_else(|| {
            usage(format!("there is no environment `{name}`"))
                .hint(format!("the settings have: {}", names()))
        }),
        (None, 1) => known
            .values()
            .next()
            .ok_or_else(|| usage("the settings name no place to publish to".to_owned())),
        (None, _) => Err(usage("there are several environments".to_owned())
            .hint(format!("choose one with --environment: {}", names()))),
    }
}
