//! Definition files, `.def`: what Apptainer and Singularity build images from.
//!
//! ```text
//! text ──Deffile::parse──► Deffile ──resolve(BuildArguments)──► Resolution { plan, faults }
//!                            stages, with places                   BuildPlan: nothing left to look up
//!                            faults                                  stages: source, scripts, files, labels, apps
//!                                                                    definition: the text kept in the image
//!
//! stage   = header { section }         begins at each line that begins with `Bootstrap:`
//! header  = Key: value …               [`HeaderEntry`]      ──► [`Source`]
//! section = %name arguments            [`Section`]          ──► [`Script`], [`Files`], labels, [`App`]
//!           line …
//! ```
//!
//! All is read as Apptainer 1.4 does. Where it silently does what nobody can have meant, a [`Fault`] says so: an error
//! where nothing useful would come of it, else a warning. All faults of a file are found, not only the first, and each
//! has its place in the text as it was written, also where a template has been replaced there.
//!
//! Whether a build has to run anything is [`BuildPlan::executions`].

mod arguments;
mod fault;
mod files;
mod header;
mod lines;
mod parse;
mod plan;
mod reference;
mod resolve;
mod script;
mod section;
mod source;
mod span;
mod suggest;
mod template;

pub use arguments::{BuildArguments, NotAnArgument};
pub use fault::{DeffileError, Fault, Severity};
pub use files::{FileTransfer, Files, FilesFrom};
pub use header::HeaderEntry;
pub use parse::{Deffile, WrittenStage};
pub use plan::{App, BuildPlan, Execution, ExecutionPlace, Stage, definition_of};
pub use reference::{DEFAULT_TAG, ImageReference, ReferenceFault};
pub use resolve::Resolution;
pub use script::Script;
pub use section::{Section, SectionKind};
pub use source::{Debootstrap, PathAndImage, Source, Which};
pub use span::Span;
pub use template::Template;

/// Bytes of a definition file that are read. Apptainer itself takes no section beyond 64 KiB.
pub const MAX_SIZE: usize = 1 << 20;
