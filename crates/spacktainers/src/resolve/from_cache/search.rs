//! One candidate per root, such that they go together.
//!
//! Branch and bound: the root with the fewest candidates left is decided first, its candidates are tried from the best
//! on, and a branch is left as soon as it cannot become better than what was found. Costs only grow on the way down, so
//! nothing better is missed, up to a fixed number of steps; after that the best so far counts. No clock is asked: the same
//! input gives the same answer.

use std::collections::{HashMap, HashSet};

use spack_format::concrete::{ConcreteSpec, DepTypes};

use super::Included;
use super::check::{Checker, LIBCS};
use super::cost::{Cost, RUNTIME_LIBRARIES, Ranking, UNSOLVED};
use super::nodes::Nodes;
use crate::index::{SpecId, Symbol};

/// Steps (a node of a candidate looked at) after which the best so far is taken.
const MOST_STEPS: u64 = 3_000_000;
/// Steps after which it is given up where there is no solution yet: a minute's worth, where a solver would be needed.
const MOST_STEPS_WITHOUT: u64 = 500_000_000;

/// A candidate for a root.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) id: SpecId,
    /// It and what it links and runs.
    pub(super) closure: std::rc::Rc<[SpecId]>,
    /// As a root, without what is below.
    pub(super) own: Cost,
    /// With all that is below, for the order.
    pub(super) whole: Cost,
}

/// Two choices that do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash {
    /// The root that no candidate is left for.
    pub(super) root: usize,
    /// Its best candidate.
    pub(super) candidate: SpecId,
    /// What that needs.
    pub(super) needs: SpecId,
    /// What was chosen before instead; nothing for what only an included environment has.
    pub(super) chosen: Option<SpecId>,
}

/// Stands for a spec of an included environment that no index has.
const OUTSIDE: SpecId = SpecId::new(u32::MAX);

pub(super) struct Search<'a, 'k> {
    nodes: &'a Nodes<'k>,
    ranking: &'a Ranking<'a, 'k>,
    checker: &'a Checker<'a, 'k>,
    roots: &'a [Vec<Candidate>],
    /// Whether roots may be left for later, which is worse than anything else.
    may_skip: bool,
    /// What included environments have chosen.
    included: Chosen,
    steps: u64,
    best: Option<(Cost, Vec<Option<usize>>)>,
    clash: Option<Clash>,
}

/// What is chosen so far: by package, and by virtual package.
#[derive(Debug, Clone, Default)]
struct Chosen {
    packages: HashMap<Symbol, SpecId>,
    virtuals: HashMap<String, SpecId>,
    specs: HashSet<SpecId>,
}

impl<'a, 'k> Search<'a, 'k> {
    pub(super) fn new(
        nodes: &'a Nodes<'k>,
        ranking: &'a Ranking<'a, 'k>,
        checker: &'a Checker<'a, 'k>,
        roots: &'a [Vec<Candidate>],
        may_skip: bool,
    ) -> Self {
        Self {
            nodes,
            ranking,
            checker,
            roots,
            may_skip,
            included: Chosen::default(),
            steps: 0,
            best: None,
            clash: None,
        }
    }

