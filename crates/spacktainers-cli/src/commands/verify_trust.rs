//! `verify IMAGE`: whether the image is what the holder of a key published.

use std::path::PathBuf;

use oci_format::{Descriptor, Digest};
use serde_json::json;
use spacktainers::project::Project;
use spacktainers::publish::release::Branch;
use spacktainers::publish::{
    PublishContext, PublishError, Target, attachments, existing, read_attachment,
};
use spacktainers::registry::ManifestKey;
use spacktainers::trust::{Claim, Evidence, Findings, signature_tag, verify};

use super::release::all_places;
use super::run::host_architecture;
use super::session::Session;
use super::{architecture, block_on, publish, sound_project, trust};
use crate::args::VerifyArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

/// No document that is attached to an image is longer.
const LONGEST: u64 = 256 << 20;

pub(super) fn run(name: &str, args: &VerifyArgs, context: &Context) -> Result<Exit, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, anyhow::anyhow!(why));
    let needed: Vec<Claim> = match args.need.is_empty() {
        true => Claim::ALL.to_vec(),
        false => args.need.iter().map(|it| (*it).into()).collect(),
    };
    let is_named = name.contains(':');
    let project = match (is_named, &args.key) {
        (true, Some(_)) => None,
        _ => Some(sound_project(context)?),
    };
    let key = match (&args.key, &project) {
        (Some(key), _) => key.clone(),
        (None, Some(project)) => of_settings(project)
            .ok_or_else(|| usage("there is no public key to verify with".to_owned()).hint(
                "say --key cosign.pub, or write `[trust] public_key = \"cosign.pub\"` into spacktainers.toml",
            ))?,
        (None, None) => return Err(usage("there is no public key to verify with".to_owned())),
    };
    let key = trust::public_key(&key)?;
    let settings = project
        .as_ref()
        .map(|it| it.settings.clone())
        .unwrap_or_default();
    block_on(async {
        let session = Session::new(&settings, &args.insecure, context).await?;
        let mut publishing = session.publish_context(context);
        let target = match (&project, is_named) {
            (Some(project), false) => {
                let (target, of) = published(project, name, args, &session, context)?;
                publishing = of;
                target
            }
            _ => {
                let wanted = architecture(context)?.unwrap_or_else(host_architecture);
                publishing.platform = Some(oci_format::Platform {
                    architecture: wanted.as_str().to_owned(),
                    os: "linux".to_owned(),
                    variant: None,
                });
                name.parse()
                    .map_err(|error| Failure::new(Exit::Usage, error))?
            }
        };
        let (image, evidence) = gather(&target, &publishing).await?;
        let findings = verify(&image, &evidence, &key);
        tell(&target, &image, &findings, context);
        let held = findings.require(&needed, &image, &key);
        held.map(|()| Exit::Done).map_err(|error| {
            Failure::new(Exit::Unverified, error)
                .hint("the key may be another one, or the image was not published by `spacktainers publish` with a key")
        })
    })
}

fn of_settings(project: &Project) -> Option<PathBuf> {
    let (path, _) = project.settings.trust.public_key.as_ref()?;
    Some(project.folder.join(path))
}

/// Where a container of the project is published as an image.
fn published(
    project: &Project,
    name: &str,
    args: &VerifyArgs,
    session: &Session,
    context: &Context,
) -> Result<(Target, PublishContext), Failure> {
    let (environment, settings) = publish::environment(project, args.environment.as_deref())?;
    let wanted = architecture(context)?.unwrap_or_else(host_architecture);
    let selected = project
        .select(&[name.to_owned()], Some(wanted))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let definition = selected[0];
    let version = publish::version(project, definition)?;
    let places = all_places(project, settings, definition, &version, &Branch::Main)?;
    let target = places
        .into_iter()
        .map(|it| it.target)
        .find(|it| matches!(it, Target::Registry(_) | Target::OciLayout { .. }));
    let target = target.ok_or_else(|| {
        let why = format!("`{name}` is published nowhere in `{environment}` as an image");
        Failure::new(Exit::Usage, anyhow::anyhow!(why))
            .hint("signatures of SIF files are verified by `spacktainers sif verify`")
    })?;
    Ok((target, session.publishing(project, definition, context)))
}

/// The image's digest, and everything that is attached to it.
async fn gather(
    target: &Target,
    publishing: &PublishContext,
) -> Result<(Digest, Vec<Evidence>), Failure> {
    let refused = |error: PublishError| {
        let exit = match error.is_verification() {
            true => Exit::Unverified,
            false => Exit::Refused,
        };
        Failure::new(exit, error)
    };
    let found = existing(target, publishing).await.map_err(refused)?;
    let Some(found) = found else {
        let why = anyhow::anyhow!("there is no image {target}");
        return Err(Failure::new(Exit::Refused, why));
    };
    let image = found.descriptor.digest;
    let mut listed = attachments(target, &image, publishing)
        .await
        .map_err(refused)?;
    if let Target::Registry(reference) = target {
        // Signatures of those who know no referrers.
        let failed = |error| Failure::new(Exit::Refused, error);
        let repository = publishing.registry.repository(reference).map_err(failed)?;
        let tag = ManifestKey::Tag(signature_tag(&image));
        let found = repository.manifest(tag).await.map_err(failed)?;
        listed.extend(found.map(|it| it.descriptor));
    }
    listed.sort_by_key(|it| it.digest);
    listed.dedup_by_key(|it| it.digest);
    let mut evidence = Vec::new();
    for descriptor in &listed {
        if !is_document(descriptor) {
            continue;
        }
        let read = read_attachment(target, descriptor, LONGEST, publishing).await;
        let (manifest, blobs) = read.map_err(refused)?;
        let pairs = manifest.layers.into_iter().zip(blobs);
        evidence.extend(pairs.map(|(descriptor, bytes)| Evidence { descriptor, bytes }));
    }
    Ok((image, evidence))
}

/// Symbols for debuggers, and whatever others attach that is large, say nothing.
fn is_document(descriptor: &Descriptor) -> bool {
    let kind = descriptor.artifact_type.as_deref().unwrap_or_default();
    kind.is_empty()
        || ["sigstore", "cosign", "spdx", "cyclonedx", "image.config"]
            .iter()
            .any(|it| kind.contains(it))
}

fn tell(target: &Target, image: &Digest, findings: &Findings, context: &Context) {
    let held: Vec<&str> = findings.held.iter().map(|it| it.name()).collect();
    if context.json {
        let document = json!({
            "event": "result",
            "target": target.to_string(),
            "digest": image.to_string(),
            "held": held,
            "repositories": findings.repositories,
            "provenance": findings.provenance,
            "of_others": findings.of_others,
            "unvouched": findings.unvouched.iter().map(Digest::to_string).collect::<Vec<_>>(),
        });
        printer::out(&document.to_string());
    }
    if context.verbosity == Verbosity::Quiet {
        return;
    }
    printer::err(&format!("{target} is {image}"));
    if !held.is_empty() {
        printer::err(&format!("  vouched for by the key: {}", held.join(", ")));
    }
    if findings.of_others > 0 {
        let count = findings.of_others;
        printer::err(&format!(
            "  {count} signatures and statements are not this key's"
        ));
    }
}
