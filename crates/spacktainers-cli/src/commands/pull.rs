//! `pull`: a container onto this machine, as a SIF file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use oci_format::{Digest, Reference};
use serde_json::json;
use spacktainers::base::{self, BaseSource, LockedBase};
use spacktainers::project::{Project, Settings};
use spacktainers::publish::Target;
use spacktainers::publish::release::Branch;
use spacktainers::pull::{PullContext, PullSource, Pulled, pull};
use spacktainers::sif::inspect;
use spacktainers::source::{self, ImageSource};

use super::publish::{environment, version};
use super::release::all_places;
use super::run::{best_here, host_architecture};
use super::session::Session;
use super::{architecture, block_on, sif, sound_project};
use crate::args::PullArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, bytes};

pub(super) fn run(args: &PullArgs, context: &Context) -> Result<Exit, Failure> {
    let start = Instant::now();
    let (settings, source, name) = match args.source.contains(':') {
        true => (Settings::default(), args.source.clone(), None),
        false => {
            let project = sound_project(context)?;
            let target = published(&project, args, context)?;
            (project.settings, target.to_string(), Some(&*args.source))
        }
    };
    let options = sif::options(&args.how, context)?;
    let output = |reference: &str| match (&args.output, name) {
        (Some(output), _) => output.clone(),
        (None, Some(name)) => PathBuf::from(format!("{name}.sif")),
        (None, None) => default_output(reference),
    };
    block_on(async {
        let session = Session::new(&settings, &args.how.insecure, context).await?;
        let usage = |error| {
            Failure::new(Exit::Usage, anyhow::Error::msg(error)).hint(
                "sources are s3://BUCKET/KEY.sif, oras://HOST/REPO:TAG, docker://HOST/REPO:TAG, or a container of the project",
            )
        };
        let wanted = if source.starts_with("s3://") || source.starts_with("oras://") {
            let target: Target = source
                .parse()
                .map_err(|error: spacktainers::publish::TargetError| usage(error.to_string()))?;
            match target {
                Target::Object(object) => Some(PullSource::Object(object)),
                Target::Oras(reference) => Some(PullSource::Oras(reference)),
                _ => None,
            }
        } else {
            None
        };
        match wanted {
            Some(wanted) => {
                let file = output(match &wanted {
                    PullSource::Object(object) => &object.key,
                    PullSource::Oras(_) => &source,
                });
                let world = PullContext {
                    registry: session.registries().clone(),
                    buckets: session.buckets().clone(),
                    cache: session.cache().clone(),
                    reporter: context.reporter.clone(),
                    is_forced: args.force,
                };
                let pulled = pull(&wanted, &file, &world).await.map_err(|error| {
                    let exit = match error.is_verification() {
                        true => Exit::Unverified,
                        false => Exit::Refused,
                    };
                    Failure::new(exit, error)
                })?;
                tell(&source, &file, &pulled, start, context);
            }
            None => {
                let image =
                    ImageSource::parse(&source).map_err(|error| usage(error.to_string()))?;
                let file = output(&source);
                let architecture = architecture(context)?.unwrap_or_else(host_architecture);
                let mut base = session.base_to_run(architecture);
                base.folder = PathBuf::new();
                if !args.force
                    && let Some(digest) = digest(&image, architecture, &base).await?
                    && is_of(&file, &digest)
                {
                    let size = std::fs::metadata(&file).map_or(0, |it| it.len());
                    let pulled = Pulled {
                        size,
                        digest: None,
                        facts: spacktainers::sif::SifFacts {
                            image: Some(digest),
                            ..Default::default()
                        },
                        unchanged: true,
                    };
                    tell(&source, &file, &pulled, start, context);
                    return Ok(Exit::Done);
                }
                let loaded = source::load(&image, architecture, &base)
                    .await
                    .map_err(sif::load_failure)?;
                let made = sif::Made::of_image(loaded, &source);
                let input = made.input().map_err(sif::write_failure)?;
                let summary = sif::write(&input, &options, &file, context)?;
                sif::tell_made(&file, input.image, &summary, start, context);
            }
        }
        Ok(Exit::Done)
    })
}

