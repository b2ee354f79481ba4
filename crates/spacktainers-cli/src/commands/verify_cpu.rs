//! `verify --cpu TARGET IMAGE`: whether processors of a target can execute all of an image.

use std::path::PathBuf;

use serde_json::json;
use spack_format::microarchitecture::Microarchitecture;
use spacktainers::base::BaseArchitecture;
use spacktainers::cpu::{CpuScanJob, above, scan_all};
use spacktainers::project::Settings;
use spacktainers::source::{self, ImageSource};

use super::session::Session;
use super::{block_on, sif};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(target: &str, image: &str, context: &Context) -> Result<Exit, Failure> {
    let target = Microarchitecture::from_name(target);
    if target.family() != "x86_64" {
        let why = anyhow::anyhow!("`{}` is no target of x86-64", target.name());
        return Err(Failure::new(Exit::Usage, why)
            .hint("only instructions of x86-64 are decoded: `x86_64_v3`, `zen2`"));
    }
    let source = ImageSource::parse(image).map_err(|error| Failure::new(Exit::Usage, error))?;
    let (jobs, records) = block_on(async {
        let session = Session::new(&Settings::default(), &[], context).await?;
        let mut base = session.base().clone();
        // What is typed is taken from where it is typed.
        base.folder = PathBuf::new();
        let loaded = source::load(&source, BaseArchitecture::Amd64, &base)
            .await
            .map_err(sif::load_failure)?;
        let layers = loaded.layers.into_iter();
        let jobs: Vec<CpuScanJob> = layers
            .map(|layer| CpuScanJob {
                content: layer.content,
                digest: layer.diff_id,
                label: format!("layer {}", layer.diff_id),
            })
            .collect();
        let jobs_at_once = context.jobs.get();
        let records = scan_all(&jobs, session.cache(), jobs_at_once, &*context.reporter)
            .map_err(|error| Failure::new(Exit::Unverified, error))?;
        Ok::<_, Failure>((jobs, records))
    })?;
    let named = jobs.iter().map(|job| &*job.label).zip(&records);
    let findings = above(named, &target, &[]);
    let chosen = records.iter().flat_map(|it| &it.files);
    let chosen = chosen.filter(|file| file.chooses).count();
    if context.json {
        let unread: Vec<&String> = records.iter().flat_map(|it| &it.unread).collect();
        let document = json!({
            "event": "result",
            "image": image,
            "target": target.name(),
            "findings": findings,
            "choose_at_run_time": chosen,
            "unread": unread,
        });
        printer::out(&document.to_string());
    }
    for finding in &findings {
        printer::err(&finding.to_string());
    }
    if findings.is_empty() {
        if context.verbosity > printer::Verbosity::Quiet {
            printer::err(&format!(
                "`{image}` keeps to {}; {chosen} files ask the processor before they use more",
                target.name()
            ));
        }
        return Ok(Exit::Done);
    }
    let count = findings.len();
    let why = anyhow::anyhow!("{count} files of `{image}` use more than {}", target.name());
    Err(Failure::new(Exit::Unverified, why))
}
