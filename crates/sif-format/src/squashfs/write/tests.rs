//! Unit tests of writing.
