//! Packs a folder, for measuring whole processes against mksquashfs and tar2sqfs.
#[path = "../tests/squashfs/pack.rs"]
mod pack;
use sif_format::squashfs::{Compression, Options};
use std::{fs::File, num::NonZeroUsize, path::Path};
fn main() {
    let a: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if a.len() < 5 {
        return;
    }
    let level = a[3].parse().unwrap();
    let compression = if a[2] == "gzip" {
        Compression::Gzip { level }
    } else {
        Compression::Zstd { level }
    };
    let options = Options::new(
        compression,
        0,
        NonZeroUsize::new(a[4].parse().unwrap()).unwrap(),
    );
    println!(
        "{:?}",
        pack::pack(Path::new(&a[0]), File::create(&a[1]).unwrap(), options).unwrap()
    );
}
