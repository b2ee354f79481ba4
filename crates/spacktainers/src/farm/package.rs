//! One package from the lock to the mirror: what it needs is laid down, it is built by real Spack, and it is pushed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use spack_format::dag_hash::DagHash;

use super::capsule::{Capsule, CapsuleParts};
use super::plan::{Build, LaidDown};
use super::push::Goal;
use super::{FarmError, FarmOptions, LayDownError, Order, PackageError, lay};
use crate::build::{InstallRoot, Supply, World};
use crate::event::Event;
use crate::mirror::Access;
use crate::spack::{Run, Spack, SpackError, Store, Trusted, write_environment};

/// Where packages are built: a scope, an environment per container, and the mirror that takes what is built.
pub(super) struct Yard<'a> {
    spack: &'a Spack,
    orders: &'a [Order<'a>],
    work: tempfile::TempDir,
    environments: Vec<PathBuf>,
    /// Where each container's packages lie.
    trees: Vec<PathBuf>,
    /// Where the settings say that packages lie.
    install: Option<InstallRoot>,
    supply: Supply<'a>,
    goal: Goal<'a>,
    jobs: usize,
}

impl<'a> Yard<'a> {
    /// Prepares all of it, and finds out now what would be found out after the first build otherwise.
    pub(super) async fn open(
        orders: &'a [Order<'a>],
        spack: &'a Spack,
        options: &FarmOptions,
        world: &World<'a>,
        access: &Access,
    ) -> Result<Self, FarmError> {
        let goal = Goal::open(spack, world, &*spack.context().reporter, access).await?;
        let trees = orders
            .iter()
            .map(|order| tree(order, options).ok_or(FarmError::NoInstallRoot))
            .collect::<Result<_, _>>()?;
        let store = match &options.install {
            Some(install) => Store::At(install),
            None => Store::AsTheEnvironmentSays,
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
            trees,
            install: options.install.clone(),
            supply: Supply::from(world),
            goal,
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
    pub(super) async fn lay_down(&self, packages: &[LaidDown]) -> Result<(), LayDownError> {
        let mut by_order: BTreeMap<usize, Vec<DagHash>> = BTreeMap::new();
        for package in packages {
            let hashes = by_order.entry(package.order).or_default();
            hashes.push(package.hash);
        }
        for (order, hashes) in by_order {
            if let (Some(install), Some(it)) = (&self.install, self.orders.get(order))
                && lay::lay_down(it, &hashes, install, &self.supply).await?
            {
                continue;
            }
            let count = hashes.len();
            let plural = if count == 1 { "" } else { "s" };
            let mut arguments = words(&["install", "--only-concrete", "--cache-only"]);
            arguments.extend(hashes.iter().map(|hash| format!("/{hash}").into()));
            let doing = format!("laying down {count} package{plural} of mirrors");
            let run = self.run(doing, order, arguments, Trusted::Mirrors);
            self.spack.run(&run).await?;
        }
        Ok(())
    }

    /// Builds a package, whose dependencies are in the store, and pushes it.
    pub(super) async fn build(&self, build: &Build) -> Result<(), (PackageError, Option<Capsule>)> {
        let laid_down = self.lay_down(&build.laid_down).await;
        laid_down.map_err(|error| (PackageError::from(error), None))?;
        let jobs = self.jobs.to_string();
        let mut arguments = words(&["install", "--only-concrete", "--only", "package"]);
        arguments.extend(words(&["--no-cache", "-j", &jobs]));
        arguments.push(format!("/{}", build.hash).into());
        let doing = format!("building {}", build.title);
        let run = self.run(doing, build.order, arguments, Trusted::Nothing);
        if let Err(error) = self.spack.run(&run).await {
            let capsule = self.capsule(build, &run, &error);
            return Err((error.into(), capsule));
        }
        self.push(build).await.map_err(|error| (error, None))
    }

    async fn push(&self, build: &Build) -> Result<(), PackageError> {
        match self.trees.get(build.order) {
            Some(tree) => self.goal.push(tree, &build.hash).await,
            None => Ok(()),
        }
    }

    /// Lets plain Spack know of what was pushed.
    pub(super) async fn update_index(&self) {
        self.goal.update_index().await;
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

/// The root of the install tree: as the settings say, else as the environment does, without variables that only Spack
/// knows.
fn tree(order: &Order<'_>, options: &FarmOptions) -> Option<PathBuf> {
    if let Some(install) = &options.install {
        return Some(PathBuf::from(&install.root));
    }
    let tree = order.manifest.pointer("/spack/config/install_tree")?;
    let root = tree.as_str().or_else(|| tree.get("root")?.as_str())?;
    (root.starts_with('/') && !root.contains('$')).then(|| PathBuf::from(root))
}

/// The log that a build left in its stage. Spack puts stages into a folder of the user's name below the one it is given.
fn log(stages: &Path, stage: &str) -> Option<PathBuf> {
    let users = fs::read_dir(stages).into_iter().flatten().flatten();
    std::iter::once(stages.to_owned())
        .chain(users.map(|entry| entry.path()))
        .map(|folder| folder.join(stage).join("spack-build-out.txt"))
        .find(|file| file.is_file())
}
