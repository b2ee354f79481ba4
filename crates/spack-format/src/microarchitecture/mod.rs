//! Processor families and levels: which code runs on which processor.
//!
//! ```text
//! x86_64 ◄── x86_64_v2 ◄── x86_64_v3 ◄── x86_64_v4        a microarchitecture runs the code of its ancestors
//!                 ▲             ▲             ▲
//!             nehalem ◄─ … ─ haswell ◄─ … skylake_avx512 ◄─ … icelake
//! ```
//!
//! Start at [`Microarchitecture`]. They are ordered by ancestry: `haswell >= x86_64_v3`, while `haswell` and `zen2` are not
//! comparable. A name that is not in the [table](KNOWN_VERSION) is a target by itself, without family or vendor.
//!
//! Source: `microarchitectures.json` of archspec, as Spack 1.1.0 carries it, and `Microarchitecture` in archspec.

mod table;

use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use table::TABLE;

pub use table::KNOWN_VERSION;

/// A processor, or the level of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Microarchitecture(Repr);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// An index into [`TABLE`].
    Known(usize),
    /// A name that is not in there.
    Other(Box<str>),
}

/// For each entry of [`TABLE`], the entries that it descends from, as bits.
static ANCESTORS: LazyLock<Vec<u128>> = LazyLock::new(|| {
    let mut out: Vec<u128> = Vec::with_capacity(TABLE.len());
    for entry in TABLE {
        let of_parent = |parent: &&str| {
            // Parents stand before their children.
            let at = index_of(parent)?;
            Some(out.get(at)? | 1 << at)
        };
        let ancestors = entry.parents.iter().filter_map(of_parent);
        let ancestors = ancestors.fold(0, |all, some| all | some);
        out.push(ancestors);
    }
    out
});

fn index_of(name: &str) -> Option<usize> {
    TABLE.iter().position(|entry| entry.name == name)
}

impl Microarchitecture {
    /// The microarchitecture of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self(match index_of(name) {
            Some(index) => Repr::Known(index),
            None => Repr::Other(name.into()),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Repr::Known(index) => TABLE.get(*index).map_or("", |entry| entry.name),
            Repr::Other(name) => name,
        }
    }

    /// Whether archspec knows it.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        matches!(self.0, Repr::Known(_))
    }

    /// Who makes it; `generic` for families, levels and unknown names.
    #[must_use]
    pub fn vendor(&self) -> &'static str {
        self.entry().map_or("generic", |entry| entry.vendor)
    }

    /// Those that it is built upon directly.
    #[must_use]
    pub fn parents(&self) -> &'static [&'static str] {
        self.entry().map_or(&[], |entry| entry.parents)
    }

    /// The name of the family that it belongs to, such as `x86_64`: its only ancestor without parents, or itself.
    #[must_use]
    pub fn family(&self) -> &str {
        let mut at = self.name();
        let mut parents = self.parents();
        while let Some(parent) = parents.first() {
            at = parent;
            parents = Self::from_name(parent).parents();
        }
        at
    }

    /// The best level without a vendor that it runs the code of, such as `x86_64_v3` for `haswell`.
    #[must_use]
    pub fn generic(&self) -> Self {
        let Repr::Known(own) = self.0 else {
            return self.clone();
        };
        let all = ancestors(own) | 1 << own;
        let generic = (0..TABLE.len()).filter(|at| {
            all & (1 << at) != 0 && TABLE.get(*at).is_some_and(|it| it.vendor == "generic")
        });
        let best = generic.max_by_key(|at| ancestors(*at).count_ones());
        best.map_or_else(|| self.clone(), |at| Self(Repr::Known(at)))
    }

    /// Whether it runs the code of `other`: is it, or descends from it. Allocates nothing.
    #[must_use]
    pub fn is_at_least(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Known(a), Repr::Known(b)) => a == b || ancestors(*a) & (1 << b) != 0,
            (a, b) => a == b,
        }
    }

    fn entry(&self) -> Option<&'static table::Entry> {
        match self.0 {
            Repr::Known(index) => TABLE.get(index),
            Repr::Other(_) => None,
        }
    }
}

fn ancestors(index: usize) -> u128 {
    ANCESTORS.get(index).copied().unwrap_or_default()
}

/// By ancestry; `None` where neither descends from the other.
impl PartialOrd for Microarchitecture {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.is_at_least(other), other.is_at_least(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl fmt::Display for Microarchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(name: &str) -> Microarchitecture {
        Microarchitecture::from_name(name)
    }

    #[test]
    fn the_table_is_closed_and_in_order() {
        assert!(TABLE.len() <= 128, "ancestors are bits of 128");
        for (at, entry) in TABLE.iter().enumerate() {
            assert_eq!(index_of(entry.name), Some(at), "{} once", entry.name);
            for parent in entry.parents {
                assert!(
                    index_of(parent).is_some_and(|it| it < at),
                    "{parent} before {}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn ancestry_is_the_order() {
        assert!(cpu("haswell") > cpu("x86_64_v3"));
        assert!(cpu("icelake") > cpu("nehalem"));
        assert!(cpu("neoverse_v2") > cpu("armv8.5a"));
        assert!(cpu("zen4") > cpu("x86_64_v4"));
        assert_eq!(cpu("zen4").partial_cmp(&cpu("icelake")), None);
        assert_eq!(cpu("mine").partial_cmp(&cpu("x86_64")), None);
        assert_eq!(cpu("mine").partial_cmp(&cpu("mine")), Some(Ordering::Equal));
    }

    #[test]
    fn families_and_levels() {
        for (name, family, generic, vendor) in [
            ("zen4", "x86_64", "x86_64_v4", "AuthenticAMD"),
            ("mic_knl", "x86_64", "x86_64_v3", "GenuineIntel"),
            ("x86_64", "x86_64", "x86_64", "generic"),
            ("neoverse_n1", "aarch64", "armv8.2a", "ARM"),
            ("power9le", "ppc64le", "ppc64le", "IBM"),
            ("u74mc", "riscv64", "riscv64", "SiFive"),
            ("mine", "mine", "mine", "generic"),
        ] {
            let cpu = cpu(name);
            assert_eq!(
                (cpu.family(), cpu.generic().name(), cpu.vendor()),
                (family, generic, vendor),
                "{name}"
            );
        }
    }
}
