//! Orders for a part of a lock, and what mirrors have of them: for those who share the building out among machines.

use std::collections::HashMap;

use spack_format::concrete::ConcreteSpecs;
use spack_format::dag_hash::DagHash;

use super::{FarmError, Order, survey};
use crate::build::World;

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
