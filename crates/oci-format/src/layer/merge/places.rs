//! Places: every name in every directory that any layer has spoken of, and what is there now.
//!
//! ```text
//! place ──parent──► place          a place is (parent, name) and stays for good;
//!   │ ▲                            what is there comes and goes
//!   │ └─previous, next──► siblings that are there now
//!   └─first child─► …              also only those that are there now
//! ```
//!
//! Because places stay, finding one is a look into one table that never shrinks. Because lists hold
//! only what is there, removing a directory costs as much as was put into it, and never more.

use std::hash::{BuildHasher, RandomState};

use super::names::NameId;
use super::table::{MOST, NONE, Table};

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlaceId(pub(super) u32);

impl PlaceId {
    /// Where everything begins.
    pub(super) const ROOT: Self = Self(0);
}

/// See the module's page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) parent: u32,
    pub(super) name: NameId,
    /// Index of the file that is here, or [`NONE`].
    pub(super) file: u32,
    first_child: u32,
    next: u32,
    previous: u32,
    /// The last layer (counted from 1) that put something here or below.
    pub(super) touched: u32,
    /// The last layer (counted from 1) that removed all that lower layers have below.
    pub(super) swept: u32,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    places: Vec<Place>,
    table: Table,
    hasher: RandomState,
}

impl Places {
    /// The root alone, holding the file of that index.
    pub(super) fn new(root_file: u32) -> Self {
        let root = Place {
            file: root_file,
            ..Self::nowhere(NONE, NameId::EMPTY)
        };
        Self {
            places: vec![root],
            table: Table::default(),
            hasher: RandomState::new(),
        }
    }

    const fn nowhere(parent: u32, name: NameId) -> Place {
        Place {
            parent,
            name,
            file: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            touched: 0,
            swept: 0,
        }
    }

    /// A place by its id. Ids come from here only, so the index is always good.
    pub(super) fn get(&self, id: PlaceId) -> &Place {
        &self.places[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: PlaceId) -> &mut Place {
        &mut self.places[id.0 as usize]
    }

    pub(super) fn parent(&self, id: PlaceId) -> Option<PlaceId> {
        let parent = self.get(id).parent;
        (parent != NONE).then_some(PlaceId(parent))
    }

    /// The place of `name` in `parent` if any layer has spoken of it.
    pub(super) fn find(&self, parent: PlaceId, name: NameId) -> Option<PlaceId> {
        self.find_hashed(self.hash(parent, name), parent, name)
    }

    /// The place of `name` in `parent`. `None`: there is no room for more.
    pub(super) fn find_or_add(&mut self, parent: PlaceId, name: NameId) -> Option<PlaceId> {
        let hash = self.hash(parent, name);
        if let Some(found) = self.find_hashed(hash, parent, name) {
            return Some(found);
        }
        if self.places.len() >= MOST {
            return None;
        }
        let id = u32::try_from(self.places.len()).ok()?;
        self.places.push(Self::nowhere(parent.0, name));
        self.table.insert(hash, id);
        Some(PlaceId(id))
    }

    fn hash(&self, parent: PlaceId, name: NameId) -> u64 {
        self.hasher
            .hash_one(u64::from(parent.0) << 32 | u64::from(name.0))
    }

    fn find_hashed(&self, hash: u64, parent: PlaceId, name: NameId) -> Option<PlaceId> {
        let places = &self.places;
        let is_it = |id: u32| {
            let place = &places[id as usize];
            place.parent == parent.0 && place.name == name
        };
        self.table.find(hash, is_it).map(PlaceId)
    }

    /// Puts a file into an empty place.
    pub(super) fn fill(&mut self, id: PlaceId, file: u32) {
        let parent = self.get(id).parent;
        let first = self
            .places
            .get(parent as usize)
            .map_or(NONE, |p| p.first_child);
        let place = self.get_mut(id);
        place.file = file;
        place.previous = NONE;
        place.next = first;
        if let Some(sibling) = self.places.get_mut(first as usize) {
            sibling.previous = id.0;
        }
        if let Some(parent) = self.places.get_mut(parent as usize) {
            parent.first_child = id.0;
        }
    }

    /// Empties a place and all below it, telling which files were there.
    pub(super) fn empty(&mut self, id: PlaceId, mut gone: impl FnMut(u32)) {
        let Place {
            parent,
            next,
            previous,
            ..
        } = *self.get(id);
        if let Some(sibling) = self.places.get_mut(next as usize) {
            sibling.previous = previous;
        }
        match self.places.get_mut(previous as usize) {
            Some(sibling) => sibling.next = next,
            None => {
                if let Some(parent) = self.places.get_mut(parent as usize) {
                    parent.first_child = next;
                }
            }
        }
        // Only the top of what goes has to leave its list: below it the lists themselves go.
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            left.extend(self.children(id));
            let place = self.get_mut(id);
            gone(std::mem::replace(&mut place.file, NONE));
            place.first_child = NONE;
        }
    }

    /// What is in a directory, in no order.
    pub(super) fn children(&self, id: PlaceId) -> impl Iterator<Item = PlaceId> + '_ {
        let mut next = self.get(id).first_child;
        std::iter::from_fn(move || {
            let id = (next != NONE).then_some(PlaceId(next))?;
            next = self.get(id).next;
            Some(id)
        })
    }

    /// Marks a place and all above it as touched by a layer.
    pub(super) fn touch(&mut self, mut id: PlaceId, layer: u32) {
        // What is above a marked place is marked.
        while self.get(id).touched != layer {
            self.get_mut(id).touched = layer;
            match self.parent(id) {
                Some(parent) => id = parent,
                None => break,
            }
        }
    }
}
