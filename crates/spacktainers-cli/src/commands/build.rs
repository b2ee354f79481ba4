//! `build`: the main job.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sif_format::deffile::BuildArguments;
use spack_format::spec::SatisfiesIn;
use spacktainers::build::{self, Container, Gathered, LockState, Made, Sharing, staleness};
use spacktainers::cpu::CpuFinding;
use spacktainers::deffile;
use spacktainers::event::{Event, Reporter as _};
use spacktainers::layer::relocate::Left;
use spacktainers::project::{Definition, DefinitionKind, Project};
use spacktainers::publish::release::{self, Branch, Place};
use spacktainers::publish::{
    Placeholders, PublishContext, PublishError, Target, existing, has_sif, publish, publish_sif,
    send_ahead,
};
use tokio::runtime::Handle;
use tokio::task::{block_in_place, spawn_blocking};

use super::debug::{attach_debug, check_compression};
use super::lock::write_lock;
use super::outcome::{Outcomes, receipt_line, report_target};
use super::release::{Beside, ReleaseHow};
use super::session::{Session, build_failure, container_failure, shown_failure};
use super::size::Sizes;
use super::stale::{State, Why};
use super::trust::Candidate;
use super::{affected, architecture, block_on, farm, sif, solve, sound_project};
use crate::args::{BuildArgs, BuildHow};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, bytes};

pub(super) fn run(args: &BuildArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let mut selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    if let Some(base) = &args.affected {
        affected::keep(&mut selected, &project, base, context)?;
    }
    let targets = Targets {
        templates: &args.targets,
        release: None,
    };
    build_all(&project, &selected, targets, &args.how, context)
}

/// Where containers go.
#[derive(Clone, Copy)]
pub(super) struct Targets<'a> {
    /// With `{name}`, `{version}` and `{arch}`.
    pub(super) templates: &'a [String],
    /// How, if they are the places of a release: all or none, and each container takes those that fit it.
    pub(super) release: Option<&'a ReleaseHow<'a>>,
}

/// Builds containers one after the other; one that fails does not stop the others.
pub(super) fn build_all(
    project: &Project,
    selected: &[&Definition],
    targets: Targets<'_>,
    how: &BuildHow,
    context: &Context,
) -> Result<Exit, Failure> {
    distinct_targets(targets.templates, selected)?;
    block_on(async {
        let mut session = Session::new(&project.settings, &how.insecure, context).await?;
        let (selected, mut worst) = match how.locked {
            true => (selected.to_vec(), Exit::Done),
            false => {
                let (all, wish) = (selected.to_vec(), solve::Wish::default());
                solve::locks(project, all, wish, &session, context).await?
            }
        };
        if how.build {
            farm::build_missing(project, &selected, how, &session, context).await?;
            session.goes_on();
        }
        for definition in selected {
            let job = Job {
                project,
                definition,
                targets,
                how,
                session: &session,
                context,
            };
            match job.build().await {
                Ok(exit) => worst = worst.max(exit),
                Err(failure) => {
                    let failure = failure.about(&definition.title());
                    super::report(&failure, context.json);
                    worst = worst.max(failure.exit);
                }
            }
        }
        Ok(worst)
    })
}

/// Several containers in one place would overwrite each other.
fn distinct_targets(targets: &[String], selected: &[&Definition]) -> Result<(), Failure> {
    let containers = selected.len();
    let names: BTreeSet<&str> = selected.iter().map(|it| &*it.name).collect();
    let is_shared = |placeholder: &str| targets.iter().find(|text| !text.contains(placeholder));
    if let Some(text) = is_shared("{name}")
        && names.len() > 1
    {
        let why = anyhow::anyhow!("`{text}` is the same place for {containers} containers");
        return Err(Failure::new(Exit::Usage, why)
            .hint("write `{name}` (and `{arch}`, `{version}`) into the target: each container fills them in"));
    }
    let one_place = targets.iter().find(|text| {
        // There a name holds the images for all of them.
        let is_index = text.starts_with("docker://") || text.starts_with("oci:");
        !is_index && !text.contains("{arch}")
    });
    if let Some(text) = one_place
        && containers > names.len()
    {
        let why = anyhow::anyhow!("`{text}` is the same place for several architectures");
        return Err(Failure::new(Exit::Usage, why)
            .hint("write `{arch}` into the target, or choose one with --arch"));
    }
    Ok(())
}

