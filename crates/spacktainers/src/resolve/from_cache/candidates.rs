//! What of the caches fits each root, in order; and what does not, and why.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use spack_format::spec::Spec;
use spack_format::yaml::nearest;

use super::check::Checker;
use super::cost::{CRITERIA_NAMES, ROOT_VERSIONS, Ranking};
use super::error::{Nearest, NoCandidate, ResolveError};
use super::nodes::{Nodes, Stamps};
use super::reason::{Reason, differences};
use super::rules::{GroupKind, Rules};
use super::search::{Candidate, Clash};
use super::{ChosenRoot, MOST_RIVALS, Request, Rival, Root};
use crate::index::SpecId;

/// The most specs that are told of where none fits.
const MOST_NEAREST: usize = 5;

/// All that judging needs.
pub(super) struct Pool<'a, 'k> {
    pub(super) nodes: &'a Nodes<'k>,
    pub(super) checker: Checker<'a, 'k>,
    pub(super) ranking: Ranking<'a, 'k>,
    rules: &'a Rules,
    roots: &'a [Root],
    stamps: RefCell<Stamps>,
    explains: bool,
}

impl<'a, 'k> Pool<'a, 'k> {
    pub(super) fn new(
        nodes: &'a Nodes<'k>,
        rules: &'a Rules,
        request: &'a Request<'a>,
        forged: &'a HashSet<SpecId>,
        roots: &'a [Root],
    ) -> Self {
        Self {
            nodes,
            checker: Checker::new(nodes, rules, request, forged),
            ranking: Ranking::new(nodes, rules, asked(nodes, rules, roots)),
            rules,
            roots,
            stamps: RefCell::default(),
            explains: request.explains,
        }
    }

    /// The candidates of each root, the best first.
    pub(super) fn candidates(&self) -> Result<Vec<Vec<Candidate>>, ResolveError> {
        let lists: Vec<Vec<Candidate>> = self.roots.iter().map(|it| self.fitting(it)).collect();
        let without: Vec<NoCandidate> = self
            .roots
            .iter()
            .zip(&lists)
            .filter(|(_, list)| list.is_empty())
            .map(|(root, _)| self.no_candidate(root))
            .collect();
        if without.is_empty() {
            Ok(lists)
        } else {
            Err(ResolveError::NoCandidate(without))
        }
    }

    /// All specs that have the name, or stand for it.
    fn of_name(&self, root: &Root) -> Vec<SpecId> {
        let Some(name) = root.spec.name.as_deref() else {
            return match &root.spec.hash {
                Some(hash) => self
                    .nodes
                    .all()
                    .filter(|id| self.nodes.known.get(*id).hash.as_str().starts_with(hash))
                    .collect(),
                None => Vec::new(),
            };
        };
        let own = self.nodes.named(name);
        if !own.is_empty() || !self.nodes.virtuals.contains(name) {
            return own.to_vec();
        }
        let is_provider =
            |package: &&str| spack_format::spec::ConcreteNodes::provides(self.nodes, package, name);
        let providers = self.nodes.names().filter(is_provider);
        providers
            .flat_map(|package| self.nodes.named(package))
            .copied()
            .collect()
    }

