//! Finding and fetching, from build caches that Spack made and from made-up and damaged ones.

mod made;

mod downloads;
mod faults;
mod finding;
mod killed;
mod real;
mod registries;
