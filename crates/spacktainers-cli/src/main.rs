//! `spacktainers`, the command.
//!
//! ```text
//! arguments (args) ──► settings of the run (context) ──► one file per command (commands/) ──► printer, exit code
//! ```
//!
//! The library decides and works; this crate alone reads the environment and prints.

mod args;
mod commands;
mod context;
mod diagnostics;
mod exit;
mod printer;
mod processor;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap prints help and version to stdout and faults to stderr.
            let _ = error.print();
            let code = if error.use_stderr() {
                exit::Exit::Usage
            } else {
                exit::Exit::Done
            };
            return code.into();
        }
    };
    printer::hide(commands::trust::values());
    commands::run(&args).into()
}
