//! The plan of a view.

use std::collections::{BTreeMap, HashMap};

use super::merge::{Clash, Merge, Source};
use super::operation::{Operation, OperationKind, Rewrite};
use super::recipes::{Recipe, recipe};
use super::tree::{Kind, NodeId, PrefixEntry, Tree, join, split};
use super::{LinkType, ViewDescriptor};
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use crate::prefix::{PrefixError, Satisfies};

/// The folder of a package's metadata, in its prefix and in a view.
const METADATA: &str = ".spack";

/// A package and what lies in its prefix.
#[derive(Debug, Clone, Copy)]
pub struct ViewPackage<'a> {
    /// The package.
    pub spec: &'a ConcreteSpec,
    /// Where it lies: an absolute path without links.
    pub prefix: &'a str,
    /// What lies there, in whatever order.
    pub entries: &'a [PrefixEntry],
}

/// All that a plan depends on.
pub struct ViewRequest<'a> {
    /// The view.
    pub descriptor: &'a ViewDescriptor,
    /// Where its tree really lies: see [`ViewDescriptor::real_root`].
    pub real_root: &'a str,
    /// The root of the store.
    pub store_root: &'a str,
    /// All nodes.
    pub specs: &'a ConcreteSpecs,
    /// The packages in the view, in the order of [`ViewDescriptor::select`], without externals.
    pub packages: &'a [ViewPackage<'a>],
    /// Other packages in the store, to which links may lead.
    pub neighbours: &'a [ViewPackage<'a>],
    /// Whether a spec satisfies a constraint.
    pub satisfies: &'a Satisfies<'a>,
}

/// What has to be made for a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewPlan {
    /// What to make, sorted by path.
    pub operations: Vec<Operation>,
    /// What a person may want to know.
    pub warnings: Vec<ViewWarning>,
}

/// Something that does not hinder a view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewWarning {
    /// Two packages have a file of the same name. (Spack does not say so.)
    #[error("`{path}` is taken from {winner}, not from {loser}")]
    Shadowed {
        /// The path in the view.
        path: String,
        /// The package whose file is in the view.
        winner: String,
        /// The package whose file is not.
        loser: String,
    },
    /// No interpreter where one was expected, hence no `pyvenv.cfg`.
    #[error("{0} has no interpreter in `bin`: the view is no virtual environment")]
    NoInterpreter(String),
}

/// Why a view cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The same package twice in one place.
    #[error(
        "the view {root} cannot be made: {first} and {second} go to the same place; use \
         `concretizer:unify:true`, or `view: false`, or projections that tell them apart"
    )]
    SamePlace {
        /// The root of the view.
        root: String,
        /// One package.
        first: String,
        /// The other one.
        second: String,
    },
    /// A file where another package has a directory.
    #[error("the view {root} cannot be made: {}", .clashes.join("; "))]
    Clashes {
        /// The root of the view.
        root: String,
        /// One sentence for each.
        clashes: Vec<String>,
    },
    /// A projection that cannot be used.
    #[error(transparent)]
    Projection(#[from] PrefixError),
    /// A path in a prefix that leads elsewhere, or names a file as a folder.
    #[error("`{path}` in {prefix} is not a path below it")]
    UnsafePath {
        /// The prefix.
        prefix: String,
        /// The path.
        path: String,
    },
}

