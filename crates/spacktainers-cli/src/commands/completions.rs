//! `completions`: a script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::context::Failure;
use crate::exit::Exit;

pub(super) fn run(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "spacktainers", &mut script);
    crate::printer::out(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
