//! What Spack's files mean: versions, specs, DAG hashes, environments, lock files, build caches,
//! install prefixes, views and environment modifications.
//!
//! This crate is pure: it opens no file, talks to nobody and asks no clock.

pub mod build_cache;
pub mod concrete;
pub mod dag_hash;
pub mod database;
pub mod environment;
pub mod environment_modifications;
pub mod lockfile;
pub mod microarchitecture;
pub mod prefix;
pub mod relocation;
pub mod spec;
pub mod version;
pub mod view;
pub mod yaml;
