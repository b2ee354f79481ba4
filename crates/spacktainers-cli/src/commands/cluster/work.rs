//! `farm work`: what a job does on its node.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use spacktainers::farm::Report;
use spacktainers::farm::cluster::JobOrder;
use spacktainers::spack::Spack;

use super::super::farm::{options, tell};
use super::super::session::{Session, access, spack_context, spack_failure};
use super::args::WorkArgs;
use super::{block_on, farm_failure};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(args: &WorkArgs, context: &Context) -> Result<Exit, Failure> {
    let order = JobOrder::open(&args.run, args.batch, &args.job).map_err(farm_failure)?;
    let Some(order) = order else {
        printer::err("another job does this batch");
        return Ok(Exit::Done);
    };
    let outcome = own_folder(&context.cache)
        .and_then(|()| block_on(async { work(&order, args, context).await }));
    let error = outcome.as_ref().err().map(|failure| {
        let texts: Vec<String> = failure.error.chain().map(ToString::to_string).collect();
        texts.join(": ")
    });
    order.end(error).map_err(farm_failure)?;
    let report = outcome?;
    tell(&report, context);
    // For those who look at jobs with the scheduler's programs.
    Ok(
        match report.failed.is_empty() && report.held_up.is_empty() {
            true => Exit::Done,
            false => Exit::Missing,
        },
    )
}

async fn work(order: &JobOrder, args: &WorkArgs, context: &Context) -> Result<Report, Failure> {
    let settings = order.settings().map_err(farm_failure)?;
    let session = Session::new(&settings, &args.insecure, context).await?;
    let spack = spack_context(session.cache().clone(), context);
    let spack = Spack::open(&settings, spack).await.map_err(spack_failure)?;
    let mut options = options(&settings, args.no_sandbox, context)?;
    options.memory = order.memory();
    options.capsules = Some(order.capsules());
    let access = access(&settings, &args.insecure, context);
    let world = session.world(context);
    let report = order.work(&spack, &options, &world, &access).await;
    report.map_err(farm_failure)
}

/// Makes the folder for what this node has fetched and builds, below one that everybody may write to. What somebody else
/// put there under its name is not used.
fn own_folder(folder: &Path) -> Result<(), Failure> {
    let fault = |error: io::Error| {
        let why = anyhow::Error::new(error).context(format!("cannot make `{}`", folder.display()));
        Failure::new(Exit::Fault, why)
    };
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fault(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(folder).map_err(fault)?;
    let user = fs::metadata("/proc/self").map_err(fault)?.uid();
    if !found.is_dir() || found.uid() != user {
        let why = anyhow::anyhow!("`{}` belongs to somebody else", folder.display());
        return Err(Failure::new(Exit::Fault, why)
            .hint("choose another folder of the nodes with `[farm.slurm] scratch`"));
    }
    Ok(())
}
