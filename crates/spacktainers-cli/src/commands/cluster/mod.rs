//! `farm`: what a scheduler builds, and who builds at all.

pub(crate) mod args;
mod status;
mod work;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::absolute;

use spacktainers::farm::cluster::{Cluster, JobCommand, Ordering};
use spacktainers::farm::slurm::Slurm;
use spacktainers::farm::{Executor, ExecutorKind, Local};
use spacktainers::project::{Project, SETTINGS_FILE};

use super::farm::farm_failure;
use super::session::environment;
use super::{block_on, sound_project};
use crate::args::BuildHow;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

use args::{FarmArgs, FarmCommand, On};

pub(super) fn run(args: &FarmArgs, context: &Context) -> Result<Exit, Failure> {
    if let FarmCommand::Work(args) = &args.command {
        return work::run(args, context);
    }
    let project = sound_project(context)?;
    let cluster = cluster(&project, Vec::new(), context)?;
    block_on(async {
        match &args.command {
            FarmCommand::Status { all } => status::show(&cluster, *all, context).await,
            FarmCommand::Cancel { run } => {
                let ended = cluster.cancel(run.as_deref(), &*context.reporter).await;
                let ended = ended.map_err(farm_failure)?;
                if context.json {
                    let document = serde_json::json!({"event": "result", "ended": ended});
                    printer::out(&document.to_string());
                } else if ended.is_empty() {
                    printer::err("nothing is underway");
                }
                for run in ended.iter().filter(|_| !context.json) {
                    printer::err(&format!("ended the run {run}"));
                }
                Ok(Exit::Done)
            }
            FarmCommand::Work(_) => Ok(Exit::Done),
        }
    })
}

/// Who builds, by the command line, else by the settings.
pub(super) fn executor(
    project: &Project,
    how: &BuildHow,
    context: &Context,
) -> Result<Box<dyn Executor>, Failure> {
    let kind = match how.farm.on {
        Some(On::Local) => ExecutorKind::Local,
        Some(On::Slurm) => ExecutorKind::Slurm,
        None => project.settings.farm.executor,
    };
    if kind == ExecutorKind::Local {
        if how.farm.attach {
            let why = anyhow::anyhow!(
                "what this machine builds ends with the program: there is nothing to attach to"
            );
            return Err(Failure::new(Exit::Usage, why).hint("add --on slurm"));
        }
        return Ok(Box::new(Local));
    }
    let mut behind = Vec::new();
    if how.no_sandbox {
        behind.push("--no-sandbox".to_owned());
    }
    for host in &how.insecure {
        behind.extend(["--insecure".to_owned(), host.clone()]);
    }
    let cluster = cluster(project, behind, context)?;
    Ok(Box::new(cluster.only_attach(how.farm.attach)))
}

/// The cluster of the settings, whose jobs run this program with `behind` at its end.
fn cluster(project: &Project, behind: Vec<String>, context: &Context) -> Result<Cluster, Failure> {
    let fault = |error: std::io::Error| Failure::new(Exit::Fault, error);
    let folder = absolute(&project.folder).map_err(fault)?;
    let settings = match fs::read_to_string(folder.join(SETTINGS_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.map_err(fault)?,
    };
    let mut batch = project.settings.farm.batch.clone();
    batch.shared = batch.shared.map(absolute).transpose().map_err(fault)?;
    // Everyone has their own, also where several build on one node.
    let user = fs::metadata("/proc/self").map_err(fault)?.uid();
    let cache = batch.scratch.join(format!("spacktainers-{user}"));
    let text = |path: &std::path::Path| path.display().to_string();
    let mut before = vec!["--project".to_owned(), text(&folder)];
    before.extend(["--cache".to_owned(), text(&cache)]);
    if context.offline {
        before.push("--offline".to_owned());
    }
    let command = JobCommand {
        program: std::env::current_exe().map_err(fault)?,
        before,
        behind,
    };
    let slurm = Slurm::new(project.settings.farm.slurm.clone(), environment());
    let ordering = Ordering {
        project: folder,
        settings,
    };
    Ok(Cluster::new(Box::new(slurm), batch, command, ordering))
}
