//! Plans that are made up, and what holds of every one of them.

mod locks;
mod lowering;
mod made;
mod packing;
