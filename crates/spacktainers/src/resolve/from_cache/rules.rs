//! What the configuration asks of packages: `packages:` and what of `concretizer:` bears on a choice.
//!
//! Source: `lib/spack/spack/solver/requirements.py`, `solver/reuse.py` in Spack 1.1.0.

use std::collections::HashMap;

use spack_format::environment::{Environment, Toolchains, is_placeholder};
use spack_format::spec::Spec;
use spack_format::yaml::{Mapping, Node, Span};

use super::providers;

/// The rules of an environment. Texts that are no specs, and placeholders that something else fills in, are left out:
/// they were told when the project was read.
#[derive(Debug, Default)]
pub(super) struct Rules {
    packages: HashMap<String, PackageRules>,
    all: PackageRules,
    /// Names that specs may use after `%`.
    toolchains: Toolchains,
    /// `concretizer:reuse`: what candidates must and must not be.
    pub(super) reuse: Filters,
    /// `packages:all:target`, best first.
    pub(super) targets: Vec<Spec>,
    providers: HashMap<String, Vec<Spec>>,
    /// Where splices are asked for.
    pub(super) splices: Option<Span>,
}

#[derive(Debug, Default)]
struct PackageRules {
    require: Vec<Group>,
    prefer: Vec<Group>,
    conflict: Vec<Group>,
    externals: Vec<ExternalRule>,
    variants: Vec<Spec>,
}

/// Specs of which one, or any, must hold.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: GroupKind,
    pub(super) members: Vec<Member>,
    pub(super) when: Option<Spec>,
    pub(super) message: Option<String>,
    /// `packages:hdf5:require`
    pub(super) title: String,
    pub(super) place: Span,
    /// Whether it is of `packages:all`, so that members that cannot apply are left out.
    pub(super) is_for_all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupKind {
    ExactlyOne,
    Any,
}

/// One spec of a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) spec: Spec,
    pub(super) text: String,
}

/// An entry of `externals`.
#[derive(Debug)]
pub(super) struct ExternalRule {
    pub(super) spec: Spec,
    pub(super) prefix: Option<String>,
}

/// Specs to take and to leave.
#[derive(Debug, Default)]
pub(super) struct Filters {
    pub(super) include: Vec<Member>,
    pub(super) exclude: Vec<Member>,
    pub(super) place: Span,
}

impl Rules {
    pub(super) fn read(environment: &Environment) -> Self {
        let mut rules = Self {
            toolchains: Toolchains::of(environment),
            ..Self::default()
        };
        for entry in entries(environment.section("packages")) {
            let name = &entry.key.text;
            let package = rules.package(name, &entry.value);
            if name == "all" {
                rules.all = package;
                rules.targets = entry.value.get("target").map(targets).unwrap_or_default();
                for entry in entries(entry.value.get("providers")) {
                    let specs = texts(&entry.value)
                        .filter_map(|(text, _)| Spec::parse(text).ok())
                        .collect();
                    rules.providers.insert(entry.key.text.clone(), specs);
                }
            } else {
                rules.packages.insert(name.clone(), package);
            }
        }
        for (name, specs) in providers::defaults() {
            let specs = specs.iter().filter_map(|it| Spec::parse(it).ok());
            let listed = rules.providers.entry(name.to_owned()).or_default();
            listed.extend(specs);
        }
        rules.reuse = rules.filters(environment);
        rules.splices = splices(environment);
        rules
    }

    fn package(&self, name: &str, node: &Node) -> PackageRules {
        let is_for_all = name == "all";
        let groups = |key: &str| -> Vec<Group> {
            let title = format!("packages:{name}:{key}");
            let Some(node) = node.get(key) else {
                return Vec::new();
            };
            let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
            let groups = items.iter().filter_map(|it| self.group(it, &title));
            groups.map(|it| Group { is_for_all, ..it }).collect()
        };
        let externals = node.get("externals").and_then(Node::as_sequence);
        let externals = externals.unwrap_or_default().iter().filter_map(|it| {
            Some(ExternalRule {
                spec: Spec::parse(it.get("spec")?.as_str()?).ok()?,
                prefix: it.get("prefix").and_then(Node::as_str).map(str::to_owned),
            })
        });
        PackageRules {
            require: groups("require"),
            prefer: groups("prefer"),
            conflict: groups("conflict"),
            externals: externals.collect(),
            variants: node
                .get("variants")
                .into_iter()
                .flat_map(texts)
                .filter_map(|(text, _)| Spec::parse(text).ok())
                .collect(),
        }
    }

