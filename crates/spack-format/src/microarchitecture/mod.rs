//! Processor families and levels.
