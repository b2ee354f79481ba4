//! Squashfs images: what is written is what is read.

#[path = "squashfs/model.rs"]
mod model;
#[path = "squashfs/round_trip.rs"]
mod round_trip;
