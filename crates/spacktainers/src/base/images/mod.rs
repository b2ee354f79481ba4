//! The two images that a project makes to build on, without a Dockerfile: `builder`, which packages are built in, and
//! `runtime`, which they can be put on.
//!
//! ```text
//! [base.debian] + [base.builder] ──► pinned: builder.amd64.lock ──► Debian layer ─────────┐
//! [spack], [[spack.repo]] ──► tracked files, at /opt/spack and /opt/spack-repos ──► layer ├──► image
//! [install], [arch.…] target, [[mirror]] ──► configuration, public keys, wheels ──► layer ┘
//!                                                                    [bootstrap: one layer more]
//! ```
//!
//! Start at [`decide`], then [`make`]. The same inputs give the same digest; labels name them
//! ([`Inputs`]). The places are those that the builders of the first Spack containers have: Spack at `/opt/spack`, recipes
//! below `/opt/spack-repos`, Spack's own entrypoint script, so that `podman run -it BUILDER` is a shell with Spack. There
//! is no `ONBUILD`, and nothing secret.

mod configuration;
mod error;
mod pinned;
mod tree;
mod wheel;

use std::fs;
use std::path::PathBuf;

use oci_format::config::ImageConfig;
use oci_format::{Digest, Platform, annotation};

use indexmap::IndexMap;

use crate::assemble::{Parts, SourceDateEpoch, assemble};
use crate::base::{
    self, Base, BaseArchitecture, BaseContext, LockedBase, LockedDebian, blocking, debian,
};
use crate::event::Event;
use crate::image::{Image, RecordedLayer};
use crate::openpgp::PublicKeys;
use crate::project::{OwnBaseSettings, Settings};
use crate::sandbox::{Machine, Sandbox, Step, Stop};
use crate::source::LoadedLayer;
use crate::spack::{Spack, TrackedKind, tracked_files};

pub use error::OwnImageError;
pub use wheel::WheelError;

use tree::Tree;

/// Where Spack is in the builder.
const SPACK: &str = "/opt/spack";
/// Where recipes are in the builder.
const RECIPES: &str = "/opt/spack-repos";
/// Spack's script that images begin with, below the checkout.
const ENTRYPOINT: &str = "share/spack/docker/entrypoint.bash";
/// The names that Spack's own images call that script by; it does as its name says.
const ENTRYPOINT_NAMES: [&str; 3] = ["docker-shell", "interactive-shell", "spack-env"];
/// Raised when the same inputs give other bytes.
const LAYOUT_VERSION: u32 = 1;

/// Which of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnImage {
    /// Compilers and Spack.
    Builder,
    /// What programs need to run, and to be looked into.
    Runtime,
}

impl OwnImage {
    /// `builder` or `runtime`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Runtime => "runtime",
        }
    }

    fn settings(self, settings: &Settings) -> &OwnBaseSettings {
        match self {
            Self::Builder => &settings.building.builder,
            Self::Runtime => &settings.building.runtime,
        }
    }
}

/// What images are made from besides the settings.
pub struct OwnImageContext<'a> {
    /// The settings of the project.
    pub settings: &'a Settings,
    /// What base images are made with.
    pub base: &'a BaseContext,
    /// The architecture of the image.
    pub architecture: BaseArchitecture,
}

/// What decides about an image, each as a digest or a name. In its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    values: IndexMap<&'static str, String>,
    digest: Digest,
}

/// The label that names all inputs at once.
pub const INPUTS_LABEL: &str = "org.spacktainers.base.inputs.digest";

impl Inputs {
    fn new(kind: OwnImage, values: IndexMap<&'static str, String>) -> Self {
        let mut text = format!("{} {LAYOUT_VERSION}\n", kind.as_str());
        for (key, value) in &values {
            text.push_str(&format!("{key} {} {value}\n", value.len()));
        }
        let digest = Digest::of(text.as_bytes());
        Self { values, digest }
    }

    /// The digest of all of them.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Labels and values: packages, Spack, recipes, configuration.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values.map(|(key, value)| (*key, value.as_str()))
    }
}

/// An image about which everything is decided.
#[derive(Debug)]
pub struct Decision {
    kind: OwnImage,
    debian: LockedDebian,
    /// All but the Debian packages and Spack's own files.
    files: Tree,
    /// Spack and its recipes.
    spack: Tree,
    inputs: Inputs,
    is_bootstrapped: bool,
}

impl Decision {
    /// What it was decided from.
    #[must_use]
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }
}

