//! The project: settings, definitions, and every fault in them.
