//! The command as its users run it: whole outputs, exit codes, and what lies on the disk afterwards.
//!
//! - [`apptainer`]: what the real Apptainer makes of our SIF files, beside its own;
//! - [`deffiles`]: definition files into SIF files;
//! - [`epilogues`]: what finishes an image;
//! - [`faults`]: what is wrong in files is told with its place;
//! - [`bases`]: the images that a project makes to build on;
//! - [`building`]: the main job on the demo's packages, again and again, in parts and with things going wrong;
//! - [`caching`]: build caches, against real Spack;
//! - [`corpus`]: specs drawn from real locks, against real Spack;
//! - [`trees`]: what lies in images, against what real Spack installed;
//! - [`installing`]: packages of build caches into install trees;
//! - [`interruptions`]: killed runs, full disks;
//! - [`publishing`]: SIF files in buckets and registries;
//! - [`relocation`]: packages that lie elsewhere than where they were built;
//! - [`rooms`]: packages that are built in a sandbox, and their sources;
//! - [`running`]: images that run;
//! - [`scripts`]: what definition files execute;
//! - [`sif`]: SIF files, and what Apptainer makes of them;
//! - [`sif_faults`]: broken layers, full disks and killed runs while one is written;
//! - [`sif_trees`]: the tree in them, against what others make of the same layers;
//! - [`slimming`]: what is left out of packages, symbols kept apart, limits;
//! - [`solving`]: definitions without a `spack.lock`;
//! - [`spack`]: driving real Spack.

mod apptainer;
mod bases;
mod building;
mod caching;
mod corpus;
mod deffiles;
mod epilogues;
mod faults;
mod installing;
mod interruptions;
mod layers;
mod publishing;
mod relocation;
mod rooms;
mod running;
mod scripts;
mod sif;
mod sif_faults;
mod sif_trees;
mod slimming;
mod solving;
mod spack;
mod support;
mod trees;
