//! Registries, layouts and archives for real: against `docker-registry`, through a proxy that counts
//! and fails as it is told, and read back by skopeo, umoci and podman.
//!
//! A program that is not on `PATH` is a line `SKIPPED: …` on standard error.

mod auth;
mod client;
mod faults;
mod files;
mod listing_server;
mod multi_arch;
mod peers;
mod proxy;
mod push;
mod referrers;
mod releases;
mod sample;
mod server;
