//! Trees filled here: against what real Spack left, twice, and after having been killed.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use oci_format::Digest;
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::LayoutGeneration;
use spack_format::spec::SatisfiesIn;

use super::*;
use crate::event::{Event, Reporter};
use crate::fetch::{BuildCache, Trust};
use crate::install_tree::provenance::TIMES;
use crate::local_cache::LocalCache;
use crate::mirror::{Access, Location, Network, RetryPolicy};
use crate::openpgp::PublicKeys;
use crate::registry::{RegistryClient, RegistrySettings};
use crate::test_support::fixtures;

struct Silent;

impl Reporter for Silent {
    fn event(&self, _: Event) {}
}

/// A lock, the build cache with its packages, and a local cache.
struct World {
    lock: SpackLockfile,
    mirror: Vec<BuildCache>,
    cache: LocalCache,
    work: tempfile::TempDir,
}

impl World {
    async fn new(lock: PathBuf, mirror: PathBuf, key: PathBuf) -> Self {
        let work = tempfile::tempdir().expect("a folder");
        let lock = SpackLockfile::parse(&fs::read_to_string(lock).expect("a lock"));
        let keys = PublicKeys::parse(&fs::read(key).expect("a key")).expect("a key");
        let access = Access {
            network: Network::new(std::time::Duration::from_secs(1)),
            registries: RegistryClient::new(RegistrySettings::default()),
            is_offline: true,
            retry: RetryPolicy::default(),
            environment: Arc::default(),
        };
        let mirror = Location::Folder(mirror.canonicalize().expect("a mirror"));
        let mirror = BuildCache::connect("m", &mirror, Trust::Signed(keys), &access).await;
        Self {
            lock: lock.expect("Spack wrote it"),
            mirror: vec![mirror.expect("a folder")],
            cache: LocalCache::open(work.path().join("cache")).expect("opens"),
            work,
        }
    }

    async fn demo() -> Self {
        let demo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../demo");
        let lock = demo.join("container_definitions/amd64/spike/spack.lock");
        Self::new(lock, demo.join("cache"), demo.join("keys/demo.pub")).await
    }

    fn supply(&self) -> Supply<'_> {
        Supply {
            cache: &self.cache,
            reporter: Arc::new(Silent),
            jobs: NonZeroUsize::new(2).expect("not 0"),
            now: SystemTime::now(),
            mirrors: &self.mirror,
        }
    }

    fn layout(&self, root: &Path, padded_length: usize) -> Layout {
        let generation = LayoutGeneration::of_lockfile_version(self.lock.version);
        layout(
            root,
            padded_length,
            Projections::default_of(generation),
            None,
        )
        .expect("a layout")
    }

    /// Lays the roots of these names down.
    async fn lay(&self, layout: &Layout, explicit: bool) -> LaidDown {
        let satisfies = SatisfiesIn::new(&self.lock.specs);
        let roots = self.lock.all_root_hashes();
        let laying = Laying {
            specs: &self.lock.specs,
            wanted: &roots,
            explicit: &roots.iter().copied().filter(|_| explicit).collect(),
            layout,
            satisfies: &|spec, constraint| satisfies.satisfies(spec, constraint),
            mount: None,
        };
        let laid = lay_down(&laying, &self.supply()).await;
        laid.expect("lays down")
    }
}

/// Type, mode, and digest or target.
type Fact = (String, u32, String);

fn listing(folder: &Path, name: &str, all: &mut BTreeMap<String, Fact>) {
    let metadata = fs::symlink_metadata(folder).expect("there");
    let mode = metadata.permissions().mode() & 0o7777;
    let fact = if metadata.is_symlink() {
        let target = fs::read_link(folder).expect("a link");
        ("link", 0, target.to_string_lossy().into_owned())
    } else if metadata.is_dir() {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            let below = format!("{name}/{}", entry.file_name().to_string_lossy());
            listing(&entry.path(), &below, all);
        }
        ("dir", mode, String::new())
    } else {
        let bytes = fs::read(folder).expect("readable");
        ("file", mode, Digest::of(&bytes).hex())
    };
    if !name.ends_with(TIMES) {
        all.insert(name.to_owned(), (fact.0.into(), fact.1, fact.2));
    }
}

