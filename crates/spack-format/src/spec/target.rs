//! Targets that a spec allows: names and ranges of microarchitectures.

use std::fmt;

use crate::microarchitecture::Microarchitecture;

/// Names and ranges, such as `haswell`, `x86_64_v3:`, `x86_64:x86_64_v3`, `zen2,zen3`, or `*`.
///
/// Ranges follow ancestry: `x86_64_v3:` holds `haswell`, while `:x86_64_v4` does not hold `zen4`, which is more.
#[derive(Debug, Clone)]
pub struct TargetSet {
    text: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
enum Item {
    One(Microarchitecture),
    Range(Option<Microarchitecture>, Option<Microarchitecture>),
}

/// What two items have in common.
enum Common<'a> {
    One(&'a Microarchitecture),
    Range(Option<&'a Microarchitecture>, Option<&'a Microarchitecture>),
}

impl TargetSet {
    /// Reads it; any text is one, for names that are not known are targets by themselves.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let item = |text: &str| match text.split_once(':') {
            None => Item::One(Microarchitecture::from_name(text)),
            Some((least, most)) => {
                let bound = |it: &str| (!it.is_empty()).then(|| Microarchitecture::from_name(it));
                Item::Range(bound(least), bound(most))
            }
        };
        Self {
            text: text.to_owned(),
            items: text.split(',').map(item).collect(),
        }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `*`, which any target matches.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.text == "*"
    }

    /// Whether it is one name (or `*`).
    fn is_single(&self) -> bool {
        !self.text.contains([':', ','])
    }

    /// Whether a target will do. Allocates nothing.
    #[must_use]
    pub fn admits(&self, target: &Microarchitecture) -> bool {
        self.is_any() || self.items.iter().any(|item| item.admits(target))
    }

    /// Whether a target may be in both, seen from this side: what `other` asks for may be `*`.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let meets = |a: &Item| other.items.iter().any(|b| a.common(b).is_some());
        other.is_any() || self.items.iter().any(meets)
    }

    /// What both allow; they must meet.
    pub(super) fn constrain(&mut self, other: &Self) {
        if self.is_single() {
            return;
        }
        if other.is_single() {
            *self = other.clone();
            return;
        }
        let mut common = Vec::new();
        for a in &self.items {
            common.extend(
                other
                    .items
                    .iter()
                    .filter_map(|b| a.common(b))
                    .map(|it| it.to_string()),
            );
        }
        *self = Self::new(&common.join(","));
    }
}

impl Item {
    fn admits(&self, target: &Microarchitecture) -> bool {
        match self {
            Self::One(one) => one == target,
            Self::Range(least, most) => {
                // Spack refuses ranges with bounds that it does not know; nothing is in them.
                let known = |it: &Microarchitecture| it.is_known();
                least
                    .as_ref()
                    .is_none_or(|it| known(it) && target.is_at_least(it))
                    && most
                        .as_ref()
                        .is_none_or(|it| known(it) && it.is_at_least(target))
            }
        }
    }

    fn common<'a>(&'a self, other: &'a Self) -> Option<Common<'a>> {
        match (self, other) {
            (Self::One(one), other) | (other, Self::One(one)) => {
                other.admits(one).then_some(Common::One(one))
            }
            (Self::Range(a_least, a_most), Self::Range(b_least, b_most)) => {
                let least = choose(a_least.as_ref(), b_least.as_ref(), |a, b| a.is_at_least(b))?;
                let most = choose(a_most.as_ref(), b_most.as_ref(), |a, b| b.is_at_least(a))?;
                match (least, most) {
                    (Some(least), Some(most)) if least == most => Some(Common::One(least)),
                    (Some(least), Some(most)) if !most.is_at_least(least) => None,
                    // Two ranges without any bound have, by Spack, nothing in common.
                    (None, None) => None,
                    (least, most) => Some(Common::Range(least, most)),
                }
            }
        }
    }
}

/// The narrower of two bounds; `None` if they are not comparable.
#[allow(clippy::option_option)]
fn choose<'a>(
    a: Option<&'a Microarchitecture>,
    b: Option<&'a Microarchitecture>,
    is_narrower: impl Fn(&Microarchitecture, &Microarchitecture) -> bool,
) -> Option<Option<&'a Microarchitecture>> {
    match (a, b) {
        (Some(a), Some(b)) if is_narrower(a, b) => Some(Some(a)),
        (Some(a), Some(b)) if is_narrower(b, a) => Some(Some(b)),
        (Some(_), Some(_)) => None,
        (a, b) => Some(a.or(b)),
    }
}

impl PartialEq for TargetSet {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TargetSet {}

impl fmt::Display for Common<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |it: &Option<&Microarchitecture>| it.map_or(String::new(), ToString::to_string);
        match self {
            Self::One(one) => one.fmt(f),
            Self::Range(least, most) => write!(f, "{}:{}", name(least), name(most)),
        }
    }
}

impl fmt::Display for TargetSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_ancestry() {
        for (target, set, inside) in [
            ("haswell", "x86_64_v3:", true),
            ("haswell", "x86_64_v3", false),
            ("haswell", ":skylake", true),
            ("zen4", ":x86_64_v4", false),
            ("zen3", "zen2,zen3", true),
            ("zen3", "icelake:,zen:zen4", true),
            ("mine", "mine", true),
            ("mine", "mine:", false),
            ("mine", "*", true),
            ("aarch64", "x86_64:", false),
            ("aarch64", ":", true),
        ] {
            let admitted = TargetSet::new(set).admits(&Microarchitecture::from_name(target));
            assert_eq!(admitted, inside, "{target} in {set}");
        }
    }

    #[test]
    fn sets_meet_in_what_both_allow() {
        for (a, b, both) in [
            ("x86_64:", "haswell", Some("haswell")),
            (
                "x86_64:x86_64_v3",
                "x86_64_v2:",
                Some("x86_64_v2:x86_64_v3"),
            ),
            ("x86_64:x86_64_v3", "x86_64_v3:", Some("x86_64_v3")),
            (":zen2", ":haswell", None),
            ("x86_64:", "aarch64:", None),
            ("haswell,zen2", "zen2,zen3", Some("zen2")),
        ] {
            let (mut left, right) = (TargetSet::new(a), TargetSet::new(b));
            assert_eq!(left.meets(&right), both.is_some(), "{a} and {b}");
            if let Some(both) = both {
                left.constrain(&right);
                assert_eq!(left.as_str(), both, "{a} and {b}");
            }
        }
    }
}
