//! `cache`: build caches are written, indexed, verified, copied, listed and installed from.
//!
//! | file | what |
//! |---|---|
//! | `args` | the command line |
//! | `named` | from the name of a mirror, or a URL, to something that can be asked |
//! | `push`, `index`, `verify`, `sync`, `list`, `install`, `why_miss` | one command each |

pub(crate) mod args;
mod index;
mod install;
mod list;
mod named;
mod push;
mod sync;
mod verify;
mod why_miss;

use spacktainers::build_cache::{CacheError, CacheFault};
use spacktainers::fetch::FailureKind;

use crate::context::{Context, Failure};
use crate::exit::Exit;

use args::{CacheArgs, CacheCommand};

pub(super) fn run(args: &CacheArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        CacheCommand::Push(args) => push::run(args, context),
        CacheCommand::Index(args) => index::run(args, context),
        CacheCommand::Verify(args) => verify::run(args, context),
        CacheCommand::Sync(args) => sync::run(args, context),
        CacheCommand::List(args) => list::run(args, context),
        CacheCommand::WhyMiss(args) => why_miss::run(args, context),
        CacheCommand::Install(args) => install::run(args, context),
    }
}

/// How it ends when something of a build cache could not be done.
fn exit_of(error: &CacheError) -> Exit {
    match (&error.fault, error.kind()) {
        (CacheFault::Tree(_) | CacheFault::Sign(_), _) => Exit::Usage,
        (_, FailureKind::Mirror) => Exit::Refused,
        (_, FailureKind::Verification) => Exit::Unverified,
        (_, FailureKind::Local) => Exit::Fault,
    }
}

fn failure(error: CacheError) -> Failure {
    Failure::new(exit_of(&error), error)
}

/// An error and its causes on one line.
fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
