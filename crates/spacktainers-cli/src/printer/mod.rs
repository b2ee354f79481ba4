//! What people and programs see while work goes on and when it is done.
//!
//! - [`bars`]: a terminal — one bar per transfer, a line for what is finished;
//! - [`lines`]: a CI log — plain lines, no more than needed;
//! - [`tally`]: in front of any of them — counts what is fetched;
//! - [`json`]: `--json` — every event as one line of JSON on standard output.
//!
//! People's text always goes to standard error, results to standard output.

mod bars;
mod json;
mod lines;
mod tally;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use spacktainers::event::Reporter;
use spacktainers::secrets::Values;

pub(crate) use tally::Tally;

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Only faults.
    Quiet,
    /// What matters.
    Normal,
    /// Every step.
    Verbose,
}

/// The reporter for this terminal and these flags.
pub(crate) fn reporter(json: bool, verbosity: Verbosity) -> Arc<dyn Reporter> {
    let interactive = std::io::stderr().is_terminal()
        && std::env::var_os("CI").is_none()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    if json {
        Arc::new(json::JsonLines::default())
    } else if interactive && verbosity != Verbosity::Quiet {
        Arc::new(bars::Bars::new(verbosity))
    } else {
        Arc::new(lines::Lines::new(verbosity))
    }
}

/// What must not be shown, whoever would show it.
static SECRETS: OnceLock<Values> = OnceLock::new();

/// Blots these values out of all that is printed from now on.
pub(crate) fn hide(values: Values) {
    let _ = SECRETS.set(values);
}

/// The text without secrets.
fn shown(text: &str) -> Cow<'_, str> {
    match SECRETS.get().filter(|it| !it.is_empty()) {
        Some(values) => Cow::Owned(values.redacted(text)),
        None => Cow::Borrowed(text),
    }
}

/// Writes a line to standard output; a closed pipe is not our fault.
pub(crate) fn out(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", shown(text));
}

/// Writes a line to standard error.
pub(crate) fn err(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", shown(text));
}

/// Whether people's text may have colours.
pub(crate) fn has_colours() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Bytes for people: powers of 1000, as disks and networks are sold.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit after the point is shown"
    )]
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_rounded_to_one_digit_and_never_read_1000() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(43_210_000), "43.2 MB");
    }
}
