//! What `publish` attaches to images, tries them with, and looks for in them; and the keys for it.
//!
//! | variable | what it holds |
//! |---|---|
//! | `COSIGN_PRIVATE_KEY` | the private key itself, in PEM; before `[trust] key` of the settings |
//! | `COSIGN_PASSWORD` | its password |

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use spack_format::prefix::Satisfies;
use spacktainers::assemble::rfc3339;
use spacktainers::build::{Container, Locked, World};
use spacktainers::event::{Event, Reporter as _};
use spacktainers::image::{Image, LayerContent};
use spacktainers::project::{CheckoutSource, Project};
use spacktainers::publish::release::{Check, Place};
use spacktainers::publish::{Attachment, Target};
use spacktainers::secrets::{ScanInput, Scope, Values, scan_image};
use spacktainers::smoke::SmokeTests;
use spacktainers::trust::{
    Origin, SigningKey, Source, TrustInput, VerifyingKey, artifacts, licences,
};

use super::checkout::Checkout;
use super::run::host_architecture;
use crate::context::{Context, Failure};
use crate::exit::Exit;

/// An image that is about to be published.
pub(super) struct Candidate<'a> {
    pub(super) project: &'a Project,
    pub(super) container: &'a Container<'a>,
    pub(super) locked: &'a Locked<'a>,
    pub(super) image: &'a Image,
    pub(super) satisfies: &'a Satisfies<'a>,
    pub(super) world: &'a World<'a>,
    pub(super) context: &'a Context,
}

impl Candidate<'_> {
    /// Bills of materials, and with a key signatures.
    pub(super) fn attachments(
        &self,
        places: &[Place],
        checkout: &Checkout,
    ) -> Result<Vec<Attachment>, Failure> {
        let settings = &self.project.settings.trust;
        if !settings.attaches {
            return Ok(Vec::new());
        }
        let key = signing_key(settings.key.as_deref())?;
        if key.is_none() {
            let text = "nothing is signed: there is neither COSIGN_PRIVATE_KEY nor `[trust] key`";
            self.context.reporter.event(Event::Note(text.to_owned()));
        }
        let repository = places.iter().find_map(|it| match &it.target {
            Target::Registry(reference) => Some(format!(
                "{}/{}",
                reference.registry(),
                reference.repository()
            )),
            _ => None,
        });
        let name = &self.container.definition.name;
        let licences = licences(self.locked, self.satisfies, self.world.cache);
        let input = TrustInput {
            lock: &self.locked.lock,
            lock_digest: oci_format::Digest::of(self.locked.text.as_bytes()),
            spack: &self.container.spack_lock,
            image: self.image.manifest_descriptor.digest,
            created: rfc3339(self.world.created),
            licences: &licences,
            origin: &self.origin(checkout),
            tool: concat!("spacktainers-", env!("CARGO_PKG_VERSION")),
            key: key.as_ref(),
            repository: repository.as_deref().unwrap_or(name),
        };
        Ok(artifacts(&input)
            .into_iter()
            .map(Attachment::from)
            .collect())
    }

    /// Where the inputs are, and who builds, as the CI system says.
    fn origin(&self, checkout: &Checkout) -> Origin {
        let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
        let github = || {
            let (server, name) = (
                variable("GITHUB_SERVER_URL")?,
                variable("GITHUB_REPOSITORY")?,
            );
            Some(format!("{server}/{name}"))
        };
        let repository = variable("CI_PROJECT_URL").or_else(github);
        let run = variable("GITHUB_RUN_ID")
            .and_then(|run| Some(format!("{}/actions/runs/{run}", github()?)));
        let spack = &self.project.settings.spack;
        let pinned = spack.source.iter().map(|it| ("spack", it));
        let recipes = spack.repositories.iter().map(|it| (&*it.name, &it.source));
        let sources = pinned
            .chain(recipes)
            .filter_map(|(name, source)| match source {
                CheckoutSource::Git { url, commit } => Some(Source {
                    name: name.to_owned(),
                    url: without_user(url),
                    commit: commit.clone(),
                }),
                CheckoutSource::Folder(_) => None,
            });
        Origin {
            repository: repository.map(|it| without_user(&it)),
            commit: checkout.commit.clone(),
            builder: variable("CI_SERVER_URL").or_else(|| variable("GITHUB_SERVER_URL")),
            invocation: variable("CI_JOB_URL").or(run),
            sources: sources.collect(),
        }
    }

    /// What the image is tried with before names change.
    pub(super) fn checks(&self) -> Vec<Arc<dyn Check>> {
        if !self.project.settings.trust.tries {
            return Vec::new();
        }
        let spack = self.container.spack;
        let folders = spack.views.iter().map(|view| format!("{}/bin", view.root));
        let tests = SmokeTests {
            commands: spack.tests.clone(),
            program_folders: folders.collect(),
            architecture: self.container.definition.architecture,
            machine_architecture: host_architecture(),
            machine: self.world.machine.clone(),
            base: self.world.base.clone(),
            cache: self.world.cache.clone(),
            reporter: Arc::clone(&self.world.reporter),
        };
        vec![Arc::new(tests)]
    }

    /// Looks for secrets in all that would be published.
    pub(super) fn search(&self, attachments: &[Attachment]) -> Result<(), Failure> {
        let settings = &self.project.settings.trust;
        if !settings.searches {
            return Ok(());
        }
        let of_others: HashSet<_> = self
            .locked
            .known_layers()
            .into_iter()
            .map(|it| it.descriptor.digest)
            .collect();
        let layers = self.image.layers.iter().filter_map(|layer| {
            let digest = layer.descriptor.digest;
            let scope = match of_others.contains(&digest) {
                true => Scope::Others,
                false => Scope::Ours,
            };
            match &layer.content {
                LayerContent::Here(content) => {
                    Some((layer.title.clone(), digest, content.clone(), scope))
                }
                // A layer of a base that is in a registry already.
                LayerContent::Remote(_) => None,
            }
        });
        let layers: Vec<_> = layers.collect();
        let mut texts = vec![
            ("the image's config".to_owned(), self.image.config.clone()),
            (
                "the image's manifest".to_owned(),
                self.image.manifest.clone(),
            ),
            (
                "container.lock".to_owned(),
                self.locked.text.clone().into_bytes(),
            ),
        ];
        let sources = self.project.sources.iter();
        texts.extend(sources.map(|file| {
            (
                file.path.display().to_string(),
                file.text.clone().into_bytes(),
            )
        }));
        for attachment in attachments {
            for blob in &attachment.blobs {
                let bytes = blob.content.open(0).and_then(|mut reader| {
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(&mut reader, &mut bytes)?;
                    Ok(bytes)
                });
                // Symbols for debuggers come from packages, which are searched.
                if blob.descriptor.size < MOST_OF_A_DOCUMENT
                    && let Ok(bytes) = bytes
                {
                    texts.push((attachment.artifact_type.clone(), bytes));
                }
            }
        }
        let input = ScanInput {
            texts: &texts,
            layers: &layers,
            allowed: &settings.allowed,
            values: &values(),
            cache: self.world.cache,
        };
        let searched = tokio::task::block_in_place(|| scan_image(&input));
        searched.map_err(|error| {
            Failure::new(Exit::Unverified, error).hint(
                "take them out and give them to commands at run time; what only looks like a secret is named by `[secrets] allow = [\"PATH\"]` in spacktainers.toml",
            )
        })
    }
}

