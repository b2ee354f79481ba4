//! One package from the lock to the mirror: what it needs is laid down, it is built, it is pushed. All by real Spack.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::capsule::{Capsule, CapsuleParts};
use super::plan::{Build, LaidDown};
use super::{FarmError, FarmOptions, Order};
use crate::build::World;
use crate::event::Event;
use crate::fetch::Trust;
use crate::mirror::Location;
use crate::openpgp::{self, SecretKey};
use crate::spack::{Run, Spack, SpackError, Store, Trusted, write_environment};

/// Where packages are built: a scope, an environment per container, and the mirror that takes what is built.
pub(super) struct Yard<'a> {
    spack: &'a Spack,
    orders: &'a [Order<'a>],
    work: tempfile::TempDir,
    environments: Vec<PathBuf>,
    mirror: String,
    signs: bool,
    jobs: usize,
}

impl<'a> Yard<'a> {
    /// Prepares all of it, and finds out now what would be found out after the first build otherwise.
    pub(super) async fn open(
        orders: &'a [Order<'a>],
        spack: &'a Spack,
        options: &FarmOptions,
        world: &World<'_>,
    ) -> Result<Self, FarmError> {
        let mirrors = spack.mirrors().iter().zip(world.mirrors);
        let (mirror, cache) = mirrors
            .into_iter()
            .find(|(settings, _)| settings.push)
            .ok_or(FarmError::NoMirror)?;
        let signs = match (&mirror.location, spack.signing_key()) {
            // Spack does not sign what lies in registries.
            (Location::Registry(_), _) => false,
            (_, None) if mirror.signed => {
                return Err(FarmError::NoKey {
                    mirror: mirror.name.clone(),
                });
            }
            (_, None) => false,
            (_, Some(key)) => {
                check_key(key, &mirror.name, &cache.trust, world)?;
                spack.import_signing_key().await?;
                true
            }
        };
        let store = match &options.install {
            Some(install) => Store::At(install),
            None if orders.iter().all(|order| says_where(order)) => Store::AsTheEnvironmentSays,
            None => return Err(FarmError::NoInstallRoot),
        };
        let work = spack.work()?;
        spack.scope(store)?.write(&work.path().join("scope"))?;
        let mut environments = Vec::new();
        for (index, order) in orders.iter().enumerate() {
            let folder = work.path().join(format!("environment-{index}"));
            write_environment(&folder, order.manifest, Some(order.lock_text))?;
            environments.push(folder);
        }
        Ok(Self {
            spack,
            orders,
            work,
            environments,
            mirror: mirror.name.clone(),
            signs,
            jobs: jobs_of_one(world.jobs, options.at_once),
        })
    }

    fn run(&self, doing: String, order: usize, arguments: Vec<OsString>, trusted: Trusted) -> Run {
        Run {
            doing,
            scope: self.work.path().join("scope"),
            environment: self.environments.get(order).cloned(),
            arguments,
            trusted,
        }
    }

    /// Lays packages of mirrors down in the store, with what they run with.
    pub(super) async fn lay_down(&self, packages: &[LaidDown]) -> Result<(), SpackError> {
        let mut by_order: BTreeMap<usize, Vec<&LaidDown>> = BTreeMap::new();
        for package in packages {
            by_order.entry(package.order).or_default().push(package);
        }
        for (order, packages) in by_order {
            let count = packages.len();
            let plural = if count == 1 { "" } else { "s" };
            let mut arguments = words(&["install", "--only-concrete", "--cache-only"]);
            arguments.extend(packages.iter().map(|it| format!("/{}", it.hash).into()));
            let doing = format!("laying down {count} package{plural} of mirrors");
            let run = self.run(doing, order, arguments, Trusted::Mirrors);
            self.spack.run(&run).await?;
        }
        Ok(())
    }

    /// Builds a package, whose dependencies are in the store, and pushes it.
    pub(super) async fn build(&self, build: &Build) -> Result<(), (SpackError, Option<Capsule>)> {
        let told = |error| (error, None);
        self.lay_down(&build.laid_down).await.map_err(told)?;
        let jobs = self.jobs.to_string();
        let mut arguments = words(&["install", "--only-concrete", "--only", "package"]);
        arguments.extend(words(&["--no-cache", "-j", &jobs]));
        arguments.push(format!("/{}", build.hash).into());
        let doing = format!("building {}", build.title);
        let run = self.run(doing, build.order, arguments, Trusted::Nothing);
        if let Err(error) = self.spack.run(&run).await {
            let capsule = self.capsule(build, &run, &error);
            return Err((error, capsule));
        }
        self.push(build).await.map_err(told)
    }

    async fn push(&self, build: &Build) -> Result<(), SpackError> {
        let signing = if self.signs { "--signed" } else { "--unsigned" };
        let mut arguments = words(&["buildcache", "push", "--only", "package", signing]);
        arguments.push(self.mirror.clone().into());
        arguments.push(format!("/{}", build.hash).into());
        let doing = format!("pushing {} to {}", build.title, self.mirror);
        let run = self.run(doing, build.order, arguments, Trusted::Mirrors);
        self.spack.run(&run).await
    }

    /// Writes the mirror's index anew. We never read it, and plain Spack does.
    pub(super) async fn update_index(&self) {
        let mut arguments = words(&["buildcache", "update-index"]);
        arguments.push(self.mirror.clone().into());
        let doing = format!("updating the index of {}", self.mirror);
        let run = self.run(doing, 0, arguments, Trusted::Mirrors);
        if let Err(error) = self.spack.run(&run).await {
            let warning = format!(
                "plain Spack will not see what was pushed until the index is written: {}",
                crate::base::one_line(&error)
            );
            let reporter = &self.spack.context().reporter;
            reporter.event(Event::Warning(warning));
        }
    }

    /// What a failed build leaves. That it cannot be written is no second failure.
    fn capsule(&self, build: &Build, run: &Run, error: &SpackError) -> Option<Capsule> {
        let order = self.orders.get(build.order)?;
        let spec = order.lock.specs.get(&build.hash)?;
        let stage = format!("spack-stage-{}-{}-{}", spec.name, spec.version, spec.hash);
        let written = || -> Result<Capsule, SpackError> {
            Capsule::write(&CapsuleParts {
                folder: self.spack.folder("capsules")?,
                spec,
                container: &order.title,
                spack: self.spack.commit(),
                message: &match error {
                    SpackError::Failed { message, .. } => message.clone(),
                    other => other.to_string(),
                },
                log: log(&self.spack.folder("stage")?, &stage),
                command: self.spack.command_line(run),
                scope: &run.scope,
                environment: run.environment.as_deref(),
                variables: self.spack.variables(Trusted::Nothing)?,
                secrets: &self.spack.context().environment,
            })
        };
        match written() {
            Ok(capsule) => Some(capsule),
            Err(error) => {
                let warning = format!(
                    "what the failed build left cannot be kept: {}",
                    crate::base::one_line(&error)
                );
                let reporter = &self.spack.context().reporter;
                reporter.event(Event::Warning(warning));
                None
            }
        }
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Cores for each of several builds.
fn jobs_of_one(jobs: NonZeroUsize, at_once: NonZeroUsize) -> usize {
    jobs.get().div_ceil(at_once.get())
}

/// Whether the environment says where packages lie.
fn says_where(order: &Order<'_>) -> bool {
    let tree = order.manifest.pointer("/spack/config/install_tree");
    tree.is_some_and(|tree| tree.is_string() || tree.get("root").is_some())
}

/// That the key signs, and that the mirror's own keys say so.
fn check_key(file: &Path, mirror: &str, trust: &Trust, world: &World<'_>) -> Result<(), FarmError> {
    let text = fs::read_to_string(file).map_err(SpackError::io("read", file))?;
    let signed = SecretKey::parse(&text)
        .and_then(|key| key.clear_sign("a text\n", world.now))
        .map_err(FarmError::Key)?;
    match trust {
        Trust::Signed(keys) if openpgp::verify(&signed.message, keys, world.now).is_err() => {
            Err(FarmError::Untrusted {
                mirror: mirror.to_owned(),
            })
        }
        Trust::Signed(_) | Trust::Unsigned(_) => Ok(()),
    }
}

/// The log that a build left in its stage. Spack puts stages into a folder of the user's name below the one it is given.
fn log(stages: &Path, stage: &str) -> Option<PathBuf> {
    let users = fs::read_dir(stages).into_iter().flatten().flatten();
    std::iter::once(stages.to_owned())
        .chain(users.map(|entry| entry.path()))
        .map(|folder| folder.join(stage).join("spack-build-out.txt"))
        .find(|file| file.is_file())
}
