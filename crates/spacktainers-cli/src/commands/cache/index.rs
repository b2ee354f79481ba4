//! `cache index`: the index for plain Spack.

use serde_json::json;
use spacktainers::build_cache::{IndexScope, update_index};
use spacktainers::fetch::Context as FetchContext;

use super::super::{block_on, session};
use super::args::IndexArgs;
use super::{failure, named};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) fn run(args: &IndexArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let mirrors = named::all(&args.mirrors, &settings, |it| it.push, "with `push = true`")?;
    let cache = context.local_cache()?;
    let scope = if args.rebuild {
        IndexScope::Rebuild
    } else {
        IndexScope::All
    };
    block_on(async {
        let access = session::access(&settings, &[], context);
        let fetch = FetchContext {
            cache: &cache,
            reporter: &*context.reporter,
            jobs: context.jobs,
            now: std::time::SystemTime::now(),
        };
        let mut exit = Exit::Done;
        for mirror in &mirrors {
            let writer = mirror.writer(&access).await?;
            let report = update_index(&writer, scope, &fetch)
                .await
                .map_err(failure)?;
            if context.json {
                let document = json!({
                    "event": "result",
                    "mirror": writer.url(),
                    "packages": report.packages,
                    "added": report.added,
                    "removed": report.removed,
                    "skipped": report.skipped.iter().map(|(key, _)| key).collect::<Vec<_>>(),
                });
                printer::out(&document.to_string());
            } else if context.verbosity > Verbosity::Quiet {
                printer::err(&format!(
                    "{}: {} packages in the index, {} new, {} gone",
                    writer.url(),
                    report.packages,
                    report.added,
                    report.removed
                ));
            }
            if !report.skipped.is_empty() {
                exit = Exit::Unverified;
            }
        }
        Ok(exit)
    })
}
