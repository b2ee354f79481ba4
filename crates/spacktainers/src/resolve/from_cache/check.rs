//! The constraints that a spec of the cache must keep by itself, whatever else is chosen.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use spack_format::concrete::DepTypes;
use spack_format::spec::{Spec, Variant, VariantSet};
use spack_format::version::Version;

use super::nodes::Nodes;
use super::reason::{Reason, differences};
use super::rules::{Group, GroupKind, Rules};
use super::{BaseLibc, Request};
use crate::index::SpecId;

/// C libraries, which are never taken from a cache: the image has its own.
pub(super) const LIBCS: [&str; 2] = ["glibc", "musl"];

/// What was found out about a node by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeVerdict {
    /// Why it cannot be chosen; empty if it can.
    pub(super) reasons: Rc<[Reason]>,
    /// How far it is from what `any_of`, `one_of` and `prefer` would have best.
    pub(super) weight: u32,
    /// Whether it is an external that the configuration does not name.
    pub(super) is_unconfigured: bool,
}

/// Judges nodes, each once.
pub(super) struct Checker<'a, 'k> {
    pub(super) nodes: &'a Nodes<'k>,
    pub(super) rules: &'a Rules,
    request: &'a Request<'a>,
    verdicts: RefCell<HashMap<SpecId, NodeVerdict>>,
    /// Specs that are not what their hash says.
    forged: &'a HashSet<SpecId>,
}

impl<'a, 'k> Checker<'a, 'k> {
    pub(super) fn new(
        nodes: &'a Nodes<'k>,
        rules: &'a Rules,
        request: &'a Request<'a>,
        forged: &'a HashSet<SpecId>,
    ) -> Self {
        Self {
            nodes,
            rules,
            request,
            verdicts: RefCell::default(),
            forged,
        }
    }

    /// What is to be said of a node that is linked or run.
    pub(super) fn node(&self, id: SpecId) -> NodeVerdict {
        if let Some(known) = self.verdicts.borrow().get(&id) {
            return known.clone();
        }
        let mut weight = 0;
        let mut reasons = self.presence(id);
        if reasons.is_empty() && !self.is_libc(id) {
            self.machine(id, &mut reasons);
            self.packages(id, &mut reasons, &mut weight);
            self.virtuals(id, &mut reasons, &mut weight);
        }
        let verdict = NodeVerdict {
            reasons: reasons.into(),
            weight,
            is_unconfigured: self.is_unconfigured(id),
        };
        self.verdicts.borrow_mut().insert(id, verdict.clone());
        verdict
    }

    fn is_libc(&self, id: SpecId) -> bool {
        self.nodes.known.get(id).is_external && LIBCS.contains(&self.nodes.name_of(id))
    }

    /// Whether it is there at all.
    fn presence(&self, id: SpecId) -> Vec<Reason> {
        let spec = self.nodes.known.get(id);
        if !spec.is_recorded {
            return vec![Reason::fact("no index has a record of")];
        }
        if self.forged.contains(&id) {
            return vec![Reason::fact(
                "is not what its hash says: the index was tampered with",
            )];
        }
        if spec.is_external {
            return self.external(id).into_iter().collect();
        }
        if !spec.in_build_cache {
            return vec![Reason::fact("is in no build cache")];
        }
        if self
            .nodes
            .variants_of(spec.variants)
            .contains_key("dev_path")
        {
            return vec![Reason::fact("was built from somebody's working folder")];
        }
        Vec::new()
    }

    fn is_unconfigured(&self, id: SpecId) -> bool {
        self.nodes.known.get(id).is_external
            && !self.is_libc(id)
            && self.rules.externals(self.nodes.name_of(id)).is_empty()
    }

    /// Externals must be those of the configuration, if it names any of the package; the C library, that of the image or
    /// an older one.
    ///
    /// Spack takes no others. An image has a base that brings what is external, and a configuration need not speak of it:
    /// such a candidate is worse than any without ([`super::Cost`]), but it is one.
    fn external(&self, id: SpecId) -> Option<Reason> {
        let name = self.nodes.name_of(id);
        if self.is_libc(id) {
            return self.libc(id);
        }
        if self.is_unconfigured(id) {
            return None;
        }
        let prefix = self.nodes.known.text(self.nodes.known.get(id).prefix);
        let fits = self.rules.externals(name).iter().any(|rule| {
            rule.prefix
                .as_deref()
                .unwrap_or_default()
                .trim_end_matches('/')
                == prefix
                && self.nodes.satisfies(id, &rule.spec)
        });
        (!fits).then(|| {
            let is = format!("lies outside of Spack in `{prefix}`");
            let rule = format!("packages:{name}:externals");
            Reason::fact(is).asked(&rule, None, "for another one")
        })
    }

    /// The C library must be that of the image, or an older one of the same kind in the same place.
    /// [Spack: `libc_is_compatible` in `solver/asp.py`, there with the host's]
    fn libc(&self, id: SpecId) -> Option<Reason> {
        let BaseLibc { libc, base } = self.request.libc?;
        let (name, own) = (self.nodes.name_of(id), self.nodes.version_text(id));
        let prefix = self.nodes.known.text(self.nodes.known.get(id).prefix);
        let is_newer = || {
            let image = Version::parse(libc.version.as_deref()?).ok()?;
            Some(Version::parse(own).ok()? > image)
        };
        let is = if libc.name != name || is_newer() == Some(true) {
            format!("is {name} {own}")
        } else if !["", "/", "/usr"].contains(&prefix) {
            format!("is a {name} in `{prefix}`")
        } else {
            return None;
        };
        let rule = format!("the base image {base}");
        let asked = match libc.version {
            Some(_) => format!("for {libc} or older, which is its own"),
            None => format!("for {libc}, which is its own"),
        };
        Some(Reason::fact(is).asked(&rule, None, &asked))
    }

