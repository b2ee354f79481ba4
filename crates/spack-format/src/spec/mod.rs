//! The grammar of specs and what they match.