/// Plans a view.
///
/// # Errors
/// When packages cannot be merged, or a projection cannot be used.
pub fn plan(request: &ViewRequest<'_>) -> Result<ViewPlan, ViewError> {
    let mut tree = Tree::new();
    for package in request.packages.iter().chain(request.neighbours) {
        tree.add(package.prefix, package.entries)?;
    }
    let prefixes: Vec<&str> = request.packages.iter().map(|it| it.prefix).collect();
    let places = places(request)?;

    let mut merge = Merge::new(&tree, &prefixes, Some(METADATA.as_bytes()));
    for (index, place) in places.iter().enumerate() {
        merge.set_projection(place.as_bytes());
        merge.add(index, b"");
    }
    let mut metadata = Merge::new(&tree, &prefixes, None);
    for (index, (place, package)) in places.iter().zip(request.packages).enumerate() {
        let place = metadata_place(place, package.spec);
        metadata.set_projection(place.as_bytes());
        metadata.add(index, METADATA.as_bytes());
    }
    let mut clashes: Vec<Clash> = Vec::new();
    clashes.append(&mut merge.fatal_clashes);
    clashes.append(&mut metadata.fatal_clashes);
    clashes.append(&mut metadata.file_clashes);
    if !clashes.is_empty() {
        return Err(ViewError::Clashes {
            root: request.descriptor.root.clone(),
            clashes: clashes
                .iter()
                .map(|clash| sentence(request, clash))
                .collect(),
        });
    }

    let mut planner = Planner {
        request,
        tree: &tree,
        made: BTreeMap::new(),
        warnings: Vec::new(),
    };
    for clash in &merge.file_clashes {
        planner.warnings.push(ViewWarning::Shadowed {
            path: lossy(&clash.path),
            winner: owner(request, clash.first.as_ref()),
            loser: owner(request, clash.second.as_ref()),
        });
    }
    for path in merge
        .directories
        .into_keys()
        .chain(metadata.directories.into_keys())
    {
        planner.made.insert(path, OperationKind::Directory);
    }
    let mut files: Vec<Vec<(Vec<u8>, Source)>> = vec![Vec::new(); request.packages.len()];
    for (path, source) in merge.files {
        if let Some(files) = files.get_mut(source.package) {
            files.push((path, source));
        }
    }
    for ((package, place), files) in request.packages.iter().zip(&places).zip(files) {
        planner.add_package(package, place, files);
    }
    for (path, source) in metadata.files {
        let link = planner.link(&source, false);
        planner.made.insert(path, link);
    }
    let operations = planner
        .made
        .into_iter()
        .map(|(path, kind)| Operation { path, kind })
        .collect();
    Ok(ViewPlan {
        operations,
        warnings: planner.warnings,
    })
}

/// The place of each package, below the root of the view.
fn places(request: &ViewRequest<'_>) -> Result<Vec<String>, ViewError> {
    let mut seen: HashMap<String, &ConcreteSpec> = HashMap::new();
    let mut places = Vec::new();
    for package in request.packages {
        let place = request.descriptor.relative_projection(
            package.spec,
            request.specs,
            request.satisfies,
        )?;
        if let Some(other) = seen.insert(metadata_place(&place, package.spec), package.spec) {
            return Err(ViewError::SamePlace {
                root: request.descriptor.root.clone(),
                first: package.spec.to_string(),
                second: other.to_string(),
            });
        }
        places.push(place);
    }
    Ok(places)
}

fn metadata_place(place: &str, spec: &ConcreteSpec) -> String {
    let slash = if place.is_empty() { "" } else { "/" };
    format!("{place}{slash}{METADATA}/{}", spec.name)
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn owner(request: &ViewRequest<'_>, source: Option<&Source>) -> String {
    source
        .and_then(|source| request.packages.get(source.package))
        .map_or_else(
            || "a projection".to_owned(),
            |package| package.spec.to_string(),
        )
}

fn sentence(request: &ViewRequest<'_>, clash: &Clash) -> String {
    let place = |source: Option<&Source>| match source {
        Some(source) => format!(
            "`{}` of {}",
            lossy(&source.path),
            owner(request, Some(source))
        ),
        None => "a projection".to_owned(),
    };
    format!(
        "{} and {} both go to `{}`",
        place(clash.first.as_ref()),
        place(clash.second.as_ref()),
        lossy(&clash.path)
    )
}

struct Planner<'a> {
    request: &'a ViewRequest<'a>,
    tree: &'a Tree,
    made: BTreeMap<Vec<u8>, OperationKind>,
    warnings: Vec<ViewWarning>,
}