    /// With what these environments have chosen already, which counts like choices for other roots.
    pub(super) fn beside(mut self, environments: &[Included<'_>]) -> Self {
        for environment in environments {
            let lock = environment.lock;
            let closure = lock.specs.runtime_closure(lock.all_root_hashes());
            for spec in closure.packages.into_iter().chain(closure.externals) {
                self.include(spec);
            }
        }
        self
    }

    fn include(&mut self, spec: &ConcreteSpec) {
        let known = &self.nodes.known;
        let id = |hash| known.find(hash).unwrap_or(OUTSIDE);
        let is_free = |name: &str| RUNTIME_LIBRARIES.contains(&name) || LIBCS.contains(&name);
        if id(&spec.hash) != OUTSIDE {
            self.included.specs.insert(id(&spec.hash));
        }
        // Of a package that no index names there is nothing to choose.
        if let Some(name) = known.symbol(&spec.name)
            && !is_free(&spec.name)
        {
            self.included.packages.insert(name, id(&spec.hash));
        }
        for edge in &spec.edges {
            if !edge.deptypes.intersects(DepTypes::RUNTIME) || is_free(&edge.name) {
                continue;
            }
            for name in &edge.virtuals {
                self.included.virtuals.insert(name.clone(), id(&edge.hash));
            }
        }
    }

    /// For each root the number of its candidate, or of those that were left nothing; or why nothing goes together.
    pub(super) fn run(mut self) -> Result<(Cost, Vec<Option<usize>>), Option<Clash>> {
        let open: Vec<(usize, Vec<usize>)> = self
            .roots
            .iter()
            .enumerate()
            .map(|(root, candidates)| (root, (0..candidates.len()).collect()))
            .collect();
        let choice = vec![None; self.roots.len()];
        let included = std::mem::take(&mut self.included);
        if let Some(open) = self.narrowed(&open, &included) {
            self.descend(&open, &included, Cost::default(), &choice);
        }
        self.best.ok_or(self.clash)
    }

    fn descend(
        &mut self,
        open: &[(usize, Vec<usize>)],
        chosen: &Chosen,
        cost: Cost,
        choice: &[Option<usize>],
    ) {
        if self.is_hopeless(open, cost) {
            return;
        }
        // The fewest first; among equals, the order of the environment.
        let Some(at) = (0..open.len()).min_by_key(|at| open[*at].1.len()) else {
            self.best = Some((cost, choice.to_vec()));
            return;
        };
        let (root, left) = &open[at];
        let mut rest: Vec<(usize, Vec<usize>)> = open.to_vec();
        rest.remove(at);
        for number in left {
            if self.is_out_of_steps() {
                return;
            }
            let candidate = &self.roots[*root][*number];
            let mut with = chosen.clone();
            let added = self.add(candidate, &mut with);
            let cost = cost.plus(&added);
            if self.is_hopeless(&rest, cost) {
                continue;
            }
            let Some(narrowed) = self.narrowed(&rest, &with) else {
                continue;
            };
            let mut choice = choice.to_vec();
            choice[*root] = Some(*number);
            self.descend(&narrowed, &with, cost, &choice);
        }
        if self.may_skip {
            let mut cost = cost;
            cost.0[UNSOLVED] += 1;
            self.descend(&rest, chosen, cost, choice);
        }
    }

    fn is_out_of_steps(&self) -> bool {
        let most = match self.best {
            Some(_) => MOST_STEPS,
            None => MOST_STEPS_WITHOUT,
        };
        self.steps > most
    }

    /// Whether not even the cheapest of what is left would be better than the best so far.
    fn is_hopeless(&self, open: &[(usize, Vec<usize>)], cost: Cost) -> bool {
        let Some((best, _)) = &self.best else {
            return false;
        };
        let mut least = cost;
        if !self.may_skip {
            for (root, left) in open {
                let own = left.iter().map(|it| &self.roots[*root][*it].own).min();
                if let Some(own) = own {
                    least = least.plus(own);
                }
            }
        }
        least >= *best
    }

    /// Adds a candidate to what is chosen; the result is what that costs.
    fn add(&mut self, candidate: &Candidate, chosen: &mut Chosen) -> Cost {
        let mut cost = candidate.own;
        for id in candidate.closure.iter() {
            self.steps += 1;
            if !chosen.specs.insert(*id) {
                continue;
            }
            let more = if *id == candidate.id {
                self.ranking.edges(*id)
            } else {
                self.ranking.dependency(*id, self.checker)
            };
            cost = cost.plus(&more);
            if !self.is_free(*id) {
                chosen.packages.insert(self.nodes.known.get(*id).name, *id);
            }
            for (name, provider) in self.provided(*id) {
                chosen.virtuals.insert(name, provider);
            }
        }
        cost
    }

    /// The candidates that are left for each root; nothing if one has none and may not be left out.
    fn narrowed(
        &mut self,
        open: &[(usize, Vec<usize>)],
        chosen: &Chosen,
    ) -> Option<Vec<(usize, Vec<usize>)>> {
        let mut out = Vec::with_capacity(open.len());
        for (root, left) in open {
            let mut first_clash = None;
            let mut kept = Vec::new();
            for number in left {
                let candidate = &self.roots[*root][*number];
                self.steps += candidate.closure.len() as u64;
                match self.clash(candidate, chosen) {
                    None => kept.push(*number),
                    Some((needs, other)) => {
                        first_clash.get_or_insert(Clash {
                            root: *root,
                            candidate: candidate.id,
                            needs,
                            chosen: Some(other).filter(|it| *it != OUTSIDE),
                        });
                    }
                }
            }
            if kept.is_empty() && !self.may_skip {
                if self.clash.is_none() {
                    self.clash = first_clash;
                }
                return None;
            }
            out.push((*root, kept));
        }
        Some(out)
    }

    fn clash(&self, candidate: &Candidate, chosen: &Chosen) -> Option<(SpecId, SpecId)> {
        for id in candidate.closure.iter() {
            if chosen.specs.contains(id) {
                continue;
            }
            let name = self.nodes.known.get(*id).name;
            if let Some(other) = chosen.packages.get(&name)
                && !self.is_free(*id)
            {
                return Some((*id, *other));
            }
            for (name, provider) in self.provided(*id) {
                if let Some(other) = chosen.virtuals.get(&name)
                    && *other != provider
                {
                    return Some((provider, *other));
                }
            }
        }
        None
    }

    /// Whether several of its package may be there.
    fn is_free(&self, id: SpecId) -> bool {
        let name = self.nodes.name_of(id);
        RUNTIME_LIBRARIES.contains(&name) || LIBCS.contains(&name)
    }

    /// The virtual packages that a node gets from others.
    fn provided(&self, id: SpecId) -> impl Iterator<Item = (String, SpecId)> + use<'_, 'a, 'k> {
        let edges = self.nodes.known.edges(id).iter();
        let below =
            edges.filter(|it| it.deptypes.intersects(DepTypes::RUNTIME) && !self.is_free(it.child));
        below.flat_map(|it| {
            let names = self.nodes.list(it.virtuals).iter();
            names.map(|name| (name.clone(), it.child))
        })
    }
}
