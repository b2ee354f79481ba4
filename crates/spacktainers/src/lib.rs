//! Spacktainers, the product: from container definitions and a Spack build cache to images.

pub mod affected;
pub mod assemble;
pub mod base;
pub mod bucket;
pub mod build;
pub mod build_cache;
pub mod content;
pub mod cpu;
pub mod deffile;
pub mod diagnostic;
pub mod epilogue;
pub mod event;
pub mod farm;
pub mod fetch;
pub mod git;
pub mod image;
pub mod index;
pub mod install_tree;
pub mod layer;
pub mod libraries;
pub mod local_cache;
pub mod lock;
pub mod mirror;
pub mod openpgp;
pub mod outstanding;
pub mod pipeline;
pub mod project;
pub mod publish;
pub mod pull;
pub mod registry;
pub mod resolve;
pub mod run;
pub mod sandbox;
pub mod secrets;
pub mod seed;
pub mod sif;
pub mod site;
pub mod smoke;
pub mod source;
pub mod spack;
pub mod trust;
pub mod unpack;
pub mod why;

#[cfg(test)]
mod test_support;
