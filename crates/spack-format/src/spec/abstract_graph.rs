//! Abstract specs compared with one another. [Spack: `Spec._satisfies`, `Spec._intersects` in `spec.py`]

use std::marker::PhantomData;

use super::matching::{Buffers, DirectDependencies, Graph, GraphEdge, Question};
use super::{Spec, Virtuals, flag};
use crate::concrete::DepTypes;

/// Whether `own` satisfies `wanted`.
pub(super) fn satisfies(own: &Spec, wanted: &Spec, virtuals: &Virtuals) -> bool {
    let question = Question {
        graph: &Tree(PhantomData),
        virtuals,
    };
    question.satisfies(own, wanted, &mut Buffers::new())
}

/// Whether some concrete spec may match both.
pub(super) fn intersects(own: &Spec, other: &Spec, virtuals: &Virtuals) -> bool {
    if let (Some(a), Some(b)) = (&own.hash, &other.hash)
        && !a.starts_with(b.as_str())
        && !b.starts_with(a.as_str())
    {
        return false;
    }
    let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    // Which packages stand for a virtual one is known to recipes only.
    if differ(&own.name, &other.name) || differ(&own.namespace, &other.namespace) {
        return false;
    }
    let variants_agree = other.variants.iter().all(|(name, theirs)| {
        let ours = own.variants.get(name);
        ours.is_none_or(|ours| ours.value.intersects(&theirs.value))
    });
    own.versions.intersects(&other.versions)
        && variants_agree
        && own.architecture.intersects(&other.architecture)
        && dependencies_intersect(own, other, virtuals)
}

/// Whether dependencies that both name may be the same ones.
fn dependencies_intersect(own: &Spec, other: &Spec, virtuals: &Virtuals) -> bool {
    own.dependencies.iter().all(|ours| {
        let name = &ours.spec.name;
        if !other.dependencies.iter().any(|it| it.spec.name == *name) {
            return true;
        }
        match (find(own, name, virtuals), find(other, name, virtuals)) {
            (Some(a), Some(b)) => intersects(a, b, virtuals),
            _ => true,
        }
    })
}

/// The dependency that Spack finds under this name; it may be one that stands for it.
fn find<'s>(spec: &'s Spec, name: &Option<String>, virtuals: &Virtuals) -> Option<&'s Spec> {
    let Some(name) = name else {
        let nameless = spec.dependencies.iter().find(|it| it.spec.name.is_none());
        return nameless.map(|it| &it.spec);
    };
    let question = Question {
        graph: &Tree(PhantomData),
        virtuals,
    };
    question.find(spec, name, &mut Buffers::new())
}

/// Abstract specs as a graph. They hold their dependencies themselves, so it has nothing to hold.
struct Tree<'s>(PhantomData<&'s Spec>);

impl<'s> Graph for Tree<'s> {
    type Node = &'s Spec;

    fn name(&self, node: &'s Spec) -> Option<&str> {
        node.name.as_deref()
    }

    fn edge(&self, node: &'s Spec, number: usize) -> Option<GraphEdge<'_, &'s Spec>> {
        node.dependencies.get(number).map(|edge| GraphEdge {
            child: &edge.spec,
            deptypes: edge.deptypes,
            virtuals: &edge.virtuals,
            when: edge.when.as_deref(),
        })
    }

    fn direct_dependencies(&self, _: &'s Spec) -> DirectDependencies<'_> {
        DirectDependencies::Edges
    }

    fn hash_begins_with(&self, node: &'s Spec, prefix: &str) -> bool {
        node.hash.as_ref().is_some_and(|it| it.starts_with(prefix))
    }

    fn provides(&self, _: &'s Spec, _: &str) -> bool {
        false
    }

    fn attributes_satisfy(&self, node: &'s Spec, wanted: &Spec, _: &mut Buffers<&'s Spec>) -> bool {
        let namespaces = node.namespace.as_ref().zip(wanted.namespace.as_ref());
        namespaces.is_none_or(|(own, wanted)| own == wanted)
            && node.versions.satisfies(&wanted.versions)
            && variants_satisfy(node, wanted)
            && node.architecture.satisfies(&wanted.architecture)
            && flag::satisfies(&node.flags, &wanted.flags)
    }

    fn may_meet(
        &self,
        node: &'s Spec,
        condition: &Spec,
        virtuals: &Virtuals,
        _: &mut Buffers<&'s Spec>,
    ) -> bool {
        intersects(node, condition, virtuals)
    }

    fn reach(
        &self,
        node: &'s Spec,
        deptypes: DepTypes,
        buffers: &mut Buffers<&'s Spec>,
    ) -> Vec<&'s Spec> {
        let mut nodes = buffers.take();
        nodes.push(node);
        let mut at = 0;
        while let Some(next) = nodes.get(at).copied() {
            at += 1;
            let below = next.dependencies.iter();
            let below =
                below.filter(|it| it.deptypes.is_empty() || it.deptypes.intersects(deptypes));
            nodes.extend(below.map(|it| &it.spec));
        }
        nodes
    }
}

/// A spec and all its dependencies.
fn nodes(spec: &Spec) -> Vec<&Spec> {
    let mut nodes = vec![spec];
    let mut at = 0;
    while let Some(next) = nodes.get(at).copied() {
        at += 1;
        nodes.extend(next.dependencies.iter().map(|it| &it.spec));
    }
    nodes
}

/// Variants that are passed on do not count as set on the node itself, but must not contradict any node.
fn variants_satisfy(own: &Spec, wanted: &Spec) -> bool {
    let own_plain = |name: &String| own.variants.get(name).filter(|it| !it.propagate);
    let plain = wanted.variants.iter().filter(|(_, it)| !it.propagate);
    let mut plain = plain.map(|(name, wanted)| {
        own_plain(name).is_some_and(|own| own.value.satisfies(&wanted.value, name))
    });
    if plain.any(|it| !it) {
        return false;
    }
    let agrees = |from: &Spec, with: &Spec| {
        let mut passed_on = from
            .variants
            .iter()
            .filter(|(_, it)| it.propagate)
            .peekable();
        if passed_on.peek().is_none() {
            return true;
        }
        let nodes = nodes(with);
        passed_on.all(|(name, wanted)| {
            let of_nodes = nodes.iter().filter_map(|node| node.variants.get(name));
            of_nodes
                .into_iter()
                .all(|own| own.value.satisfies(&wanted.value, name))
        })
    };
    agrees(wanted, own) && agrees(own, wanted)
}
