//! The sandbox that packages are built in, so that compilers and C library are those of an image and not this machine's.
//!
//! ```text
//! builder image ──root──► <cache>/rooms/…/root, unpacked once ──┐  read-only
//! Spack, recipes, configuration, sources ───────────────────────┤  read-only, below /spacktainers
//! store ── at the install root, whatever lies there on this machine ──┤  writable
//! stage, home, /tmp, caches of Spack's ─────────────────────────┘  writable
//!                                            bubble: bubblewrap's arguments ──► spack install, without network
//! ```
//!
//! Start at [`Room::open`]. It needs no root: a user namespace will do. All paths in there are the same on every machine, and
//! so is the environment, of which nothing is the caller's. Secrets are not there: what is built is pushed, and signed, outside.
//!
//! [`externals`]: what the lock takes for granted is looked for in the image before anything is built.

mod bubble;
mod error;
mod externals;
pub(super) mod indices;
mod root;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci_format::Digest;
use serde_json::{Value as Json, json};
use spack_format::dag_hash::DagHash;

use super::plan::Plan;
use super::{Order, RoomOptions};
use crate::base::images::{self, OwnImage, OwnImageContext};
use crate::base::{self, layer_content};
use crate::build::{InstallRoot, World};
use crate::content::Content;
use crate::image::RecordedLayer;
use crate::install_tree::Mount;
use crate::sandbox::Machine;
use crate::spack::{ScopeFiles, Spack, SpackError, recipe_place, write_environment};

pub use error::RoomError;

use bubble::Bubble;

/// Where things are that the image does not have.
const SPACK: &str = "/spacktainers/spack";
const RECIPES: &str = "/spacktainers/recipes";
const SCOPE: &str = "/spacktainers/scope";
const SOURCES: &str = "/spacktainers/sources";
const ENVIRONMENT: &str = "/spacktainers/environment";
const HOME: &str = "/spacktainers/home";
const STAGE: &str = "/spacktainers/stage";
const USER: &str = "/spacktainers/user";

/// Where programs are in the image.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A sandbox for builds.
pub(super) struct Room {
    bubble: Bubble,
    /// Names the image, for stores.
    image: Digest,
    cache: PathBuf,
    machine: Machine,
    /// Folders of recipes that the settings name, and where they are shown.
    recipes: Vec<(PathBuf, String)>,
    spack: PathBuf,
    stages: PathBuf,
    sources: PathBuf,
    user: PathBuf,
    /// Where Spack on this machine has its caches.
    user_here: PathBuf,
}

/// One build in the room.
pub(super) struct Guest {
    /// What is run.
    pub(super) line: Vec<OsString>,
    /// With which variables.
    pub(super) variables: BTreeMap<String, String>,
    /// The files of its scope and its environment, for a capsule.
    pub(super) scope: PathBuf,
    pub(super) environment: PathBuf,
    /// The same for a capsule, which is moved: `$here` stands for its folder.
    pub(super) script: String,
}

impl Room {
    /// Unpacks the image, if it is not unpacked yet, and finds out whether this machine can make sandboxes.
    ///
    /// # Errors
    /// When it cannot, or there is no such image.
    pub(super) async fn open(
        spack: &Spack,
        options: &RoomOptions,
        world: &World<'_>,
    ) -> Result<Self, RoomError> {
        let machine = world.machine.clone();
        let bubblewrap = machine.bubblewrap()?.to_owned();
        bubble::probe(&bubblewrap)?;
        let (image, contents) = contents(&layers(options, world).await?, world).await?;
        let (cache, keeps_owners) = (world.cache.root().to_owned(), machine.keeps_owners());
        let root = base::blocking(move || root::unpacked(&cache, &image, &contents, keeps_owners));
        let root = root.await?;
        let mut recipes = Vec::new();
        for (index, (_, folder, _)) in spack.repositories().iter().enumerate() {
            recipes.push((folder.clone(), recipes_at(index, folder)));
        }
        let cache = std::path::absolute(world.cache.root());
        let cache = cache.map_err(SpackError::io("find", world.cache.root()))?;
        Ok(Self {
            bubble: Bubble::new(bubblewrap, root, machine.keeps_owners()),
            image,
            cache,
            machine,
            recipes,
            spack: spack.root().to_owned(),
            stages: spack.folder("room-stage")?,
            sources: spack.folder("sources")?,
            user: spack.folder("room-user")?,
            user_here: spack.folder("user")?,
        })
    }

    /// The store for packages that are built to lie at `install`: one for each image, as what was built in another one
    /// is not what is built in this one.
    pub(super) fn store(&self, install: &InstallRoot) -> Result<Mount, SpackError> {
        let key = format!("{} {} {}", install.root, install.store, self.image);
        let key = Digest::of(key.as_bytes()).hex();
        let folder = self.cache.join("spack/stores").join(&key);
        fs::create_dir_all(&folder).map_err(SpackError::io("make the folder", &folder))?;
        Ok(Mount {
            root: PathBuf::from(&install.root),
            folder,
        })
    }

