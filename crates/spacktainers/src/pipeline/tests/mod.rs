//! Plans that are made up, and what holds of every one of them.

mod lowering;
mod made;
mod packing;
