//! What `publish` adds to `build`: places by rule, all of them or none, and a receipt for each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use spacktainers::deffile::Prepared;
use spacktainers::event::{Event, Reporter as _};
use spacktainers::image::Image;
use spacktainers::project::{Definition, DefinitionKind, EcrSettings, Project, PublishSettings};
use spacktainers::publish::release::{
    self, Branch, Check, Content, Gathered, Place, Release, ReleaseError, ReleaseReceipt, places,
    release,
};
use spacktainers::publish::{Attachment, Placeholders, PublishContext, Target};

use super::checkout::Checkout;
use crate::context::{Context, Failure};
use crate::exit::Exit;

/// How a release is made.
pub(super) struct ReleaseHow<'a> {
    pub(super) project: &'a Project,
    /// The name of the environment.
    pub(super) environment: &'a str,
    pub(super) settings: &'a PublishSettings,
    pub(super) ecr: &'a EcrSettings,
    pub(super) checkout: Checkout,
    /// Whether versions may get other content.
    pub(super) replaces: bool,
    /// Where receipts are written.
    pub(super) receipts: Option<&'a Path>,
}

/// What goes with an image.
pub(super) struct Beside<'a> {
    /// What is attached to it.
    pub(super) attachments: &'a [Attachment],
    /// Who is asked before names change.
    pub(super) checks: &'a [Arc<dyn Check>],
}

impl ReleaseHow<'_> {
    /// Where a container of this version goes.
    ///
    /// # Errors
    /// When a template makes no target, or a registry cannot be asked whether it has a repository.
    pub(super) async fn places(
        &self,
        definition: &Definition,
        version: &str,
        publishing: &PublishContext,
        context: &Context,
    ) -> Result<Vec<Place>, Failure> {
        let branch = &self.checkout.branch;
        let suffix = self.project.tag_suffix(definition);
        let tag = release::tag(version, suffix, branch);
        let of = Placeholders {
            name: &definition.name,
            platform: &definition.platform_name(),
            version,
            tag: &tag,
        };
        let usage = |error| Failure::new(Exit::Usage, error);
        let mut found = all_places(self.project, self.settings, definition, version, branch)?;
        for (template, _) in &self.settings.established {
            if *branch != Branch::Main {
                continue;
            }
            let all = places(template, &of, suffix, branch).map_err(usage)?;
            if let Some(Place {
                target: Target::Registry(reference) | Target::Oras(reference),
                ..
            }) = all.first()
            {
                let refused = |error| Failure::new(Exit::Refused, error);
                let repository = publishing.registry.repository(reference).map_err(refused)?;
                if !repository.exists().await.map_err(refused)? {
                    let text = format!(
                        "{}/{} does not exist and is left out",
                        reference.registry(),
                        reference.repository()
                    );
                    context.reporter.event(Event::Note(text));
                    continue;
                }
            }
            found.extend(all);
        }
        // A definition file makes SIF files only: of the places for all containers, it takes those.
        if let DefinitionKind::Deffile(_) = definition.kind {
            found.retain(|it| it.target.takes_sif());
        }
        Ok(found)
    }

    /// Brings an image to its places, all of them or none, and writes the receipts.
    pub(super) async fn image(
        &self,
        image: &Image,
        places: &[Place],
        beside: Beside<'_>,
        definition: &Definition,
        version: &str,
        publishing: &PublishContext,
    ) -> Result<Vec<ReleaseReceipt>, Failure> {
        let wanted = Release {
            attachments: beside.attachments,
            checks: beside.checks,
            ..self.release(Content::Image(image), places)
        };
        self.send(wanted, definition, version, publishing).await
    }

    /// The same for an image that another environment has.
    pub(super) async fn promoted(
        &self,
        gathered: &Gathered,
        places: &[Place],
        definition: &Definition,
        version: &str,
        publishing: &PublishContext,
    ) -> Result<Vec<ReleaseReceipt>, Failure> {
        let wanted = Release {
            attachments: &gathered.attachments,
            sif: gathered.sif.as_ref(),
            ..self.release(Content::Image(&gathered.image), places)
        };
        self.send(wanted, definition, version, publishing).await
    }

    /// The same for what a definition file makes.
    pub(super) async fn deffile(
        &self,
        prepared: &Arc<Prepared>,
        places: &[Place],
        definition: &Definition,
        version: &str,
        publishing: &PublishContext,
    ) -> Result<Vec<ReleaseReceipt>, Failure> {
        let wanted = self.release(Content::Deffile(prepared), places);
        self.send(wanted, definition, version, publishing).await
    }

    fn release<'a>(&self, content: Content<'a>, places: &'a [Place]) -> Release<'a> {
        Release {
            content,
            places,
            attachments: &[],
            sif: None,
            checks: &[],
            replaces: self.replaces || self.settings.replaces,
        }
    }

    async fn send(
        &self,
        wanted: Release<'_>,
        definition: &Definition,
        version: &str,
        publishing: &PublishContext,
    ) -> Result<Vec<ReleaseReceipt>, Failure> {
        self.ensure_repositories(wanted.places, publishing).await?;
        let receipts = release(&wanted, publishing).await.map_err(failure)?;
        self.write_receipts(&receipts, definition, version)?;
        Ok(receipts)
    }

    /// ECR takes nothing for a repository that nobody has made.
    async fn ensure_repositories(
        &self,
        places: &[Place],
        publishing: &PublishContext,
    ) -> Result<(), Failure> {
        let Some(ecr) = publishing.registry.credentials().ecr() else {
            return Ok(());
        };
        let repositories: BTreeSet<(&str, &str)> = places
            .iter()
            .filter_map(|place| match &place.target {
                Target::Registry(reference) | Target::Oras(reference) => {
                    Some((reference.registry(), reference.repository()))
                }
                _ => None,
            })
            .collect();
        if !self.ecr.create {
            return Ok(());
        }
        for (registry, name) in repositories {
            let settings = &self.ecr.repository;
            let ensured = ecr.ensure_repository(registry, name, settings).await;
            let ensured = ensured.map_err(|error| {
                let why = anyhow::Error::new(error)
                    .context(format!("there may be no repository {registry}/{name}"));
                Failure::new(Exit::Refused, why)
            })?;
            let Some(ensured) = ensured else {
                continue;
            };
            let tell = |event| publishing.reporter.event(event);
            if ensured.created {
                tell(Event::Note(format!(
                    "made the repository {registry}/{name}"
                )));
            }
            for danger in ensured.dangers {
                tell(Event::Warning(format!("{registry}/{name}: {danger}")));
            }
        }
        Ok(())
    }

    /// One file for each place: what is there now, and since which commit.
    fn write_receipts(
        &self,
        receipts: &[ReleaseReceipt],
        definition: &Definition,
        version: &str,
    ) -> Result<(), Failure> {
        let Some(folder) = self.receipts else {
            return Ok(());
        };
        let write = |path: &Path, text: &str| -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            file.as_file().sync_data()?;
            file.persist(path).map(drop).map_err(|error| error.error)
        };
        for receipt in receipts {
            let path = folder.join(file_name(
                &receipt.receipt.target,
                &definition.platform_name(),
            ));
            let mut document = receipt_json(receipt);
            if let Some(document) = document.as_object_mut() {
                let branch = match &self.checkout.branch {
                    Branch::Main => json!({"main": true}),
                    Branch::Other(name) => json!({"main": false, "name": name}),
                    Branch::None => Value::Null,
                };
                document.extend([
                    ("container".to_owned(), json!(definition.name)),
                    ("arch".to_owned(), json!(definition.platform_name())),
                    ("version".to_owned(), json!(version)),
                    ("environment".to_owned(), json!(self.environment)),
                    ("branch".to_owned(), branch),
                    ("commit".to_owned(), json!(self.checkout.commit)),
                ]);
            }
            write(&path, &format!("{document:#}\n")).map_err(|error| {
                let why = anyhow::Error::new(error).context(format!(
                    "all is published, and its receipt `{}` cannot be written",
                    path.display()
                ));
                Failure::new(Exit::Fault, why)
            })?;
        }
        Ok(())
    }
}

