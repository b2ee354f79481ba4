//! Small build caches, made up: right ones, and a way to spoil them.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use flate2::{Compression, write::GzEncoder};
use oci_format::{Digest, media_type};
use spack_format::build_cache::{oci, v2, v3};
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::lockfile::SpackLockfile;
use std::io::Write;

use super::super::*;
use crate::event::{Event, Reporter};
use crate::image::RegistryOrigin;
use crate::mirror::{Network, RetryPolicy};
use crate::openpgp::PublicKeys;
use crate::registry::{RegistryClient, RegistrySettings};
use crate::test_support::http_server::HttpServer;
use crate::test_support::sign_as_alpha;

pub(super) const ALPHA_PUB: &[u8] = include_bytes!("../../../tests/data/openpgp/alpha.pub");
pub(super) const BETA_PUB: &[u8] = include_bytes!("../../../tests/data/openpgp/beta.pub");

/// Three packages without dependencies: `alpha@1.0`, `beta@1.0` and `gamma@1.0`.
pub(super) fn specs() -> ConcreteSpecs {
    let nodes: Vec<_> = ["alpha", "beta", "gamma"]
        .map(|name| format!("\"{}\":{}", hash(name), node(name)))
        .into();
    let roots = format!("[{{\"hash\":\"{}\",\"spec\":\"alpha\"}}]", hash("alpha"));
    let lock = format!(
        "{{\"_meta\":{{\"file-type\":\"spack-lockfile\",\"lockfile-version\":6,\"specfile-version\":5}},\
         \"roots\":{roots},\"concrete_specs\":{{{}}}}}",
        nodes.join(",")
    );
    SpackLockfile::parse(&lock).expect("a lock").specs
}

pub(super) fn named<'a>(specs: &'a ConcreteSpecs, name: &str) -> &'a ConcreteSpec {
    specs
        .iter()
        .find(|spec| spec.name == name)
        .expect("a package of that name")
}

fn hash(name: &str) -> String {
    name[..1].repeat(32)
}

fn node(name: &str) -> String {
    let hash = hash(name);
    format!(
        "{{\"name\":\"{name}\",\"version\":\"1.0\",\"arch\":{{\"platform\":\"linux\",\
         \"platform_os\":\"debian12\",\"target\":\"x86_64\"}},\"namespace\":\"builtin\",\
         \"parameters\":{{\"build_system\":\"generic\"}},\
         \"annotations\":{{\"original_specfile_version\":5}},\"hash\":\"{hash}\"}}"
    )
}

/// Bytes that do not repeat, as tarballs are.
pub(super) fn tarball(size: u32) -> Vec<u8> {
    (0..size)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8)
        .collect()
}

/// The objects of a build cache by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects(pub(super) BTreeMap<String, Vec<u8>>);

impl Objects {
    /// Adds a package in layout 3, signed by the test key `alpha`.
    pub(super) fn add_v3(&mut self, spec: &ConcreteSpec, tarball: &[u8]) -> &mut Self {
        let text = spec_text(&spec.name, ",\"buildcache_layout_version\":2");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).expect("memory");
        let spec_blob = gzip.finish().expect("memory");
        let manifest = manifest(tarball, &spec_blob);
        self.0.insert(blob_key(tarball), tarball.to_vec());
        self.0.insert(blob_key(&spec_blob), spec_blob);
        let signed = sign_as_alpha(&manifest).into_bytes();
        self.0.insert(v3::spec_manifest_path(spec), signed);
        self
    }

    /// Adds a package in layout `layout` of the old kind, signed likewise.
    pub(super) fn add_v2(&mut self, spec: &ConcreteSpec, tarball: &[u8], layout: u32) -> &mut Self {
        let checksum = Digest::of(tarball).hex();
        let more = format!(
            ",\"buildcache_layout_version\":{layout},\
             \"binary_cache_checksum\":{{\"hash_algorithm\":\"sha256\",\"hash\":\"{checksum}\"}}"
        );
        let paths = v2_paths(spec);
        let text = spec_text(&spec.name, &more);
        let stored = if layout == 0 {
            nested(&text, tarball)
        } else {
            tarball.to_vec()
        };
        self.0
            .insert(paths.signed_spec, sign_as_alpha(&text).into_bytes());
        self.0.insert(paths.tarball, stored);
        self
    }

    /// Adds a package as an image of the repository `cache`, as a registry serves it.
    pub(super) fn add_oci(&mut self, spec: &ConcreteSpec, tarball: &[u8]) -> &mut Self {
        let rootfs = format!(
            ",\"architecture\":\"amd64\",\"os\":\"linux\",\"buildcache_layout_version\":3,\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\"]}}",
            Digest::of(b"uncompressed")
        );
        let config = spec_text(&spec.name, &rootfs);
        let record = |bytes: &[u8], media_type: &str| {
            let (digest, size) = (Digest::of(bytes), bytes.len());
            format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{digest}\",\"size\":{size}}}")
        };
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{},\"layers\":[{}]}}",
            media_type::IMAGE_MANIFEST,
            record(config.as_bytes(), media_type::IMAGE_CONFIG),
            record(tarball, media_type::LAYER_TAR_GZIP)
        );
        let blob = |bytes: &[u8]| format!("v2/cache/blobs/{}", Digest::of(bytes));
        self.0.insert(blob(config.as_bytes()), config.into_bytes());
        self.0.insert(blob(tarball), tarball.to_vec());
        let tag = oci::tag(spec);
        self.0
            .insert(format!("v2/cache/manifests/{tag}"), manifest.into_bytes());
        self
    }

    pub(super) fn into_folder(self, folder: &Path) {
        for (key, bytes) in self.0 {
            let path = folder.join(key);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("makes");
            fs::write(path, bytes).expect("writes");
        }
    }

    pub(super) fn onto(&self, server: &HttpServer) {
        for (key, bytes) in &self.0 {
            server.put(key, bytes);
        }
    }
}