/// The Debian packages of an image: those that were decided before, unless the settings are others now or `is_update`.
/// What is decided is kept beside the settings.
///
/// # Errors
/// When there are no settings for Debian packages, or the archive cannot be used.
pub async fn packages(
    kind: OwnImage,
    context: &OwnImageContext<'_>,
    is_update: bool,
) -> Result<LockedDebian, OwnImageError> {
    let mut base = context.base.clone();
    let Some(debian) = &mut base.debian else {
        return Err(base::BaseError::from(debian::DebianError::NoSettings).into());
    };
    debian
        .packages
        .clone_from(&kind.settings(context.settings).packages);
    let settings = Digest::of(format!("{debian:?}").as_bytes());
    let name = format!("{}.{}.lock", kind.as_str(), context.architecture);
    let path = base.folder.join(name);
    if !is_update && let Some(pinned) = pinned::read(&path, &settings)? {
        return Ok(pinned);
    }
    let decided = debian::resolve(context.architecture, &base)
        .await
        .map_err(base::BaseError::from)?;
    pinned::write(&path, settings, &decided)?;
    Ok(decided)
}

/// Decides everything about an image. The builder needs `spack`.
///
/// # Errors
/// When its packages cannot be chosen, or what goes into it cannot be read.
pub async fn decide(
    kind: OwnImage,
    spack: Option<&Spack>,
    context: &OwnImageContext<'_>,
    is_update: bool,
) -> Result<Decision, OwnImageError> {
    let debian = packages(kind, context, is_update).await?;
    let mut values = IndexMap::from([(
        "org.spacktainers.base.packages.digest",
        Digest::of(format!("{:?} {:?}", debian.packages, debian.apt_sources).as_bytes())
            .to_string(),
    )]);
    let (mut files, mut spack_files) = (Tree::default(), Tree::default());
    let mut is_bootstrapped = false;
    if let (OwnImage::Builder, Some(spack)) = (kind, spack) {
        let commit = spack.commit().map(str::to_owned);
        let commit = commit.unwrap_or_else(|| spack.identity().to_owned());
        values.insert("org.spacktainers.spack.commit", commit);
        values.insert("org.spacktainers.spack.digest", spack.identity().to_owned());
        let places = checkouts(spack, &mut spack_files).await?;
        let recipes: Vec<String> = spack
            .repositories()
            .iter()
            .map(|(name, _, identity)| format!("{name}={identity}"))
            .collect();
        values.insert("org.spacktainers.recipes", recipes.join(" "));
        let mut text = configure(spack, context, &places, &debian, &mut files)?;
        text.push_str(&wheels(context, &debian, &mut files)?);
        values.insert(
            "org.spacktainers.configuration.digest",
            Digest::of(text.as_bytes()).to_string(),
        );
        is_bootstrapped = context.settings.building.builder.bootstrap;
        if is_bootstrapped {
            values.insert("org.spacktainers.bootstrap", "now".to_owned());
        } else if context.settings.building.builder.wheels.is_empty() {
            context.base.note(
                "Spack in the builder will fetch its solver, clingo, when it first solves something; name a wheel of clingo in `wheels` of \
                 [base.builder], or say `bootstrap = true` there, to have it in the image",
            );
        }
    }
    Ok(Decision {
        kind,
        debian,
        files,
        spack: spack_files,
        inputs: Inputs::new(kind, values),
        is_bootstrapped,
    })
}

/// Spack and its recipes, at their places; says where each namespace is.
async fn checkouts(spack: &Spack, tree: &mut Tree) -> Result<Vec<(String, String)>, OwnImageError> {
    let mut put = async |folder: PathBuf, place: &str| -> Result<(), OwnImageError> {
        for file in tracked_files(&folder, spack.context()).await? {
            let path = format!("{place}/{}", file.name);
            match file.kind {
                TrackedKind::File(from, is_executable) => tree.file(&path, from, is_executable),
                TrackedKind::Link(target) => tree.link(&path, &target),
            }
        }
        Ok(())
    };
    put(spack.root().to_owned(), SPACK).await?;
    let mut places = Vec::new();
    for (name, folder, _) in spack.repositories() {
        let place = format!("{RECIPES}/{name}/{}", crate::spack::recipe_place(folder));
        put(folder.clone(), &place).await?;
        places.push((name.clone(), place));
    }
    Ok(places)
}

