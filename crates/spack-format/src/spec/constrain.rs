//! Two specs into one. [Spack: `Spec._constrain` in `spec.py`]

use super::{Dependency, Spec, flag};
use crate::concrete::DepTypes;

/// Why no concrete spec can match two specs at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Different packages.
    #[error("`{own}` is not `{other}`")]
    Name {
        /// The one.
        own: String,
        /// The other.
        other: String,
    },
    /// Different repositories.
    #[error("the namespace `{own}` is not `{other}`")]
    Namespace {
        /// The one.
        own: String,
        /// The other.
        other: String,
    },
    /// No common version.
    #[error("no version is both `@{own}` and `@{other}`")]
    Versions {
        /// The one.
        own: String,
        /// The other.
        other: String,
    },
    /// Values that exclude each other.
    #[error("the variant `{name}` cannot be both `{own}` and `{other}`")]
    Variant {
        /// Its name.
        name: String,
        /// The one, with the variant's name.
        own: String,
        /// The other.
        other: String,
    },
    /// No common platform, system or target.
    #[error("`{}` and `{}` exclude each other", own.trim(), other.trim())]
    Architecture {
        /// The one.
        own: String,
        /// The other.
        other: String,
    },
    /// Different hashes.
    #[error("no hash begins with both `{own}` and `{other}`")]
    Hash {
        /// The one.
        own: String,
        /// The other.
        other: String,
    },
    /// Contradictory dependencies.
    #[error("of the dependency `{name}`: {reason}")]
    Dependency {
        /// Its name.
        name: String,
        /// What contradicts what.
        reason: Box<Contradiction>,
    },
    /// A dependency without a name cannot be merged with others.
    #[error("the dependency `{0}` has no name, so it cannot be merged with others")]
    Anonymous(String),
    /// Two edges to one package that cannot both be.
    #[error("`{0}` is asked for twice, with dependency types that exclude each other")]
    DepTypes(String),
}

impl Spec {
    /// Narrows this spec to what also matches `other`.
    ///
    /// # Errors
    /// When nothing would match. This spec may then be half narrowed.
    pub fn constrain(&mut self, other: &Self) -> Result<(), Contradiction> {
        constrain_hash(self, other)?;
        self.check_names(other)?;
        if !self.versions.intersects(&other.versions) {
            return Err(Contradiction::Versions {
                own: self.versions.to_string(),
                other: other.versions.to_string(),
            });
        }
        for (name, theirs) in &other.variants {
            if let Some(own) = self.variants.get(name)
                && !own.value.intersects(&theirs.value)
            {
                let text = |variant: &super::Variant| {
                    let mut spec = Self::default();
                    spec.variants.insert(name.clone(), variant.clone());
                    spec.to_string()
                };
                return Err(Contradiction::Variant {
                    name: name.clone(),
                    own: text(own),
                    other: text(theirs),
                });
            }
        }
        self.architecture.constrain(&other.architecture)?;

        if self.name.is_none() {
            self.name.clone_from(&other.name);
        }
        if self.namespace.is_none() {
            self.namespace.clone_from(&other.namespace);
        }
        self.versions = self.versions.intersection(&other.versions);
        for (name, theirs) in &other.variants {
            match self.variants.get_mut(name) {
                Some(own) => own.constrain(theirs),
                None => {
                    self.variants.insert(name.clone(), theirs.clone());
                }
            }
        }
        flag::constrain(&mut self.flags, &other.flags);
        self.constrain_dependencies(other)
    }

    fn check_names(&self, other: &Self) -> Result<(), Contradiction> {
        if let (Some(own), Some(other)) = (&self.name, &other.name)
            && own != other
        {
            let (own, other) = (own.clone(), other.clone());
            return Err(Contradiction::Name { own, other });
        }
        if let (Some(own), Some(other)) = (&self.namespace, &other.namespace)
            && own != other
        {
            let (own, other) = (own.clone(), other.clone());
            return Err(Contradiction::Namespace { own, other });
        }
        Ok(())
    }