    fn group(&self, node: &Node, title: &str) -> Option<Group> {
        let mut members: Vec<Member> = Vec::new();
        let mut kind = GroupKind::ExactlyOne;
        let mut place = node.span;
        if node.as_str().is_some() {
            members.extend(self.member(node));
        } else {
            for (key, of_key) in [
                ("spec", GroupKind::ExactlyOne),
                ("one_of", GroupKind::ExactlyOne),
                ("any_of", GroupKind::Any),
            ] {
                let Some(node) = node.get(key) else { continue };
                (kind, place) = (of_key, node.span);
                let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
                members.extend(items.iter().filter_map(|it| self.member(it)));
            }
        }
        let text = |key| node.get(key).and_then(Node::as_str);
        (!members.is_empty()).then(|| Group {
            kind,
            members,
            when: text("when").and_then(|it| self.spec(it)),
            message: text("message").map(str::to_owned),
            title: title.to_owned(),
            place,
            is_for_all: false,
        })
    }

    fn member(&self, node: &Node) -> Option<Member> {
        let text = node.as_str()?;
        Some(Member {
            spec: self.spec(text)?,
            text: text.to_owned(),
        })
    }

    /// A spec with names of toolchains replaced; nothing for what is none.
    pub(super) fn spec(&self, text: &str) -> Option<Spec> {
        if is_placeholder(text) {
            return None;
        }
        let mut spec = Spec::parse(text).ok()?;
        self.toolchains.expand(&mut spec).ok()?;
        Some(spec)
    }

    /// `concretizer:reuse` for build caches. Whether Spack may reuse at all is not looked at: nothing but what caches hold
    /// is chosen here.
    fn filters(&self, environment: &Environment) -> Filters {
        let Some(reuse) = environment
            .section("concretizer")
            .and_then(|it| it.get("reuse"))
        else {
            return Filters::default();
        };
        let from = reuse.get("from").and_then(Node::as_sequence);
        let cache = from.unwrap_or_default().iter().find(|it| {
            it.get("type").and_then(Node::as_str) == Some("buildcache") && it.get("path").is_none()
        });
        let list = |key: &str| -> Vec<Member> {
            let node = cache.and_then(|it| it.get(key)).or_else(|| reuse.get(key));
            let items = node.and_then(Node::as_sequence).unwrap_or_default();
            items.iter().filter_map(|it| self.member(it)).collect()
        };
        Filters {
            include: list("include"),
            exclude: list("exclude"),
            place: reuse.span,
        }
    }

    /// What every node of `package` must satisfy.
    pub(super) fn require(&self, package: &str) -> &[Group] {
        self.own_or_all(package, |it| &it.require)
    }

    /// What nodes of `package` should satisfy.
    pub(super) fn prefer(&self, package: &str) -> &[Group] {
        self.own_or_all(package, |it| &it.prefer)
    }

    /// What nodes of `package` must not satisfy.
    pub(super) fn conflict(&self, package: &str) -> &[Group] {
        self.own_or_all(package, |it| &it.conflict)
    }

    /// What every provider of a virtual package must satisfy.
    pub(super) fn require_of_virtual(&self, name: &str) -> &[Group] {
        self.packages.get(name).map_or(&[], |it| &it.require)
    }

    fn own_or_all(&self, package: &str, list: impl Fn(&PackageRules) -> &Vec<Group>) -> &[Group] {
        match self.packages.get(package).map(&list) {
            Some(own) if !own.is_empty() => own,
            _ => list(&self.all),
        }
    }

    /// The externals of `package`.
    pub(super) fn externals(&self, package: &str) -> &[ExternalRule] {
        self.packages.get(package).map_or(&[], |it| &it.externals)
    }

    /// Values of variants that count as defaults, the package's own before those of all.
    pub(super) fn variants(&self, package: &str) -> impl Iterator<Item = &Spec> {
        let own = self
            .packages
            .get(package)
            .map_or(&[][..], |it| &it.variants);
        own.iter().chain(&self.all.variants)
    }

    /// Providers of a virtual package, best first: those of the configuration, then Spack's.
    pub(super) fn providers(&self, name: &str) -> &[Spec] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Where `concretizer:splice` asks for any.
fn splices(environment: &Environment) -> Option<Span> {
    let splice = environment.section("concretizer")?.get("splice")?;
    let explicit = splice.get("explicit").and_then(Node::as_sequence);
    let first = explicit.and_then(<[Node]>::first).map(|it| it.span);
    let automatic = splice.get("automatic");
    let automatic = automatic.filter(|it| it.as_bool() == Some(true));
    first.or_else(|| automatic.map(|it| it.span))
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = &spack_format::yaml::Entry> {
    node.and_then(Node::as_mapping)
        .into_iter()
        .flat_map(Mapping::iter)
}

/// A text or a list of texts.
fn texts(node: &Node) -> impl Iterator<Item = (&str, Span)> {
    let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(|it| Some((it.as_str()?, it.span)))
}

fn targets(node: &Node) -> Vec<Spec> {
    texts(node)
        .filter_map(|(text, _)| Spec::parse(&format!("target={text}")).ok())
        .collect()
}
