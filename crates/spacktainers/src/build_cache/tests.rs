//! Install trees that were made up, pushed to folders and buckets.

mod archiving;
mod concurrent;
mod looking;
mod made;
mod pausing;
mod pushing;
