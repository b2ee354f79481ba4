//! Tests of the merging of layers.
//!
//! ```text
//! notation   layers and trees as lines of text
//! cases      stacks of layers with what must come of them ─┬─► table      by us
//! random     stacks of layers made by chance ──────────────┴─► against_umoci   by us and by umoci
//! errors     what is refused, and with which words
//! digests    one digest for a tree
//! cost       large and hostile layers in linear time
//! ```

mod against_umoci;
mod cases;
mod cost;
mod digests;
mod errors;
mod notation;
mod random;
mod table;