pub(super) fn v2_paths(spec: &ConcreteSpec) -> v2::Paths {
    v2::candidates(spec, &specs()).remove(0)
}

pub(super) fn blob_key(bytes: &[u8]) -> String {
    let hex = Digest::of(bytes).hex();
    format!("blobs/sha256/{}/{hex}", &hex[..2])
}

/// The text of a manifest of these two blobs.
pub(super) fn manifest(tarball: &[u8], spec_blob: &[u8]) -> String {
    let record = |bytes: &[u8], media_type: &str| {
        format!(
            "{{\n\"contentLength\":{},\n\"mediaType\":\"{media_type}\",\n\"compression\":\"gzip\",\n\
             \"checksumAlgorithm\":\"sha256\",\n\"checksum\":\"{}\"\n}}",
            bytes.len(),
            Digest::of(bytes).hex()
        )
    };
    format!(
        "{{\n\"version\":3,\n\"data\":[\n{},\n{}\n]\n}}",
        record(tarball, v3::TARBALL_MEDIA_TYPE),
        record(spec_blob, v3::SPEC_MEDIA_TYPE)
    )
}

pub(super) fn spec_text(name: &str, more: &str) -> String {
    format!(
        "{{\"spec\":{{\"_meta\":{{\"version\":5}},\"nodes\":[{}]}}{more}}}",
        node(name)
    )
}

fn nested(spec: &str, tarball: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive
            .append_data(&mut header, name, bytes)
            .expect("memory");
    };
    add("alpha.spec.json", spec.as_bytes());
    add("alpha.spec.json.asc", b"signature");
    add("alpha.tar.gz", tarball);
    archive.into_inner().expect("memory")
}

/// Whatever was told.
#[derive(Default)]
pub(super) struct Told(Mutex<Vec<Event>>);

impl Reporter for Told {
    fn event(&self, event: Event) {
        self.0.lock().expect("no panic while held").push(event);
    }
}

impl Told {
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().expect("no panic while held"))
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let events = self.take().into_iter();
        events
            .filter_map(|event| match event {
                Event::Warning(text) => Some(text),
                _ => None,
            })
            .collect()
    }
}

/// A cache of its own, and what else finding and fetching want.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) cache: LocalCache,
    pub(super) told: Told,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let cache = LocalCache::open(folder.path().join("cache")).expect("a cache");
        let told = Told::default();
        Self {
            folder,
            cache,
            told,
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            cache: &self.cache,
            reporter: &self.told,
            jobs: NonZeroUsize::new(4).expect("four"),
            now: SystemTime::now(),
        }
    }
}

pub(super) fn access(is_offline: bool) -> Access {
    Access {
        network: Network::new(Duration::from_secs(2)),
        registries: RegistryClient::new(RegistrySettings::default()),
        is_offline,
        retry: RetryPolicy {
            attempts: 4,
            base: Duration::from_millis(5),
            longest: Duration::from_millis(20),
        },
        environment: Arc::default(),
    }
}

pub(super) fn signed_by(keys: &[u8]) -> Trust {
    Trust::Signed(PublicKeys::parse(keys).expect("a key"))
}

pub(super) fn unsigned() -> Trust {
    Trust::Unsigned(PublicKeys::default())
}

pub(super) async fn at_folder(folder: &Path, trust: Trust) -> BuildCache {
    let location = Location::Folder(folder.to_owned());
    let connected = BuildCache::connect("folder", &location, trust, &access(false)).await;
    connected.unwrap_or_else(|error| panic!("{error}"))
}

pub(super) async fn at_server(server: &HttpServer, trust: Trust, is_offline: bool) -> BuildCache {
    let location = Location::Http(server.url());
    let connected = BuildCache::connect("web", &location, trust, &access(is_offline)).await;
    connected.unwrap_or_else(|error| panic!("{error}"))
}

/// The repository `cache` of a registry.
pub(super) async fn at_registry(
    host: &str,
    name: &str,
    trust: Trust,
    is_offline: bool,
) -> BuildCache {
    let location = Location::Registry(RegistryOrigin {
        registry: host.to_owned(),
        repository: name.to_owned(),
        plain_http: true,
    });
    let connected = BuildCache::connect("registry", &location, trust, &access(is_offline)).await;
    connected.unwrap_or_else(|error| panic!("{error}"))
}

pub(super) async fn the_entry(mirrors: &[BuildCache], name: &str, bench: &Bench) -> CacheEntry {
    let specs = specs();
    match find(mirrors, named(&specs, name), &specs, &bench.context()).await {
        Ok(Found::Here(entry)) => *entry,
        Ok(Found::Nowhere(missing)) => panic!("{missing:?}"),
        Err(error) => panic!("{error}: {}", error.reason),
    }
}

pub(super) async fn the_fault(mirrors: &[BuildCache], name: &str, bench: &Bench) -> FindError {
    let specs = specs();
    match find(mirrors, named(&specs, name), &specs, &bench.context()).await {
        Ok(found) => panic!("no fault: {found:?}"),
        Err(error) => error,
    }
}

pub(super) fn bytes(content: &crate::content::Content) -> Vec<u8> {
    let mut all = Vec::new();
    let mut reader = content.open(0).expect("opens");
    std::io::Read::read_to_end(&mut reader, &mut all).expect("reads");
    all
}
