//! What made a container another one: the inputs of two states, compared leaf by leaf. Pure.
//!
//! ```text
//! packages    what changed by itself, not only because something below it did      hdf5 1.14.3 → 1.14.5
//! settings    by key: a comment is no change                                       arch.amd64.target x86_64_v3 → x86_64_v4
//! base        as locked: an image by digest, Debian packages by version
//! ```
//!
//! Which lines of which files did it is for git to say: see [`Difference::words`].

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes, VariantValue};
use spack_format::dag_hash::DagHash;

use crate::base::{BaseArchitecture, LockedBase};
use crate::project::Settings;

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A package that is another one, by itself.
    Package {
        /// Its name.
        name: String,
        /// What has changed about it: `1.14.3 → 1.14.5`.
        change: String,
    },
    /// A setting.
    Setting {
        /// Its key: `arch.amd64.target`.
        key: String,
        /// `x86_64_v3 → x86_64_v4`.
        change: String,
    },
    /// The base that was locked.
    Base {
        /// What it was and what it is.
        change: String,
    },
}

impl Difference {
    /// Words that a line of a file has in it which made the difference.
    #[must_use]
    pub fn words(&self) -> Vec<&str> {
        match self {
            Self::Package { name, .. } => vec![name],
            Self::Setting { key, .. } => key.rsplit('.').take(1).collect(),
            Self::Base { .. } => vec!["base", "suite", "packages"],
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { name, change } => write!(f, "{name} changed {change}"),
            Self::Setting { key, change } => write!(f, "`{key}` changed {change}"),
            Self::Base { change } => write!(f, "the base changed {change}"),
        }
    }
}

fn arrow(was: &str, is: &str) -> String {
    format!("{was} → {is}")
}

/// Packages that changed by themselves, dependencies first: all that they need is as it was, or only what follows from
/// others changed about it.
#[must_use]
pub fn packages(was: &ConcreteSpecs, is: &ConcreteSpecs) -> Vec<Difference> {
    let old: HashSet<DagHash> = was.iter().map(|it| it.hash).collect();
    let mut names: BTreeMap<&str, Vec<&ConcreteSpec>> = BTreeMap::new();
    for spec in was.iter() {
        names.entry(&spec.name).or_default().push(spec);
    }
    let roots = is.iter().map(|it| it.hash);
    let mut found = Vec::new();
    let mut present = BTreeSet::new();
    for spec in is.closure(roots, DepTypes::ALL) {
        present.insert(spec.name.as_str());
        if old.contains(&spec.hash) {
            continue;
        }
        let before = names
            .get(spec.name.as_str())
            .and_then(|all| nearest(all, spec));
        let change = match before {
            None => Some(format!("none → {}", spec.version)),
            Some(before) => own_change(before, spec),
        };
        if let Some(change) = change {
            let name = spec.name.clone();
            found.push(Difference::Package { name, change });
        }
    }
    for (name, specs) in &names {
        if !present.contains(name) {
            let change = arrow(&specs[0].version, "none");
            let name = (*name).to_owned();
            found.push(Difference::Package { name, change });
        }
    }
    // Versions say most.
    found.sort_by_key(|it| matches!(it, Difference::Package { change, .. } if change.contains(" = ") || change.contains('%')));
    found.dedup();
    found
}

/// The one of several of the same name that is most like this one.
fn nearest<'a>(all: &[&'a ConcreteSpec], spec: &ConcreteSpec) -> Option<&'a ConcreteSpec> {
    let unlike = |it: &&ConcreteSpec| (it.version != spec.version, it.variants != spec.variants);
    all.iter().copied().min_by_key(unlike)
}

/// What changed about a package itself; nothing if only what it needs is different.
fn own_change(was: &ConcreteSpec, is: &ConcreteSpec) -> Option<String> {
    if was.version != is.version {
        return Some(arrow(&was.version, &is.version));
    }
    let names = was
        .variants
        .keys()
        .chain(is.variants.keys())
        .collect::<BTreeSet<_>>();
    for name in names {
        let (before, after) = (was.variants.get(name), is.variants.get(name));
        if before != after {
            let show = |it: Option<&VariantValue>| {
                it.map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            return Some(format!("{name} = {}", arrow(&show(before), &show(after))));
        }
    }
    let target = |it: &ConcreteSpec| format!("{} of {}", it.arch.target, it.arch.os);
    if target(was) != target(is) {
        return Some(format!("target = {}", arrow(&target(was), &target(is))));
    }
    let needs = |it: &ConcreteSpec| -> BTreeSet<String> {
        it.edges.iter().map(|edge| edge.name.clone()).collect()
    };
    let (before, after) = (needs(was), needs(is));
    if before != after {
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            let all: Vec<&str> = a.difference(b).map(String::as_str).collect();
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        };
        return Some(format!(
            "dependencies = {}",
            arrow(&only(&before, &after), &only(&after, &before))
        ));
    }
    if was.package_hash != is.package_hash {
        return Some("recipe = one text → another".to_owned());
    }
    None
}

/// Settings that decide about an image of an architecture and have another value.
#[must_use]
pub fn settings(was: &Settings, is: &Settings, architecture: BaseArchitecture) -> Vec<Difference> {
    let (before, after) = (keys(was, architecture), keys(is, architecture));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut found = Vec::new();
    for key in names {
        let (was, is) = (before.get(key), after.get(key));
        if was != is {
            let show = |it: Option<&String>| it.map_or("none", String::as_str).to_owned();
            let change = arrow(&show(was), &show(is));
            found.push(Difference::Setting {
                key: key.clone(),
                change,
            });
        }
    }
    found
}

fn keys(settings: &Settings, architecture: BaseArchitecture) -> BTreeMap<String, String> {
    let here = settings.architecture(architecture);
    let mut keys = BTreeMap::new();
    let mut say = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|it| !it.is_empty()) {
            keys.insert(key.to_owned(), value);
        }
    };
    say(
        &format!("arch.{architecture}.base"),
        Some(here.base.to_string()),
    );
    say(&format!("arch.{architecture}.target"), here.target);
    say("install.view", Some(settings.view.clone()));
    say(
        "install.root",
        settings.install.as_ref().map(|it| it.store.clone()),
    );
    say("layers.budget", Some(settings.budget.to_string()));
    say("image.tree_digest", Some(settings.tree_digest.to_string()));
    if let Some(debian) = &settings.debian {
        say("base.debian.suite", Some(debian.suite.clone()));
        say(
            "base.debian.variant",
            Some(debian.variant.as_str().to_owned()),
        );
        say("base.debian.components", Some(debian.components.join(" ")));
        say("base.debian.packages", Some(debian.packages.join(" ")));
        say(
            "base.debian.pockets",
            debian.pockets.as_ref().map(|it| it.join(" ")),
        );
        say("base.debian.mirror", debian.mirror.clone());
        say(
            "base.debian.security_mirror",
            debian.security_mirror.clone(),
        );
        say("base.debian.snapshot", debian.snapshot.clone());
    }
    keys
}

/// Whether another base was locked, and which.
#[must_use]
pub fn base(was: &LockedBase, is: &LockedBase) -> Option<Difference> {
    if was == is {
        return None;
    }
    let (before, after) = (was.summary(), is.summary());
    let change = match before == after {
        true => format!("{before}, to newer content"),
        false => arrow(&before, &after),
    };
    Some(Difference::Base { change })
}
