//! One package from the lock to the mirror: what it needs is laid down, it is built by real Spack, and it is pushed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value as Json;
use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;
use spack_format::prefix::pad_root;

use super::capsule::{Capsule, CapsuleParts};
use super::executor::Work;
use super::jobserver::{self, Jobserver};
use super::meter::Meter;
use super::plan::{Build, LaidDown, Plan};
use super::push::Goal;
use super::records::Recorded;
use super::room::{Guest, Room, RoomError, Visit, folder_of};
use super::sources::Sources;
use super::{FarmError, FarmOptions, LayDownError, Order, PackageError, lay};
use crate::build::{InstallRoot, Supply};
use crate::event::Event;
use crate::install_tree::{InstallTree, Mount};
use crate::spack::{Run, ScopeFiles, Spack, SpackError, Store, Trusted, write_environment};

/// Where packages are built: a scope, an environment per container, and the mirror that takes what is built.
pub(super) struct Yard<'a> {
    spack: &'a Spack,
    orders: &'a [Order<'a>],
    work: tempfile::TempDir,
    environments: Vec<PathBuf>,
    /// Where each container's packages lie.
    trees: Vec<PathBuf>,
    /// Where each container's packages are built to lie, as far as we know it: with padding.
    installs: Vec<Option<InstallRoot>>,
    /// Where the settings say that packages lie.
    install: Option<InstallRoot>,
    /// The sandbox, with the store of each container; none: this machine as it is.
    room: Option<(Room, Vec<Mount>)>,
    /// Packages whose builds may use the network, by name and by hash.
    network: Vec<String>,
    fetching: HashSet<DagHash>,
    supply: Supply<'a>,
    goal: Goal<'a>,
    /// None: there is but one processor to share.
    jobserver: Option<Jobserver>,
    /// Processors in all, and for a build that knows no jobserver.
    jobs: NonZeroUsize,
    jobs_of_one: usize,
    /// Where capsules lie.
    capsules: PathBuf,
}

impl<'a> Yard<'a> {
    /// Prepares all of it, and finds out now what would be found out after the first build otherwise.
    pub(super) async fn open(work: &Work<'a>) -> Result<Self, FarmError> {
        let Work {
            orders,
            spack,
            options,
            world,
            access,
        } = *work;
        let goal = Goal::open(spack, world, &*spack.context().reporter, access).await?;
        let trees = orders
            .iter()
            .map(|order| tree(order, options).ok_or(FarmError::NoInstallRoot))
            .collect::<Result<_, _>>()?;
        let installs: Vec<Option<InstallRoot>> = orders
            .iter()
            .map(|order| match (&options.install, &options.room) {
                (Some(install), _) => Some(install.clone()),
                // Without a sandbox, Spack lays packages down where only the environment knows the place.
                (None, None) => None,
                (None, Some(_)) => install_root(order),
            })
            .collect();
        let room = match &options.room {
            Some(room) => {
                let room = Room::open(spack, room, world).await?;
                let stores = installs.iter().map(|install| {
                    let install = install.as_ref().ok_or(FarmError::NoInstallRoot)?;
                    Ok(room.store(install)?)
                });
                let stores = stores.collect::<Result<Vec<_>, FarmError>>()?;
                Some((room, stores))
            }
            None => None,
        };
        let work = spack.work()?;
        let network = match &options.room {
            Some(room) => room.settings.building.network.clone(),
            None => Vec::new(),
        };
        scope_of(spack, options.install.as_ref())?.write(&work.path().join("scope"))?;
        let mut environments = Vec::new();
        for (index, order) in orders.iter().enumerate() {
            let folder = work.path().join(format!("environment-{index}"));
            write_environment(&folder, order.manifest, Some(order.lock_text))?;
            environments.push(folder);
        }
        Ok(Self {
            spack,
            orders,
            environments,
            trees,
            installs,
            install: options.install.clone(),
            room,
            network,
            fetching: HashSet::new(),
            supply: Supply::from(world),
            goal,
            jobserver: match world.jobs.get() {
                1 => None,
                jobs => Some(
                    Jobserver::new(work.path(), jobs)
                        .map_err(SpackError::io("make a pipe in", work.path()))?,
                ),
            },
            jobs: world.jobs,
            jobs_of_one: jobs_of_one(world.jobs, options.at_once),
            capsules: match &options.capsules {
                Some(folder) => folder.clone(),
                None => spack.folder("capsules")?,
            },
            work,
        })
    }

