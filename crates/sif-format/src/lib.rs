//! What a SIF file is, what lies inside it, and the definition files that such files are made from.
//!
//! ```text
//! definition file (deffile)
//! SIF file (sif)  =  header, descriptors, data objects
//!                      └─ partition: squashfs (squashfs), whose `/.singularity.d` says how to run it (singularity)
//! ```
//!
//! This crate is pure over `Read + Write + Seek`: it opens no file, talks to nobody and asks no clock.

pub mod deffile;
pub mod sif;
pub mod singularity;
pub mod squashfs;
