//! When to try again, and how long to wait before.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often and how patiently a request is repeated.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Tries in all, the first one included.
    pub tries: u32,
    /// The wait before the second try; it doubles with every further one.
    pub first_wait: Duration,
    /// The longest wait of our own choice.
    pub longest_wait: Duration,
    /// The longest wait that a registry may ask for; if it asks for more, we give up and say so.
    pub longest_asked: Duration,
}

impl Default for RetryPolicy {
    /// Six tries within about ten seconds, and up to two minutes where a registry asks for patience:
    /// registries' limits are counted per minute.
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_secs(10),
            longest_asked: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// The wait after the `failures`th failure (from 1), before jitter.
    pub(super) fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        (self.first_wait * (1 << doublings)).min(self.longest_wait)
    }

    /// Waits after a failure; somewhat randomly, so that many clients do not come back at once.
    pub(super) async fn pause(&self, failures: u32, asked: Option<Duration>) {
        let wait = match asked {
            Some(asked) => asked.max(self.wait(failures)),
            None => self.wait(failures).mul_f64(0.5 + random_fraction() / 2.0),
        };
        tokio::time::sleep(wait).await;
    }
}

/// Whether an answer with this status may be another one a little later.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long the server asks to wait: seconds or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// A number in 0..1, good enough to spread clients: every `RandomState` has keys of its own.
fn random_fraction() -> f64 {
    let number = RandomState::new().hash_one(0_u8) >> 32;
    number as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1), Duration::from_millis(300));
        assert_eq!(policy.wait(2), Duration::from_millis(600));
        assert_eq!(policy.wait(40), policy.longest_wait);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let headers = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            headers
        };
        assert_eq!(
            retry_after(&headers("7"), now),
            Some(Duration::from_secs(7))
        );
        let date = headers("Sun, 06 Nov 1994 08:49:47 GMT");
        assert_eq!(retry_after(&date, now), Some(Duration::from_secs(10)));
        let past = headers("Sun, 06 Nov 1994 08:49:27 GMT");
        assert_eq!(retry_after(&past, now), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers("soon"), now), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