fn expected(path: &Path) -> BTreeMap<String, Fact> {
    let text = fs::read_to_string(path).expect("a listing");
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let fact: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| fact[key].as_str().unwrap_or_default().to_owned();
        let path = text("path");
        if !path.contains("/") || path.starts_with("bin/") || path.ends_with(TIMES) {
            continue;
        }
        let mode = u32::from_str_radix(text("mode").trim_start_matches("0o"), 8).unwrap_or(0);
        let content = match text("type").as_str() {
            "file" => text("sha256"),
            "link" => text("target"),
            _ => String::new(),
        };
        all.insert(path, (text("type"), mode, content));
    }
    all
}

/// Unpacked for a root that is not here, as nobody may write to it.
#[tokio::test]
async fn packages_are_what_spack_installs() {
    let Some(fixtures) = fixtures() else { return };
    let world = World::new(
        fixtures.join("envs/small/spack.lock"),
        fixtures.join("caches/small-v3"),
        fixtures.join("caches/signing-key.pub"),
    )
    .await;
    let projections = Projections::default_of(LayoutGeneration::PlatformAndTarget);
    let layout = Layout::new("/opt/fxroot", None, projections, None).expect("a layout");
    let roots = world.lock.all_root_hashes();
    let laying = Laying {
        specs: &world.lock.specs,
        wanted: &roots,
        explicit: &HashSet::new(),
        layout: &layout,
        satisfies: &|_, _| false,
        mount: None,
    };
    let prepared = prepare(&laying, &world.supply(), &HashMap::new()).await;
    let Prepared { jobs, room, .. } = prepared.expect("prepares");
    let store = Store::open(world.work.path().join("root"));
    let staging = store.expect("a store").staging().expect("a folder");
    unpack_all(&jobs, &staging, &room, 2, &Silent).expect("unpacks");
    let mut ours = BTreeMap::new();
    for job in &jobs {
        let name = job.prefix.strip_prefix("/opt/fxroot/").expect("below");
        listing(&staging.of(&job.hash), name, &mut ours);
    }
    let theirs = expected(&fixtures.join("expected/small-store-relocated.jsonl"));
    let wrong: Vec<_> = theirs
        .keys()
        .chain(ours.keys())
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .map(|path| (path, ours.get(path), theirs.get(path)))
        .collect();
    assert!(theirs.len() > 3900, "{}", theirs.len());
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
}

#[tokio::test]
async fn a_tree_is_filled_once_and_completed_after_a_kill() {
    let world = World::demo().await;
    let root = world.work.path().join("tree");
    for padded_length in [0, 150] {
        let root = root.join(padded_length.to_string());
        let layout = world.layout(&root, padded_length);
        let first = world.lay(&layout, false).await;
        assert!(!first.laid.is_empty() && first.present == 0, "{first:?}");
        let tree = InstallTree::open(&root).expect("a tree");
        assert_eq!(tree.packages().count(), first.laid.len());
        for (hash, prefix) in &first.laid {
            assert!(prefix.starts_with(layout.root()), "{prefix}");
            tree.package(hash).expect("its spec file");
            assert!(!tree.is_explicit(hash));
        }
        assert!(root.join("bin/sbang").is_file());
        let index = Path::new(layout.root()).join(".spack-db/index.json");
        let text = fs::read_to_string(&index).expect("a database");

        // Again: nothing is done, but for what is asked for now.
        let layout = world.layout(&root, 0);
        assert_eq!(world.lay(&layout, false).await.laid, []);
        assert_eq!(fs::read_to_string(&index).expect("a database"), text);
        assert_eq!(world.lay(&layout, true).await.laid, []);
        let tree = InstallTree::open(&root).expect("a tree");
        let roots = world.lock.all_root_hashes();
        assert!(roots.iter().all(|root| tree.is_explicit(root)));

        // Killed before the database was written, with half a package beside.
        fs::remove_file(&index).expect("removed");
        let left = index.with_file_name("spacktainers/laying-left");
        fs::create_dir(&left).expect("made");
        fs::write(left.join("lock"), "").expect("written");
        let (_, prefix) = &first.laid[0];
        fs::write(Path::new(prefix).join("half"), "").expect("written");
        let again = world.lay(&layout, false).await;
        assert_eq!(again.laid.len(), first.laid.len());
        assert!(!left.exists() && !Path::new(prefix).join("half").exists());
    }
}
