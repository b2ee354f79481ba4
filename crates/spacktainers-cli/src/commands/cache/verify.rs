//! `cache verify`: every signature and every blob.

use serde_json::json;
use spacktainers::build_cache::verify;
use spacktainers::fetch::Context as FetchContext;

use super::super::{block_on, session};
use super::args::VerifyArgs;
use super::named::Looked;
use super::{failure, named, sentence};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let mirrors = named::all(&args.mirrors, &settings, |_| true, "at all")?;
    let cache = context.local_cache()?;
    block_on(async {
        let access = session::access(&settings, &[], context);
        let fetch = FetchContext {
            cache: &cache,
            reporter: &*context.reporter,
            jobs: context.jobs,
            now: std::time::SystemTime::now(),
        };
        let mut faults = 0;
        for mirror in &mirrors {
            let trust = mirror.trust(&args.trust)?;
            let (url, report) = match mirror.look(&access).await? {
                Looked::Catalog(catalog) => {
                    let report = verify(&catalog, &trust, &fetch).await;
                    (catalog.url().to_owned(), report)
                }
                Looked::Registry(cache) => {
                    let report = cache.verify(&trust, &fetch).await;
                    (cache.url().to_owned(), report)
                }
            };
            let report = report.map_err(failure)?;
            faults += report.faults.len();
            let told: Vec<(String, String)> = report
                .faults
                .iter()
                .map(|it| (it.key.clone(), sentence(&it.fault)))
                .collect();
            if context.json {
                let document = json!({
                    "event": "result",
                    "mirror": url,
                    "entries": report.entries,
                    "bytes": report.bytes,
                    "unindexed": report.unindexed,
                    "faults": told
                        .iter()
                        .map(|(key, why)| json!({"key": key, "why": why}))
                        .collect::<Vec<_>>(),
                });
                printer::out(&document.to_string());
            }
            for (key, why) in &told {
                if why.contains(key.as_str()) {
                    printer::err(&format!("wrong: {why}"));
                } else {
                    printer::err(&format!("wrong: {key}: {why}"));
                }
            }
            if context.verbosity > Verbosity::Quiet {
                printer::err(&format!(
                    "{}: {} entries, {} read, {} faults; {} entries are not in the index",
                    url,
                    report.entries,
                    printer::bytes(report.bytes),
                    told.len(),
                    report.unindexed
                ));
            }
        }
        Ok(if faults == 0 {
            Exit::Done
        } else {
            Exit::Unverified
        })
    })
}
