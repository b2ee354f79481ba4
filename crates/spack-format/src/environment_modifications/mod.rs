//! Environment modifications: the variables that packages need.
//!
//! ```text
//! spack env activate   env_vars, then for the view: inspections of its root, whatever is there;
//!                      inspections of prefixes, what is there; what recipes set, with prefixes
//!                      replaced by places in the view
//! spack load           the last two, with prefixes as they are
//! ```
//!
//! [`for_view`] and [`for_prefixes`] give the [`Modifications`]; applied to an environment
//! they give [`final values`](Modifications::apply), which is what an image records.
//!
//! Recipes are programs. What those of common packages set is known here as a table
//! (see [`is_in_table`]); what others set is not, and [`recipe_sets_variables`] tells of a recipe's
//! text whether it sets any.
//!
//! Source: `lib/spack/spack/user_environment.py`, `build_environment.py` (`SetupContext`,
//! `effective_deptypes`), `util/environment.py`, `environment/shell.py` in Spack 1.1.

mod activate;
mod inspections;
mod modification;
mod recipes;
#[cfg(test)]
mod tests;
mod use_modes;

pub use activate::{EnvironmentRequest, ViewPlaces, for_prefixes, for_view};
pub use inspections::PrefixInspections;
pub use modification::{Modification, ModificationError, Modifications};
pub use recipes::{is_in_table, recipe_sets_variables};
