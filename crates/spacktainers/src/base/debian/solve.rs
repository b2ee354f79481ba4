//! Which packages are installed: those wanted and all that they depend on.
//!
//! Like `apt install --no-install-recommends` on an empty machine: the newest version of each
//! package, the first alternative that works, and no `Recommends`. Deterministic: the same indices
//! and wishes give the same packages. Where a choice turns out wrong (a conflict, a dependency that
//! nobody meets), the latest choice that had another option is taken back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::packages::{CandidateId, Universe};
use super::relation::{OneOf, parse_relations};
use super::settings::DebianVariant;

/// How often choices are taken back before we give up. Real archives need none at all.
const MOST_RETRIES: usize = 2000;

/// Why no set of packages answers the wishes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// A wish for a package that no index has.
    #[error("no package `{name}` in the archive{}", did_you_mean(similar))]
    Unknown {
        /// As wished.
        name: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// A wish for a version that no index has.
    #[error("package `{name}` has no version {version}; the archive has {available}")]
    UnknownVersion {
        /// The package.
        name: String,
        /// As wished.
        version: String,
        /// What there is.
        available: String,
    },
    /// A wish that is no `name` or `name=version`.
    #[error(
        "`{0}` is not a package: write `name` or `name=version`; the architecture is that of the image"
    )]
    Wish(String),
    /// A dependency that nobody meets.
    #[error("{chain} needs `{needs}`, {reason}")]
    Unmet {
        /// From a wish to the package that has the dependency: `a → b → c`.
        chain: String,
        /// The dependency as written.
        needs: String,
        /// Why nothing meets it.
        reason: String,
    },
    /// Two packages that exclude each other.
    #[error("{chain} conflicts with {other}: it says `{relation}`")]
    Conflict {
        /// From a wish to the package that has the conflict.
        chain: String,
        /// The other package, with its chain.
        other: String,
        /// The conflict as written.
        relation: String,
    },
}

fn did_you_mean(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

/// The packages to install, ordered by name.
///
/// # Errors
/// See [`SolveError`]; the reason of the first attempt is the one reported.
pub(super) fn solve(
    universe: &Universe,
    variant: DebianVariant,
    wishes: &[String],
) -> Result<Vec<CandidateId>, SolveError> {
    let (roots, pins) = roots(universe, variant, wishes)?;
    let mut state = State::default();
    for id in roots {
        state.queue.push_back((id, None));
    }
    let mut search = Search {
        universe,
        pins,
        choices: Vec::new(),
        first_error: None,
    };
    let state = search.run(state)?;
    let mut ids: Vec<CandidateId> = state.chosen.into_values().collect();
    ids.sort_by(|a, b| universe.get(*a).name.cmp(&universe.get(*b).name));
    Ok(ids)
}

type Pins = BTreeMap<String, CandidateId>;

/// What the variant and the wishes name, and the versions that wishes fix.
fn roots(
    universe: &Universe,
    variant: DebianVariant,
    wishes: &[String],
) -> Result<(Vec<CandidateId>, Pins), SolveError> {
    let mut roots = BTreeMap::new();
    let mut pins = Pins::new();
    for wish in wishes {
        let (name, version) = match wish.split_once('=') {
            Some((name, version)) => (name.trim(), Some(version.trim())),
            None => (wish.trim(), None),
        };
        if name.is_empty() || name.contains([':', '/', ' ']) || version == Some("") {
            return Err(SolveError::Wish(wish.clone()));
        }
        let versions = universe.versions(name);
        let id = match version {
            None => versions
                .first()
                .copied()
                .or_else(|| only_provider(universe, name)),
            Some(version) => {
                let found = versions
                    .iter()
                    .find(|id| universe.get(**id).version.as_str() == version);
                if found.is_none() && !versions.is_empty() {
                    let all: Vec<&str> = versions
                        .iter()
                        .map(|id| universe.get(*id).version.as_str())
                        .collect();
                    return Err(SolveError::UnknownVersion {
                        name: name.to_owned(),
                        version: version.to_owned(),
                        available: all.join(", "),
                    });
                }
                found.copied()
            }
        };
        let id = id.ok_or_else(|| SolveError::Unknown {
            name: name.to_owned(),
            similar: universe.similar(name),
        })?;
        if version.is_some() {
            pins.insert(name.to_owned(), id);
        }
        roots.insert(universe.get(id).name.clone(), id);
    }
    for (id, candidate) in universe.iter() {
        let is_wanted = match variant {
            DebianVariant::None => false,
            DebianVariant::Essential => candidate.is_essential,
            DebianVariant::Apt => candidate.is_essential || candidate.name == "apt",
            DebianVariant::Minbase => {
                candidate.is_essential || candidate.is_required || candidate.name == "apt"
            }
        };
        // Of a package in several suites the newest version says what it is.
        if is_wanted && universe.versions(&candidate.name).first() == Some(&id) {
            roots.entry(candidate.name.clone()).or_insert(id);
        }
    }
    Ok((roots.into_values().collect(), pins))
}

/// A wish for a virtual package is clear when one package provides it.
fn only_provider(universe: &Universe, name: &str) -> Option<CandidateId> {
    match universe.providers(name) {
        [(id, _)] => Some(*id),
        _ => None,
    }
}

/// How far a search has come.
#[derive(Clone, Default)]
struct State {
    chosen: BTreeMap<String, CandidateId>,
    /// Who brought a package in.
    because: BTreeMap<CandidateId, CandidateId>,
    /// Packages to look at, with who wants them.
    queue: VecDeque<(CandidateId, Option<CandidateId>)>,
    /// Dependencies with several ways to meet them, kept until nothing else is left to do: what comes
    /// in for other reasons may meet them.
    open: VecDeque<(CandidateId, OneOf)>,
}

/// A choice that could be made differently.
struct Choice {
    before: State,
    by: CandidateId,
    options: VecDeque<CandidateId>,
}

struct Search<'a> {
    universe: &'a Universe,
    pins: Pins,
    choices: Vec<Choice>,
    first_error: Option<SolveError>,
}

