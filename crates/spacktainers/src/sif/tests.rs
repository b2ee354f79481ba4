//! Files written, and read by others.