/// Larger blobs are no documents of ours.
const MOST_OF_A_DOCUMENT: u64 = 64 << 20;

/// The secrets of this process's environment.
pub(crate) fn values() -> Values {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    });
    Values::of_environment(variables)
}

fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

/// The key that signs, if there is one.
fn signing_key(file: Option<&Path>) -> Result<Option<SigningKey>, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let (text, from) = match (
        variable("COSIGN_PRIVATE_KEY").filter(|it| !it.is_empty()),
        file,
    ) {
        (Some(text), _) => (text, "COSIGN_PRIVATE_KEY".to_owned()),
        (None, Some(file)) => (read(file)?, format!("`{}`", file.display())),
        (None, None) => return Ok(None),
    };
    let password = variable("COSIGN_PASSWORD");
    let key = SigningKey::from_pem(&text, password.as_deref());
    key.map(Some).map_err(|error| unusable(error, &from))
}

/// A public key in a file.
pub(super) fn public_key(file: &Path) -> Result<VerifyingKey, Failure> {
    let from = format!("`{}`", file.display());
    VerifyingKey::from_pem(&read(file)?).map_err(|error| unusable(error, &from))
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| {
        let why = anyhow::Error::new(error).context(format!("`{}` cannot be read", file.display()));
        Failure::new(Exit::Usage, why)
    })
}

fn unusable(error: spacktainers::trust::KeyError, from: &str) -> Failure {
    let hint = error.hint();
    let why = anyhow::Error::new(error).context(format!("the key in {from} cannot be used"));
    Failure::new(Exit::Usage, why).hint(hint)
}