/// One container on its way.
struct Job<'a> {
    project: &'a Project,
    definition: &'a Definition,
    targets: Targets<'a>,
    how: &'a BuildHow,
    session: &'a Session,
    context: &'a Context,
}

impl Job<'_> {
    async fn build(&self) -> Result<Exit, Failure> {
        let start = Instant::now();
        if let DefinitionKind::Deffile(_) = self.definition.kind {
            return self.build_deffile(start).await;
        }
        let before = self.context.reporter.fetched();
        let container =
            Container::load(self.project, self.definition).map_err(container_failure)?;
        self.check_locked(&container)?;
        let version = container.version().unwrap_or_default();
        let places = self.places(&version).await?;
        let targets: Vec<Target> = places.iter().map(|it| it.target.clone()).collect();
        check_compression(self.project.settings.compression, &targets)?;
        let states = self.states(&targets, &container).await?;
        self.tell_states(&states, &container);
        let stale: Vec<Target> = states
            .iter()
            .filter(|it| it.why.is_some())
            .map(|it| it.target.clone())
            .collect();
        if stale.is_empty() && !targets.is_empty() && self.how.size.report.is_none() {
            self.up_to_date(&states);
            return Ok(Exit::Done);
        }
        let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
        let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
        let world = self.session.world(self.context);
        let sharing = Sharing::of(self.project, self.definition, world.cache);
        let input = container.input(&satisfies, &sharing, true);
        let locked = build::lock(&input, &container.spack_lock, &world)
            .await
            .map_err(build_failure)?;
        // What is too large already is not sent.
        let sizes = Sizes {
            how: &self.how.size,
            locked: &locked,
            container: &container,
            cache: world.cache,
            context: self.context,
        };
        sizes.check(&locked.known_layers())?;
        let cpu =
            block_in_place(|| build::check_cpu(&locked, &input, &world)).map_err(build_failure)?;
        self.tell_cpu(&cpu, input.target.unwrap_or_default());
        let publishing = self.publishing();
        // Composing the last layer takes one processor for a moment; the others are on their way meanwhile.
        let ahead = {
            let (layers, targets) = (locked.known_layers(), stale.clone());
            let (context, runtime) = (publishing.clone(), Handle::current());
            spawn_blocking(move || runtime.block_on(send_ahead(layers, targets, context)))
        };
        let made = build::image(
            &locked,
            &input,
            &container.spack_lock,
            &world,
            self.how.allow_missing_libraries,
        );
        // How it ended is found out by publishing.
        let _ = ahead.await;
        let made = made.map_err(build_failure)?;
        let made = build::finish(made, &input, &world)
            .await
            .map_err(|error| shown_failure(error, self.project, self.context))?;
        self.tell_findings(&made);
        if let Some(report) = sizes.check(&made.image.layers)? {
            sizes.tell(&report)?;
        }
        // What was decided is kept even if a target fails: the next run then goes on from there.
        write_lock(&container, &locked)?;
        let subject = &made.image.manifest_descriptor;
        let debug = build::debug_attachment(&locked, &input, &world);
        let outcomes = match self.targets.release {
            None => {
                let (stale, mut outcomes) =
                    attach_debug(debug.as_ref(), subject, stale, &publishing, self.context).await;
                outcomes.extend(publish(&made.image, &stale, &publishing).await);
                Outcomes::Each(outcomes)
            }
            Some(how) => {
                let (image, definition) = (&made.image, self.definition);
                let candidate = Candidate {
                    project: self.project,
                    container: &container,
                    locked: &locked,
                    image,
                    satisfies: &satisfies,
                    world: &world,
                    context: self.context,
                };
                let mut attachments = candidate.attachments(&places, &how.checkout)?;
                attachments.extend(debug.clone());
                candidate.search(&attachments)?;
                let checks = candidate.checks();
                let beside = Beside {
                    attachments: &attachments,
                    checks: &checks,
                };
                let sent = how.image(image, &places, beside, definition, &version, &publishing);
                Outcomes::All(sent.await?)
            }
        };
        let exit = outcomes.exit();
        self.summary(&Summary {
            version,
            made: &made,
            cpu: &cpu,
            outcomes: &outcomes,
            gathered: locked.gathered,
            left: locked.left().map(left_json).collect(),
            debug: debug.map(|it| it.descriptor(subject).digest.to_string()),
            fetched: self.context.reporter.fetched() - before,
            took: start.elapsed(),
        });
        Ok(exit)
    }

    /// A container that a definition file describes. It is written again if the file, or what the image is made from, is
    /// another one than before.
    async fn build_deffile(&self, start: Instant) -> Result<Exit, Failure> {
        let definition = self.definition;
        let folder = &self.project.folder;
        let shown = definition
            .file
            .strip_prefix(folder)
            .unwrap_or(&definition.file);
        let arguments = BuildArguments::new();
        let plan = sif::plan(&definition.file, shown, &arguments, self.context)?;
        let version = plan.version().unwrap_or_default().to_owned();
        let places = self.places(&version).await?;
        let targets: Vec<Target> = places.iter().map(|it| it.target.clone()).collect();
        if let Some(target) = targets.iter().find(|it| !it.takes_sif()) {
            let why = PublishError::OnlySif(Box::new(target.clone()));
            return Err(Failure::new(Exit::Usage, why));
        }
        let failure = |error| sif::deffile_failure(error, &definition.file, self.context);
        let mut base = self.session.base().clone();
        base.folder.clone_from(folder);
        let publishing = self.publishing();
        if !self.how.force
            && let Ok(Some(facts)) =
                deffile::facts_ahead(&plan, definition.architecture, &base).await
        {
            let mut outcomes = Vec::new();
            for target in &targets {
                let found = has_sif(target, &facts, &publishing).await;
                // A target that cannot be asked may still take the file, and if not, says so itself.
                outcomes.extend(found.unwrap_or_default().map(Ok));
            }
            if outcomes.len() == targets.len() && !targets.is_empty() {
                self.sif_summary(&version, &Outcomes::Each(outcomes), start);
                return Ok(Exit::Done);
            }
        }
        let scripts = sif::scripts(&self.how.scripts, self.context);
        let architecture = definition.architecture;
        let prepared = deffile::prepare(&plan, folder, architecture, &base, &scripts)
            .await
            .map_err(failure)?;
        for warning in &prepared.warnings {
            let event = Event::Warning(warning.clone());
            self.context.reporter.event(event);
        }
        let prepared = Arc::new(prepared);
        let outcomes = match self.targets.release {
            None => Outcomes::Each(publish_sif(&prepared, &targets, &publishing).await),
            Some(how) => {
                let sent = how.deffile(&prepared, &places, definition, &version, &publishing);
                Outcomes::All(sent.await?)
            }
        };
        self.sif_summary(&version, &outcomes, start);
        Ok(outcomes.exit())
    }

    /// Where this container goes.
    async fn places(&self, version: &str) -> Result<Vec<Place>, Failure> {
        match self.targets.release {
            Some(how) => {
                let publishing = self.publishing();
                how.places(self.definition, version, &publishing, self.context)
                    .await
            }
            None => {
                let targets = fill(
                    self.targets.templates,
                    self.project,
                    self.definition,
                    version,
                )?;
                Ok(targets.into_iter().map(Place::moving).collect())
            }
        }
    }

    fn sif_summary(&self, version: &str, outcomes: &Outcomes, start: Instant) {
        if self.context.json {
            let targets = outcomes.to_json();
            let is_current = outcomes
                .iter()
                .all(|it| it.is_ok_and(|receipt| receipt.unchanged));
            let document = json!({
                "event": "result",
                "container": self.definition.name,
                "arch": self.definition.platform_name(),
                "version": version,
                "state": if is_current { "up to date" } else { "built" },
                "seconds": start.elapsed().as_secs_f64(),
                "targets": targets,
            });
            printer::out(&document.to_string());
        }
        for outcome in outcomes.iter() {
            match outcome {
                Err(error) => report_target(error),
                Ok(_) if self.context.verbosity == printer::Verbosity::Quiet => {}
                Ok(receipt) if receipt.unchanged => printer::err(&format!(
                    "{} is up to date in {}",
                    self.definition.title(),
                    receipt.target
                )),
                Ok(receipt) => printer::err(&receipt_line(receipt)),
            }
        }
    }

    /// What publishing this container works with.
    fn publishing(&self) -> PublishContext {
        PublishContext {
            is_forced: self.how.force,
            ..self
                .session
                .publishing(self.project, self.definition, self.context)
        }
    }

    fn check_locked(&self, container: &Container<'_>) -> Result<(), Failure> {
        if self.how.locked && !matches!(container.lock_state, LockState::Current(..)) {
            let why = anyhow::anyhow!(
                "--locked was given, and the container is {}",
                container.lock_state
            );
            return Err(Failure::new(Exit::Usage, why)
                .hint("run `spacktainers lock` and commit `container.lock`"));
        }
        Ok(())
    }

    /// What each target holds now, compared with what it should hold.
    async fn states(
        &self,
        targets: &[Target],
        container: &Container<'_>,
    ) -> Result<Vec<State>, Failure> {
        let context = self.publishing();
        let lock = container.lock_state.current();
        let mut states = Vec::new();
        for target in targets {
            let found = if self.how.force {
                Ok(None)
            } else {
                existing(target, &context).await
            };
            // A target that cannot be asked may still take an image, and if not, says so itself.
            let found = found.unwrap_or_default();
            let labels = found.as_ref().map(|found| &found.config.config.labels);
            let why = if self.how.force {
                Some(Why::Asked)
            } else if matches!(
                target,
                Target::OciArchive { .. } | Target::DockerArchive { .. } | Target::Squashfs(_)
            ) {
                Some(Why::Archive)
            } else {
                staleness(labels, &container.spack.digest, lock.as_ref()).map(Why::Stale)
            };
            let digest = found.map(|found| found.descriptor.digest.to_string());
            states.push(State {
                target: target.clone(),
                why,
                digest,
            });
        }
        Ok(states)
    }

    fn tell_states(&self, states: &[State], container: &Container<'_>) {
        if self.context.verbosity == printer::Verbosity::Quiet || self.context.json {
            return;
        }
        if !matches!(container.lock_state, LockState::Current(..)) {
            printer::err(&format!(
                "{}: {}",
                self.definition.title(),
                container.lock_state
            ));
        }
        for state in states {
            if let Some(why) = &state.why {
                printer::err(&format!(
                    "{} → {}: {why}",
                    self.definition.title(),
                    state.target
                ));
            }
        }
    }

    fn up_to_date(&self, states: &[State]) {
        for state in states {
            let digest = state.digest.as_deref().unwrap_or_default();
            if self.context.json {
                let document = json!({
                    "event": "result",
                    "container": self.definition.name,
                    "arch": self.definition.platform_name(),
                    "state": "up to date",
                    "digest": digest,
                    "targets": [{"target": state.target.to_string(), "digest": digest, "unchanged": true}],
                });
                printer::out(&document.to_string());
            }
            if self.context.verbosity > printer::Verbosity::Quiet {
                printer::err(&format!(
                    "{} is up to date in {} ({digest})",
                    self.definition.title(),
                    state.target
                ));
            }
        }
    }

    fn tell_cpu(&self, findings: &[CpuFinding], target: &str) {
        for it in findings {
            printer::err(&format!("warning: {it}, and {target} has not all of it"));
        }
    }

    fn tell_findings(&self, made: &Made) {
        for it in &made.findings.missing {
            let text = format!(
                "warning: {}: `{}` needs {}, which is not in the image",
                it.package, it.file, it.library
            );
            printer::err(&text);
        }
        if let Some(glibc) = &made.findings.glibc {
            printer::err(&format!(
                "warning: {}: `{}` needs glibc {}, and the base has {}",
                glibc.package, glibc.file, glibc.needed, glibc.found
            ));
        }
    }

    fn summary(&self, summary: &Summary<'_>) {
        let image = &summary.made.image;
        let size: u64 = image.layers.iter().map(|layer| layer.descriptor.size).sum();
        if self.context.json {
            let targets = summary.outcomes.to_json();
            let document = json!({
                "event": "result",
                "container": self.definition.name,
                "arch": self.definition.platform_name(),
                "version": summary.version,
                "state": "built",
                "digest": image.manifest_descriptor.digest.to_string(),
                "size": size,
                "layers": image.layers.len(),
                "fetched": summary.fetched,
                "reused": summary.gathered.reused,
                "seconds": summary.took.as_secs_f64(),
                "prefixes_left": summary.left,
                "debug": summary.debug,
                "cpu": summary.cpu,
                "targets": targets,
            });
            printer::out(&document.to_string());
        }
        for outcome in summary.outcomes.iter() {
            match outcome {
                Ok(receipt) if self.context.verbosity > printer::Verbosity::Quiet => {
                    printer::err(&receipt_line(receipt))
                }
                Ok(_) => {}
                Err(error) => report_target(error),
            }
        }
        if self.context.verbosity > printer::Verbosity::Quiet {
            printer::err(&format!(
                "{} {} is {}: {} layers, {}; fetched {}, had {}; {:.1} s",
                self.definition.name,
                summary.version,
                image.manifest_descriptor.digest,
                image.layers.len(),
                bytes(size),
                bytes(summary.fetched),
                bytes(summary.gathered.reused),
                summary.took.as_secs_f64(),
            ));
        }
    }
}