    /// Spack.
    pub(super) const fn spack(&self) -> &'a Spack {
        self.spack
    }

    /// A folder that goes with this.
    pub(super) fn work(&self) -> &Path {
        self.work.path()
    }

    /// The configuration that builds have on this machine.
    pub(super) fn scope(&self) -> Result<ScopeFiles, SpackError> {
        scope_of(self.spack, self.install.as_ref())
    }

    /// The folder of a container's environment.
    pub(super) fn environment(&self, order: usize) -> Option<PathBuf> {
        self.environments.get(order).cloned()
    }

    /// A package that is built.
    pub(super) fn spec(&self, build: &Build) -> Option<&'a ConcreteSpec> {
        self.orders.get(build.order)?.lock.specs.get(&build.hash)
    }

    /// Whether the settings let builds of this package use the network.
    pub(super) fn may_fetch(&self, name: &str) -> bool {
        self.network.iter().any(|it| it == name)
    }

    /// Refuses what cannot be built here before anything is built.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), RoomError> {
        match &self.room {
            Some((room, _)) => room.check(plan, self.orders),
            None => Ok(()),
        }
    }

    /// Takes note of what is known of sources.
    pub(super) fn knows(&mut self, sources: Sources, plan: &Plan) {
        if self.room.is_some() {
            sources.tell(plan, self);
        }
        self.fetching = sources.fetching.into_keys().collect();
    }

    /// The processors that builds share.
    pub(super) fn jobserver(&self) -> Option<&Jobserver> {
        self.jobserver.as_ref()
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
            let mount = self.mount(order);
            let install = self.installs.get(order).and_then(Option::as_ref);
            if let (Some(install), Some(it)) = (install, self.orders.get(order))
                && lay::lay_down(it, &hashes, install, mount, &self.supply).await?
            {
                continue;
            }
            if self.room.is_some() {
                return Err(RoomError::OnlySpack.into());
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

    /// Builds a package, whose dependencies are in the store, and pushes it. Says what the build took, unless it was built
    /// before and not pushed.
    pub(super) async fn build(
        &self,
        build: &Build,
    ) -> Result<Option<Recorded>, (PackageError, Option<Capsule>)> {
        let laid_down = self.lay_down(&build.laid_down).await;
        laid_down.map_err(|error| (PackageError::from(error), None))?;
        let jobs = self.jobs_of_one.to_string();
        let mut arguments = words(&["install", "--only-concrete", "--only", "package"]);
        arguments.extend(words(&["--no-cache", "-j", &jobs]));
        arguments.push(format!("/{}", build.hash).into());
        let doing = format!("building {}", build.title);
        let run = self.run(doing, build.order, arguments, Trusted::Nothing);
        let guest = self.guest(build, &run);
        let guest = guest.map_err(|error| (error.into(), None))?;
        let (line, variables) = match &guest {
            Some(guest) => (guest.line.clone(), guest.variables.clone()),
            None => {
                let variables = self.spack.variables(run.trusted);
                let variables = variables.map_err(|error| (error.into(), None))?;
                (self.spack.command_line(&run), variables)
            }
        };
        let pid = self.work.path().join(format!("{}.pid", build.hash));
        let line = [jobserver::wrapper(self.jobserver.as_ref(), &pid), line].concat();
        let (was_built, begin, meter) = (self.is_built(build), Instant::now(), Meter::default());
        let ended = tokio::select! {
            ended = self.spack.run_line(&run.doing, &line, &variables) => ended,
            never = meter.watch(&pid) => match never {},
        };
        if let Err(error) = ended {
            let capsule = self.capsule(build, &run, guest.as_ref(), &error);
            return Err((error.into(), capsule));
        }
        let recorded = Recorded {
            seconds: begin.elapsed().as_secs_f64(),
            peak_memory: meter.peak(),
            cores: self.jobs.get(),
        };
        if guest.is_some() {
            // What a build left in its home and in `/tmp` is of no use.
            let _ = fs::remove_dir_all(folder_of(self.work(), &build.hash));
        }
        let pushed = self.push(build).await;
        pushed.map_err(|error| (error, None))?;
        Ok((!was_built).then_some(recorded))
    }

    /// Whether it lies in the store already: built by a run that was killed before it could push.
    fn is_built(&self, build: &Build) -> bool {
        let Some(tree) = self.trees.get(build.order) else {
            return false;
        };
        let tree = match self.mount(build.order) {
            Some(mount) => InstallTree::open_mounted(mount),
            None => InstallTree::open(tree),
        };
        tree.is_ok_and(|tree| tree.is_installed(&build.hash))
    }

    /// Lets a build into the sandbox, if there is one.
    fn guest(&self, build: &Build, run: &Run) -> Result<Option<Guest>, SpackError> {
        let (Some((room, _)), Some(mount), Some(order)) = (
            &self.room,
            self.mount(build.order),
            self.orders.get(build.order),
        ) else {
            return Ok(None);
        };
        room.guest(&Visit {
            folder: &folder_of(self.work(), &build.hash),
            scope: &self.scope()?,
            order,
            mount,
            has_network: self.fetching.contains(&build.hash),
            arguments: &run.arguments,
        })
        .map(Some)
    }

    /// Where the store of a container lies, if that is not where its packages know it.
    fn mount(&self, order: usize) -> Option<&Mount> {
        self.room.as_ref()?.1.get(order)
    }

    async fn push(&self, build: &Build) -> Result<(), PackageError> {
        match self.trees.get(build.order) {
            Some(tree) => {
                let mount = self.mount(build.order);
                self.goal.push(tree, mount, &build.hash).await
            }
            None => Ok(()),
        }
    }

    /// Lets plain Spack know of what was pushed.
    pub(super) async fn update_index(&self) {
        self.goal.update_index().await;
    }

    /// What a failed build leaves. That it cannot be written is no second failure.
    fn capsule(
        &self,
        build: &Build,
        run: &Run,
        guest: Option<&Guest>,
        error: &SpackError,
    ) -> Option<Capsule> {
        let order = self.orders.get(build.order)?;
        let spec = order.lock.specs.get(&build.hash)?;
        let stage = format!("spack-stage-{}-{}-{}", spec.name, spec.version, spec.hash);
        let written = || -> Result<Capsule, SpackError> {
            Capsule::write(&CapsuleParts {
                folder: self.capsules.clone(),
                spec,
                container: &order.title,
                spack: self.spack.commit(),
                message: &match error {
                    SpackError::Failed { message, .. } => message.clone(),
                    other => other.to_string(),
                },
                log: match &self.room {
                    Some((room, _)) => log(room.stages(), &stage),
                    None => log(&self.spack.folder("stage")?, &stage),
                },
                command: match guest {
                    Some(guest) => guest.line.clone(),
                    None => self.spack.command_line(run),
                },
                scope: guest.map_or(&run.scope, |guest| &guest.scope),
                environment: match guest {
                    Some(guest) => Some(&guest.environment),
                    None => run.environment.as_deref(),
                },
                variables: match guest {
                    Some(guest) => guest.variables.clone(),
                    None => self.spack.variables(Trusted::Nothing)?,
                },
                script: guest.map(|guest| guest.script.as_str()),
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

/// Our configuration, with packages where the settings say.
fn scope_of(spack: &Spack, install: Option<&InstallRoot>) -> Result<ScopeFiles, SpackError> {
    spack.scope(match install {
        Some(install) => Store::At(install),
        None => Store::AsTheEnvironmentSays,
    })
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Cores for each of several builds that know no jobserver. One would turn the jobserver off for those that do.
fn jobs_of_one(jobs: NonZeroUsize, at_once: NonZeroUsize) -> usize {
    jobs.get().div_ceil(at_once.get()).max(jobs.get().min(2))
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

/// Where the environment says that packages lie, with its padding.
fn install_root(order: &Order<'_>) -> Option<InstallRoot> {
    let tree = order.manifest.pointer("/spack/config/install_tree")?;
    let root = tree.as_str().or_else(|| tree.get("root")?.as_str())?;
    let root = root.trim_end_matches('/').to_owned();
    if !root.starts_with('/') || root.contains('$') {
        return None;
    }
    let length = tree.get("padded_length").and_then(Json::as_u64);
    let length = usize::try_from(length.unwrap_or(0)).ok()?;
    let store = pad_root(&root, length).ok()?;
    Some(InstallRoot { root, store })
}

/// The log that a build left in its stage. Spack puts stages into a folder of the user's name below the one it is given.
fn log(stages: &Path, stage: &str) -> Option<PathBuf> {
    let users = fs::read_dir(stages).into_iter().flatten().flatten();
    std::iter::once(stages.to_owned())
        .chain(users.map(|entry| entry.path()))
        .map(|folder| folder.join(stage).join("spack-build-out.txt"))
        .find(|file| file.is_file())
}
