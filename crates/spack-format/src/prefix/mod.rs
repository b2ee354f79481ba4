//! Install prefixes: where in the install tree each package lives.
//!
//! ```text
//! /opt/software/__spack_path_placeholder__/__spac   the root, here padded to a length
//! /opt/software/__spack_path_placeholder__/__spac/linux-x86_64_v3/zlib-1.3.1-v2xkvre6...
//!                                                  the projection of one package
//! /opt/software/bin/sbang                          below the root before padding
//! ```
//!
//! Start at [`InstallTree`]. A projection is a format string over a concrete spec
//! ([`format_path`]); which of several applies is decided by constraints, which the caller
//! evaluates.
//!
//! Source: `lib/spack/spack/directory_layout.py`, `store.py`, `projections.py`, `util/path.py`,
//! `hooks/sbang.py` in Spack.

mod format;
mod padding;

use indexmap::IndexMap;

use crate::concrete::{ConcreteSpec, ConcreteSpecs};

pub(crate) use format::compiler_of;
pub use format::{FormatError, format_path, polite_filename};
pub use padding::{PADDING, PaddingError, pad_root};

/// The key of the projection for all packages that no other key fits.
const ALL: &str = "all";

/// Which default an install tree without configured projections has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayoutGeneration {
    /// Spack up to 0.23: by architecture, then compiler.
    CompilerAndArchitecture,
    /// Spack 1.0 and later: by platform and target.
    PlatformAndTarget,
}

impl LayoutGeneration {
    /// The default of the Spack that writes locks of this version.
    #[must_use]
    pub const fn of_lockfile_version(version: u32) -> Self {
        if version >= 6 {
            Self::PlatformAndTarget
        } else {
            Self::CompilerAndArchitecture
        }
    }

    /// The default projection.
    #[must_use]
    pub const fn projection(self) -> &'static str {
        match self {
            Self::CompilerAndArchitecture => {
                "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}"
            }
            Self::PlatformAndTarget => {
                "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}"
            }
        }
    }
}

/// Why a prefix cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The format string is wrong, or asks for what the spec does not have.
    #[error("cannot project `{spec}` by `{projection}`: {source}")]
    Format {
        /// The package.
        spec: String,
        /// The projection that applies to it.
        projection: String,
        /// What is wrong.
        source: FormatError,
    },
    /// No projection applies and there is none for `all`.
    #[error("no projection fits `{0}`: add one with the key `all`")]
    NoProjection(String),
    /// A projection starts with `/`, so packages would lie outside of the root.
    #[error("the projection `{0}` is absolute: projections are relative to the root")]
    Absolute(String),
    /// `install_hash_length` is set, but a projection leaves no room for it.
    #[error(
        "`install_hash_length` needs `{{hash}}` (without a length) in every projection, but there \
         is `{0}`"
    )]
    HashLength(String),
    /// An external that is known by modules only has no prefix.
    #[error("the external `{0}` has no path")]
    ExternalWithoutPath(String),
    /// The root cannot be padded.
    #[error(transparent)]
    Padding(#[from] PaddingError),
}

/// Decides whether a spec satisfies a constraint.
pub type Satisfies<'a> = dyn Fn(&ConcreteSpec, &str) -> bool + 'a;

/// Format strings by constraint. The first constraint that fits wins; `all` comes last wherever
/// it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projections {
    entries: IndexMap<String, String>,
}

impl Projections {
    /// Projections as configured, in order.
    ///
    /// # Errors
    /// When one of them is absolute.
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Result<Self, PrefixError> {
        let entries: IndexMap<String, String> = entries.into_iter().collect();
        if let Some(absolute) = entries.values().find(|it| it.starts_with('/')) {
            return Err(PrefixError::Absolute(absolute.clone()));
        }
        Ok(Self { entries })
    }

    /// One projection for all packages.
    #[must_use]
    pub fn default_of(generation: LayoutGeneration) -> Self {
        let entry = (ALL.to_owned(), generation.projection().to_owned());
        Self {
            entries: IndexMap::from([entry]),
        }
    }

    /// Constraints and format strings, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The format string for `spec`, if any fits.
    #[must_use]
    pub fn select(&self, spec: &ConcreteSpec, satisfies: &Satisfies<'_>) -> Option<&str> {
        self.entries
            .iter()
            .find(|(key, _)| key.as_str() != ALL && satisfies(spec, key))
            .map(|(_, projection)| projection)
            .or_else(|| self.entries.get(ALL))
            .map(String::as_str)
    }

    /// The path of `spec` below the root; empty if none fits.
    ///
    /// # Errors
    /// When the format string that fits cannot be formatted.
    pub fn project(
        &self,
        spec: &ConcreteSpec,
        specs: &ConcreteSpecs,
        satisfies: &Satisfies<'_>,
    ) -> Result<String, PrefixError> {
        let Some(projection) = self.select(spec, satisfies) else {
            return Ok(String::new());
        };
        format_path(projection, spec, specs).map_err(|source| PrefixError::Format {
            spec: spec.to_string(),
            projection: projection.to_owned(),
            source,
        })
    }

