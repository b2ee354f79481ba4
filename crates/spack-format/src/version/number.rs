//! Numbers of any length: dates and serial numbers in versions know no bounds.

use std::cmp::Ordering;
use std::fmt;

/// A number of any length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Number {
    /// Nearly all of them.
    Small(u64),
    /// Digits without leading zeros, of a number that `Small` cannot hold.
    Large(Box<str>),
}

impl Number {
    /// The number that these digits spell.
    pub(super) fn from_digits(digits: &str) -> Self {
        match digits.parse() {
            Ok(number) => Self::Small(number),
            Err(_) => Self::Large(digits.trim_start_matches('0').into()),
        }
    }

    /// One more.
    pub(super) fn next(&self) -> Self {
        let digits = match self {
            Self::Small(number) => match number.checked_add(1) {
                Some(next) => return Self::Small(next),
                None => number.to_string(),
            },
            Self::Large(digits) => digits.to_string(),
        };
        let kept = digits.trim_end_matches('9');
        let zeros = "0".repeat(digits.len() - kept.len());
        let next = match kept.char_indices().next_back() {
            None => format!("1{zeros}"),
            Some((at, last)) => {
                let raised = char::from_digit(last.to_digit(10).unwrap_or_default() + 1, 10);
                format!("{}{}{zeros}", &kept[..at], raised.unwrap_or('9'))
            }
        };
        Self::Large(next.into())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) => a.cmp(b),
            (Self::Small(_), Self::Large(_)) => Ordering::Less,
            (Self::Large(_), Self::Small(_)) => Ordering::Greater,
            // Without leading zeros, more digits are a greater number.
            (Self::Large(a), Self::Large(b)) => (a.len(), a).cmp(&(b.len(), b)),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(number) => write!(f, "{number}"),
            Self::Large(digits) => f.write_str(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_64_bits_are_compared_and_counted_up() {
        let number = Number::from_digits;
        assert!(number("18446744073709551615") < number("18446744073709551616"));
        assert!(number("99999999999999999999") < number("100000000000000000000"));
        assert_eq!(number("007"), Number::Small(7));
        assert_eq!(
            number("0018446744073709551616"),
            number("18446744073709551615").next()
        );
        assert_eq!(
            number("99999999999999999999").next().to_string(),
            "100000000000000000000"
        );
        assert_eq!(
            number("20000000000000000099").next().to_string(),
            "20000000000000000100"
        );
    }
}
