//! Variants: what is asked of their values.

use std::fmt;

use super::quote::quote_if_needed;
use crate::concrete::VariantValue;

/// What is asked of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its value or values.
    pub value: VariantSet,
    /// Whether dependencies that have the variant must agree (`++x`, `k==v`).
    pub propagate: bool,
}

/// Values that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariantSet {
    /// On or off.
    Bool(bool),
    /// At least these (`k=a,b`), sorted; with none (`k=*`), the variant must merely be there.
    Contains(Vec<String>),
    /// These and no others (`k:=a,b`), sorted.
    Exactly(Vec<String>),
}

/// The variant whose values are checksums, which may be shortened.
const PATCHES: &str = "patches";

impl VariantSet {
    /// What a text after `=` or, if `exact`, after `:=` asks for; `None` for `*` among other values.
    pub(super) fn parse(text: &str, exact: bool) -> Option<Self> {
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Some(Self::Bool(text.eq_ignore_ascii_case("true")));
        }
        if text == "*" {
            return Some(Self::Contains(Vec::new()));
        }
        let mut values: Vec<String> = text.split(',').map(str::to_owned).collect();
        values.sort();
        values.dedup();
        if values.iter().any(|it| it == "*") {
            return None;
        }
        Some(if exact {
            Self::Exactly(values)
        } else {
            Self::Contains(values)
        })
    }

    /// The values; booleans have none that a text could name.
    fn values(&self) -> &[String] {
        match self {
            Self::Bool(_) => &[],
            Self::Contains(values) | Self::Exactly(values) => values,
        }
    }

    const fn is_concrete(&self) -> bool {
        !matches!(self, Self::Contains(_))
    }

    /// Whether all that this allows is allowed by `other`, for the variant of this name.
    pub(super) fn satisfies(&self, other: &Self, name: &str) -> bool {
        let own = self.values();
        match other {
            Self::Contains(wanted) if name == PATCHES => wanted
                .iter()
                .all(|prefix| own.iter().any(|it| it.starts_with(prefix.as_str()))),
            Self::Contains(wanted) => wanted.iter().all(|it| own.contains(it)),
            exact => self == exact,
        }
    }

    /// Whether some value is allowed by both.
    pub(super) fn intersects(&self, other: &Self) -> bool {
        let within = |a: &Self, b: &Self| a.values().iter().all(|it| b.values().contains(it));
        match (self.is_concrete(), other.is_concrete()) {
            (true, true) => self == other,
            (true, false) => within(other, self),
            (false, true) => within(self, other),
            (false, false) => true,
        }
    }

    /// What both allow; they must intersect.
    pub(super) fn constrain(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Contains(own), Self::Contains(more)) => {
                own.extend(more.iter().cloned());
                own.sort();
                own.dedup();
            }
            (Self::Contains(_), exact) => *self = exact.clone(),
            (Self::Bool(_) | Self::Exactly(_), _) => {}
        }
    }

    /// Whether a recorded value will do. Allocates nothing.
    pub(super) fn admits(&self, recorded: &VariantValue) -> bool {
        let recorded: &[String] = match (self, recorded) {
            (Self::Bool(wanted), VariantValue::Bool(value)) => return wanted == value,
            (_, VariantValue::Bool(_)) => &[],
            (_, VariantValue::Single(value)) => std::slice::from_ref(value),
            (_, VariantValue::Multi(values)) => values,
        };
        match self {
            Self::Bool(_) => false,
            Self::Contains(wanted) => wanted.iter().all(|it| recorded.contains(it)),
            Self::Exactly(wanted) => {
                !recorded.is_empty()
                    && wanted.iter().all(|it| recorded.contains(it))
                    && recorded.iter().all(|it| wanted.contains(it))
            }
        }
    }

    /// Whether the patches of a concrete spec will do: for `patches=`, the first characters are enough.
    pub(super) fn admits_patches(&self, recorded: &[String]) -> bool {
        match self {
            Self::Bool(_) => false,
            Self::Contains(wanted) => wanted
                .iter()
                .all(|prefix| recorded.iter().any(|it| it.starts_with(prefix.as_str()))),
            Self::Exactly(wanted) => {
                wanted.iter().all(|it| recorded.contains(it))
                    && recorded.iter().all(|it| wanted.contains(it))
            }
        }
    }
}

impl Variant {
    /// Whether it is switched on or off.
    pub(super) const fn is_bool(&self) -> bool {
        matches!(self.value, VariantSet::Bool(_))
    }

    /// Merges what another spec asks of the same variant; the two must intersect.
    pub(super) fn constrain(&mut self, other: &Self) {
        self.value.constrain(&other.value);
        self.propagate &= other.propagate;
    }

    /// Writes it as Spack does, without a blank before it.
    pub(super) fn write(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exact, values) = match &self.value {
            VariantSet::Bool(on) => {
                let sigil = match (on, self.propagate) {
                    (true, false) => "+",
                    (true, true) => "++",
                    (false, false) => "~",
                    (false, true) => "~~",
                };
                return write!(f, "{sigil}{name}");
            }
            VariantSet::Contains(values) => ("", values),
            VariantSet::Exactly(values) => (":", values),
        };
        let sign = if self.propagate { "==" } else { "=" };
        let text = if values.is_empty() {
            "*".to_owned()
        } else if name == PATCHES && !exact.is_empty() {
            let short: Vec<String> = values
                .iter()
                .map(|it| it.chars().take(7).collect())
                .collect();
            short.join(",")
        } else {
            values.join(",")
        };
        write!(f, "{name}{exact}{sign}{}", quote_if_needed(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_values_are_compared_as_sets() {
        let set = |text, exact| VariantSet::parse(text, exact).expect(text);
        let recorded = VariantValue::Multi(vec!["static".to_owned(), "shared".to_owned()]);
        for (text, exact, admitted) in [
            ("static", false, true),
            ("shared,static", false, true),
            ("static,none", false, false),
            ("*", false, true),
            ("static", true, false),
            ("static,shared", true, true),
            ("true", false, false),
        ] {
            assert_eq!(set(text, exact).admits(&recorded), admitted, "{text}");
        }
        let on = VariantValue::Bool(true);
        assert!(set("True", false).admits(&on) && set("*", false).admits(&on));
        assert!(!set("on", false).admits(&on) && !set("false", false).admits(&on));
        let single = VariantValue::Single("Release".to_owned());
        assert!(set("Release", true).admits(&single) && !set("Debug", false).admits(&single));
        assert_eq!(VariantSet::parse("a,*", false), None);
    }
}
