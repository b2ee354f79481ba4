//! `ci build`: the packages of one job of a pipeline, by hash.
//!
//! A package whose dependencies are in no mirror is held up: another job should have built them, and has failed. It is
//! not built here once more.

use std::collections::HashSet;

use serde_json::json;
use spack_format::dag_hash::DagHash;
use spack_format::spec::SatisfiesIn;
use spacktainers::build::Container;
use spacktainers::farm::{self, Order, Report};
use spacktainers::pipeline::{Wanted, Work};
use spacktainers::project::Project;

use super::args::CiBuildArgs;
use crate::args::BuildHow;
use crate::commands::farm::{build_orders, farm_failure};
use crate::commands::session::{Session, build_failure};
use crate::commands::{architecture, block_on, sound_project};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(args: &CiBuildArgs, context: &Context) -> Result<Exit, Failure> {
    let hashes = hashes(&args.hashes)?;
    let project = sound_project(context)?;
    let containers = containers(&project, context)?;
    let how = BuildHow {
        build: true,
        no_sandbox: args.no_sandbox,
        insecure: args.insecure.clone(),
        ..BuildHow::default()
    };
    block_on(async {
        let session = Session::new(&project.settings, &how.insecure, context).await?;
        let orders = orders(&containers, &hashes)?;
        let world = session.world(context);
        let mirrors = farm::ask(&orders, &world).await.map_err(farm_failure)?;
        let wanted: Vec<Wanted<'_>> = orders.iter().zip(&containers).map(wanted).collect();
        let is_there = |hash: &DagHash| mirrors.get(hash).copied().unwrap_or(true);
        let work = Work::missing(&wanted, is_there, |_| None);
        let (ours, held_up) = split(&work, &hashes);
        let orders = orders.into_iter().map(|order| {
            let ours = order
                .wanted()
                .iter()
                .filter(|it| ours.contains(it))
                .copied()
                .collect();
            order.only(ours)
        });
        let orders: Vec<Order<'_>> = orders.filter(|it| !it.wanted().is_empty()).collect();
        let report = match orders.is_empty() {
            // Nothing to build needs no Spack.
            true => Report::default(),
            false => build_orders(&orders, &project, &how, &session, context).await?,
        };
        for title in &held_up {
            printer::err(&format!(
                "not built: {title}, as what it needs is in no mirror"
            ));
        }
        if context.json {
            let there = hashes.len() - ours.len() - held_up.len();
            let document = json!({
                "event": "result", "built": report.built, "there": there, "held_up": held_up,
                "failed": report.failed.iter().map(|it| &it.package).collect::<Vec<_>>(),
            });
            printer::out(&document.to_string());
        }
        let is_whole = report.failed.is_empty() && report.held_up.is_empty() && held_up.is_empty();
        Ok(if is_whole { Exit::Done } else { Exit::Missing })
    })
}

/// The containers of the architecture that have been solved.
fn containers<'p>(project: &'p Project, context: &Context) -> Result<Vec<Container<'p>>, Failure> {
    let selected = project
        .select(&[], architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let loaded = selected.into_iter().map(|it| Container::load(project, it));
    Ok(loaded.filter_map(Result::ok).collect())
}

fn hashes(texts: &[String]) -> Result<Vec<DagHash>, Failure> {
    let parse = |text: &String| {
        text.trim_start_matches('/').parse().map_err(|error| {
            let why =
                anyhow::Error::new(error).context(format!("`{text}` is not the hash of a package"));
            Failure::new(Exit::Usage, why)
        })
    };
    texts.iter().map(parse).collect()
}

/// For each container those of the hashes that its lock is the first to have.
fn orders<'a>(
    containers: &'a [Container<'_>],
    hashes: &[DagHash],
) -> Result<Vec<Order<'a>>, Failure> {
    let mut open: HashSet<DagHash> = hashes.iter().copied().collect();
    let mut orders = Vec::new();
    for container in containers {
        let specs = &container.spack_lock.specs;
        let satisfies = SatisfiesIn::new(specs);
        let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
        let order = container.order(&satisfies).map_err(build_failure)?;
        let ours = hashes
            .iter()
            .filter(|it| specs.get(it).is_some() && open.remove(it));
        orders.push(order.only(ours.copied().collect()));
    }
    match open.iter().min() {
        None => Ok(orders),
        Some(hash) => Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("no `spack.lock` of the project has the package /{hash}"),
        )
        .hint(
            "the pipeline was made from other locks: make it again with `spacktainers ci generate`",
        )),
    }
}

fn wanted<'a>((order, container): (&'a Order<'_>, &'a Container<'_>)) -> Wanted<'a> {
    Wanted {
        name: &container.definition.name,
        architecture: container.definition.architecture,
        packages: Some((order.specs(), order.wanted())),
        is_solved: true,
        why: Some(""),
    }
}

/// The packages to build, and the titles of those that have to wait for others that are not ours to build.
fn split(work: &Work, hashes: &[DagHash]) -> (HashSet<DagHash>, Vec<String>) {
    let mut can: Vec<bool> = Vec::with_capacity(work.packages.len());
    let (mut ours, mut held_up) = (HashSet::new(), Vec::new());
    for package in &work.packages {
        let is_ours = hashes.contains(&package.hash);
        let is_free = is_ours && package.after.iter().all(|it| can.get(*it) == Some(&true));
        can.push(is_free);
        if is_free {
            ours.insert(package.hash);
        } else if is_ours {
            held_up.push(format!(
                "{}@{} /{}",
                package.name,
                package.version,
                package.hash.short()
            ));
        }
    }
    (ours, held_up)
}
