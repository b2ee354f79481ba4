//! The project's own chores. `cargo xtask` lists them.
//!
//! - [`demo`]: the main job on the embedded demo, shown running;
//! - [`test`]: installs what the tests need where a package manager is at hand, and runs them all;
//! - [`fuzz`]: every parser against inputs made to break it;
//! - [`apptainer`]: Apptainer for tests;
//! - [`tidy`]: rules about the code that no compiler checks; also run as a test.

mod apptainer;
mod demo;
mod fuzz;
mod test;
mod tidy;
mod tool;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo             builds the demo's container onto a Debian base and runs it
  test             installs what the tests need, then runs every check and test
  test --no-install    the same with what this machine has; what is missing is SKIPPED
  fuzz [SECONDS [TARGET…]]    fuzzes every parser for so many seconds, 10 by default
  tidy             checks the rules that no compiler checks
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["demo"] => demo::run_demo(),
        ["test"] => test::run(test::Install::Yes),
        ["test", "--no-install"] => test::run(test::Install::No),
        ["fuzz"] => fuzz::run_targets(10, &[]),
        ["fuzz", seconds, only @ ..] if seconds.parse::<u32>().is_ok() => {
            fuzz::run_targets(seconds.parse().unwrap_or(10), only)
        }
        ["tidy"] => tidy::run(),
        _ => {
            tool::say(USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tool::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