    /// Refuses locks that take for granted what the image does not have.
    ///
    /// # Errors
    /// When one does.
    pub(super) fn check(&self, plan: &Plan, orders: &[Order<'_>]) -> Result<(), RoomError> {
        externals::check(&self.bubble, plan, orders)
    }

    /// Lets a build in: `spack` with these arguments, the configuration of `scope` and the environment of `order`. Its files are
    /// in `folder`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn guest(&self, visit: &Visit<'_>) -> Result<Guest, SpackError> {
        let folder = visit.folder;
        let make = |name: &str, mode: u32| -> Result<PathBuf, SpackError> {
            let path = folder.join(name);
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(mode).create(&path);
            made.map_err(SpackError::io("make the folder", &path))?;
            Ok(path)
        };
        indices::bring(&self.user_here, &self.user);
        let (scope, environment) = (make("scope", 0o755)?, make("environment", 0o755)?);
        let (home, temporary) = (make("home", 0o700)?, make("tmp", 0o777)?);
        self.inside(visit.scope.clone()).write(&scope)?;
        let (manifest, mut recipes) = manifest(visit.order.manifest, self.recipes.len());
        write_environment(&environment, &manifest, Some(visit.order.lock_text))?;
        recipes.extend(self.recipes.iter().cloned());

        let mut shown = bubble::Shown::default();
        shown.read_only(&self.spack, SPACK);
        for (from, to) in &recipes {
            shown.read_only(from, to);
        }
        shown.writable(&self.stages, STAGE);
        shown.writable(&self.user, USER);
        match visit.has_network {
            // What such a build fetches is kept for the next time.
            true => shown.writable(&self.sources, SOURCES),
            false => shown.read_only(&self.sources, SOURCES),
        }
        shown.writable(&visit.mount.folder, &visit.mount.root.to_string_lossy());
        if visit.has_network {
            for (from, to) in [
                (&self.machine.resolver, "/etc/resolv.conf"),
                (&self.machine.hosts, "/etc/hosts"),
            ] {
                if from.exists() {
                    shown.read_only(from, to);
                }
            }
        }
        // Beside the configuration, so that a capsule has them too.
        let (passwd, group) = (scope.join("passwd"), scope.join("group"));
        let accounts = self.bubble.accounts();
        if let Some(texts) = &accounts {
            for (file, text) in [(&passwd, &texts.0), (&group, &texts.1)] {
                fs::write(file, text).map_err(SpackError::io("write", file))?;
            }
        }
        let own = [
            (&scope, SCOPE, "scope", false),
            (&environment, ENVIRONMENT, "environment", true),
            (&home, HOME, "home", true),
            (&temporary, "/tmp", "tmp", true),
            (&temporary, "/var/tmp", "tmp", true),
            (&passwd, "/etc/passwd", "scope/passwd", false),
            (&group, "/etc/group", "scope/group", false),
        ];
        // Root is known to every image.
        let count = own.len() - if accounts.is_some() { 0 } else { 2 };
        let own: Vec<bubble::Own<'_>> = own
            .into_iter()
            .take(count)
            .map(|(from, to, name, is_writable)| bubble::Own {
                from,
                to,
                name,
                is_writable,
            })
            .collect();
        let variables = self.variables(visit.has_network);
        let mut program: Vec<OsString> = vec![format!("{SPACK}/bin/spack").into()];
        program.extend(["--color", "never", "-C", SCOPE, "-e", ENVIRONMENT].map(OsString::from));
        program.extend(visit.arguments.iter().cloned());
        let parts = bubble::Parts {
            shown: &shown,
            own: &own,
            has_network: visit.has_network,
            program: &program,
        };
        Ok(Guest {
            line: self.bubble.line(&parts)?,
            script: self.bubble.script(&parts, &variables),
            variables,
            scope,
            environment,
        })
    }

    /// The configuration with the places of the room.
    fn inside(&self, mut scope: ScopeFiles) -> ScopeFiles {
        let config = scope.section("config");
        config["build_stage"] = json!([STAGE]);
        config["source_cache"] = json!(SOURCES);
        // Nothing is taken from mirrors in here.
        scope.remove("mirrors");
        let repositories = scope.section("repos");
        if let Some(all) = repositories.as_object_mut() {
            for folder in all.values_mut() {
                let known = folder.as_str().map(PathBuf::from);
                let shown = self
                    .recipes
                    .iter()
                    .find(|(from, _)| Some(from) == known.as_ref());
                if let Some((_, to)) = shown {
                    *folder = json!(to);
                }
            }
        }
        if repositories
            .as_object()
            .is_some_and(serde_json::Map::is_empty)
        {
            scope.remove("repos");
        }
        scope
    }

