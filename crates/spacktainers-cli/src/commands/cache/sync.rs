//! `cache sync`: what another build cache does not have.

use serde_json::json;
use spacktainers::build_cache::{IndexScope, sync, update_index};
use spacktainers::fetch::Context as FetchContext;

use super::super::{block_on, session};
use super::args::SyncArgs;
use super::{failure, named, sentence};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) fn run(args: &SyncArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let from = named::one(&args.from, &settings)?;
    let to = named::one(&args.to, &settings)?;
    let trust = from.trust(&args.trust)?;
    let cache = context.local_cache()?;
    block_on(async {
        let access = session::access(&settings, &[], context);
        let fetch = FetchContext {
            cache: &cache,
            reporter: &*context.reporter,
            jobs: context.jobs,
            now: std::time::SystemTime::now(),
        };
        let catalog = from.catalog(&access).await?;
        let writer = to.writer(&access).await?;
        let report = sync(&catalog, &writer, &trust, &fetch)
            .await
            .map_err(failure)?;
        if !args.no_index {
            update_index(&writer, IndexScope::Pending, &fetch)
                .await
                .map_err(failure)?;
        }
        for (key, fault) in &report.faults {
            printer::err(&format!("not copied: {key}: {}", sentence(fault)));
        }
        if context.json {
            let faults: Vec<_> = report
                .faults
                .iter()
                .map(|(key, fault)| json!({"key": key, "why": sentence(fault)}))
                .collect();
            let document = json!({
                "event": "result",
                "copied": report.copied,
                "present": report.present,
                "bytes": report.bytes,
                "faults": faults,
            });
            printer::out(&document.to_string());
        } else if context.verbosity > Verbosity::Quiet {
            printer::err(&format!(
                "{}: {} entries copied ({}), {} were there",
                writer.url(),
                report.copied,
                printer::bytes(report.bytes),
                report.present
            ));
        }
        Ok(if report.faults.is_empty() {
            Exit::Done
        } else {
            Exit::Unverified
        })
    })
}
