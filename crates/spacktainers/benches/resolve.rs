//! Resolving from an index of many specs: `cargo bench -p spacktainers --bench resolve [-- SPECS]`.
//!
//! An index is made up in the shape of real ones (versions and variants per package, a dozen edges per spec, hashes that
//! are right), of 100,000 specs unless told otherwise. A first process reads it into the compact form; later ones find that
//! form in the local cache. Each resolves an environment of eight specs. Time and memory are printed.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE32_NOPAD;
use sha1::{Digest as _, Sha1};
use spack_format::environment::{Environment, Machine, Manifest};
use spack_format::yaml::SourceId;
use spacktainers::event::Silent;
use spacktainers::fetch::{BuildCache, Context, Trust};
use spacktainers::index::{KnownSpecs, load};
use spacktainers::local_cache::LocalCache;
use spacktainers::mirror::{Access, Location, Network, RetryPolicy};
use spacktainers::openpgp::PublicKeys;
use spacktainers::registry::{RegistryClient, RegistrySettings};
use spacktainers::resolve::from_cache::{Request, resolve};

/// Specs per package: versions, times builds of each with other variants.
const VERSIONS: usize = 5;
const BUILDS: usize = 20;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, home] = arguments.as_slice()
        && mode == "resolve"
    {
        return run(Path::new(home));
    }
    let count = arguments.iter().find_map(|it| it.parse().ok());
    let home = tempfile::tempdir()?;
    let start = Instant::now();
    let text = index(count.unwrap_or(100_000));
    let size = text.len() >> 20;
    say(&format!("made up: {size} MiB in {:.1?}", start.elapsed()))?;
    let folder = home.path().join("mirror/build_cache");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("index.json"), &text)?;
    let digest = oci_format::Digest::of(text.as_bytes());
    fs::write(folder.join("index.json.hash"), digest.hex())?;
    drop(text);
    for name in ["first", "again", "again", "again"] {
        say(&format!("{name}:"))?;
        let mut command = Command::new(std::env::current_exe()?);
        let status = command.arg("resolve").arg(home.path()).status()?;
        assert!(status.success(), "{status}");
    }
    Ok(())
}

fn say(text: &str) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn run(home: &Path) -> Outcome {
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let known = runtime.block_on(loaded(home))?;
    let loaded = start.elapsed();
    let newest = known.len() / (VERSIONS * BUILDS);
    let roots = (1..=8).map(|it| format!("  - package-{}\n", newest.saturating_sub(it)));
    let yaml = format!("spack:\n  specs:\n{}", roots.collect::<String>());
    let manifest = Manifest::parse(&yaml, SourceId(0));
    let environment = Environment::new(&manifest, []);
    let specs = environment.user_specs(&Machine::default()).specs;
    let request = Request {
        environment: &environment,
        specs: &specs,
        family: "x86_64",
        target: Some("x86_64_v3"),
        libc: None,
        included: &[],
        explains: false,
    };
    let resolution = resolve(&request, &known)?;
    let total = start.elapsed();
    say(&format!(
        "  {} specs loaded in {loaded:.0?}, resolved after {total:.0?}, {} MiB at most; a lock of {} bytes",
        known.len(),
        peak_memory() >> 10,
        resolution.lock.len()
    ))
}

async fn loaded(home: &Path) -> Result<KnownSpecs, Box<dyn Error>> {
    let access = Access {
        network: Network::new(Duration::from_secs(10)),
        registries: RegistryClient::new(RegistrySettings::default()),
        is_offline: false,
        retry: RetryPolicy::default(),
        environment: Arc::default(),
    };
    let location = Location::parse("mirror", None, home)?;
    let trust = Trust::Unsigned(PublicKeys::default());
    let mirror = BuildCache::connect("bench", &location, trust, &access).await?;
    let cache = LocalCache::open(home.join("cache"))?;
    let context = Context {
        cache: &cache,
        reporter: &Silent,
        jobs: NonZeroUsize::MIN,
        now: SystemTime::now(),
    };
    Ok(load(&[mirror], &context).await?)
}

/// In KiB; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The text of an index: a package needs some of the packages before it, each in the build of the same number.
fn index(count: usize) -> String {
    let mut out = r#"{"database":{"version":"8","installs":{"#.to_owned();
    let mut hashes: Vec<String> = Vec::with_capacity(count);
    let per_package = VERSIONS * BUILDS;
    for number in 0..count {
        let (package, build) = (number / per_package, number % per_package);
        let mut edges: Vec<usize> = (1..=12)
            .filter_map(|step| package.checked_sub(step * step))
            .collect();
        edges.sort_by_key(|below| format!("package-{below}"));
        let edges = edges.into_iter().map(|below| {
            let hash = &hashes[below * per_package + build];
            edge(below, hash)
        });
        let body = body(package, build, &edges.collect::<Vec<_>>());
        let hash = BASE32_NOPAD
            .encode(&Sha1::digest(format!("{body}}}").as_bytes()))
            .to_ascii_lowercase();
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            out,
            r#"{comma}"{hash}":{{"spec":{body},"hash":"{hash}"}},"ref_count":1,"in_buildcache":true}}"#
        );
        hashes.push(hash);
    }
    out.push_str("}}}");
    out
}

fn edge(package: usize, hash: &str) -> String {
    let types = match package % 4 {
        0 => r#""build""#,
        1 => r#""build","run""#,
        _ => r#""build","link""#,
    };
    format!(
        r#"{{"name":"package-{package}","hash":"{hash}","parameters":{{"deptypes":[{types}],"virtuals":[]}}}}"#
    )
}

/// A node without its hash and the closing brace.
fn body(package: usize, build: usize, edges: &[String]) -> String {
    let (version, build) = (build % VERSIONS, build / VERSIONS);
    let mut options = String::new();
    for bit in 0..5 {
        let _ = write!(options, r#""option{bit}":{},"#, build >> bit & 1 == 1);
    }
    let dependencies = if edges.is_empty() {
        String::new()
    } else {
        format!(r#","dependencies":[{}]"#, edges.join(","))
    };
    format!(
        r#"{{"name":"package-{package}","version":"1.{version}.{}","arch":{{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"}},"namespace":"builtin","parameters":{{"build_system":"cmake","build_type":"Release","generator":"ninja",{options}"cflags":[],"cppflags":[],"cxxflags":[],"fflags":[],"ldflags":[],"ldlibs":[]}},"package_hash":"{}===="{dependencies},"annotations":{{"original_specfile_version":5}}"#,
        package % 30,
        "q".repeat(52)
    )
}