    fn constrain_dependencies(&mut self, other: &Self) -> Result<(), Contradiction> {
        let anonymous = |it: &&Dependency| it.spec.name.is_none();
        let below = other
            .dependencies
            .iter()
            .flat_map(|it| &it.spec.dependencies);
        if let Some(nameless) = other.dependencies.iter().chain(below).find(anonymous) {
            return Err(Contradiction::Anonymous(nameless.spec.to_string()));
        }
        for theirs in &other.dependencies {
            let same = |own: &&mut Dependency| {
                own.spec.name == theirs.spec.name && own.when == theirs.when
            };
            match self.dependencies.iter_mut().find(same) {
                Some(own) => {
                    own.spec
                        .constrain(&theirs.spec)
                        .map_err(|reason| named(&theirs.spec, reason))?;
                    own.deptypes = own.deptypes | theirs.deptypes;
                    own.direct |= theirs.direct;
                    own.add_virtuals(&theirs.virtuals);
                }
                None => self.push_dependency(theirs.clone())?,
            }
        }
        self.sort_dependencies();
        Ok(())
    }

    /// Adds a dependency as the parser meets it. One with the name, deptypes and condition of an earlier one is merged
    /// into it. Gives its place if it is a new one.
    pub(super) fn add_dependency(
        &mut self,
        mut new: Dependency,
    ) -> Result<Option<usize>, Contradiction> {
        let mut same_name = self
            .dependencies
            .iter_mut()
            .filter(|it| new.spec.name.is_some() && it.spec.name == new.spec.name)
            .peekable();
        if same_name.peek().is_some() {
            let mut excluded = false;
            let mut same_condition = true;
            for own in same_name {
                if own.deptypes == new.deptypes && own.when == new.when {
                    own.spec
                        .constrain(&new.spec)
                        .map_err(|reason| named(&new.spec, reason))?;
                    own.add_virtuals(&new.virtuals);
                    return Ok(None);
                }
                excluded |= !are_compatible(own.deptypes, new.deptypes);
                same_condition &= own.when == new.when;
            }
            if excluded && same_condition {
                return Err(Contradiction::DepTypes(new.spec.to_string()));
            }
            new.preferred = false;
        }
        self.push_dependency(new)?;
        Ok(Some(self.dependencies.len() - 1))
    }

    fn push_dependency(&mut self, new: Dependency) -> Result<(), Contradiction> {
        let clashes = |own: &Dependency| {
            (new.spec.name.is_none() || own.spec.name == new.spec.name)
                && own.when == new.when
                && !are_compatible(own.deptypes, new.deptypes)
        };
        if self.dependencies.iter().any(clashes) {
            return Err(Contradiction::DepTypes(new.spec.to_string()));
        }
        self.dependencies.push(new);
        Ok(())
    }
}

impl Dependency {
    /// Adds virtuals, keeping them sorted and unique.
    pub(super) fn add_virtuals(&mut self, more: &[String]) {
        self.virtuals.extend(more.iter().cloned());
        self.virtuals.sort();
        self.virtuals.dedup();
    }
}

fn named(spec: &Spec, reason: Contradiction) -> Contradiction {
    Contradiction::Dependency {
        name: spec.name.clone().unwrap_or_default(),
        reason: Box::new(reason),
    }
}

fn constrain_hash(own: &mut Spec, other: &Spec) -> Result<(), Contradiction> {
    let Some(theirs) = &other.hash else {
        return Ok(());
    };
    match &own.hash {
        Some(ours) if ours.starts_with(theirs.as_str()) => Ok(()),
        Some(ours) if !theirs.starts_with(ours.as_str()) => Err(Contradiction::Hash {
            own: ours.clone(),
            other: theirs.clone(),
        }),
        _ => {
            own.hash = Some(theirs.clone());
            Ok(())
        }
    }
}

/// Whether one package may have two edges to packages of the same name with these types: one to build with, one to
/// run with. [Spack: `deptypes.compatible`]
fn are_compatible(a: DepTypes, b: DepTypes) -> bool {
    let both_run = a.intersects(DepTypes::RUNTIME) && b.intersects(DepTypes::RUNTIME);
    !(a.intersects(b) || both_run)
}
