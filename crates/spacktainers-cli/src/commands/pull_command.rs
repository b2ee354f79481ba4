//! `pull-command`: what somebody has to type to get a published container.
//!
//! | for | from a registry | a SIF file in a registry | a SIF file in a bucket |
//! |---|---|---|---|
//! | apptainer | `apptainer pull` | `apptainer pull` | `spacktainers pull` |
//! | podman, docker | `podman pull` | | |
//! | sarus | `sarus pull` | | |
//!
//! Before a registry that lets nobody in without a login, `spacktainers login` stands: it has the token from AWS, which these
//! programs would have to be given by hand.

use std::process::Command;

use serde_json::{Value, json};
use spacktainers::publish::Target;
use spacktainers::publish::release::Branch;
use spacktainers::registry::ecr::EcrHost;

use super::publish::{environment, version};
use super::{architecture, run::host_architecture, sound_project};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// Who runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Runtime {
    Apptainer,
    Podman,
    Docker,
    Sarus,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PullCommandArgs {
    /// A container of the project
    pub(crate) name: String,
    /// For which program
    #[arg(long = "for", value_name = "PROGRAM", default_value = "apptainer")]
    pub(crate) runtime: Runtime,
    /// Which `[publish.ENVIRONMENT]` of the settings; may be left out where there is but one
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Run it, and not only print it: the first way that there is
    #[arg(long)]
    pub(crate) run: bool,
}

/// One way to get the container.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    source: Target,
    /// Lines for a shell.
    commands: Vec<String>,
}

pub(super) fn run(args: &PullCommandArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let (environment, settings) = environment(&project, args.environment.as_deref())?;
    let architecture = architecture(context)?.unwrap_or_else(host_architecture);
    let names = [args.name.clone()];
    let selected = project
        .select(&names, Some(architecture))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let definition = selected[0];
    let version = version(&project, definition)?;
    let places =
        super::release::all_places(&project, settings, definition, &version, &Branch::Main)?;
    let ways: Vec<Way> = places
        .into_iter()
        .filter_map(|place| way(place.target, &args.name, environment, args.runtime))
        .collect();
    let Some(first) = ways.first() else {
        let why = anyhow::anyhow!(
            "`{}` is published nowhere in `{environment}` that {} can pull from",
            args.name,
            program(args.runtime)
        );
        return Err(Failure::new(Exit::Usage, why));
    };
    if args.run {
        return execute(first);
    }
    if context.json {
        let ways: Vec<Value> = ways
            .iter()
            .map(|it| json!({"source": it.source.to_string(), "commands": it.commands}))
            .collect();
        let document = json!({
            "event": "result",
            "container": definition.name,
            "arch": architecture.as_str(),
            "version": version,
            "environment": environment,
            "for": program(args.runtime),
            "ways": ways,
        });
        printer::out(&document.to_string());
        return Ok(Exit::Done);
    }
    for way in &ways {
        printer::out(&format!("# {}", way.source));
        for command in &way.commands {
            printer::out(command);
        }
    }
    Ok(Exit::Done)
}

fn program(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Apptainer => "apptainer",
        Runtime::Podman => "podman",
        Runtime::Docker => "docker",
        Runtime::Sarus => "sarus",
    }
}

fn way(source: Target, name: &str, environment: &str, runtime: Runtime) -> Option<Way> {
    let program = program(runtime);
    let file = quoted(&format!("{name}.sif"));
    let mut commands = Vec::new();
    match (&source, runtime) {
        (Target::Registry(reference), _) => {
            let registry = reference.registry();
            let ecr = EcrHost::parse(registry).filter(|it| !it.is_public);
            match (runtime, &ecr) {
                (Runtime::Sarus, Some(_)) => commands.push(format!(
                    "spacktainers login {registry} --password-stdout | sarus pull --login -u AWS --password-stdin {reference}"
                )),
                _ => {
                    if ecr.is_some() {
                        commands.push(format!("spacktainers login {registry}"));
                    }
                    commands.push(match runtime {
                        Runtime::Apptainer => format!("apptainer pull {file} {source}"),
                        _ => format!("{program} pull {reference}"),
                    });
                }
            }
        }
        (Target::Oras(reference), Runtime::Apptainer) => {
            let registry = reference.registry();
            if EcrHost::parse(registry).is_some_and(|it| !it.is_public) {
                commands.push(format!("spacktainers login {registry}"));
            }
            commands.push(format!("apptainer pull {file} {source}"));
        }
        (Target::Object(_), Runtime::Apptainer) => commands.push(format!(
            "spacktainers pull {} --environment {} --output {file}",
            quoted(name),
            quoted(environment)
        )),
        _ => return None,
    }
    Some(Way { source, commands })
}

/// A word for a shell, as it is where nothing in it means anything to one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn execute(way: &Way) -> Result<Exit, Failure> {
    for line in &way.commands {
        printer::err(line);
        // The line says how to call this very program.
        let ourselves = std::env::current_exe().ok();
        let folder = ourselves.as_deref().and_then(|it| it.parent());
        let search = std::env::var_os("PATH").unwrap_or_default();
        let all = folder
            .map(std::path::Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&search));
        let search = std::env::join_paths(all).unwrap_or(search);
        let status = Command::new("sh")
            .args(["-c", line])
            .env("PATH", search)
            .status()
            .map_err(|error| Failure::new(Exit::Fault, error))?;
        if !status.success() {
            let why = anyhow::anyhow!("`{line}` failed: {status}");
            return Err(Failure::new(Exit::Refused, why));
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(source: &str, runtime: Runtime) -> Vec<String> {
        let source = source.parse().expect("a target");
        way(source, "spike", "production", runtime).map_or_else(Vec::new, |it| it.commands)
    }

    #[test]
    fn ecr_asks_for_a_login_and_others_do_not() {
        let host = "130659266700.dkr.ecr.us-east-1.amazonaws.com";
        let image = format!("docker://{host}/spacktainers/spike:latest");
        let login = format!("spacktainers login {host}");
        assert_eq!(
            commands(&image, Runtime::Apptainer),
            [login.clone(), format!("apptainer pull spike.sif {image}")]
        );
        let reference = image.trim_start_matches("docker://");
        assert_eq!(
            commands(&image, Runtime::Podman),
            [login.clone(), format!("podman pull {reference}")]
        );
        assert_eq!(
            commands(&image, Runtime::Sarus),
            [format!(
                "{login} --password-stdout | sarus pull --login -u AWS --password-stdin {reference}"
            )]
        );
        assert_eq!(
            commands(
                "docker://ghcr.io/bluebrain/spack-spike:1.0",
                Runtime::Docker
            ),
            ["docker pull ghcr.io/bluebrain/spack-spike:1.0"]
        );
    }

    #[test]
    fn sif_files_are_for_apptainer() {
        assert_eq!(
            commands("s3://sif/spike.sif", Runtime::Apptainer),
            ["spacktainers pull spike --environment production --output spike.sif"]
        );
        assert!(commands("s3://sif/spike.sif", Runtime::Podman).is_empty());
        assert!(commands("oras://h.io/a:b", Runtime::Sarus).is_empty());
        assert_eq!(
            commands("oras://h.io/a:b", Runtime::Apptainer),
            ["apptainer pull spike.sif oras://h.io/a:b"]
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