/// The places that the settings name, but for established repositories: nobody is asked.
pub(super) fn all_places(
    project: &Project,
    settings: &PublishSettings,
    definition: &Definition,
    version: &str,
    branch: &Branch,
) -> Result<Vec<Place>, Failure> {
    let suffix = project.tag_suffix(definition);
    let tag = release::tag(version, suffix, branch);
    let of = Placeholders {
        name: &definition.name,
        platform: &definition.platform_name(),
        version,
        tag: &tag,
    };
    let mut found = Vec::new();
    for (template, _) in &settings.targets {
        let places = places(template, &of, suffix, branch);
        found.extend(places.map_err(|error| Failure::new(Exit::Usage, error))?);
    }
    Ok(found)
}

/// How a release that failed ends.
pub(super) fn failure(error: ReleaseError) -> Failure {
    let exit = match error.is_verification() {
        true => Exit::Unverified,
        false => Exit::Refused,
    };
    let hint = error.hint();
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

/// `ghcr.io_team_spike_1.0.0.amd64.json`
fn file_name(target: &Target, platform: &str) -> PathBuf {
    let text = target.to_string();
    let rest = text.split_once("://").map_or(&*text, |(_, rest)| rest);
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
        _ => '_',
    };
    let name: String = rest.chars().map(plain).collect();
    let name = name.trim_start_matches('.');
    format!("{name}.{platform}.json").into()
}

/// A receipt as programs read it.
pub(super) fn receipt_json(it: &ReleaseReceipt) -> Value {
    let receipt = &it.receipt;
    let attachments: Vec<Value> = it
        .attachments
        .iter()
        .map(|it| json!({"digest": it.digest.to_string(), "artifact_type": it.artifact_type}))
        .collect();
    json!({
        "target": receipt.target.to_string(),
        "digest": receipt.digest.map(|it| it.to_string()),
        "media_type": receipt.media_type,
        "before": it.before.map(|it| it.to_string()),
        "sent": receipt.bytes_sent,
        "reused": receipt.bytes_reused,
        "blobs_sent": receipt.blobs_sent,
        "blobs_mounted": receipt.blobs_mounted,
        "blobs_reused": receipt.blobs_reused,
        "tree": receipt.tree.map(|it| it.to_string()),
        "attachments": attachments,
        "unchanged": receipt.unchanged,
    })
}