impl Planner<'_> {
    fn add_package(
        &mut self,
        package: &ViewPackage<'_>,
        place: &str,
        files: Vec<(Vec<u8>, Source)>,
    ) {
        match recipe(package.spec, self.request.specs) {
            Recipe::Plain => self.link_all(files),
            Recipe::Python => {
                self.link_all(files);
                self.make_virtual_environment(package, place);
            }
            Recipe::Nektar => {
                self.link_all(files);
                let target = format!("{}/lib64/nektar++", self.place_in_view(place));
                let path = join(place.as_bytes(), b"lib/nektar++");
                self.made
                    .entry(path)
                    .or_insert(OperationKind::Symlink(target.into_bytes()));
            }
            Recipe::PythonVenv => {
                let rewrite = Rewrite::Replace {
                    from: package.prefix.to_owned(),
                    to: self.place_in_view(place),
                };
                for (path, source) in files {
                    let activate = split(&path).1.to_ascii_lowercase().starts_with(b"activate");
                    let kind = if activate {
                        self.copy(&source, rewrite.clone())
                    } else {
                        self.link(&source, false)
                    };
                    self.made.insert(path, kind);
                }
            }
            Recipe::PythonExtension { interpreter } => {
                let prefix = self.prefix_of(interpreter);
                self.link_extension(prefix, place, files);
            }
        }
    }

    fn link_all(&mut self, files: Vec<(Vec<u8>, Source)>) {
        for (path, source) in files {
            let link = self.link(&source, true);
            self.made.insert(path, link);
        }
    }

    /// Scripts in `bin` would run the interpreter of their own prefix, which does not see the
    /// modules of the view: so they are copied and made to run the one in the view. Links to them
    /// are made to point to the copies.
    fn link_extension(
        &mut self,
        interpreter: Option<String>,
        place: &str,
        files: Vec<(Vec<u8>, Source)>,
    ) {
        let rewrite = interpreter
            .map(|from| Rewrite::Replace {
                from,
                to: self.place_in_view(place),
            })
            .unwrap_or(Rewrite::Nothing);
        let mut copied: HashMap<NodeId, Vec<u8>> = HashMap::new();
        let mut delayed = Vec::new();
        for (path, source) in files {
            let absolute = self.absolute(&source);
            let in_bin = source.path.starts_with(b"bin/");
            let kind = self.entry(&absolute).map(|(_, kind)| kind);
            match kind {
                Some(Kind::Symlink) if in_bin => delayed.push((path, source)),
                Some(Kind::File {
                    executable: true,
                    shebang: true,
                }) if in_bin => {
                    if let Some(node) = self.tree.find(&absolute) {
                        copied.insert(node, path.clone());
                    }
                    let copy = self.copy(&source, rewrite.clone());
                    self.made.insert(path, copy);
                }
                _ => {
                    let link = self.link(&source, false);
                    self.made.insert(path, link);
                }
            }
        }
        for (path, source) in delayed {
            let target = self
                .tree
                .find(&self.absolute(&source))
                .and_then(|node| copied.get(&node));
            let kind = match target {
                Some(target) => OperationKind::Symlink(relative(target, split(&path).0)),
                None => self.link(&source, true),
            };
            self.made.insert(path, kind);
        }
    }

    /// Source: `make_pyvenv_cfg` in `packages/python/package.py`.
    fn make_virtual_environment(&mut self, package: &ViewPackage<'_>, place: &str) {
        let path = join(place.as_bytes(), b"pyvenv.cfg");
        if self.request.descriptor.link_type == LinkType::Copy || self.made.contains_key(&path) {
            return;
        }
        let Some(command) = self.python_command(package) else {
            self.warnings
                .push(ViewWarning::NoInterpreter(package.spec.to_string()));
            return;
        };
        let bin = split(command.as_bytes()).0;
        let text = format!(
            "home = {}\ninclude-system-site-packages = false\nversion = {}\nexecutable = {command}\n\
             command = {command} -m venv --without-pip {}\n",
            lossy(bin),
            package.spec.version,
            self.place_in_view(place),
        );
        self.made
            .insert(path, OperationKind::Write(text.into_bytes()));
    }

    /// The first that is there of `python3.11t`, `python3.11`, `python3` and `python`.
    fn python_command(&self, package: &ViewPackage<'_>) -> Option<String> {
        let mut parts = package.spec.version.split('.');
        let major = parts.next().unwrap_or_default();
        let minor = parts
            .next()
            .map(|it| format!("{major}.{it}"))
            .unwrap_or_default();
        let names = [format!("{minor}t"), minor, major.to_owned(), String::new()];
        names
            .iter()
            .map(|name| format!("{}/bin/python{name}", package.prefix))
            .find(|path| {
                let node = self.tree.find(path.as_bytes());
                node.is_some_and(|node| {
                    matches!(
                        self.tree.kind(node),
                        Kind::File {
                            executable: true,
                            ..
                        }
                    )
                })
            })
    }

    /// How one file gets into the view. `relocate` says whether a copy is relocated, which
    /// metadata and some recipes' files are not.
    fn link(&self, source: &Source, relocate: bool) -> OperationKind {
        let Some(package) = self.request.packages.get(source.package) else {
            return OperationKind::Directory;
        };
        let absolute = self.absolute(source);
        match self.request.descriptor.link_type {
            LinkType::Symlink => OperationKind::Symlink(absolute),
            LinkType::Hardlink => OperationKind::HardLink {
                package: package.spec.hash,
                source: source.path.clone(),
            },
            LinkType::Copy => {
                let prefixes = if relocate {
                    self.relocation(package)
                } else {
                    Vec::new()
                };
                let target = self
                    .entry(&absolute)
                    .and_then(|(node, _)| self.tree.link_target(node));
                match target {
                    Some(target) => OperationKind::Symlink(relocated(target, &prefixes)),
                    None if !relocate => self.copy(source, Rewrite::Nothing),
                    None => {
                        let view = self.request.real_root.to_owned();
                        let root = (self.request.store_root.to_owned(), view);
                        self.copy(source, Rewrite::Relocate { prefixes, root })
                    }
                }
            }
        }
    }

    fn copy(&self, source: &Source, rewrite: Rewrite) -> OperationKind {
        match self.request.packages.get(source.package) {
            Some(package) => OperationKind::Copy {
                package: package.spec.hash,
                source: source.path.clone(),
                rewrite,
            },
            None => OperationKind::Directory,
        }
    }

    /// Prefixes of a package and of all that it depends on, and their places in the view.
    fn relocation(&self, package: &ViewPackage<'_>) -> Vec<(String, String)> {
        let closure = self
            .request
            .specs
            .topological([package.spec.hash], DepTypes::ALL);
        closure
            .into_iter()
            .filter(|spec| !spec.is_external())
            .filter_map(|spec| {
                let ViewRequest {
                    descriptor,
                    specs,
                    satisfies,
                    ..
                } = self.request;
                let place = descriptor
                    .relative_projection(spec, specs, satisfies)
                    .ok()?;
                Some((self.prefix_of(spec)?, self.place_in_view(&place)))
            })
            .collect()
    }

    fn prefix_of(&self, spec: &ConcreteSpec) -> Option<String> {
        self.request
            .packages
            .iter()
            .chain(self.request.neighbours)
            .find(|package| package.spec.hash == spec.hash)
            .map(|package| package.prefix.to_owned())
    }

    fn place_in_view(&self, place: &str) -> String {
        let slash = if place.is_empty() { "" } else { "/" };
        format!("{}{slash}{place}", self.request.real_root)
    }

    fn absolute(&self, source: &Source) -> Vec<u8> {
        let prefix = self
            .request
            .packages
            .get(source.package)
            .map_or("", |it| it.prefix);
        [prefix.as_bytes(), b"/", &source.path].concat()
    }

    /// What a path names, where links in folders are followed and the last one is not.
    fn entry(&self, absolute: &[u8]) -> Option<(NodeId, Kind)> {
        let (folder, name) = split(absolute);
        let folder = self.tree.find(folder)?;
        let (_, node) = self
            .tree
            .children(folder)
            .into_iter()
            .find(|(it, _)| *it == name)?;
        Some((node, self.tree.kind(node)))
    }
}

/// An absolute target that begins with one of the prefixes gets the prefix's new place.
fn relocated(target: &[u8], prefixes: &[(String, String)]) -> Vec<u8> {
    let found = prefixes.iter().find_map(|(from, to)| {
        Some([to.as_bytes(), target.strip_prefix(from.as_bytes())?].concat())
    });
    found
        .filter(|_| target.starts_with(b"/"))
        .unwrap_or_else(|| target.to_vec())
}

/// The path from `folder` to `target`, both below the same root.
fn relative(target: &[u8], folder: &[u8]) -> Vec<u8> {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/')
            .filter(|it| !it.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    let (target, folder) = (parts(target), parts(folder));
    let common = target
        .iter()
        .zip(&folder)
        .take_while(|(a, b)| a == b)
        .count();
    let up = std::iter::repeat_n(b"..".to_vec(), folder.len() - common);
    up.chain(target.into_iter().skip(common))
        .collect::<Vec<_>>()
        .join(&b'/')
}
