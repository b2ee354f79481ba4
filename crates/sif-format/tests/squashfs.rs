//! Squashfs images: what is written is what is read, by this crate and by the programs that others have.

#[path = "squashfs/damage.rs"]
mod damage;
#[path = "squashfs/model.rs"]
mod model;
#[path = "squashfs/pack.rs"]
mod pack;
#[path = "squashfs/peers.rs"]
mod peers;
#[path = "squashfs/round_trip.rs"]
mod round_trip;
