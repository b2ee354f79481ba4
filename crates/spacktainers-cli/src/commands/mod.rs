//! One file per command. Each has the same four steps: arguments, settings, a call of the library, a report.

mod affected;
pub(crate) mod base;
mod build;
pub(crate) mod cache;
mod check;
mod checkout;
pub(crate) mod ci;
pub(crate) mod cluster;
mod completions;
mod debug;
mod doctor;
mod farm;
pub(crate) mod init;
mod list;
mod lock;
pub(crate) mod login;
mod outcome;
mod plan;
mod plan_layers;
pub(crate) mod promote;
pub(crate) mod publish;
mod pull;
pub(crate) mod pull_command;
mod release;
mod replay;
mod run;
mod session;
mod sif;
pub(crate) mod size;
mod solve;
mod spec;
mod stale;
pub(crate) mod trust;
mod verify;
mod verify_cpu;
mod verify_trust;
pub(crate) mod why;

use std::future::Future;

use spacktainers::base::BaseArchitecture;
use spacktainers::project::Project;

use crate::args::{Args, Command};
use crate::context::{Context, Failure};
use crate::diagnostics;
use crate::exit::Exit;
use crate::printer;

/// Runs the command and says how it ended.
pub(crate) fn run(args: &Args) -> Exit {
    let outcome = Context::new(&args.global).and_then(|context| dispatch(args, &context));
    outcome.unwrap_or_else(|failure| {
        report(&failure, args.global.json);
        failure.exit
    })
}

fn dispatch(args: &Args, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Lock(args) => lock::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Build(args) => build::run(args, context),
        Command::Publish(args) => publish::run(args, context),
        Command::Promote(args) => promote::run(args, context),
        Command::Pull(args) => pull::run(args, context),
        Command::HowToPull(args) => pull_command::run(args, context),
        Command::Login(args) => login::run(args, context),
        Command::Replay(args) => replay::run(args, context),
        Command::Run(args) => run::run(args, context),
        Command::Shell { source } => run::shell(source, context),
        Command::Farm(args) => cluster::run(args, context),
        Command::Sif(args) => sif::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Doctor => doctor::run(context),
        Command::Spec { command } => spec::run(command, context),
        Command::Ci(args) => ci::run(args, context),
        Command::Init(args) => init::run(args, context),
        Command::Why(args) => why::run(args, context),
        Command::Cache(args) => cache::run(args, context),
        Command::Base(args) => base::run(args, context),
        Command::Completions { shell } => completions::run(*shell),
    }
}

/// Tells what went wrong: the error, its causes, and what to do.
fn report(failure: &Failure, json: bool) {
    if json {
        let causes: Vec<String> = failure.error.chain().map(ToString::to_string).collect();
        printer::out(
            &serde_json::json!({
                "event": "error",
                "exit": failure.exit as u8,
                "causes": causes,
                "hint": failure.hint,
            })
            .to_string(),
        );
    }
    printer::err(&format!("error: {}", failure.error));
    let mut last = failure.error.to_string();
    for cause in failure.error.chain().skip(1) {
        // An error that is no more than its cause says the same twice.
        let text = cause.to_string();
        if !last.contains(&text) {
            printer::err(&format!("  because: {text}"));
        }
        last = text;
    }
    if let Some(hint) = &failure.hint {
        printer::err(&format!("  help: {hint}"));
    }
}

/// The project, whatever is wrong with it.
fn project(context: &Context) -> Result<Project, Failure> {
    Project::load(&context.project).map_err(|error| {
        Failure::new(Exit::Usage, error).hint(
            "say where the project is with --project DIR, or begin one with a file `container_definitions/amd64/NAME/spack.yaml`",
        )
    })
}

/// The project, if nothing is wrong with it. What is wrong is shown.
fn sound_project(context: &Context) -> Result<Project, Failure> {
    let project = project(context)?;
    show_diagnostics(&project, context);
    if project.has_errors() {
        let count = project
            .diagnostics
            .iter()
            .filter(|fault| fault.is_error())
            .count();
        let text = if count == 1 {
            "there is a fault".to_owned()
        } else {
            format!("there are {count} faults")
        };
        return Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("{text} in the project's files"),
        ));
    }
    Ok(project)
}

fn show_diagnostics(project: &Project, context: &Context) {
    let colours = printer::has_colours();
    for fault in &project.diagnostics {
        if fault.is_error() || context.verbosity > printer::Verbosity::Quiet {
            printer::err(&diagnostics::render(fault, &project.sources, colours));
            printer::err("");
        }
    }
}

/// The architecture of the arguments.
fn architecture(context: &Context) -> Result<Option<BaseArchitecture>, Failure> {
    context
        .arch
        .as_deref()
        .map(|text| {
            BaseArchitecture::parse(text).ok_or_else(|| {
                Failure::new(
                    Exit::Usage,
                    anyhow::anyhow!("there is no architecture `{text}`"),
                )
                .hint("images are made for `amd64` and `arm64`")
            })
        })
        .transpose()
}

/// Runs what has to wait for others.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Fault, error))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = future => outcome,
            // What is being written lies under temporary names: nothing has to be undone.
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::new(Exit::Fault, anyhow::anyhow!("interrupted; run the same command again to go on")))
            }
        }
    })
}