/// Configuration, keys and entry points; gives a text that says what they are.
fn configure(
    spack: &Spack,
    context: &OwnImageContext<'_>,
    repositories: &[(String, String)],
    debian: &LockedDebian,
    files: &mut Tree,
) -> Result<String, OwnImageError> {
    let settings = context.settings;
    let left_out = settings.mirrors.iter();
    for mirror in left_out.filter(|it| !configuration::goes_along(it)) {
        let name = &mirror.name;
        context.base.note(format!(
            "the builder does not know the mirror `{name}`, which is a folder of this machine"
        ));
    }
    let architecture = settings.architecture(context.architecture);
    let root = spack.root();
    let sections = configuration::sections(&configuration::Input {
        install: settings.install.as_ref(),
        target: architecture.target.as_deref(),
        mirrors: &settings.mirrors,
        repositories,
        debian,
        has_compiler_packages: root.join("lib/spack/spack/solver").is_dir()
            && repositories
                .iter()
                .any(|(_, place)| place.contains("/spack_repo/")),
    })?;
    // From Spack 1.1 on the site's scope lies in a folder of its own, and users' scopes come before it.
    let is_apart = root.join("etc/spack/include.yaml").is_file();
    let scope = if is_apart {
        "etc/spack/site"
    } else {
        "etc/spack"
    };
    let mut text = String::new();
    for (name, section) in sections {
        text.push_str(&section);
        files.text(&format!("{SPACK}/{scope}/{name}.yaml"), section, 0o644);
    }
    let mut ring = Vec::new();
    let signed = settings.mirrors.iter().filter(|mirror| mirror.signed);
    for (file, _) in signed.flat_map(|mirror| &mirror.keys) {
        let bytes = fs::read(file).map_err(OwnImageError::read(file))?;
        let key = PublicKeys::ring(&bytes).map_err(|source| OwnImageError::Key {
            path: file.clone(),
            source,
        })?;
        ring.extend(key);
    }
    if !ring.is_empty() {
        // Spack's own GnuPG home, in the form that needs no GnuPG to be written.
        let home = format!("{SPACK}/opt/spack/gpg");
        text.push_str(&Digest::of(&ring).to_string());
        files.folder(&home, 0o700);
        files.text(&format!("{home}/pubring.gpg"), ring, 0o644);
    }
    if root.join(ENTRYPOINT).is_file() {
        for name in ENTRYPOINT_NAMES {
            files.link(
                &format!("/usr/local/bin/{name}"),
                &format!("{SPACK}/{ENTRYPOINT}"),
            );
        }
    }
    files.link("/usr/local/bin/spack", &format!("{SPACK}/bin/spack"));
    for (package, name) in [("g++", "c++"), ("gfortran", "f77"), ("gfortran", "f95")] {
        // What the packages' own scripts would have chosen.
        if debian.packages.iter().any(|it| it.name == package) {
            files.link(&format!("/usr/bin/{name}"), package);
        }
    }
    files.folder("/opt/spack-environment", 0o755);
    Ok(text)
}

/// Python packages from wheels, where the image's Python looks for what the distribution did not bring.
fn wheels(
    context: &OwnImageContext<'_>,
    debian: &LockedDebian,
    files: &mut Tree,
) -> Result<String, OwnImageError> {
    let mut text = String::new();
    for (path, _) in &context.settings.building.builder.wheels {
        let wheel = |source| OwnImageError::Wheel {
            path: path.clone(),
            source,
        };
        if path.extension().is_none_or(|ending| ending != "whl") {
            return Err(wheel(WheelError::Name));
        }
        let python = debian.packages.iter().find_map(|package| {
            let version = package.name.strip_prefix("python3.")?;
            version
                .bytes()
                .all(|it| it.is_ascii_digit())
                .then_some(&package.name)
        });
        let python = python.ok_or(OwnImageError::NoPython)?;
        let size = fs::metadata(path).map_err(OwnImageError::read(path))?.len();
        if size > wheel::LONGEST_WHEEL {
            return Err(wheel(WheelError::TooLong));
        }
        let bytes = fs::read(path).map_err(OwnImageError::read(path))?;
        for file in wheel::files(&bytes).map_err(wheel)? {
            let mode = if file.is_executable { 0o755 } else { 0o644 };
            let place = format!("/usr/local/lib/{python}/dist-packages/{}", file.path);
            files.text(&place, file.bytes, mode);
        }
        text.push_str(&format!("{}\n", Digest::of(&bytes)));
    }
    Ok(text)
}

/// The Debian layer of an image, which is all that packages are built in: Spack is brought along.
///
/// # Errors
/// When packages cannot be fetched or unpacked.
pub async fn debian_layer(
    debian: &LockedDebian,
    context: &BaseContext,
) -> Result<RecordedLayer, OwnImageError> {
    let (layer, _, _) = debian::make(debian, context)
        .await
        .map_err(base::BaseError::from)?;
    Ok(layer)
}