    fn fitting(&self, root: &Root) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for id in self.of_name(root) {
            // In the order of what costs least to find out.
            if !self.checker.node(id).reasons.is_empty()
                || !self.nodes.satisfies(id, &root.spec)
                || !self.is_let_in(id)
            {
                continue;
            }
            let closure: Rc<[SpecId]> =
                self.nodes.closure(id, &mut self.stamps.borrow_mut()).into();
            let is_sound = |it: &SpecId| self.checker.node(*it).reasons.is_empty();
            if !closure.iter().all(is_sound) {
                continue;
            }
            let name = root.spec.name.as_deref().unwrap_or_default();
            let own = self.ranking.root(id, name, &self.checker);
            let below = closure.iter().filter(|it| **it != id);
            let whole = below
                .map(|it| self.ranking.dependency(*it, &self.checker))
                .fold(own.plus(&self.ranking.edges(id)), |sum, it| sum.plus(&it));
            found.push(Candidate {
                id,
                closure,
                own,
                whole,
            });
        }
        found.sort_by_key(|it| (it.whole, self.nodes.known.get(it.id).hash));
        found
    }

    /// Whether `concretizer:reuse` lets it in.
    fn is_let_in(&self, id: SpecId) -> bool {
        let filters = &self.rules.reuse;
        let is = |member: &super::rules::Member| self.nodes.satisfies(id, &member.spec);
        (filters.include.is_empty() || filters.include.iter().any(is))
            && !filters.exclude.iter().any(is)
    }

    /// All reasons why a spec does not fit a root.
    fn reasons(&self, root: &Root, id: SpecId) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if !self.nodes.satisfies(id, &root.spec) {
            let rule = format!("`{}`", root.text);
            let found = differences(self.nodes, id, &root.spec);
            if found.is_empty() {
                let reason = Reason::fact("does not fit as a whole");
                reasons.push(reason.asked(&rule, Some(root.place), ""));
            }
            reasons.extend(
                found
                    .into_iter()
                    .map(|(is, asked)| Reason::fact(is).asked(&rule, Some(root.place), &asked)),
            );
        }
        if !self.is_let_in(id) {
            let place = Some(self.rules.reuse.place);
            reasons.push(Reason::fact("is not to be reused").asked(
                "concretizer:reuse",
                place,
                "for others",
            ));
        }
        let closure = self.nodes.closure(id, &mut self.stamps.borrow_mut());
        for node in &closure {
            let verdict = self.checker.node(*node);
            let title = (*node != id).then(|| self.title(*node));
            reasons.extend(verdict.reasons.iter().map(|it| Reason {
                dependency: it.dependency.clone().or_else(|| title.clone()),
                ..it.clone()
            }));
        }
        reasons
    }

    /// A title also for a spec that only edges name.
    fn title(&self, id: SpecId) -> String {
        if self.nodes.known.get(id).is_recorded {
            self.nodes.title(id)
        } else {
            format!("/{}", self.nodes.known.get(id).hash)
        }
    }

    /// Those that do not fit, the nearest first.
    fn nearest(&self, root: &Root) -> Vec<Nearest> {
        let mut all: Vec<(usize, u32, Nearest)> = Vec::new();
        for id in self.of_name(root) {
            let reasons = self.reasons(root, id);
            if reasons.is_empty() {
                continue;
            }
            let version = self.ranking.root(id, "", &self.checker).0[ROOT_VERSIONS];
            let nearest = Nearest {
                title: self.nodes.title(id),
                hash: self.nodes.known.get(id).hash,
                reasons,
            };
            all.push((nearest.reasons.len(), version, nearest));
        }
        all.sort_by_key(|it| (it.0, it.1, it.2.hash));
        all.into_iter()
            .take(MOST_NEAREST)
            .map(|(_, _, it)| it)
            .collect()
    }

    fn no_candidate(&self, root: &Root) -> NoCandidate {
        let name = root.spec.name.as_deref().unwrap_or_default();
        let considered = self.of_name(root).len();
        let similar = nearest(name, self.nodes.names()).filter(|_| considered == 0);
        NoCandidate {
            text: root.text.clone(),
            place: root.place,
            considered,
            similar: similar.map(str::to_owned),
            nearest: self.nearest(root),
        }
    }

    pub(super) fn clash(&self, clash: Option<Clash>) -> ResolveError {
        let Some(clash) = clash else {
            return ResolveError::Undecided;
        };
        let root = &self.roots[clash.root];
        ResolveError::Clash {
            root: root.text.clone(),
            place: root.place,
            candidate: self.nodes.title(clash.candidate),
            needs: self.nodes.title(clash.needs),
            chosen: match clash.chosen {
                Some(chosen) => self.nodes.title(chosen),
                None => "another one of an included environment".to_owned(),
            },
        }
    }

    /// What was chosen, with what it was chosen from.
    pub(super) fn explained(
        &self,
        candidates: &[Vec<Candidate>],
        chosen: &[usize],
    ) -> Vec<ChosenRoot> {
        let mut out = Vec::new();
        for ((root, list), number) in self.roots.iter().zip(candidates).zip(chosen) {
            let one = &list[*number];
            let others = list.iter().filter(|it| it.id != one.id).take(MOST_RIVALS);
            let rivals = others.map(|it| {
                let differs = it
                    .whole
                    .0
                    .iter()
                    .zip(&one.whole.0)
                    .position(|(a, b)| a != b);
                Rival {
                    title: self.nodes.title(it.id),
                    cost: it.whole,
                    differs: differs.map(|at| {
                        let is_worse = it.whole.0[at] > one.whole.0[at];
                        (CRITERIA_NAMES[at], is_worse)
                    }),
                }
            });
            let considered = self.of_name(root).len();
            let excluded = if self.explains {
                self.nearest(root)
            } else {
                Vec::new()
            };
            out.push(ChosenRoot {
                text: root.text.clone(),
                canonical: root.canonical.clone(),
                place: root.place,
                hash: self.nodes.known.get(one.id).hash,
                title: self.nodes.title(one.id),
                cost: one.whole,
                considered,
                fitting: list.len(),
                rivals: rivals.collect(),
                excluded,
            });
        }
        out
    }
}

/// Variants that roots and requirements name: they are no deviation, whatever they are.
fn asked(nodes: &Nodes<'_>, rules: &Rules, roots: &[Root]) -> HashSet<(String, String)> {
    let mut asked = HashSet::new();
    for root in roots {
        collect(&root.spec, "", &mut asked);
    }
    for name in nodes.names() {
        for group in rules.require(name) {
            let is_certain = group.members.len() == 1 || group.kind == GroupKind::ExactlyOne;
            for member in group.members.iter().filter(|_| is_certain) {
                collect(&member.spec, name, &mut asked);
            }
        }
    }
    asked
}

fn collect(spec: &Spec, package: &str, asked: &mut HashSet<(String, String)>) {
    let package = spec.name.as_deref().unwrap_or(package);
    for variant in spec.variants.keys() {
        asked.insert((package.to_owned(), variant.clone()));
    }
    for dependency in &spec.dependencies {
        collect(&dependency.spec, "", asked);
    }
}
