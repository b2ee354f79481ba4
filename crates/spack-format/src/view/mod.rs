//! Views: one merged directory of links into many prefixes, exactly as Spack makes it.
//!
//! ```text
//! /opt/view -> /opt/._view/vx4kaaqc...          the root is a link, so it can be swapped at once
//! /opt/._view/vx4kaaqc.../bin/lz4 -> <prefix of lz4>/bin/lz4
//! /opt/._view/vx4kaaqc.../.spack/lz4/spec.json -> <prefix of lz4>/.spack/spec.json
//! ```
//!
//! 1. [`ViewDescriptor::select`] says which specs of an environment go in, in order.
//! 2. [`ViewDescriptor::real_root`] says where the tree really lies.
//! 3. [`plan`] says what has to be made there, given what lies in each prefix.
//!
//! Files are first come, first served, in the order of specs (dependents before dependencies).
//! Some recipes change what is linked ([`recipes`](self): Python shebangs and virtual
//! environments); what they do is known here by the package's name and build system.
//!
//! Source: `lib/spack/spack/environment/environment.py` (`ViewDescriptor`),
//! `filesystem_view.py` (`SimpleFilesystemView`), `llnl/util/link_tree.py` in Spack 1.1.

mod content_hash;
mod merge;
mod operation;
mod plan;
mod recipes;
mod select;
#[cfg(test)]
mod tests;
mod tree;

use crate::concrete::{ConcreteSpec, ConcreteSpecs};
use crate::prefix::{PrefixError, Projections, Satisfies};

pub use operation::{Operation, OperationKind, Rewrite};
pub use plan::{ViewError, ViewPackage, ViewPlan, ViewRequest, ViewWarning, plan};
pub use tree::{PrefixEntry, PrefixEntryKind};

/// How files get into a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LinkType {
    /// By symbolic links.
    #[default]
    Symlink,
    /// By hard links.
    Hardlink,
    /// As relocated copies.
    Copy,
}

impl LinkType {
    /// The type of this name, aliases included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "symlink" | "soft" | "add" => Some(Self::Symlink),
            "hardlink" | "hard" => Some(Self::Hardlink),
            "copy" | "relocate" => Some(Self::Copy),
            _ => None,
        }
    }

    /// The name that Spack prefers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::Hardlink => "hardlink",
            Self::Copy => "copy",
        }
    }
}

/// Whose files get into a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ViewLink {
    /// Those of roots and of their link and run dependencies.
    #[default]
    All,
    /// Those of roots and of their run dependencies.
    Run,
    /// Those of roots only.
    Roots,
}

impl ViewLink {
    /// The value of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::All),
            "run" => Some(Self::Run),
            "roots" => Some(Self::Roots),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Run => "run",
            Self::Roots => "roots",
        }
    }
}

/// What the manifest of an environment says of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDescriptor {
    /// The root as written.
    pub raw_root: String,
    /// The root as an absolute path without a trailing slash.
    pub root: String,
    /// Where packages go within the view.
    pub projections: Projections,
    /// Constraints of which a spec has to satisfy one. Empty: none.
    pub select: Vec<String>,
    /// Constraints of which a spec may not satisfy any.
    pub exclude: Vec<String>,
    /// Whose files get in.
    pub link: ViewLink,
    /// How they get in.
    pub link_type: LinkType,
}

impl ViewDescriptor {
    /// A view with every default at this absolute path.
    #[must_use]
    pub fn at(root: &str) -> Self {
        Self {
            raw_root: root.to_owned(),
            root: root.trim_end_matches('/').to_owned(),
            projections: Projections::default(),
            select: Vec::new(),
            exclude: Vec::new(),
            link: ViewLink::default(),
            link_type: LinkType::default(),
        }
    }

    /// The place of a package in the view, below its root: empty, or components with slashes
    /// between. An extension lies where the package lies that it extends.
    ///
    /// # Errors
    /// When a projection fits that cannot be formatted.
    pub fn relative_projection(
        &self,
        spec: &ConcreteSpec,
        specs: &ConcreteSpecs,
        satisfies: &Satisfies<'_>,
    ) -> Result<String, PrefixError> {
        let spec = recipes::extendee(spec, specs).unwrap_or(spec);
        self.projections.project(spec, specs, satisfies)
    }
}