/// Makes the image that was decided.
///
/// # Errors
/// When packages cannot be fetched, layers cannot be written, or Spack cannot fetch what it was to fetch.
pub async fn make(
    decision: &Decision,
    context: &OwnImageContext<'_>,
    machine: &Machine,
    created: SourceDateEpoch,
) -> Result<Image, OwnImageError> {
    let locked = LockedBase::Debian(decision.debian.clone());
    let base = base::materialise(&locked, context.base).await?;
    for warning in &base.warnings {
        context.base.warn(warning.clone());
    }
    let mut layers = Vec::new();
    if decision.kind == OwnImage::Builder {
        let (cache, jobs) = (&context.base.cache, context.base.jobs.get());
        layers.push(decision.spack.write("Spack and its recipes", cache, jobs)?);
        layers.push(decision.files.write("configuration", cache, jobs)?);
    }
    if decision.is_bootstrapped {
        layers.extend(bootstrap(&base, &layers, context, machine).await?);
    }
    let mut config = base.config.clone();
    let mut environment = IndexMap::new();
    if let Some(config) = &mut config {
        start(decision, config, &mut environment);
    }
    let platform = Platform {
        architecture: context.architecture.as_str().to_owned(),
        os: "linux".to_owned(),
        variant: None,
    };
    Ok(assemble(Parts {
        platform,
        base: config.as_ref(),
        base_layers: base.layers,
        layers,
        environment: &environment,
        labels: labels(decision, &locked),
        created,
    }))
}

fn labels(decision: &Decision, locked: &LockedBase) -> IndexMap<String, String> {
    let mut labels = IndexMap::new();
    let mut say = |key: &str, value: String| {
        labels.insert(key.to_owned(), value);
    };
    say(annotation::TITLE, decision.kind.as_str().to_owned());
    say(annotation::BASE_NAME, locked.summary());
    for (key, value) in decision.inputs.iter() {
        say(key, value.to_owned());
    }
    say(INPUTS_LABEL, decision.inputs.digest().to_string());
    labels
}

/// How the image begins: as the first Spack containers did.
fn start(
    decision: &Decision,
    config: &mut ImageConfig,
    environment: &mut IndexMap<String, String>,
) {
    let words = |words: &[&str]| Some(words.iter().map(|it| (*it).to_owned()).collect());
    let config = &mut config.config;
    match decision.kind {
        OwnImage::Runtime => {
            config.entrypoint = words(&[
                "/bin/bash",
                "--rcfile",
                "/etc/profile",
                "-l",
                "-c",
                "$*",
                "--",
            ]);
            config.cmd = words(&["/bin/bash"]);
        }
        OwnImage::Builder => {
            let script = format!("{SPACK}/{ENTRYPOINT}");
            config.entrypoint = words(&["/bin/bash", &script]);
            config.cmd = words(&["interactive-shell"]);
            config.working_dir = Some("/root".to_owned());
            for (name, value) in [
                ("SPACK_ROOT", SPACK),
                ("REPOS_ROOT", RECIPES),
                ("DEBIAN_FRONTEND", "noninteractive"),
                ("CURRENTLY_BUILDING_DOCKER_IMAGE", "1"),
                ("container", "docker"),
            ] {
                environment.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// Has Spack fetch what it needs to run, in the image.
async fn bootstrap(
    base: &Base,
    layers: &[RecordedLayer],
    context: &OwnImageContext<'_>,
    machine: &Machine,
) -> Result<Option<RecordedLayer>, OwnImageError> {
    let mut loaded = Vec::new();
    for layer in base.layers.iter().chain(layers) {
        loaded.push(LoadedLayer {
            diff_id: layer.diff_id,
            digest: Some(layer.descriptor.digest),
            content: base::layer_content(layer, context.base).await?,
        });
    }
    let command = ["/opt/spack/bin/spack", "bootstrap", "now"].map(str::to_owned);
    let mut step = Step::in_image("fetching what Spack needs to run", command.to_vec());
    step.forgotten = vec!["/tmp".to_owned()];
    let (machine, cache) = (machine.clone(), context.base.cache.clone());
    let (reporter, jobs) = (context.base.reporter.clone(), context.base.jobs.get());
    let ran = blocking(move || {
        let mut sandbox = Sandbox::new(machine, cache, reporter, Stop::default());
        sandbox.execute(&loaded, &step)
    })
    .await
    .map_err(OwnImageError::Bootstrap)?;
    let Some(layer) = ran.layer else {
        return Ok(None);
    };
    let cache = context.base.cache.clone();
    let packed = blocking(move || -> Result<RecordedLayer, OwnImageError> {
        let from = layer.content.open(0).map_err(OwnImageError::Layer)?;
        tree::compressed("what Spack needs to run", from, layer.diff_id, &cache, jobs)
    });
    let layer = packed.await?;
    let event = Event::Note(
        "what Spack fetched is in the image: another machine, or another day, may get other bytes"
            .to_owned(),
    );
    context.base.reporter.event(event);
    Ok(Some(layer))
}
