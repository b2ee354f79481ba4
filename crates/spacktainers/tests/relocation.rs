//! Packages relocated here against the same packages installed elsewhere by real Spack, path by path and byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_format::Digest;
use oci_format::layer::EntryKind;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarReader;
use spack_format::build_cache::BinaryDistribution;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;
use spack_format::relocation::Move;
use spacktainers::content::Content;
use spacktainers::event::{Event, Reporter};
use spacktainers::layer::relocate::{LeftBecause, Places, Rules};
use spacktainers::layer::transform::{
    Chain, TransformError, TransformJob, Transformed, transform_all,
};
use spacktainers::layer::{PackageRecord, scan};
use spacktainers::local_cache::LocalCache;

struct Silent;

impl Reporter for Silent {
    fn event(&self, _: Event) {}
}

fn fixtures(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SPACKTAINERS_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    if root.is_dir() {
        return Some(root);
    }
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {test}: no fixtures; name their folder by SPACKTAINERS_FIXTURES"
    );
    None
}

struct Package {
    content: Content,
    blob: Digest,
    record: Arc<PackageRecord>,
    built: BinaryDistribution,
    hash: DagHash,
}

/// Every package archive of a mirror, of layout 2 or 3.
fn packages(mirror: &Path) -> Vec<Package> {
    let mut pending = vec![mirror.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("a build cache").flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if is_tar_in_gzip(&path) {
                found.push(package(&path));
            }
        }
    }
    found.sort_by_key(|it| it.hash);
    found
}

fn package(path: &Path) -> Package {
    let bytes = fs::read(path).expect("a blob");
    let blob = Digest::of(&bytes);
    let content = Content::Memory(bytes.into());
    let record = scan(&content, &blob, content.len()).expect("a package");
    let built = BinaryDistribution::parse(&record.binary_distribution).expect("Spack wrote it");
    let hash = built.relative_prefix.rsplit('-').next();
    Package {
        content,
        blob,
        hash: hash
            .and_then(|it| it.parse().ok())
            .expect("ends in its hash"),
        record: Arc::new(record),
        built,
    }
}

/// Spec files are JSON in gzip; archives are tar in gzip.
fn is_tar_in_gzip(path: &Path) -> bool {
    let mut start = [0; 1];
    let file = fs::File::open(path).expect("opens");
    flate2::read::GzDecoder::new(file)
        .read_exact(&mut start)
        .is_ok()
        && start != *b"{"
}

fn relocated(
    packages: &[Package],
    lock: &SpackLockfile,
    root: &str,
    cache: &LocalCache,
) -> Vec<Result<Transformed, TransformError>> {
    // Spack 1.x's own projection, which is not that of older archives.
    let prefix = |package: &Package| {
        let name = package.built.relative_prefix.rsplit('/').next();
        format!("{root}/linux-x86_64_v3/{}", name.unwrap_or_default())
    };
    let by_hash: BTreeMap<DagHash, String> =
        packages.iter().map(|it| (it.hash, prefix(it))).collect();
    let places = Places::new(root, packages.iter().map(|it| (prefix(it), &*it.record)));
    let jobs: Vec<TransformJob> = packages
        .iter()
        .map(|package| {
            let map = Move {
                built: &package.built,
                spec: lock.specs.get(&package.hash).expect("locked"),
                specs: &lock.specs,
                root,
                store: root,
                prefix: &|hash| by_hash.get(hash).cloned(),
            };
            let prefix = prefix(package);
            TransformJob {
                title: package.built.relative_prefix.clone(),
                blob: package.blob,
                size: package.content.len(),
                content: package.content.clone(),
                record: Arc::clone(&package.record),
                chain: Chain::relocation(Rules::new(
                    &package.record,
                    &package.built,
                    map.map().expect("prefixes"),
                    prefix.trim_start_matches('/'),
                    root,
                    |path| places.is_there(path),
                )),
            }
        })
        .collect();
    let parallel = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    transform_all(&jobs, cache, parallel, &Silent)
}

/// What a listing says of a path: type, mode, and digest or target.
type Fact = (String, u32, String);

