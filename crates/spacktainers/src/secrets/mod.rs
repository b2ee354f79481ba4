//! Secrets do not get out: they are known by their values and by their shapes, looked for in what is published, and blotted
//! out of what is shown.
//!
//! ```text
//! environment, files ─► Values ─┬─► redact    texts for people: logs, errors, capsules
//!                               └─► Search ─► scan: texts of the project, config and history, every layer
//! shapes ───────────────────────────┘
//! ```
//!
//! Start at [`Values`] and [`scan_image`].
//!
//! What is looked for where:
//! - the *values* that are in use now, everywhere: in all layers, the config, the history, the definitions;
//! - *shapes* (keys in PEM, tokens of the usual services) in what this project itself writes: definitions and the files beside
//!   them, config and history, and layers that are made here. Packages and base images are software of others, whose
//!   tests and examples are full of keys that protect nothing; what they hold is not this project's secret.
//!
//! What is *withheld* from builds and capsules is decided elsewhere, by words in names ([`crate::spack`]): there, too much costs
//! nothing. Here, a value that is no secret would keep an image from being published.

mod scan;
mod search;
mod shapes;
mod values;

pub use scan::{Found, ScanError, ScanInput, Scope, scan_image};
pub use search::{Search, Sighting};
pub use values::Values;
