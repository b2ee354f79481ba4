//! Constraints as texts, each parsed once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{ConcreteIndex, Scratch, Spec};
use crate::concrete::{ConcreteSpec, ConcreteSpecs};

/// Answers whether nodes of a set satisfy constraints that are given as texts, for callers that keep texts: projections,
/// views, settings.
///
/// ```
/// # use spack_format::{concrete::ConcreteSpecs, spec::SatisfiesIn};
/// let specs = ConcreteSpecs::default();
/// let known = SatisfiesIn::new(&specs);
/// let satisfies: &spack_format::prefix::Satisfies<'_> = &|spec, text| known.satisfies(spec, text);
/// ```
#[derive(Debug)]
pub struct SatisfiesIn<'s> {
    index: ConcreteIndex<'s>,
    /// Constraints that were asked for; `None` for texts that are no spec.
    parsed: RefCell<HashMap<String, Option<Rc<Spec>>>>,
    scratch: RefCell<Scratch>,
}

impl<'s> SatisfiesIn<'s> {
    /// For the nodes of this set.
    #[must_use]
    pub fn new(specs: &'s ConcreteSpecs) -> Self {
        Self {
            index: ConcreteIndex::new(specs),
            parsed: RefCell::default(),
            scratch: RefCell::default(),
        }
    }

    /// Whether the node satisfies the constraint. A text that is no spec is satisfied by nothing, and so is any text
    /// by a node that is not of the set.
    #[must_use]
    pub fn satisfies(&self, spec: &ConcreteSpec, constraint: &str) -> bool {
        let (Some(node), Some(wanted)) = (self.index.node(&spec.hash), self.parsed(constraint))
        else {
            return false;
        };
        self.index
            .satisfies(node, &wanted, &mut self.scratch.borrow_mut())
    }

    /// The nodes, prepared for being asked.
    #[must_use]
    pub const fn index(&self) -> &ConcreteIndex<'s> {
        &self.index
    }

    fn parsed(&self, constraint: &str) -> Option<Rc<Spec>> {
        let mut parsed = self.parsed.borrow_mut();
        if let Some(known) = parsed.get(constraint) {
            return known.clone();
        }
        let spec = Spec::parse(constraint).ok().map(Rc::new);
        parsed.insert(constraint.to_owned(), spec.clone());
        spec
    }
}