struct Summary<'a> {
    version: String,
    made: &'a Made,
    outcomes: &'a Outcomes,
    cpu: &'a [CpuFinding],
    gathered: Gathered,
    /// What stays of the build in relocated packages.
    left: Vec<Value>,
    /// Digest of the artifact with symbols that are kept apart.
    debug: Option<String>,
    /// Bytes that came over a network, for packages and base.
    fetched: u64,
    took: Duration,
}

/// A file that still names the prefix of the build.
fn left_json((package, left): (&str, &Left)) -> Value {
    json!({
        "package": package,
        "file": left.file,
        "offset": left.offset,
        "count": left.count,
        "why": left.why,
    })
}

/// The targets of one container.
pub(super) fn targets(
    templates: &[String],
    project: &Project,
    container: &Container<'_>,
) -> Result<Vec<Target>, Failure> {
    fill(
        templates,
        project,
        container.definition,
        &container.version().unwrap_or_default(),
    )
}

fn fill(
    templates: &[String],
    project: &Project,
    definition: &Definition,
    version: &str,
) -> Result<Vec<Target>, Failure> {
    // Without a branch: what is built by hand is named by its version.
    let tag = release::tag(version, project.tag_suffix(definition), &Branch::None);
    let placeholders = Placeholders {
        name: &definition.name,
        platform: &definition.platform_name(),
        version,
        tag: &tag,
    };
    let fill = |template: &String| {
        placeholders.fill(template).map_err(|error| {
            Failure::new(Exit::Usage, error)
                .hint("targets are written as skopeo's: `docker://HOST/REPO:TAG`, `oci:DIR:REF`, …")
        })
    };
    templates.iter().map(fill).collect()
}