    fn machine(&self, id: SpecId, reasons: &mut Vec<Reason>) {
        if self.nodes.known.get(id).is_external {
            return;
        }
        let system = self.nodes.system_of(id);
        let target = &system.target;
        let required = self.request.target.is_some_and(|it| it != target.name());
        if system.platform != "linux" || target.family() != self.request.family {
            let is = format!("is built for {} on {}", target, system.platform);
            reasons.push(Reason::fact(is).asked("the image", None, self.request.family));
        } else if required {
            let asked = self.request.target.unwrap_or_default();
            let is = format!("is built for {target}");
            reasons.push(Reason::fact(is).asked("`target` of the project", None, asked));
        }
    }

    fn packages(&self, id: SpecId, reasons: &mut Vec<Reason>, weight: &mut u32) {
        let name = self.nodes.name_of(id);
        for group in self.rules.require(name) {
            self.group(id, group, reasons, weight);
        }
        for group in self.rules.prefer(name) {
            let missed = |it: &Spec| !self.nodes.satisfies(id, it);
            if self.applies(id, group) && group.members.iter().all(|it| missed(&it.spec)) {
                *weight += 1;
            }
        }
        for group in self.rules.conflict(name) {
            if !self.applies(id, group) {
                continue;
            }
            for member in &group.members {
                if self.nodes.satisfies(id, &member.spec) {
                    let is = format!("is {}", member.text.trim());
                    let asked = group.message.as_deref().unwrap_or("for anything else");
                    reasons.push(Reason::fact(is).asked(&group.title, Some(group.place), asked));
                }
            }
        }
    }

    /// Rules about virtual packages, for the providers that this node uses.
    fn virtuals(&self, id: SpecId, reasons: &mut Vec<Reason>, weight: &mut u32) {
        for edge in self.nodes.known.edges(id) {
            for name in self.nodes.list(edge.virtuals) {
                for group in self.rules.require_of_virtual(name) {
                    let mut found = Vec::new();
                    self.group(edge.child, group, &mut found, weight);
                    let title = self.nodes.title(edge.child);
                    reasons.extend(found.into_iter().map(|it| Reason {
                        dependency: Some(title.clone()),
                        ..it
                    }));
                }
            }
        }
    }

    fn applies(&self, id: SpecId, group: &Group) -> bool {
        let when = group.when.as_ref();
        when.is_none_or(|it| self.nodes.satisfies(id, it))
    }

    fn group(&self, id: SpecId, group: &Group, reasons: &mut Vec<Reason>, weight: &mut u32) {
        if !self.applies(id, group) {
            return;
        }
        let can_apply = |it: &Spec| !group.is_for_all || self.can_apply(id, it);
        let members: Vec<_> = group
            .members
            .iter()
            .filter(|it| can_apply(&it.spec))
            .collect();
        if members.is_empty() {
            return;
        }
        let kept: Vec<usize> = (0..)
            .zip(&members)
            .filter(|(_, it)| self.nodes.satisfies(id, &it.spec))
            .map(|(at, _)| at)
            .collect();
        match kept.as_slice() {
            [first] => *weight += u32::try_from(*first).unwrap_or(u32::MAX),
            [first, ..] if group.kind == GroupKind::Any => {
                *weight += u32::try_from(*first).unwrap_or(u32::MAX);
            }
            several => {
                let texts: Vec<&str> = members.iter().map(|it| it.text.trim()).collect();
                let asked = match (several, group.kind) {
                    ([], _) => texts.join(" or "),
                    _ => format!("for exactly one of {}", texts.join(", ")),
                };
                let asked = match &group.message {
                    Some(message) => format!("{asked} ({message})"),
                    None => asked,
                };
                let is = match members
                    .first()
                    .map(|it| differences(self.nodes, id, &it.spec))
                {
                    Some(found) if several.is_empty() && !found.is_empty() => {
                        let found: Vec<String> = found.into_iter().map(|(is, _)| is).collect();
                        found.join(" and ")
                    }
                    _ => "does not fit".to_owned(),
                };
                reasons.push(Reason::fact(is).asked(&group.title, Some(group.place), &asked));
            }
        }
    }

    /// Whether a requirement of `packages:all` can be asked of this package: it has the variants that are named, and a
    /// compiler where one is named. [Spack drops such requirements when it reads them, by the recipes.]
    fn can_apply(&self, id: SpecId, wanted: &Spec) -> bool {
        let spec = self.nodes.known.get(id);
        let own = self.nodes.variants_of(spec.variants);
        let has = |(name, variant): (&String, &Variant)| {
            variant.propagate
                || own.contains_key(name)
                || matches!(&variant.value, VariantSet::Contains(it) if it.is_empty())
        };
        let compiles = || {
            let edges = self.nodes.known.edges(id);
            !spec.has_edges
                || edges.iter().any(|edge| {
                    let virtuals = self.nodes.list(edge.virtuals);
                    edge.deptypes.intersects(DepTypes::BUILD)
                        && virtuals
                            .iter()
                            .any(|it| ["c", "cxx", "fortran"].contains(&it.as_str()))
                })
        };
        wanted.variants.iter().all(has)
            && (wanted.dependencies.iter().all(|it| !it.direct) || compiles())
    }
}
