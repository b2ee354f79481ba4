//! `promote`: what one environment has, to another one; by digest, without building.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use spacktainers::project::{Definition, DefinitionKind};
use spacktainers::publish::release::gather;

use super::checkout::checkout;
use super::outcome::receipt_line;
use super::publish::{environment, version};
use super::release::{ReleaseHow, all_places, failure, receipt_json};
use super::session::Session;
use super::{architecture, block_on, sound_project};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// Containers
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// The `[publish.ENVIRONMENT]` that has them
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) from: String,
    /// The one that gets them
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) to: String,
    /// Let versions that are published there get other content
    #[arg(long)]
    pub(crate) replace: bool,
    /// The branch whose images are meant; default: what the CI system says, else git
    #[arg(long, value_name = "BRANCH")]
    pub(crate) branch: Option<String>,
    /// Write a receipt for every place into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) receipts: Option<PathBuf>,
    /// Speak to these registries without TLS (loopback addresses need no mention)
    #[arg(long = "insecure", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
}

pub(super) fn run(args: &PromoteArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let (_, from) = environment(&project, Some(&args.from))?;
    let (to_name, to) = environment(&project, Some(&args.to))?;
    let selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    if let Some(deffile) = selected.iter().find(|it| is_deffile(it)) {
        let why = anyhow::anyhow!(
            "{} is made from a definition file, and only images are promoted",
            deffile.title()
        );
        return Err(Failure::new(Exit::Usage, why).hint("publish it to the other environment"));
    }
    let branch = args.branch.as_deref();
    let how = ReleaseHow {
        project: &project,
        environment: to_name,
        settings: to,
        ecr: &project.settings.ecr,
        checkout: checkout(&project.folder, branch, to.main.as_deref()),
        replaces: args.replace,
        receipts: args.receipts.as_deref(),
    };
    let source = checkout(&project.folder, branch, from.main.as_deref()).branch;
    block_on(async {
        let session = Session::new(&project.settings, &args.insecure, context).await?;
        let mut worst = Exit::Done;
        for definition in selected {
            let start = Instant::now();
            let publishing = session.publishing(&project, definition, context);
            let promoted = async {
                let version = version(&project, definition)?;
                let sources = all_places(&project, from, definition, &version, &source)?;
                let gathered = gather(&sources, &publishing).await.map_err(failure)?;
                let places = how
                    .places(definition, &version, &publishing, context)
                    .await?;
                let sent = how.promoted(&gathered, &places, definition, &version, &publishing);
                let receipts = sent.await?;
                let digest = gathered.image.manifest_descriptor.digest;
                Ok::<_, Failure>((version, receipts, digest))
            };
            match promoted.await {
                Ok((version, receipts, digest)) => {
                    if context.json {
                        let targets: Vec<Value> = receipts.iter().map(receipt_json).collect();
                        let document = json!({
                            "event": "result",
                            "container": definition.name,
                            "arch": definition.architecture.as_str(),
                            "version": version,
                            "state": "promoted",
                            "from": args.from,
                            "to": args.to,
                            "digest": digest.to_string(),
                            "targets": targets,
                            "seconds": start.elapsed().as_secs_f64(),
                        });
                        printer::out(&document.to_string());
                    }
                    if context.verbosity > printer::Verbosity::Quiet {
                        for receipt in &receipts {
                            printer::err(&receipt_line(&receipt.receipt));
                        }
                    }
                }
                Err(failure) => {
                    worst = worst.max(failure.exit);
                    super::report(&failure, context.json);
                }
            }
        }
        Ok(worst)
    })
}

fn is_deffile(definition: &Definition) -> bool {
    matches!(definition.kind, DefinitionKind::Deffile(_))
}
