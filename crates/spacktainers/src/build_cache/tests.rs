//! Install trees that were made up, pushed to folders, buckets and registries.

mod archiving;
mod concurrent;
mod costs;
mod looking;
mod made;
mod pausing;
mod pushing;
mod registries;
mod syncing;
