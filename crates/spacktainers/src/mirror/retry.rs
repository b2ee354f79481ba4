//! When to ask again, and how long to wait before.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The longest that a server may make us wait. One that wants more will be overloaded still when we
/// come back, and a person is waiting.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// How often to ask again, and how long to wait before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// The wait before the second attempt, on average half of it; doubled each time.
    pub base: Duration,
    /// The longest wait that we choose.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// Six attempts within about ten seconds: enough for a server that restarts, short enough for
    /// the person who mistyped its name.
    fn default() -> Self {
        Self {
            attempts: 6,
            base: Duration::from_millis(400),
            longest: Duration::from_secs(20),
        }
    }
}

impl RetryPolicy {
    /// How long to wait before the attempt after number `failed` (from 1); nothing when that was the
    /// last one. `chance` spreads those who failed together: it is any number, and other ones at
    /// other times.
    #[must_use]
    pub fn wait(&self, failed: u32, wished: Option<Duration>, chance: u64) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doubled = self
            .base
            .saturating_mul(1 << failed.saturating_sub(1).min(20));
        let ceiling = doubled.min(self.longest);
        // "Full jitter": anything between nothing and the ceiling.
        let share = u32::try_from(chance % 1000).unwrap_or(0);
        let chosen = ceiling.saturating_mul(share) / 1000;
        match wished {
            Some(wished) if wished > LONGEST_RETRY_AFTER => None,
            // Everybody was told the same time: come a little later, not all at once.
            Some(wished) => Some(wished.saturating_add(chosen)),
            None => Some(chosen),
        }
    }
}

/// A number that is another one each time; good enough to spread retries.
pub(super) fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_spread_and_end() {
        let policy = RetryPolicy {
            attempts: 4,
            base: Duration::from_secs(1),
            longest: Duration::from_secs(3),
        };
        let longest: Vec<_> = (1..=4)
            .map(|failed| policy.wait(failed, None, 999))
            .collect();
        let seconds = |millis| Some(Duration::from_millis(millis));
        assert_eq!(longest, [seconds(999), seconds(1998), seconds(2997), None]);
        assert_eq!(policy.wait(3, None, 0), Some(Duration::ZERO));
        assert!(chance() != chance() || chance() != chance());
    }

    #[test]
    fn what_the_server_wishes_is_the_least_unless_it_wishes_too_much() {
        let policy = RetryPolicy::default();
        let wished = Duration::from_secs(7);
        assert_eq!(policy.wait(1, Some(wished), 0), Some(wished));
        assert!(policy.wait(1, Some(wished), 999) > Some(wished));
        assert_eq!(policy.wait(1, Some(Duration::from_secs(3600)), 0), None);
        assert_eq!(policy.wait(6, Some(wished), 0), None);
    }
}
