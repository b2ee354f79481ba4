//! `cache sync`: what another build cache does not have.

use serde_json::json;
use spacktainers::build_cache::{
    Destination, IndexScope, PushOptions, RegistryCache, Signing, SyncReport, sync, update_index,
};
use spacktainers::fetch::{Context as FetchContext, Trust};
use spacktainers::mirror::{SharedWriter, WriteTarget};

use super::super::{block_on, session};
use super::args::SyncArgs;
use super::named::{Looked, Named};
use super::{failure, named, sentence};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) fn run(args: &SyncArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let from = named::one(&args.from, &settings)?;
    let to = named::one(&args.to, &settings)?;
    let trust = from.trust(&args.trust)?;
    let key = args.sign.as_deref();
    let key = key.map(|text| named::secret_key(text, &args.passphrase));
    let signing = key.transpose()?.map(Signing::Key);
    let cache = context.local_cache()?;
    block_on(async {
        let access = session::access(&settings, &[], context);
        let copying = Copying {
            to: &to,
            trust: &trust,
            with_index: !args.no_index,
            fetch: FetchContext {
                cache: &cache,
                reporter: &*context.reporter,
                jobs: context.jobs,
                now: std::time::SystemTime::now(),
            },
        };
        let source = from.look(&access).await?;
        let (url, report) = match to.target(&access).await? {
            WriteTarget::Objects(writer) => copying.to_objects(source, writer, signing).await?,
            WriteTarget::Repository(_) if signing.is_some() => {
                let error =
                    anyhow::anyhow!("`{}` is a registry, whose packages are not signed", to.name);
                return Err(Failure::new(Exit::Usage, error).hint("leave --sign away"));
            }
            WriteTarget::Repository(repository) => {
                let there = RegistryCache::new(repository, PushOptions::default());
                copying.to_registry(source, there).await?
            }
        };
        Ok(told(&url, &report, context))
    })
}

/// What all ways of copying have in common.
struct Copying<'a> {
    to: &'a Named,
    trust: &'a Trust,
    with_index: bool,
    fetch: FetchContext<'a>,
}

impl Copying<'_> {
    async fn to_objects(
        &self,
        source: Looked,
        writer: SharedWriter,
        signing: Option<Signing>,
    ) -> Result<(String, SyncReport), Failure> {
        let report = match source {
            Looked::Catalog(catalog) => {
                sync(&catalog, &writer, signing.as_ref(), self.trust, &self.fetch).await
            }
            Looked::Registry(images) => {
                if signing.is_none() && self.to.is_signed() {
                    let error = anyhow::anyhow!(
                        "what comes from a registry is not signed, and `{}` takes signed packages only",
                        self.to.name
                    );
                    return Err(Failure::new(Exit::Usage, error)
                        .hint("give the secret key that signs the copies with --sign KEY"));
                }
                let signing = signing.unwrap_or(Signing::Unsigned);
                let there = Destination::new(writer.clone(), signing, PushOptions::default());
                images.copy_to(&there, self.trust, &self.fetch).await
            }
        };
        let report = report.map_err(failure)?;
        if self.with_index {
            let updated = update_index(&writer, IndexScope::Pending, &self.fetch).await;
            updated.map_err(failure)?;
        }
        Ok((writer.url().to_owned(), report))
    }

    async fn to_registry(
        &self,
        source: Looked,
        there: RegistryCache,
    ) -> Result<(String, SyncReport), Failure> {
        let report = match source {
            Looked::Catalog(catalog) => there.copy_from(&catalog, self.trust, &self.fetch).await,
            Looked::Registry(images) => {
                images
                    .copy_to_registry(&there, self.trust, &self.fetch)
                    .await
            }
        };
        let report = report.map_err(failure)?;
        if self.with_index {
            let updated = there.update_index(IndexScope::Pending, &self.fetch).await;
            updated.map_err(failure)?;
        }
        Ok((there.url().to_owned(), report))
    }
}

fn told(url: &str, report: &SyncReport, context: &Context) -> Exit {
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
            "{url}: {} entries copied ({}), {} were there",
            report.copied,
            printer::bytes(report.bytes),
            report.present
        ));
    }
    if report.faults.is_empty() {
        Exit::Done
    } else {
        Exit::Unverified
    }
}
