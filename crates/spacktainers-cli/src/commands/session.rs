//! What commands that build share: mirrors, registries, the local cache, put together from settings and environment.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use spacktainers::base::{BaseArchitecture, BaseContext};
use spacktainers::bucket::BucketAccess;
use spacktainers::build::{BuildError, ContainerError, ErrorKind, World};
use spacktainers::diagnostic::Diagnostic;
use spacktainers::fetch::{BuildCache, Trust};
use spacktainers::local_cache::LocalCache;
use spacktainers::mirror::{Access, Network, RetryPolicy};
use spacktainers::openpgp::PublicKeys;
use spacktainers::project::{Definition, MirrorSettings, Project, Settings};
use spacktainers::publish::{Ahead, PublishContext};
use spacktainers::registry::auth::CredentialStore;
use spacktainers::registry::ecr::EcrAccess;
use spacktainers::registry::{RegistryClient, RegistrySettings};
use spacktainers::sandbox::Machine;
use spacktainers::sif::SquashfsOptions;
use spacktainers::spack::{SpackContext, SpackError, SpackOnDemand};

use crate::context::{Context, Failure};
use crate::diagnostics;
use crate::exit::Exit;
use crate::{printer, processor};

/// How long nothing may move before a connection counts as dead.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything outside the project that building needs.
pub(super) struct Session {
    cache: LocalCache,
    registries: RegistryClient,
    buckets: BucketAccess,
    machine: Machine,
    mirrors: Vec<BuildCache>,
    base: BaseContext,
    now: SystemTime,
    spack: Option<SpackOnDemand>,
}

impl Session {
    /// Opens the local cache and connects to the mirrors. `insecure` are registries of the command line.
    pub(super) async fn new(
        settings: &Settings,
        insecure: &[String],
        context: &Context,
    ) -> Result<Self, Failure> {
        let cache = context.local_cache()?;
        let now = SystemTime::now();
        let access = access(settings, insecure, context);
        let registries = access.registries.clone();
        let buckets = BucketAccess {
            network: access.network.clone(),
            environment: Arc::clone(&access.environment),
            is_offline: access.is_offline,
        };
        let mut mirrors = Vec::new();
        for mirror in &settings.mirrors {
            let trust = trust(mirror)?;
            let connected =
                BuildCache::connect(&*mirror.name, &mirror.location, trust, &access).await;
            mirrors.push(connected.map_err(|error| Failure::new(Exit::Refused, error))?);
        }
        let mut base = BaseContext::new(cache.clone(), context.reporter.clone(), context.jobs, now);
        base.offline = context.offline;
        base.registries = registries.clone();
        base.folder = context.project.clone();
        base.debian = settings.debian.clone();
        base.sif_keys = public_keys(settings.sif_keys.iter().map(|(file, _)| &**file))?;
        // A Spack that only this machine's environment names would make locks that others cannot repeat.
        let spack = settings.spack.is_set().then(|| {
            let spack = spack_context(cache.clone(), context);
            SpackOnDemand::new(settings.clone(), spack)
        });
        Ok(Self {
            spack,
            cache,
            registries,
            buckets,
            machine: machine(),
            mirrors,
            base,
            now,
        })
    }

    /// Time has passed: what was signed meanwhile is not signed in the future.
    pub(super) fn goes_on(&mut self) {
        self.now = SystemTime::now();
    }

    /// What the stages work with.
    pub(super) fn world<'a>(&'a self, context: &Context) -> World<'a> {
        World {
            cache: &self.cache,
            reporter: context.reporter.clone(),
            jobs: context.jobs,
            now: self.now,
            mirrors: &self.mirrors,
            base: &self.base,
            machine: &self.machine,
            created: context.created,
            spack: self.spack.as_ref(),
        }
    }

    /// What publishing a container works with.
    pub(super) fn publishing(
        &self,
        project: &Project,
        definition: &Definition,
        context: &Context,
    ) -> PublishContext {
        PublishContext {
            platform: Some(definition.platform()),
            is_one_of_several: project.is_one_of_several(definition),
            ..self.publish_context(context)
        }
    }

    /// What publishing works with, of whatever image.
    pub(super) fn publish_context(&self, context: &Context) -> PublishContext {
        PublishContext {
            registry: self.registries.clone(),
            buckets: self.buckets.clone(),
            platform: None,
            is_one_of_several: false,
            is_forced: false,
            cache: self.cache.clone(),
            jobs: context.jobs,
            reporter: context.reporter.clone(),
            ahead: Ahead::default(),
            squashfs: SquashfsOptions::new(context.jobs),
        }
    }

    /// Buckets, for what is pulled from them.
    pub(super) fn buckets(&self) -> &BucketAccess {
        &self.buckets
    }

    /// Registries.
    pub(super) fn registries(&self) -> &RegistryClient {
        &self.registries
    }

    /// The local cache.
    pub(super) fn cache(&self) -> &LocalCache {
        &self.cache
    }

    /// What base images are found with.
    pub(super) fn base(&self) -> &BaseContext {
        &self.base
    }

    /// What images to run are found with: of those for `architecture`, the best for this machine's processor.
    pub(super) fn base_to_run(&self, architecture: BaseArchitecture) -> BaseContext {
        let mut context = self.base.clone();
        context.variant = processor::variant(architecture);
        context
    }
}