    fn variables(&self, has_network: bool) -> BTreeMap<String, String> {
        let user = self.bubble.user();
        let gnupg = format!("{HOME}/.gnupg");
        let mut variables: BTreeMap<String, String> = [
            ("PATH", PATH),
            ("HOME", HOME),
            ("USER", user),
            ("LOGNAME", user),
            ("LANG", "C.UTF-8"),
            ("SPACK_DISABLE_LOCAL_CONFIG", "1"),
            ("SPACK_USER_CACHE_PATH", USER),
            ("SPACK_GNUPGHOME", &gnupg),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if has_network {
            // Proxies, but for those whose address has a password in it.
            let proxies = self.machine.environment.iter();
            let open = proxies.filter(|(name, value)| !crate::spack::is_secret(name, value));
            variables.extend(open.cloned());
        }
        variables
    }

    /// The log of a package's build.
    pub(super) fn stages(&self) -> &Path {
        &self.stages
    }
}

/// What a guest comes for.
pub(super) struct Visit<'a> {
    /// For its files.
    pub(super) folder: &'a Path,
    pub(super) scope: &'a ScopeFiles,
    pub(super) order: &'a Order<'a>,
    pub(super) mount: &'a Mount,
    pub(super) has_network: bool,
    pub(super) arguments: &'a [OsString],
}

/// Where recipes are shown. From Spack 1.0 on the end of the path matters.
fn recipes_at(index: usize, folder: &Path) -> String {
    format!("{RECIPES}/{index}/{}", recipe_place(folder))
}

/// The environment's manifest with the places of the room, and the folders of recipes that it names.
fn manifest(manifest: &Json, mut index: usize) -> (Json, Vec<(PathBuf, String)>) {
    let mut manifest = manifest.clone();
    let mut recipes = Vec::new();
    let mut show = |value: &mut Json| {
        let folder = value.as_str().map(PathBuf::from);
        if let Some(folder) = folder.filter(|it| it.is_absolute() && it.is_dir()) {
            let place = recipes_at(index, &folder);
            *value = json!(place);
            recipes.push((folder, place));
            index += 1;
        }
    };
    match manifest.pointer_mut("/spack/repos") {
        Some(Json::Object(all)) => all.values_mut().for_each(&mut show),
        Some(Json::Array(all)) => all.iter_mut().for_each(&mut show),
        _ => {}
    }
    (manifest, recipes)
}

/// The layers of the image that packages are built in. Of the project's own builder the Debian packages will do, as Spack
/// is brought along: another commit of Spack is no other room.
async fn layers(options: &RoomOptions, world: &World<'_>) -> Result<Vec<RecordedLayer>, RoomError> {
    let Some(source) = &options.settings.building.room else {
        let own = OwnImageContext {
            settings: &options.settings,
            base: world.base,
            architecture: options.architecture,
        };
        let packages = images::packages(OwnImage::Builder, &own, false).await?;
        return Ok(vec![images::debian_layer(&packages, world.base).await?]);
    };
    let image = |error| RoomError::Image {
        image: source.to_string(),
        source: error,
    };
    let locked = base::resolve(source, options.architecture, world.base).await;
    let made = base::materialise(&locked.map_err(image)?, world.base).await;
    Ok(made.map_err(image)?.layers)
}

/// The bytes of layers, and a name for all of them.
async fn contents(
    layers: &[RecordedLayer],
    world: &World<'_>,
) -> Result<(Digest, Vec<Content>), RoomError> {
    let ids: Vec<String> = layers.iter().map(|it| it.diff_id.to_string()).collect();
    let mut contents = Vec::new();
    for layer in layers {
        let content = layer_content(layer, world.base).await;
        contents.push(content.map_err(|source| RoomError::Image {
            image: layer.title.clone(),
            source,
        })?);
    }
    Ok((Digest::of(ids.join(" ").as_bytes()), contents))
}

/// A name for the files of one build.
pub(super) fn folder_of(work: &Path, hash: &DagHash) -> PathBuf {
    work.join(format!("room-{hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_of_an_environment_are_shown_where_spack_understands_them() {
        let work = tempfile::tempdir().expect("a folder");
        let folder = work.path().join("spack_repo/tests");
        fs::create_dir_all(&folder).expect("made");
        let before = json!({"spack": {"repos": {
            "tests": folder, "remote": {"git": "https://example.invalid/x.git"}, "gone": "/no/such/folder",
        }}});
        let (after, recipes) = manifest(&before, 2);
        let place = "/spacktainers/recipes/2/spack_repo/tests";
        assert_eq!(after["spack"]["repos"]["tests"], place);
        assert_eq!(after["spack"]["repos"]["gone"], "/no/such/folder");
        assert_eq!(recipes, [(folder, place.to_owned())]);
    }
}
