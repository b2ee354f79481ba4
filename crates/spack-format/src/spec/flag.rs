//! Compiler flags.

use std::collections::BTreeMap;

use indexmap::IndexMap;

/// The kinds of flags, in the order in which Spack prints them.
const KINDS: [&str; 6] = [
    "cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs",
];

/// One compiler flag, with its value if that is a word of its own (`-I dir`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag.
    pub text: String,
    /// Whether dependencies are to be built with it too (`cflags==...`).
    pub propagate: bool,
}

/// The kind of flags of this name.
pub(super) fn kind_of(name: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|it| *it == name)
}

/// Splits a value into flags: a word without a dash belongs to the flag before it.
pub(super) fn split(value: &str, propagate: bool) -> Vec<Flag> {
    let mut out: Vec<Flag> = Vec::new();
    for word in value.split_whitespace() {
        match out.last_mut() {
            Some(flag) if !word.starts_with('-') => {
                flag.text.push(' ');
                flag.text.push_str(word);
            }
            _ => out.push(Flag {
                text: word.to_owned(),
                propagate,
            }),
        }
    }
    out
}

/// Flags by kind.
pub(super) type Flags = BTreeMap<&'static str, Vec<Flag>>;

/// Whether every flag of `wanted` is among `own`.
pub(super) fn satisfies(own: &Flags, wanted: &Flags) -> bool {
    wanted.iter().all(|(kind, flags)| {
        let own = own.get(kind).map(Vec::as_slice);
        own.is_some_and(|own| {
            flags
                .iter()
                .all(|flag| own.iter().any(|it| it.text == flag.text))
        })
    })
}

/// Whether every flag of `wanted` was recorded. Allocates nothing.
pub(super) fn admits(wanted: &Flags, recorded: &IndexMap<String, Vec<String>>) -> bool {
    wanted.iter().all(|(kind, flags)| {
        recorded
            .get(*kind)
            .is_some_and(|own| flags.iter().all(|flag| own.contains(&flag.text)))
    })
}

/// Adds the flags that are not there yet. A flag that one side does not pass on is not passed on.
pub(super) fn constrain(own: &mut Flags, other: &Flags) {
    for (kind, flags) in other {
        let Some(own) = own.get_mut(kind) else {
            own.insert(kind, flags.clone());
            continue;
        };
        for flag in flags {
            match own.iter_mut().find(|it| it.text == flag.text) {
                Some(known) => known.propagate &= flag.propagate,
                None => own.push(flag.clone()),
            }
        }
    }
}
