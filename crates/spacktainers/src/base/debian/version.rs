//! Debian package versions and their order.
//!
//! `[epoch:]upstream[-revision]`. Source: Debian policy 5.6.12; the order is that of
//! `dpkg --compare-versions`.

use std::cmp::Ordering;
use std::fmt;

/// A package version: kept as written, compared as dpkg does.
///
/// Two texts can be equal as versions and differ as texts (`1.0` and `0:1.0`), therefore there is no
/// `Eq` here: use [`DebVersion::compare`].
#[derive(Debug, Clone)]
pub(super) struct DebVersion(Box<str>);

impl DebVersion {
    /// Takes any text. What is no valid version still has a place in the order, as for dpkg's
    /// own comparison, so that one odd entry of an index does not spoil the whole.
    #[must_use]
    pub(super) fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// The version as written.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The order of two versions.
    #[must_use]
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let (a, b) = (Parts::of(&self.0), Parts::of(&other.0));
        compare_digits(a.epoch, b.epoch)
            .then_with(|| compare_part(a.upstream, b.upstream))
            .then_with(|| compare_part(a.revision, b.revision))
    }
}

impl fmt::Display for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

struct Parts<'a> {
    epoch: &'a [u8],
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
            _ => ("", text),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch: epoch.as_bytes(),
            upstream: upstream.as_bytes(),
            revision: revision.as_bytes(),
        }
    }
}

/// Where a byte of a non-digit run stands: `~` before the end, the end before letters, letters before the rest.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

/// Alternating runs: non-digits by [`weight`], digits as numbers.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let is_text = |s: &[u8]| s.first().is_some_and(|b| !b.is_ascii_digit());
    while !a.is_empty() || !b.is_empty() {
        while is_text(a) || is_text(b) {
            let order = weight(a.first().copied()).cmp(&weight(b.first().copied()));
            if order != Ordering::Equal {
                return order;
            }
            // Equal weights with one side still text mean that both are the same byte.
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (digits_a, rest_a) = split_digits(a);
        let (digits_b, rest_b) = split_digits(b);
        let order = compare_digits(digits_a, digits_b);
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// As numbers of any length: no overflow, leading zeros do not count.
fn compare_digits(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |s: &[u8]| s.iter().position(|b| *b != b'0').unwrap_or(s.len());
    let (a, b) = (&a[strip(a)..], &b[strip(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(a: &str, b: &str) -> Ordering {
        DebVersion::new(a).compare(&DebVersion::new(b))
    }

    #[test]
    fn the_order_is_the_one_of_the_policy() {
        // Each line is in ascending order.
        for line in [
            "1.0~~ 1.0~~a 1.0~ 1.0 1.0a 1.0+b1 1.0.1 1.1",
            "1.2.3 1:0.1 2:0",
            "1.0-1 1.0-1+b1 1.0-1+deb12u1 1.0-1.1 1.0-2 1.0-10",
            "2.36-9+deb12u9 2.36-9+deb12u10 2.36-9+deb12u14",
            "0 1 9 10 99 100",
            "1.0~rc1-1 1.0-0ubuntu1 1.0-1",
        ] {
            let versions: Vec<&str> = line.split(' ').collect();
            for pair in versions.windows(2) {
                assert_eq!(
                    order(pair[0], pair[1]),
                    Ordering::Less,
                    "{} < {}",
                    pair[0],
                    pair[1]
                );
                assert_eq!(order(pair[1], pair[0]), Ordering::Greater);
            }
        }
        assert_eq!(order("1b", "1aa"), Ordering::Greater);
        assert_eq!(order("1a", "1aa"), Ordering::Less);
        assert_eq!(order("1.", "1+"), Ordering::Greater);
        assert_eq!(order("1a", "1+"), Ordering::Less);
    }

    #[test]
    fn different_texts_can_be_the_same_version() {
        for (a, b) in [
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.00", "1.0"),
            ("1.0-01", "1.0-1"),
            ("0", ""),
        ] {
            assert_eq!(order(a, b), Ordering::Equal, "{a} = {b}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_order_is_total(a in "[0-9a-z.~+:-]{0,9}", b in "[0-9a-z.~+:-]{0,9}", c in "[0-9a-z.~+:-]{0,9}") {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            if order(&a, &b) != Ordering::Greater && order(&b, &c) != Ordering::Greater {
                prop_assert_ne!(order(&a, &c), Ordering::Greater);
            }
        }
    }

    #[test]
    fn dpkg_agrees() {
        use std::io::Write as _;
        use std::process::Command;
        if Command::new("dpkg").arg("--version").output().is_err() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: dpkg is not installed");
            return;
        }
        // A fixed pseudo-random walk over the alphabet of versions.
        let alphabet = b"019az.~+-";
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..150 {
            let mut make = || {
                let mut text = String::from("1");
                for _ in 0..next() % 6 {
                    text.push(alphabet[(next() % alphabet.len() as u64) as usize] as char);
                }
                // dpkg itself warns about an empty revision.
                text.trim_end_matches('-').to_owned()
            };
            let (a, b) = (make(), make());
            let says = |relation: &str| {
                Command::new("dpkg")
                    .args(["--compare-versions", &a, relation, &b])
                    .status()
                    .is_ok_and(|s| s.success())
            };
            let theirs = if says("lt") {
                Ordering::Less
            } else if says("gt") {
                Ordering::Greater
            } else {
                Ordering::Equal
            };
            assert_eq!(order(&a, &b), theirs, "{a} and {b}");
        }
    }
}