    /// As an install tree takes them: in lower case, with `{hash}` cut to the given length.
    fn for_install_tree(mut self, hash_length: Option<usize>) -> Result<Self, PrefixError> {
        for projection in self.entries.values_mut() {
            *projection = projection.to_lowercase();
            if let Some(length) = hash_length {
                if !projection.contains("{hash}") {
                    return Err(PrefixError::HashLength(projection.clone()));
                }
                *projection = projection.replace("{hash}", &format!("{{hash:{length}}}"));
            }
        }
        Ok(self)
    }
}

/// A root directory and the rule by which packages lie below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallTree {
    root: String,
    unpadded_root: String,
    projections: Projections,
}

impl InstallTree {
    /// An install tree at `root`, an absolute path, padded to `padded_length` characters if that
    /// is given, with hashes cut to `hash_length` if that is given.
    ///
    /// # Errors
    /// When the root cannot be padded, or the hash length does not fit the projections.
    pub fn new(
        root: &str,
        padded_length: Option<usize>,
        projections: Projections,
        hash_length: Option<usize>,
    ) -> Result<Self, PrefixError> {
        let unpadded_root = root.trim_end_matches('/').to_owned();
        let root = match padded_length {
            None | Some(0) => unpadded_root.clone(),
            Some(length) => pad_root(&unpadded_root, length)?,
        };
        let projections = projections.for_install_tree(hash_length)?;
        Ok(Self {
            root,
            unpadded_root,
            projections,
        })
    }

    /// The root, padding included: prefixes and the database lie below it.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The root as configured, before padding.
    #[must_use]
    pub fn unpadded_root(&self) -> &str {
        &self.unpadded_root
    }

    /// Where the script lies that starts interpreters whose path is too long for a `#!` line.
    #[must_use]
    pub fn sbang_path(&self) -> String {
        format!("{}/bin/sbang", self.unpadded_root)
    }

    /// The prefix of `spec`: below the root, or its own path if it is external.
    ///
    /// # Errors
    /// When no projection fits or it cannot be formatted.
    pub fn prefix(
        &self,
        spec: &ConcreteSpec,
        specs: &ConcreteSpecs,
        satisfies: &Satisfies<'_>,
    ) -> Result<String, PrefixError> {
        if let Some(external) = &spec.external {
            let path = external.path.clone();
            return path.ok_or_else(|| PrefixError::ExternalWithoutPath(spec.to_string()));
        }
        let relative = self.projections.project(spec, specs, satisfies)?;
        if relative.is_empty() {
            return Err(PrefixError::NoProjection(spec.to_string()));
        }
        Ok(format!("{}/{relative}", self.root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    fn tree(
        projections: &[(&str, &str)],
        hash_length: Option<usize>,
    ) -> Result<InstallTree, PrefixError> {
        let entries = projections
            .iter()
            .map(|(key, it)| ((*key).to_owned(), (*it).to_owned()));
        InstallTree::new("/s/", Some(40), Projections::new(entries)?, hash_length)
    }

    #[test]
    fn the_first_constraint_that_fits_wins_and_all_comes_last() {
        let specs = test_specs::small();
        let spec = test_specs::named(&specs, "app");
        let tree = tree(
            &[
                ("all", "{Name}-{HASH}"),
                ("lib", "l/{name}"),
                ("app", "a/{name}/{version}"),
                ("app@2", "b"),
            ],
            None,
        )
        .expect("a tree");
        let prefix = |satisfied: &str| {
            tree.prefix(spec, &specs, &|_, constraint| constraint == satisfied)
                .expect("a prefix")
        };
        let root = "/s/__spack_path_placeholder__/__spack_pa";
        assert_eq!(prefix("app"), format!("{root}/a/app/2.0"));
        assert_eq!(prefix("none"), format!("{root}/app-{}", spec.hash));
        assert_eq!(tree.sbang_path(), "/s/bin/sbang");
    }

    #[test]
    fn an_external_lies_where_it_lies() {
        let specs = test_specs::small();
        let spec = test_specs::named(&specs, "libc");
        let tree = tree(&[("all", "{name}")], None).expect("a tree");
        assert_eq!(
            tree.prefix(spec, &specs, &|_, _| true).expect("a prefix"),
            "/usr"
        );
    }

    #[test]
    fn the_hash_length_needs_a_hash_in_every_projection() {
        assert!(matches!(
            tree(&[("all", "{name}")], Some(7)),
            Err(PrefixError::HashLength(_))
        ));
        let specs = test_specs::small();
        let spec = test_specs::named(&specs, "app");
        let tree = tree(&[("all", "{name}-{hash}")], Some(7)).expect("a tree");
        let prefix = tree.prefix(spec, &specs, &|_, _| false).expect("a prefix");
        assert!(
            prefix.ends_with(&format!("/app-{}", spec.hash.short())),
            "{prefix}"
        );
    }

    #[test]
    fn a_projection_may_not_leave_the_root() {
        assert!(matches!(
            tree(&[("all", "/{name}")], None),
            Err(PrefixError::Absolute(_))
        ));
        let specs = test_specs::small();
        let spec = test_specs::named(&specs, "app");
        let tree = tree(&[("all", "../{name}")], None).expect("a tree");
        assert!(matches!(
            tree.prefix(spec, &specs, &|_, _| false),
            Err(PrefixError::Format {
                source: FormatError::UnsafeComponent(_),
                ..
            })
        ));
    }
}