/// What mirrors are connected to with. `insecure` are registries of the command line.
pub(super) fn access(settings: &Settings, insecure: &[String], context: &Context) -> Access {
    let network = Network::new(PATIENCE);
    let environment = Arc::new(environment());
    let insecure = settings.insecure.iter().chain(insecure).cloned().collect();
    Access {
        registries: RegistryClient::new(RegistrySettings {
            insecure,
            credentials: credentials(settings, &network, &environment),
            ..RegistrySettings::default()
        }),
        network,
        is_offline: context.offline,
        retry: RetryPolicy::default(),
        environment,
    }
}

/// Who we are, where registries ask.
pub(super) fn credentials(
    settings: &Settings,
    network: &Network,
    environment: &Arc<BTreeMap<String, String>>,
) -> CredentialStore {
    let hosts = settings.ecr.hosts.clone();
    let ecr = EcrAccess::new(network.clone(), Arc::clone(environment), hosts);
    CredentialStore::discover(|name| std::env::var_os(name)).with_ecr(ecr)
}

/// What Spack is run with.
pub(super) fn spack_context(cache: LocalCache, context: &Context) -> SpackContext {
    SpackContext {
        cache,
        environment: environment(),
        reporter: context.reporter.clone(),
        jobs: context.jobs,
        is_offline: context.offline,
    }
}

/// What commands are run on: the machine as it is, with its proxies.
pub(super) fn machine() -> Machine {
    let search: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let mut machine = Machine::new(&search, super::run::is_root());
    // Both spellings are in use. Docker hands on the same ones.
    for name in ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"] {
        for name in [name.to_owned(), name.to_uppercase()] {
            if let Ok(value) = std::env::var(&name) {
                machine.environment.push((name, value));
            }
        }
    }
    machine
}

/// Variables that are text; others are no business of the AWS tools.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Whose signatures count for a mirror of the settings.
pub(super) fn trust(mirror: &MirrorSettings) -> Result<Trust, Failure> {
    let keys = public_keys(mirror.keys.iter().map(|(file, _)| file.as_path()))?;
    Ok(if mirror.signed {
        Trust::Signed(keys)
    } else {
        Trust::Unsigned(keys)
    })
}

/// The OpenPGP public keys in these files.
pub(super) fn public_keys<'a>(
    files: impl IntoIterator<Item = &'a Path>,
) -> Result<PublicKeys, Failure> {
    let mut bytes = Vec::new();
    for file in files {
        let key = fs::read(file).map_err(|error| {
            let why = anyhow::Error::new(error)
                .context(format!("cannot read the key `{}`", file.display()));
            Failure::new(Exit::Usage, why)
        })?;
        bytes.extend(key);
        bytes.push(b'\n');
    }
    if bytes.is_empty() {
        return Ok(PublicKeys::default());
    }
    PublicKeys::parse(&bytes).map_err(|error| Failure::new(Exit::Usage, error))
}

/// The exit code of a kind of ending.
pub(super) fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Fault => Exit::Fault,
        ErrorKind::Definition => Exit::Usage,
        ErrorKind::Missing => Exit::Missing,
        ErrorKind::Refused => Exit::Refused,
        ErrorKind::Unverified => Exit::Unverified,
    }
}

/// How it ends when Spack cannot be used, or fails.
pub(super) fn spack_failure(error: SpackError) -> Failure {
    let (exit, hint) = (exit_of(error.kind()), error.hint());
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

/// How a build that failed ends.
pub(super) fn build_failure(error: BuildError) -> Failure {
    let exit = exit_of(error.kind());
    let hint = error.hint();
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

/// The same, shown in the project's files where it is about a place in one.
pub(super) fn shown_failure(error: BuildError, project: &Project, context: &Context) -> Failure {
    if let Some(place) = error.place()
        && !context.json
    {
        let text = error.source().unwrap_or(&error).to_string();
        let told = Diagnostic::error(place, text).label("here");
        let colours = printer::has_colours();
        printer::err(&diagnostics::render(&told, &project.sources, colours));
    }
    build_failure(error)
}

/// How it ends when a definition has nothing to build from.
pub(super) fn container_failure(error: ContainerError) -> Failure {
    let hint = error.hint();
    let mut failure = Failure::new(Exit::Usage, error);
    failure.hint = hint;
    failure
}
