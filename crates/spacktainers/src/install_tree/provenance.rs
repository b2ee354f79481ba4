//! What a prefix tells about how its package came there.
//!
//! Source: `dump_packages` in `installer.py`, `build_packages_path` in `directory_layout.py`, `write_json` in
//! `llnl/util/timer.py` of Spack 1.1; `pkg_name_to_pkg_dir` in `util/naming.py` for where recipes lie.

use std::path::Path;
use std::sync::PoisonError;

use serde::Deserialize;
use spack_format::build_cache::{
    MutableSource, Restriction, binary_restrictions, is_pinned, mutable_source, version_branch,
};
use spack_format::concrete::ConcreteSpec;
use spack_format::spec::{ConcreteIndex, Scratch, Spec};

use super::{InstallTree, read_text};

/// The most bytes that a recipe or a record of times may have; the longest recipe has some 200 KiB.
const LONGEST: u64 = 16 << 20;

/// How long the installation took, and from where it was.
pub(crate) const TIMES: &str = ".spack/install_times.json";

impl InstallTree {
    /// Whether the package was laid down from a build cache, by Spack or by us, and not built here.
    #[must_use]
    pub fn is_from_build_cache(&self, spec: &ConcreteSpec) -> bool {
        #[derive(Deserialize)]
        struct Times {
            #[serde(default)]
            cache: bool,
        }
        let text = self
            .prefix(&spec.hash)
            .and_then(|prefix| read_text(&Path::new(prefix).join(TIMES), LONGEST).ok());
        let times = text.and_then(|text| serde_json::from_str::<Times>(&text).ok());
        times.is_some_and(|it| it.cache)
    }

    /// Whether the recipe that the package was built by forbids to give its binary to others. Of packages without a recipe
    /// in their prefix nothing is known, and nothing is forbidden.
    #[must_use]
    pub fn is_restricted(&self, spec: &ConcreteSpec) -> bool {
        let restrictions = self.recipe(spec).map(|it| binary_restrictions(&it));
        restrictions.unwrap_or_default().iter().any(|it| match it {
            Restriction::Always => true,
            Restriction::When(text) => {
                let Ok(wanted) = Spec::parse(text) else {
                    return true;
                };
                let index = ConcreteIndex::new(self.specs());
                let node = index.node(&spec.hash);
                node.is_none_or(|node| index.satisfies(node, &wanted, &mut Scratch::default()))
            }
        })
    }

    /// Why the package's sources may change under its hash; nothing if they cannot. Besides its spec its recipe is asked, which
    /// may give a branch any name: `version("3.1-next", branch="develop")`.
    #[must_use]
    pub fn mutable_source(&self, spec: &ConcreteSpec) -> Option<MutableSource> {
        let branches = || self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        let known = branches().get(&spec.hash).cloned();
        if let Some(known) = known {
            return known;
        }
        let branch = || {
            if spec.is_external() || is_pinned(spec) {
                return None;
            }
            version_branch(&self.recipe(spec)?, &spec.version)?;
            Some(MutableSource::Branch(spec.version.clone()))
        };
        let found = mutable_source(spec).or_else(branch);
        branches().insert(spec.hash, found.clone());
        found
    }

    /// The text of the recipe that the package was built by, as Spack keeps it in the prefix.
    fn recipe(&self, spec: &ConcreteSpec) -> Option<String> {
        let prefix = Path::new(self.prefix(&spec.hash)?);
        let (namespace, name) = (spec.namespace.as_deref()?, &spec.name);
        // Since the second package API Python has to be able to import the folder.
        let module = name.replace('-', "_");
        let below = [
            format!("spack_repo/{namespace}/packages/{module}"),
            format!("spack_repo/{namespace}/packages/_{module}"),
            format!("{namespace}/packages/{name}"),
        ];
        below.iter().find_map(|folder| {
            let file = prefix.join(".spack/repos").join(folder).join("package.py");
            read_text(&file, LONGEST).ok()
        })
    }
}