/// The files of an archive, by path below `root`.
fn listing(relocated: &Transformed, root: &str, all: &mut BTreeMap<String, Fact>) {
    let archive = Decoder::new(relocated.content.open(0).expect("opens"), u64::MAX).expect("gzip");
    let mut tar = TarReader::new(archive);
    while let Some(mut member) = tar.next_member().expect("sound") {
        let entry = member.entry.clone();
        let path = String::from_utf8(entry.path).expect("text");
        let Some(path) = path
            .strip_prefix(root.trim_start_matches('/'))
            .and_then(|it| it.strip_prefix('/'))
        else {
            continue;
        };
        let fact = match entry.kind {
            EntryKind::Directory => ("dir".into(), entry.mode, String::new()),
            EntryKind::Symlink(target) => {
                let target = String::from_utf8(target).expect("text");
                ("link".into(), 0, target)
            }
            EntryKind::HardLink(target) => {
                let target = String::from_utf8(target).expect("text");
                let target = format!("/{target}");
                let target = target.strip_prefix(root).expect("below the root");
                all[&target[1..]].clone()
            }
            _ => {
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes).expect("content");
                ("file".into(), entry.mode, Digest::of(&bytes).hex())
            }
        };
        all.insert(path.to_owned(), fact);
    }
}

/// What real Spack has at the same place. Archives have no setgid bits, and no `sbang`.
fn expected(listing: &Path) -> BTreeMap<String, Fact> {
    let text = fs::read_to_string(listing).expect("a listing");
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let fact: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| fact[key].as_str().unwrap_or_default().to_owned();
        let mode = u32::from_str_radix(text("mode").trim_start_matches("0o"), 8).unwrap_or(0);
        let path = text("path");
        if path == "bin" || path == "bin/sbang" {
            continue;
        }
        let content = match text("type").as_str() {
            "file" => text("sha256"),
            "link" => text("target"),
            _ => String::new(),
        };
        all.insert(path, (text("type"), mode & 0o777, content));
    }
    all
}

/// Relocates the packages of a mirror to `root` and compares them with the listing of what Spack has there. The second time,
/// nothing is computed.
fn compare(fixtures: &Path, environment: &str, mirror: &str, root: &str, listing_of_spack: &Path) {
    let lock = fixtures.join(format!("envs/{environment}/spack.lock"));
    let lock = SpackLockfile::parse(&fs::read_to_string(lock).expect("a lock"));
    let lock = lock.expect("Spack wrote it");
    let packages = packages(&fixtures.join("caches").join(mirror));
    assert!(packages.len() > 4, "{}", packages.len());
    let folder = tempfile::tempdir().expect("a folder");
    let cache = LocalCache::open(folder.path()).expect("opens");
    let mut ours = BTreeMap::new();
    let mut digests = Vec::new();
    for relocated in relocated(&packages, &lock, root, &cache) {
        let relocated = relocated.expect("fits");
        listing(&relocated, root, &mut ours);
        for left in &relocated.left {
            let is_known = left.why == LeftBecause::Metadata || left.why == LeftBecause::Opaque;
            assert!(is_known, "{left:?}");
        }
        digests.push(relocated.digest);
    }
    let mut theirs = expected(listing_of_spack);
    for all in [&mut ours, &mut theirs] {
        all.retain(|path, _| !path.ends_with(".spack/install_times.json"));
    }
    let paths: Vec<&String> = ours.keys().filter(|it| !theirs.contains_key(*it)).collect();
    assert!(paths.is_empty(), "only ours: {paths:#?}");
    let wrong: Vec<_> = theirs
        .iter()
        .filter(|(path, fact)| ours.get(*path) != Some(*fact))
        .map(|(path, fact)| (path, ours.get(path), fact))
        .collect();
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());

    let again: Vec<Digest> = relocated(&packages, &lock, root, &cache)
        .into_iter()
        .map(|it| it.expect("remembered").digest)
        .collect();
    assert_eq!(digests, again);
}

#[test]
fn a_relocated_store_is_what_spack_installs() {
    let test = "a_relocated_store_is_what_spack_installs";
    let Some(fixtures) = fixtures(test) else {
        return;
    };
    let listing = fixtures.join("expected/small-store-relocated.jsonl");
    compare(&fixtures, "small", "small-v3", "/opt/fxroot", &listing);
}

/// `SPACKTAINERS_RELOCATED` names a file of JSON lines: `environment` and `mirror` of the fixtures, `root`, and `listing`, the
/// file of what Spack installed there.
#[test]
fn stores_at_other_roots_are_what_spack_installs() {
    let test = "stores_at_other_roots_are_what_spack_installs";
    let Some(fixtures) = fixtures(test) else {
        return;
    };
    let Some(list) = std::env::var_os("SPACKTAINERS_RELOCATED") else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {test}: no other stores; name their list by SPACKTAINERS_RELOCATED"
        );
        return;
    };
    for line in fs::read_to_string(list).expect("a list").lines() {
        let store: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| store[key].as_str().expect("a text");
        let listing = Path::new(text("listing"));
        compare(
            &fixtures,
            text("environment"),
            text("mirror"),
            text("root"),
            listing,
        );
    }
}
