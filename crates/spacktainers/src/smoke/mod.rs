//! Trying an image before anybody gets it.
//!
//! ```text
//! `container.toml` tests = ["nrniv --version", …] ─┐
//! every program in a view's `bin` (loader.rs)     ─┴─► the image's layers ─► sandbox, read-only ─► passed, or which failed
//!                                                  └─► the SIF file       ─► the same
//! ```
//!
//! Start at [`SmokeTests`], which is a check of a release ([`crate::publish::Check`]). Commands run as `podman run IMAGE sh -c` would
//! run them: with the image's variables, in its working directory; `/tmp` can be written and is forgotten. Nobody's home,
//! nothing of the machine.
//!
//! Tests need bubblewrap, a shell in the image, and a processor that the image is for. An image for other processors is not
//! tried, and that is said. Where there is no bubblewrap or no shell, tests that somebody wrote are not passed, and that
//! programs can start is not tried, which is said too.

mod loader;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oci_format::ImageConfig;
use tokio::task::spawn_blocking;

use crate::base::{self, BaseArchitecture, BaseContext};
use crate::event::{Event, Reporter};
use crate::local_cache::LocalCache;
use crate::publish::release::{Check, CheckSubject};
use crate::sandbox::{Machine, Place, Sandbox, SandboxError, Step, Stop};
use crate::sif::members::as_layer;
use crate::source::LoadedLayer;

/// How long one test may take.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Tests of one image.
pub struct SmokeTests {
    /// Commands for the image's shell, from `container.toml`.
    pub commands: Vec<String>,
    /// Folders of programs that must be able to start: `bin` of the views.
    pub program_folders: Vec<String>,
    /// What the image is for.
    pub architecture: BaseArchitecture,
    /// What this machine's processor is.
    pub machine_architecture: BaseArchitecture,
    /// What tests are run on.
    pub machine: Machine,
    /// Where layers are.
    pub base: BaseContext,
    /// Where the image is unpacked.
    pub cache: LocalCache,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
}

/// What a test is run over.
struct Subject {
    /// For people: `the image`, `the SIF file`.
    what: &'static str,
    layers: Vec<LoadedLayer>,
    config: ImageConfig,
}

#[async_trait]
impl Check for SmokeTests {
    fn name(&self) -> String {
        match self.commands.len() {
            0 => "programs can start".to_owned(),
            1 => "programs can start, and 1 test".to_owned(),
            count => format!("programs can start, and {count} tests"),
        }
    }

    async fn check(&self, subject: &CheckSubject<'_>) -> Result<(), String> {
        let Some(image) = subject.image else {
            // A definition file has its own `%test`, which was run when it was made.
            return Ok(());
        };
        if self.architecture != self.machine_architecture {
            let text = format!(
                "the image is for {}, and this machine cannot run it: it was not tried",
                self.architecture
            );
            self.reporter.event(Event::Warning(text));
            return Ok(());
        }
        let config = ImageConfig::parse(&image.config).map_err(|error| error.to_string())?;
        let mut layers = Vec::new();
        for layer in &image.layers {
            let content = base::layer_content(layer, &self.base).await;
            layers.push(LoadedLayer {
                diff_id: layer.diff_id,
                digest: Some(layer.descriptor.digest),
                content: content.map_err(|error| base::one_line(&error))?,
            });
        }
        let mut subjects = vec![Subject {
            what: "the image",
            layers,
            config: config.clone(),
        }];
        if let Some(sif) = &subject.sif {
            subjects.push(Subject {
                what: "the SIF file",
                layers: vec![self.of_sif(sif).await?],
                config,
            });
        }
        for subject in subjects {
            let sandbox = Sandbox::new(
                self.machine.clone(),
                self.cache.clone(),
                Arc::clone(&self.reporter),
                Stop::default(),
            );
            let steps = self.steps(&subject.config);
            let needed = !self.commands.is_empty();
            let tried = spawn_blocking(move || try_all(sandbox, &subject, &steps, needed));
            if let Some(text) = tried.await.map_err(|error| error.to_string())?? {
                self.reporter.event(Event::Warning(text));
            }
        }
        Ok(())
    }
}

impl SmokeTests {
    async fn of_sif(&self, sif: &Path) -> Result<LoadedLayer, String> {
        let (sif, cache) = (sif.to_owned(), self.cache.clone());
        let read = spawn_blocking(move || as_layer(&sif, &cache));
        let layer = read.await.map_err(|error| error.to_string())?;
        layer.map_err(|error| base::one_line(&error))
    }

    fn steps(&self, config: &ImageConfig) -> Vec<Step> {
        let variables = config.config.env.iter();
        let environment: BTreeMap<String, String> = variables
            .filter_map(|it| it.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .chain([("HOME".to_owned(), "/tmp".to_owned())])
            .collect();
        let directory = config.config.working_dir.as_deref();
        let directory = directory.filter(|it| !it.is_empty()).unwrap_or("/");
        let step = |title: &str, command: Vec<String>| Step {
            place: Place::Image(directory.to_owned()),
            environment: environment.clone(),
            forgotten: vec!["/tmp".to_owned()],
            time_limit: Some(TIME_LIMIT),
            ..Step::in_image(title, command)
        };
        let mut steps = Vec::new();
        if !self.program_folders.is_empty() {
            let command = loader::command(self.architecture, &self.program_folders);
            steps.push(step("programs find their libraries", command));
        }
        for command in &self.commands {
            let words = ["/bin/sh", "-c", command].map(str::to_owned);
            steps.push(step(command, words.to_vec()));
        }
        steps
    }
}

/// Runs the steps. Whether they were run: not, if there is nothing to run them with and `needed` does not insist.
fn try_all(
    mut sandbox: Sandbox,
    subject: &Subject,
    steps: &[Step],
    needed: bool,
) -> Result<Option<String>, String> {
    let words = ["/bin/sh", "-c", ":"].map(str::to_owned);
    let shell = Step::in_image("looking for a shell", words.to_vec());
    let unable = match sandbox.check(&subject.layers, &shell) {
        Ok(()) => None,
        Err(SandboxError::Failed { .. }) => Some("there is no shell in it".to_owned()),
        Err(error @ SandboxError::NoBubblewrap) => Some(base::one_line(&error)),
        Err(error) => return Err(base::one_line(&error)),
    };
    if let Some(why) = unable {
        let text = format!("{} was not tried: {why}", subject.what);
        return if needed { Err(text) } else { Ok(Some(text)) };
    }
    for step in steps {
        sandbox.check(&subject.layers, step).map_err(|error| {
            let why = base::one_line(&error);
            format!("`{}` fails in {}: {why}", step.title, subject.what)
        })?;
    }
    Ok(None)
}