/// Where the settings say that the container is: a SIF file if they publish one, else its image.
fn published(project: &Project, args: &PullArgs, context: &Context) -> Result<Target, Failure> {
    let architecture = architecture(context)?.unwrap_or_else(host_architecture);
    let names = [args.source.clone()];
    let selected = project
        .select(&names, Some(architecture))
        .map_err(|error| {
            Failure::new(Exit::Usage, error).hint(
                "what is not in the project is named with its transport: `docker://HOST/REPO:TAG`",
            )
        })?;
    let definition = best_here(&selected);
    let (_, settings) = environment(project, args.environment.as_deref())?;
    // Whoever pulls wants the release, whatever branch this folder is at.
    let names_of = |text: &str| text.contains("{version}") || text.contains("{tag}");
    let needs_version = |(text, _): &(String, _)| text.starts_with("docker:") || names_of(text);
    let version = match settings.targets.iter().any(needs_version) {
        true => version(project, definition)?,
        false => String::new(),
    };
    let places = all_places(project, settings, definition, &version, &Branch::Main)?;
    let targets: Vec<Target> = places.into_iter().map(|it| it.target).collect();
    let is_sif = |it: &&Target| matches!(it, Target::Object(_) | Target::Oras(_));
    let found = targets.iter().find(is_sif).or_else(|| {
        let is_image = |it: &&Target| matches!(it, Target::Registry(_));
        targets.iter().find(is_image)
    });
    found.cloned().ok_or_else(|| {
        let why = anyhow::anyhow!(
            "`{}` is published nowhere that can be pulled from",
            args.source
        );
        Failure::new(Exit::Usage, why)
            .hint("add a target to `[publish.ENVIRONMENT]`: s3://…, oras://… or docker://…")
    })
}

/// The manifest that the source has now, if that can be told without fetching layers.
async fn digest(
    image: &ImageSource,
    architecture: base::BaseArchitecture,
    context: &base::BaseContext,
) -> Result<Option<Digest>, Failure> {
    let ImageSource::Registry(reference) = image else {
        return Ok(None);
    };
    let source = BaseSource::Registry(reference.clone());
    let locked = base::resolve(&source, architecture, context)
        .await
        .map_err(|error| sif::load_failure(error.into()))?;
    Ok(match locked {
        LockedBase::Registry(image) => Some(image.manifest),
        _ => None,
    })
}

fn is_of(file: &Path, digest: &Digest) -> bool {
    let record = inspect::open(file).ok();
    let record = record.and_then(|mut file| inspect::record(&mut file));
    record.is_some_and(|it| it.image == Some(*digest))
}

/// The name that `apptainer pull` gives: `NAME_TAG.sif`; of a key its last part.
fn default_output(source: &str) -> PathBuf {
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    match rest.parse::<Reference>() {
        Ok(reference) if source.contains("://") => {
            let name = reference.repository().rsplit('/').next().unwrap_or("image");
            let tag = reference.effective_tag().unwrap_or("latest");
            format!("{name}_{tag}.sif").into()
        }
        _ => {
            let last = rest.rsplit('/').next().unwrap_or(rest);
            let stem = last.split(':').next().unwrap_or(last);
            let stem = stem.trim_end_matches(".sif").trim_end_matches(".tar");
            format!("{stem}.sif").into()
        }
    }
}

fn tell(source: &str, file: &Path, pulled: &Pulled, start: Instant, context: &Context) {
    if context.json {
        let facts = &pulled.facts;
        let document = json!({
            "event": "result",
            "source": source,
            "file": file.display().to_string(),
            "size": pulled.size,
            "digest": pulled.digest.map(|it| it.to_string()),
            "image": facts.image.map(|it| it.to_string()),
            "tree": facts.tree.map(|it| it.to_string()),
            "unchanged": pulled.unchanged,
            "seconds": start.elapsed().as_secs_f64(),
        });
        printer::out(&document.to_string());
    }
    if context.verbosity > printer::Verbosity::Quiet {
        let what = match pulled.unchanged {
            true => "is up to date with",
            false => "is now",
        };
        printer::err(&format!(
            "{} {what} {source}: {}; {:.1} s",
            file.display(),
            bytes(pulled.size),
            start.elapsed().as_secs_f64()
        ));
    }
}
