//! `Dockerfile.epilogue`: what finishes an image after its packages and its view are in it.
//!
//! ```text
//! text ─► lines.rs ─► instruction.rs ─► Epilogue          pure: instructions with their places, or faults with theirs
//!                     words.rs: quotes, $VARIABLES
//! Image + Epilogue ─► apply.rs ─┬─ configure.rs  ENV, LABEL, USER, WORKDIR, ENTRYPOINT, CMD, …
//!                               ├─ run.rs        RUN: what a command in a sandbox changed, as a layer
//!                               └─ copy.rs       COPY, ADD, and the folder of WORKDIR: a layer each
//!                                  below.rs      what the image holds so far
//!                   ─► Image
//! ```
//!
//! An epilogue is a Dockerfile without `FROM`: it begins where the packages end, and its context is the folder of the
//! definition. Start at [`Epilogue::parse`] and [`apply()`].
//!
//! Source of the grammar and of what instructions mean: Docker's "Dockerfile reference".

mod apply;
mod below;
mod configure;
mod copy;
mod error;
mod files;
mod instruction;
mod lines;
mod run;

#[cfg(test)]
mod tests;
mod words;

pub use apply::{EpilogueContext, apply};
pub use error::EpilogueError;
pub use files::files_digest;
pub use instruction::{Command, CopiedText, CopyFlags, Epilogue, Instruction, Step};
pub use lines::EpilogueFault;
