//! Orders for a part of a lock, and what mirrors have of them: for those who share the building out among machines.

use std::collections::HashMap;

use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::dag_hash::DagHash;

use super::records::Records;
use super::{FarmError, Needs, Order, survey};
use crate::build::World;
use crate::local_cache::LocalCache;

impl Order<'_> {
    /// The same for these packages of its lock alone.
    #[must_use]
    pub fn only(mut self, wanted: Vec<DagHash>) -> Self {
        self.wanted = wanted;
        self
    }

    /// All packages of its lock.
    #[must_use]
    pub fn specs(&self) -> &ConcreteSpecs {
        &self.lock.specs
    }

    /// The packages that are wanted in a mirror.
    #[must_use]
    pub fn wanted(&self) -> &[DagHash] {
        &self.wanted
    }
}

/// Whether mirrors have the wanted packages, and below those that are missing whatever builds them.
///
/// # Errors
/// When mirrors cannot be asked.
pub async fn ask(
    orders: &[Order<'_>],
    world: &World<'_>,
) -> Result<HashMap<DagHash, bool>, FarmError> {
    survey::survey(orders, world).await
}

/// Seconds that building a package takes: by what the settings say of it, else by what `cache` remembers of builds of it,
/// of its version or of its name. None: nobody knows.
#[must_use]
pub fn seconds(needs: &Needs, cache: Option<&LocalCache>, spec: &ConcreteSpec) -> Option<u64> {
    let mut classes = needs.classes.iter();
    let class = classes.find(|it| it.packages.contains(&spec.name));
    class.and_then(|it| it.seconds).or_else(|| {
        let keys = [
            spec.hash.to_string(),
            format!("{}@{}", spec.name, spec.version),
            spec.name.clone(),
        ];
        let recorded = Records::new(cache?).nearest(&keys)?;
        // Sound by what records are checked for: not negative, and no longer than a year.
        Some(recorded.seconds.ceil() as u64)
    })
}
