//! `cache index`: the index for plain Spack.

use serde_json::json;
use spacktainers::build_cache::{IndexScope, PushOptions, RegistryCache, update_index};
use spacktainers::fetch::Context as FetchContext;
use spacktainers::mirror::WriteTarget;

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
            let (url, report) = match mirror.target(&access).await? {
                WriteTarget::Objects(writer) => {
                    let report = update_index(&writer, scope, &fetch).await;
                    (writer.url().to_owned(), report)
                }
                WriteTarget::Repository(repository) => {
                    let cache = RegistryCache::new(repository, PushOptions::default());
                    let report = cache.update_index(scope, &fetch).await;
                    (cache.url().to_owned(), report)
                }
            };
            let report = report.map_err(failure)?;
            if context.json {
                let document = json!({
                    "event": "result",
                    "mirror": url,
                    "packages": report.packages,
                    "added": report.added,
                    "removed": report.removed,
                    "skipped": report.skipped.iter().map(|(key, _)| key).collect::<Vec<_>>(),
                });
                printer::out(&document.to_string());
            } else if context.verbosity > Verbosity::Quiet {
                printer::err(&format!(
                    "{}: {} packages in the index, {} new, {} gone",
                    url, report.packages, report.added, report.removed
                ));
            }
            if !report.skipped.is_empty() {
                exit = Exit::Unverified;
            }
        }
        Ok(exit)
    })
}
