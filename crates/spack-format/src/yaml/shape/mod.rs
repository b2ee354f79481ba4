//! What a tree may hold, as data, and every way in which it does not.
//!
//! A [`Shape`] is what a JSON schema is for Spack: keys, types, allowed values. It is built of constants, so that a
//! schema reads like a table. [`check`] walks tree and shape together and collects every fault with its place.
//!
//! Faults are worded for the author of the file: they name the key and the place it belongs to, and offer the
//! nearest name that would have been right.

mod check;
mod fault;

pub use check::check;
pub use fault::{Severity, ShapeError, ShapeFault, TextFault};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Anything at all.
    Any,
    /// Null.
    Null,
    /// Text.
    String,
    /// Text or a number.
    StringOrNumber,
    /// Text that a function accepts.
    Text(&'static TextShape),
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// A list of such values.
    List(&'static Shape),
    /// A mapping.
    Map(&'static MapShape),
    /// Such a value, or null.
    OrNull(&'static Shape),
    /// Any one of several.
    Either(&'static [Shape]),
}

/// Text with a grammar.
#[derive(Debug)]
pub struct TextShape {
    /// What it is, for "expected …": `a spec`.
    pub noun: &'static str,
    /// Accepts it or says what is wrong and where.
    pub check: fn(&str) -> Result<(), TextFault>,
}

/// A mapping.
#[derive(Debug)]
pub struct MapShape {
    /// How it is called in messages: `` `packages:all` ``.
    pub name: &'static str,
    /// The keys that have a meaning.
    pub keys: &'static [KeyShape],
    /// What other keys are.
    pub others: Others,
}

/// One key of a mapping.
#[derive(Debug)]
pub struct KeyShape {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What to do instead, for keys that old Spacks knew.
    pub outdated: Option<&'static str>,
}

/// Keys of a mapping that it does not name.
#[derive(Debug)]
pub enum Others {
    /// Are faults.
    Refused,
    /// May hold anything.
    Anything,
    /// Are names that the author chose, with such values.
    Named(Shape),
    /// Are texts with a grammar (specs), with such values.
    Texts(&'static TextShape, Shape),
}

/// A key that may be there.
#[must_use]
pub const fn key(name: &'static str, shape: Shape) -> KeyShape {
    KeyShape {
        name,
        shape,
        required: false,
        outdated: None,
    }
}

/// A key that must be there.
#[must_use]
pub const fn required(name: &'static str, shape: Shape) -> KeyShape {
    KeyShape {
        name,
        shape,
        required: true,
        outdated: None,
    }
}

/// A key that only older Spacks know; `instead` says what to write today.
#[must_use]
pub const fn outdated(name: &'static str, shape: Shape, instead: &'static str) -> KeyShape {
    KeyShape {
        name,
        shape,
        required: false,
        outdated: Some(instead),
    }
}

/// A list of texts.
pub const STRINGS: Shape = Shape::List(&Shape::String);
/// Text or null.
pub const STRING_OR_NULL: Shape = Shape::OrNull(&Shape::String);
/// A whole number of 0 or more.
pub const COUNT: Shape = Shape::Integer(0, i64::MAX);
/// A whole number of 1 or more.
pub const POSITIVE: Shape = Shape::Integer(1, i64::MAX);
