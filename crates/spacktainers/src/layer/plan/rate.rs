//! How often a package changes by itself.

/// Of a thousand changes of a container, how many are an ordinary package's own before anything was observed.
const ORDINARY: u64 = 20;

/// The same of a package that a definition names: people work on it.
const NAMED: u64 = 100;

/// Observations that the assumption weighs as much as.
const WEIGHT: u64 = 4;

/// What the history of locks says about packages of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many changes of locks there were that have the name.
    pub times: u32,
    /// In how many of them the package changed, and nothing that it depends on did.
    pub changed: u32,
}

/// A number that says how often a package changes by itself, relative to others: what was observed, and an assumption that
/// counts less the more was observed. `is_named` says whether a definition asks for it by name.
#[must_use]
pub fn rate(observed: Observed, is_named: bool) -> u32 {
    let assumed = if is_named { NAMED } else { ORDINARY };
    let changed = u64::from(observed.changed.min(observed.times)) * 1000;
    let rate = (changed + WEIGHT * assumed) / (u64::from(observed.times) + WEIGHT);
    u32::try_from(rate.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_outweighs_what_was_assumed() {
        let quiet = Observed {
            times: 40,
            changed: 0,
        };
        let busy = Observed {
            times: 40,
            changed: 30,
        };
        let unseen = Observed::default();
        assert!(rate(unseen, true) > rate(unseen, false));
        assert!(rate(busy, false) > rate(unseen, true));
        assert!(rate(quiet, true) < rate(unseen, true));
        assert!(rate(quiet, false) >= 1);
    }
}
