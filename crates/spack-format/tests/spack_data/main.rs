//! Locks, caches, stores, views and environments of real Spack, read and made again.
//!
//! Real data lies in a folder of fixtures beside the project; where it is missing, these tests
//! say that they were skipped. What needs nothing from outside is in the unit tests.

mod caches;
mod databases;
mod environments;
mod hostile;
mod locks;
mod relocation;
mod specs;
mod support;
mod views;
