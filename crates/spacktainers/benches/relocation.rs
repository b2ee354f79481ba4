//! How fast archives are relocated: `cargo bench -p spacktainers --bench relocation`.
//!
//! One thread, from an uncompressed tar in memory to one that is thrown away, so that nothing but relocation is timed:
//! decompression and compression are the same with and without it. The binaries are this program itself, with strings of the
//! old prefix behind it; the goals are 400 MB/s where no file is listed, and 150 MB/s where each is a binary that changes.

use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

use oci_format::Digest;
use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;
use spack_format::build_cache::BinaryDistribution;
use spack_format::relocation::PrefixMap;
use spacktainers::content::Content;
use spacktainers::layer::relocate::Rules;
use spacktainers::layer::transform::{Chain, NoDebug, pass};
use spacktainers::layer::{PackageRecord, scan};

const RUNS: usize = 5;

/// Bytes of each archive, about.
const SIZE: usize = 256 << 20;

const NAME: &str = "linux-x86_64_v3/bench-1.0-abcdefghijklmnopqrstuvwxyz234567";

fn main() -> Result<(), Box<dyn Error>> {
    let store = format!("/opt/software/{}", "__spack_path_placeholder__/".repeat(4));
    let store = store.trim_end_matches('/');
    let program = std::fs::read(std::env::current_exe()?)?;
    let text: Vec<u8> = "set(A \"/usr/share/a/b/c\") # words of a text, without a prefix\n"
        .repeat(4096)
        .into_bytes();
    let mut binary = program.clone();
    for number in 0..200 {
        write!(binary, "{store}/{NAME}/share/data-{number}\0")?;
    }
    let changing_text = format!(
        "prefix={store}/{NAME}\nlibdir={store}/{NAME}/lib\n# {}\n",
        "-".repeat(400)
    );
    let changing_text = changing_text.repeat(300).into_bytes();
    measure("no file is listed", store, &[&program, &text], "none")?;
    measure("binaries", store, &[&binary], "relocate_binaries")?;
    measure("texts", store, &[&changing_text], "relocate_textfiles")?;
    Ok(())
}

/// Times the relocation of an archive of these files, over and over, all in one list of `.spack/binary_distribution`.
fn measure(what: &str, store: &str, files: &[&[u8]], list: &str) -> Result<(), Box<dyn Error>> {
    let (tar, record) = archive(store, files, list)?;
    let built = BinaryDistribution::parse(&record.binary_distribution)?;
    let map = PrefixMap::new([
        (built.prefix(), format!("/opt/other/{NAME}")),
        (built.build_path.clone(), "/opt/other".to_owned()),
    ])?;
    let prefix = format!("opt/other/{NAME}");
    let rules = Rules::new(&record, &built, map, &prefix, "/opt/other", |_| true);
    let chain = Chain::relocation(rules);
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
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

fn archive(
    store: &str,
    files: &[&[u8]],
    list: &str,
) -> Result<(Content, PackageRecord), Box<dyn Error>> {
    let prefix = format!("{store}/{NAME}");
    let prefix = prefix.trim_start_matches('/');
    let mut tar = TarWriter::new(Vec::new());
    let mut names = Vec::new();
    let mut written = 0;
    tar.append_bytes(&Entry::directory(prefix, 0o755, 0), b"")?;
    for bytes in files.iter().cycle() {
        let name = format!("file-{}", names.len());
        let entry = Entry::file(format!("{prefix}/{name}"), 0o644, 0, bytes.len() as u64);
        tar.append_bytes(&entry, bytes)?;
        names.push(name);
        written += bytes.len();
        if written > SIZE {
            break;
        }
    }
    let mark = format!(
        "{{buildpath: {store}, relative_prefix: {NAME}, {list}: [{}]}}",
        names.join(", ")
    );
    let path = format!("{prefix}/.spack/binary_distribution");
    let entry = Entry::file(path, 0o644, 0, mark.len() as u64);
    tar.append_bytes(&entry, mark.as_bytes())?;
    let bytes = tar.finish()?;
    let digest = Digest::of(&bytes);
    let content = Content::Memory(bytes.into());
    let record = scan(&content, &digest, content.len())?;
    Ok((content, record))
}
