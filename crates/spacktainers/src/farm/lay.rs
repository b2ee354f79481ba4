//! Packages of mirrors into the store that builds happen in, without Spack where that is safe.
//!
//! Running Spack for it takes seconds each time. It still does what only it can: trees whose projections the environment
//! chooses, spliced packages, and a database of another version than the lock's.

use std::collections::HashSet;
use std::path::Path;

use spack_format::dag_hash::DagHash;
use spack_format::prefix::{LayoutGeneration, Projections};

use super::Order;
use crate::build::{InstallRoot, Supply};
use crate::install_tree::Mount;
use crate::install_tree::lay::{LayError, Laying, layout};

/// Lays packages of `order` down with what they run with; says whether it could, or it is Spack's to do.
pub(super) async fn lay_down(
    order: &Order<'_>,
    wanted: &[DagHash],
    install: &InstallRoot,
    mount: Option<&Mount>,
    supply: &Supply<'_>,
) -> Result<bool, LayError> {
    if order
        .manifest
        .pointer("/spack/config/install_tree/projections")
        .is_some()
    {
        return Ok(false);
    }
    let generation = LayoutGeneration::of_lockfile_version(order.lock.version);
    let projections = Projections::default_of(generation);
    let padded_length = if install.store == install.root {
        0
    } else {
        install.store.len()
    };
    let layout = layout(Path::new(&install.root), padded_length, projections, mount)?;
    if layout.root() != install.store {
        return Ok(false);
    }
    let laying = Laying {
        specs: &order.lock.specs,
        wanted,
        explicit: &HashSet::new(),
        layout: &layout,
        // The default projection has no constraints.
        satisfies: &|_, _| false,
        mount,
    };
    match crate::install_tree::lay::lay_down(&laying, supply).await {
        Ok(_) => Ok(true),
        Err(LayError::Spliced(_) | LayError::Version { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
