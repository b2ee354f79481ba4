//! Versions, ranges and lists.
