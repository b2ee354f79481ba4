//! How fast archives are slimmed and stripped: `cargo bench -p spacktainers --bench slimming`.
//!
//! One thread, from an uncompressed tar in memory to one that is thrown away, so that nothing but the pass is timed:
//! decompression and compression are the same with and without it. The programs are this program itself, with its symbols.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use oci_format::Digest;
use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;
use spacktainers::content::Content;
use spacktainers::layer::slim::{Profile, Selection, SlimRules};
use spacktainers::layer::strip::Symbols;
use spacktainers::layer::transform::{Chain, NoDebug, StripRules, pass};
use spacktainers::layer::{PackageRecord, scan};

const RUNS: usize = 5;

/// Bytes of each archive, about.
const SIZE: usize = 256 << 20;

const PREFIX: &str = "opt/software/linux-x86_64_v3/bench-1.0-abcdefghijklmnopqrstuvwxyz234567";

fn main() -> Result<(), Box<dyn Error>> {
    let program = std::fs::read(std::env::current_exe()?)?;
    let text: Vec<u8> = "words of a text, without a prefix\n"
        .repeat(4096)
        .into_bytes();
    let strip = |symbols| {
        Some(StripRules {
            symbols,
            keep: Vec::new(),
        })
    };
    measure("texts that stay", "share", &text, |_| Chain {
        strip: strip(Symbols::Drop),
        ..Chain::default()
    })?;
    measure("headers that go", "include", &text, |record| {
        let rules = SlimRules {
            profile: Some(Profile::Runtime),
            ..SlimRules::default()
        };
        Chain {
            slim: Some(Selection::new(record, &rules.of("bench"))),
            ..Chain::default()
        }
    })?;
    measure("programs, symbols dropped", "bin", &program, |_| Chain {
        strip: strip(Symbols::Drop),
        ..Chain::default()
    })?;
    measure("programs, symbols kept apart", "bin", &program, |_| Chain {
        strip: strip(Symbols::Separate),
        ..Chain::default()
    })?;
    Ok(())
}

/// Times a chain on an archive of copies of one file, over and over.
fn measure(
    what: &str,
    folder: &str,
    file: &[u8],
    chain: impl Fn(&PackageRecord) -> Chain,
) -> Result<(), Box<dyn Error>> {
    let (tar, record) = archive(folder, file)?;
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let chain = chain(&record);
        let mut out = TarWriter::new(io::sink());
        pass(
            tar.open(0)?,
            &mut out,
            &mut NoDebug,
            &record,
            &chain,
            "bench",
        )?;
        out.finish()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let megabytes = tar.len() as f64 / 1e6;
    writeln!(
        io::stdout(),
        "{what}: {:.0} MB/s of {megabytes:.0} MB",
        megabytes / seconds[RUNS / 2]
    )?;
    Ok(())
}

fn archive(folder: &str, file: &[u8]) -> Result<(Content, PackageRecord), Box<dyn Error>> {
    let mut tar = TarWriter::new(Vec::new());
    tar.append_bytes(&Entry::directory(PREFIX, 0o755, 0), b"")?;
    for number in 0..SIZE.div_ceil(file.len()) {
        let name = format!("{PREFIX}/{folder}/file-{number}");
        tar.append_bytes(&Entry::file(name, 0o755, 0, file.len() as u64), file)?;
    }
    let mark = b"{buildpath: /opt/software, relative_prefix: bench}";
    let path = format!("{PREFIX}/.spack/binary_distribution");
    tar.append_bytes(&Entry::file(path, 0o644, 0, mark.len() as u64), mark)?;
    let bytes = tar.finish()?;
    let digest = Digest::of(&bytes);
    let content = Content::Memory(bytes.into());
    let record = scan(&content, &digest, content.len())?;
    Ok((content, record))
}
