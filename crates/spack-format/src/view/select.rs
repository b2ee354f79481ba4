//! Which specs go into a view, and in which order.

use std::collections::HashMap;

use super::{ViewDescriptor, ViewLink};
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use crate::dag_hash::DagHash;
use crate::prefix::Satisfies;

/// Packages whose recipes have the tag `runtime`: of each, only the highest version gets into a
/// view, because programs work with a newer runtime than they were built with.
const RUNTIMES: [&str; 5] = [
    "compiler-wrapper",
    "gcc-runtime",
    "glibc",
    "intel-oneapi-runtime",
    "musl",
];

impl ViewDescriptor {
    /// The specs in this view, dependents before dependencies, externals included (they are part
    /// of the view's name, though nothing of them is linked). `installed` says whether a package
    /// lies in the store.
    #[must_use]
    pub fn select<'a>(
        &self,
        specs: &'a ConcreteSpecs,
        roots: &[DagHash],
        installed: &dyn Fn(&ConcreteSpec) -> bool,
        satisfies: &Satisfies<'_>,
    ) -> Vec<&'a ConcreteSpec> {
        let deptypes = match self.link {
            ViewLink::All => DepTypes::RUNTIME,
            ViewLink::Run => DepTypes::RUN,
            ViewLink::Roots => DepTypes::NONE,
        };
        let mut selected = specs.topological(roots.iter().copied(), deptypes);
        selected.retain(|spec| {
            let any = |constraints: &[String]| constraints.iter().any(|it| satisfies(spec, it));
            (self.select.is_empty() || any(&self.select))
                && !any(&self.exclude)
                && (spec.is_external() || installed(spec))
        });
        without_older_runtimes(selected)
    }
}

fn without_older_runtimes(specs: Vec<&ConcreteSpec>) -> Vec<&ConcreteSpec> {
    let mut newest: HashMap<&str, &ConcreteSpec> = HashMap::new();
    for spec in specs
        .iter()
        .copied()
        .filter(|it| RUNTIMES.contains(&it.name.as_str()))
    {
        let kept = newest.entry(&spec.name).or_insert(spec);
        if is_newer(&spec.version, &kept.version) {
            *kept = spec;
        }
    }
    let keep = |spec: &ConcreteSpec| {
        newest
            .get(spec.name.as_str())
            .is_none_or(|it| it.hash == spec.hash)
    };
    specs.into_iter().filter(|spec| keep(spec)).collect()
}

/// Runtimes have plain dotted versions: compared number by number, and as text where there is no
/// number.
fn is_newer(version: &str, other: &str) -> bool {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(['.', '-', '_'])
            .map(|it| (it.parse().unwrap_or(0), it.to_owned()))
            .collect()
    };
    parts(version) > parts(other)
}
