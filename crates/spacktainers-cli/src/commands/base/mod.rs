//! `base`: the images that a project makes to build on.

pub(crate) mod args;

use oci_format::Platform;
use serde_json::{Map, Value, json};
use spacktainers::base::BaseArchitecture;
use spacktainers::base::images::{
    Decision, INPUTS_LABEL, Inputs, OwnImage, OwnImageContext, OwnImageError, decide, make,
};
use spacktainers::image::Image;
use spacktainers::project::Project;
use spacktainers::publish::{Placeholders, Target, existing, publish};

use super::outcome::{outcome_exit, outcome_json, receipt_line, report_target};
use super::session::{Session, exit_of, machine};
use super::{architecture, block_on, solve, sound_project};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity, bytes};

use args::{BaseArgs, BaseBuildArgs, BaseCommand, OwnImageName};

/// Hexadecimal digits of the inputs' digest that are an image's version.
const VERSION_DIGITS: usize = 12;

pub(super) fn run(args: &BaseArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        BaseCommand::Build(args) => build(args, context),
    }
}

fn build(args: &BaseBuildArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let architecture = this_architecture(context)?;
    let image = match args.image {
        OwnImageName::Builder => OwnImage::Builder,
        OwnImageName::Runtime => OwnImage::Runtime,
    };
    block_on(async {
        let session = Session::new(&project.settings, &args.insecure, context).await?;
        let own = OwnImageContext {
            settings: &project.settings,
            base: session.base(),
            architecture,
        };
        let decision = decided(image, &project, &own, args.update, context).await?;
        let targets = targets(args, image, architecture, decision.inputs())?;
        let mut publishing = session.publish_context(context);
        publishing.is_forced = args.force;
        publishing.platform = Some(Platform {
            architecture: architecture.to_string(),
            os: "linux".to_owned(),
            variant: None,
        });
        let mut stale = Vec::new();
        let mut held = Vec::new();
        for target in targets {
            // A target that cannot be asked may still take an image, and if not, says so itself.
            let found = existing(&target, &publishing).await.unwrap_or_default();
            let wanted = decision.inputs().digest().to_string();
            let same = found.filter(|found| {
                found.config.config.labels.get(INPUTS_LABEL) == Some(&wanted) && !args.force
            });
            match same {
                Some(found) => held.push((target, found.descriptor.digest.to_string())),
                None => stale.push(target),
            }
        }
        let about = About {
            image,
            architecture,
            inputs: decision.inputs(),
            context,
        };
        about.tell_held(&held, stale.is_empty());
        if stale.is_empty() && !held.is_empty() {
            return Ok(Exit::Done);
        }
        let made = make(&decision, &own, &machine(), context.created)
            .await
            .map_err(failure)?;
        let outcomes = publish(&made, &stale, &publishing).await;
        let sent: Vec<Value> = outcomes.iter().map(outcome_json).collect();
        about.tell_made(&made, sent);
        for outcome in &outcomes {
            match outcome {
                Ok(receipt) if context.verbosity > Verbosity::Quiet => {
                    printer::err(&receipt_line(receipt));
                }
                Ok(_) => {}
                Err(error) => report_target(error),
            }
        }
        Ok(outcomes
            .iter()
            .map(|it| outcome_exit(it.as_ref()))
            .max()
            .unwrap_or(Exit::Done))
    })
}

async fn decided(
    image: OwnImage,
    project: &Project,
    own: &OwnImageContext<'_>,
    is_update: bool,
    context: &Context,
) -> Result<Decision, Failure> {
    let spack = match image {
        OwnImage::Builder => Some(solve::open(project, context).await?),
        OwnImage::Runtime => None,
    };
    decide(image, spack.as_ref(), own, is_update)
        .await
        .map_err(failure)
}

/// The architecture of the arguments, else this machine's.
fn this_architecture(context: &Context) -> Result<BaseArchitecture, Failure> {
    match architecture(context)? {
        Some(architecture) => Ok(architecture),
        None => machine_architecture(),
    }
}

/// This machine's architecture.
pub(super) fn machine_architecture() -> Result<BaseArchitecture, Failure> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(BaseArchitecture::Amd64),
        "aarch64" => Ok(BaseArchitecture::Arm64),
        other => {
            let why =
                anyhow::anyhow!("images are not made for this machine's architecture, {other}");
            Err(Failure::new(Exit::Usage, why).hint("choose one with --arch: `amd64` or `arm64`"))
        }
    }
}

fn targets(
    args: &BaseBuildArgs,
    image: OwnImage,
    architecture: BaseArchitecture,
    inputs: &Inputs,
) -> Result<Vec<Target>, Failure> {
    let version = inputs.digest().hex();
    let placeholders = Placeholders {
        name: image.as_str(),
        platform: architecture.as_str(),
        version: version.get(..VERSION_DIGITS).unwrap_or(&version),
        tag: version.get(..VERSION_DIGITS).unwrap_or(&version),
    };
    let fill = |template: &String| {
        placeholders.fill(template).map_err(|error| {
            Failure::new(Exit::Usage, error)
                .hint("targets are written as skopeo's: `docker://HOST/REPO:TAG`, `oci:DIR:REF`, …")
        })
    };
    args.targets.iter().map(fill).collect()
}

/// An image about which something is said.
struct About<'a> {
    image: OwnImage,
    architecture: BaseArchitecture,
    inputs: &'a Inputs,
    context: &'a Context,
}

impl About<'_> {
    fn document(&self, state: &str) -> Value {
        let inputs: Map<String, Value> = self
            .inputs
            .iter()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        json!({
            "event": "result",
            "base": self.image.as_str(),
            "arch": self.architecture.as_str(),
            "state": state,
            "inputs_digest": self.inputs.digest().to_string(),
            "inputs": inputs,
        })
    }

    fn title(&self) -> String {
        format!("{} ({})", self.image.as_str(), self.architecture)
    }

    fn tell_held(&self, held: &[(Target, String)], is_all: bool) {
        if self.context.json && is_all && !held.is_empty() {
            let mut document = self.document("up to date");
            let targets = held.iter().map(|(target, digest)| {
                json!({"target": target.to_string(), "digest": digest, "unchanged": true})
            });
            document["targets"] = targets.collect();
            document["digest"] = json!(held.first().map(|(_, digest)| digest));
            printer::out(&document.to_string());
        }
        if self.context.verbosity > Verbosity::Quiet {
            for (target, digest) in held {
                let title = self.title();
                printer::err(&format!("{title} is up to date in {target} ({digest})"));
            }
        }
    }

    fn tell_made(&self, made: &Image, targets: Vec<Value>) {
        let digest = made.manifest_descriptor.digest.to_string();
        let size: u64 = made.layers.iter().map(|layer| layer.descriptor.size).sum();
        if self.context.json {
            let mut document = self.document("built");
            document["digest"] = json!(digest);
            document["size"] = json!(size);
            document["layers"] = json!(made.layers.len());
            document["targets"] = json!(targets);
            printer::out(&document.to_string());
        }
        if self.context.verbosity > Verbosity::Quiet {
            let (title, layers) = (self.title(), made.layers.len());
            let plural = if layers == 1 { "" } else { "s" };
            printer::err(&format!(
                "{title} is {digest}: {layers} layer{plural}, {}",
                bytes(size)
            ));
        }
    }
}

pub(super) fn failure(error: OwnImageError) -> Failure {
    let (exit, hint) = (exit_of(error.kind()), error.hint());
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}