impl Search<'_> {
    fn run(&mut self, mut state: State) -> Result<State, SolveError> {
        for _ in 0..MOST_RETRIES {
            match self.advance(&mut state) {
                Ok(()) => return Ok(state),
                Err(error) => {
                    let first = self.first_error.get_or_insert(error).clone();
                    state = self.take_back().ok_or(first)?;
                }
            }
        }
        // The loop above has set it, as it never ends well without returning.
        Err(self
            .first_error
            .take()
            .unwrap_or_else(|| SolveError::Wish(String::new())))
    }

    /// The state before the latest choice that has another option, with that option taken.
    fn take_back(&mut self) -> Option<State> {
        while let Some(choice) = self.choices.last_mut() {
            if let Some(option) = choice.options.pop_front() {
                let mut state = choice.before.clone();
                state.queue.push_back((option, Some(choice.by)));
                return Some(state);
            }
            self.choices.pop();
        }
        None
    }

    fn advance(&mut self, state: &mut State) -> Result<(), SolveError> {
        loop {
            if let Some((id, by)) = state.queue.pop_front() {
                self.install(state, id, by)?;
            } else if let Some((by, group)) = state.open.pop_front() {
                self.choose(state, by, group)?;
            } else {
                return Ok(());
            }
        }
    }

    fn install(
        &self,
        state: &mut State,
        id: CandidateId,
        by: Option<CandidateId>,
    ) -> Result<(), SolveError> {
        let candidate = self.universe.get(id);
        match state.chosen.get(&candidate.name) {
            Some(chosen) if *chosen == id => return Ok(()),
            Some(chosen) => {
                let wanted = format!("{} (= {})", candidate.name, candidate.version);
                let have = format!("{} is already chosen", self.universe.get(*chosen).version);
                let chain = by.map_or_else(|| candidate.name.clone(), |by| self.chain(state, by));
                return Err(SolveError::Unmet {
                    chain,
                    needs: wanted,
                    reason: have,
                });
            }
            None => {}
        }
        if let Some(by) = by {
            state.because.insert(id, by);
        }
        self.check_conflicts(state, id)?;
        state.chosen.insert(candidate.name.clone(), id);
        for group in parse_relations(&candidate.depends) {
            if self.is_met(state, &group) {
                continue;
            }
            match self.options(&group).as_slice() {
                [] => return Err(self.unmet(state, id, &group)),
                [only] => state.queue.push_back((*only, Some(id))),
                _ => state.open.push_back((id, group)),
            }
        }
        Ok(())
    }

    /// Meets a dependency that several packages could meet.
    fn choose(
        &mut self,
        state: &mut State,
        by: CandidateId,
        group: OneOf,
    ) -> Result<(), SolveError> {
        if self.is_met(state, &group) {
            return Ok(());
        }
        let mut options: VecDeque<CandidateId> = self
            .options(&group)
            .into_iter()
            .filter(|id| {
                let chosen = state.chosen.get(&self.universe.get(*id).name);
                chosen.is_none_or(|chosen| chosen == id) && self.check_conflicts(state, *id).is_ok()
            })
            .collect();
        let Some(option) = options.pop_front() else {
            return Err(self.unmet(state, by, &group));
        };
        if !options.is_empty() {
            self.choices.push(Choice {
                before: state.clone(),
                by,
                options,
            });
        }
        state.queue.push_back((option, Some(by)));
        Ok(())
    }

    /// Every package that meets the dependency, best first: real packages before those that only
    /// provide the name, for each alternative in turn.
    fn options(&self, group: &OneOf) -> Vec<CandidateId> {
        let mut options = Vec::new();
        for relation in group {
            let pinned = self.pins.get(&relation.name);
            let newest = pinned.or_else(|| self.universe.versions(&relation.name).first());
            let newest = newest.filter(|id| relation.accepts(&self.universe.get(**id).version));
            let providers = self.universe.providers(&relation.name).iter();
            let providers = providers
                .filter(|(_, version)| relation.accepts_provided(version.as_ref()))
                .map(|(id, _)| id);
            for id in newest.into_iter().chain(providers) {
                if !options.contains(id) {
                    options.push(*id);
                }
            }
        }
        options
    }

    fn is_met(&self, state: &State, group: &OneOf) -> bool {
        group.iter().any(|relation| {
            state
                .chosen
                .get(&relation.name)
                .is_some_and(|id| relation.accepts(&self.universe.get(*id).version))
                || self
                    .universe
                    .providers(&relation.name)
                    .iter()
                    .any(|(id, version)| {
                        relation.accepts_provided(version.as_ref())
                            && state.chosen.get(&self.universe.get(*id).name) == Some(id)
                    })
        })
    }

    /// Neither does the newcomer exclude a chosen package nor a chosen package the newcomer.
    fn check_conflicts(&self, state: &State, id: CandidateId) -> Result<(), SolveError> {
        let new = self.universe.get(id);
        for relation in parse_relations(&new.conflicts).into_iter().flatten() {
            let named = state.chosen.get(&relation.name).into_iter();
            let providers = self
                .universe
                .providers(&relation.name)
                .iter()
                .map(|(id, _)| id);
            for other in named.chain(providers) {
                let is_chosen = state.chosen.get(&self.universe.get(*other).name) == Some(other);
                if *other != id && is_chosen && self.universe.satisfies(*other, &relation) {
                    return Err(self.conflict(state, id, *other, relation.to_string()));
                }
            }
        }
        // Most relations name none of these: a search for text saves reading them.
        let provides = parse_relations(&new.provides).into_iter().flatten();
        let names: Vec<String> = std::iter::once(new.name.clone())
            .chain(provides.map(|relation| relation.name))
            .collect();
        for other in state.chosen.values().filter(|other| **other != id) {
            let conflicts = &self.universe.get(*other).conflicts;
            if !names.iter().any(|name| conflicts.contains(name.as_str())) {
                continue;
            }
            for relation in parse_relations(conflicts).into_iter().flatten() {
                if self.universe.satisfies(id, &relation) {
                    return Err(self.conflict(state, *other, id, relation.to_string()));
                }
            }
        }
        Ok(())
    }

    fn conflict(
        &self,
        state: &State,
        one: CandidateId,
        other: CandidateId,
        relation: String,
    ) -> SolveError {
        SolveError::Conflict {
            chain: self.chain(state, one),
            other: self.chain(state, other),
            relation,
        }
    }

    fn unmet(&self, state: &State, by: CandidateId, group: &OneOf) -> SolveError {
        let needs: Vec<String> = group.iter().map(ToString::to_string).collect();
        let known: Vec<String> = group
            .iter()
            .filter_map(|relation| {
                let id = self.pins.get(&relation.name);
                let id = id.or_else(|| self.universe.versions(&relation.name).first())?;
                let candidate = self.universe.get(*id);
                Some(format!("{} {}", candidate.name, candidate.version))
            })
            .collect();
        let reason = match known.as_slice() {
            [] => "which no package of the archive provides".to_owned(),
            known => format!("but there is {}, which does not fit", known.join(" and ")),
        };
        SolveError::Unmet {
            chain: self.chain(state, by),
            needs: needs.join(" | "),
            reason,
        }
    }

    /// `wish → … → package`
    fn chain(&self, state: &State, id: CandidateId) -> String {
        let mut names = vec![self.universe.get(id).name.as_str()];
        let mut seen = BTreeSet::from([id]);
        let mut at = id;
        while let Some(by) = state.because.get(&at) {
            if !seen.insert(*by) {
                break;
            }
            names.push(&self.universe.get(*by).name);
            at = *by;
        }
        names.reverse();
        names.join(" → ")
    }
}
