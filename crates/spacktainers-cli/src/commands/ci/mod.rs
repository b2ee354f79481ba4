//! `ci`: the files of CI systems, and what their jobs do.
//!
//! - [`generate`]: what is committed, and what one run has to do;
//! - [`build`]: the packages of one job;
//! - [`files`]: writing, and comparing with what is committed.

pub(crate) mod args;
mod build;
mod files;
mod generate;

use args::{CiArgs, CiCommand};

use crate::context::{Context, Failure};
use crate::exit::Exit;

pub(super) use files::put as put_files;
pub(super) use generate::committed;

pub(super) fn run(args: &CiArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        CiCommand::Generate(args) => generate::run(args, context),
        CiCommand::Build(args) => build::run(args, context),
    }
}
