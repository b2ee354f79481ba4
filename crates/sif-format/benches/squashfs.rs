//! How fast a folder is packed: `cargo bench -p sif-format -- FOLDER [THREADS]`.
//!
//! Each compression is timed three times over the same folder, which is in the page cache by then; the image goes to a
//! temporary file. Whole processes are compared with mksquashfs and tar2sqfs in `benches/peers/sif.sh`.

#[path = "../tests/squashfs/pack.rs"]
mod pack;

use std::error::Error;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use sif_format::squashfs::{Compression, Options};

const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let mut out = std::io::stdout();
    let Some(folder) = args.next() else {
        writeln!(
            out,
            "name a folder to be packed: cargo bench -p sif-format -- /usr/share [THREADS]"
        )?;
        return Ok(());
    };
    let threads = match args.next() {
        Some(text) => text.parse()?,
        None => std::thread::available_parallelism()?,
    };
    for (name, compression) in [("gzip", Compression::GZIP), ("zstd", Compression::ZSTD)] {
        let mut seconds = Vec::new();
        let mut size = 0;
        for _ in 0..RUNS {
            let started = Instant::now();
            size = pack_once(Path::new(&folder), compression, threads)?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{name}: {:.2} s, {size} bytes, {threads} threads",
            seconds[RUNS / 2]
        )?;
    }
    Ok(())
}

fn pack_once(
    folder: &Path,
    compression: Compression,
    threads: NonZeroUsize,
) -> Result<u64, Box<dyn Error>> {
    let summary = pack::pack(
        folder,
        tempfile::tempfile()?,
        Options::new(compression, 0, threads),
    )?;
    Ok(summary.size)
}
