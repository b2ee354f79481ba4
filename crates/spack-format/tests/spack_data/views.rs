//! Views of real environments, path by path as Spack made them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use spack_format::build_cache::{clearsign, v2, v3};
use spack_format::concrete::ConcreteSpec;
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::{InstallTree, LayoutGeneration, Projections};
use spack_format::view::{
    OperationKind, PrefixEntry, PrefixEntryKind, ViewDescriptor, ViewPackage, ViewRequest, plan,
};

use crate::support;

/// The members of a tarball below its prefix.
fn entries(tarball: &Path) -> Vec<PrefixEntry> {
    let file =
        std::fs::File::open(tarball).unwrap_or_else(|it| panic!("{}: {it}", tarball.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut all = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path_bytes().into_owned();
        let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
        let target = entry
            .link_name_bytes()
            .map(|it| it.into_owned())
            .unwrap_or_default();
        let kind = match entry.header().entry_type() {
            tar::EntryType::Directory => PrefixEntryKind::Directory,
            tar::EntryType::Symlink => PrefixEntryKind::Symlink(target),
            tar::EntryType::Link => PrefixEntryKind::HardLink(target),
            _ => {
                let executable = entry.header().mode().expect("a mode") & 0o111 != 0;
                let mut start = Vec::new();
                entry
                    .by_ref()
                    .take(2)
                    .read_to_end(&mut start)
                    .expect("content");
                PrefixEntryKind::File {
                    executable,
                    shebang: start == b"#!",
                }
            }
        };
        all.push(PrefixEntry { path, kind });
    }
    let root = all
        .iter()
        .find_map(|it| {
            it.path
                .strip_suffix(b"/.spack/binary_distribution".as_slice())
        })
        .expect("a prefix")
        .to_vec();
    let below = |path: &[u8]| {
        Some(
            path.strip_prefix(root.as_slice())?
                .strip_prefix(b"/")?
                .to_vec(),
        )
    };
    all.into_iter()
        .filter_map(|it| {
            let kind = match it.kind {
                PrefixEntryKind::HardLink(target) => PrefixEntryKind::HardLink(below(&target)?),
                kind => kind,
            };
            Some(PrefixEntry {
                path: below(&it.path)?,
                kind,
            })
        })
        .collect()
}

/// Where the tarball of a package lies.
type Tarball = Box<dyn Fn(&ConcreteSpec, &SpackLockfile) -> PathBuf>;

struct Environment {
    lock: SpackLockfile,
    tree: InstallTree,
    tarball: Tarball,
}

impl Environment {
    fn new(lock: &Path, root: &str, padded_length: Option<usize>, mirror: PathBuf) -> Self {
        let lock = SpackLockfile::parse(&support::read(lock)).expect("a lock");
        let generation = LayoutGeneration::of_lockfile_version(lock.version);
        let projections = Projections::default_of(generation);
        let tree = InstallTree::new(root, padded_length, projections, None).expect("a tree");
        let tarball: Tarball = if lock.version >= 6 {
            Box::new(move |spec, _| {
                let text = support::read(mirror.join(v3::spec_manifest_path(spec)));
                let envelope = clearsign::split(&text).expect("a manifest");
                let manifest = v3::Manifest::parse(envelope.payload()).expect("a manifest");
                mirror.join(v3::blob_path(
                    &manifest.tarball().expect("a tarball").checksum,
                ))
            })
        } else {
            Box::new(move |spec, lock| mirror.join(&v2::candidates(spec, &lock.specs)[0].tarball))
        };
        Self {
            lock,
            tree,
            tarball,
        }
    }

    fn prefix(&self, spec: &ConcreteSpec) -> String {
        self.tree
            .prefix(spec, &self.lock.specs, &|_, _| false)
            .expect("a prefix")
    }

    /// Path, and what is there: `dir`, or the link's target.
    fn view(&self, root: &str) -> (String, BTreeMap<String, String>) {
        let descriptor = ViewDescriptor::at(root);
        let roots: Vec<_> = self.lock.root_hashes().collect();
        let specs = &self.lock.specs;
        let selected = descriptor.select(specs, &roots, &|_| true, &|_, _| false);
        let real_root = descriptor.real_root(&selected, &|spec| self.prefix(spec));
        let packages: Vec<_> = selected
            .iter()
            .filter(|spec| !spec.is_external())
            .map(|spec| {
                (
                    *spec,
                    self.prefix(spec),
                    entries(&(self.tarball)(spec, &self.lock)),
                )
            })
            .collect();
        let packages: Vec<_> = packages
            .iter()
            .map(|(spec, prefix, entries)| ViewPackage {
                spec,
                prefix,
                entries,
            })
            .collect();
        let request = ViewRequest {
            descriptor: &descriptor,
            real_root: &real_root,
            store_root: self.tree.root(),
            specs,
            packages: &packages,
            neighbours: &[],
            satisfies: &|_, _| false,
        };
        let plan = plan(&request).expect("a plan");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let made = plan
            .operations
            .into_iter()
            .map(|it| match it.kind {
                OperationKind::Directory => (text(it.path), "dir".to_owned()),
                OperationKind::Symlink(target) => (text(it.path), text(target)),
                other => (text(it.path), format!("{other:?}")),
            })
            .collect();
        (real_root, made)
    }
}

fn expected(path: &Path) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let kind = text("target").or_else(|| text("type")).expect("a type");
        (text("path").expect("a path"), kind)
    };
    support::read(path).lines().map(line).collect()
}

fn assert_same(made: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    for (path, kind) in expected {
        assert_eq!(made.get(path), Some(kind), "{path}");
    }
    for path in made.keys() {
        assert!(expected.contains_key(path), "{path} is not in Spack's view");
    }
}

#[test]
fn the_view_of_a_relocated_store_is_the_one_that_spack_makes() {
    let test = "the_view_of_a_relocated_store_is_the_one_that_spack_makes";
    let Some(fixtures) = support::fixtures(test) else {
        return;
    };
    let lock = fixtures.join("envs/small/spack.lock");
    let mirror = fixtures.join("caches/small-v3");
    let environment = Environment::new(&lock, "/opt/fxroot", None, mirror);
    let (_, made) = environment.view("/opt/fxview");
    assert_same(
        &made,
        &expected(&fixtures.join("expected/small-view-relocated.jsonl")),
    );
}

#[test]
fn views_of_stores_where_they_were_built_are_those_that_spack_makes() {
    let test = "views_of_stores_where_they_were_built_are_those_that_spack_makes";
    let (Some(fixtures), Some(references)) = (support::fixtures(test), support::references(test))
    else {
        return;
    };
    let demo = support::demo();
    let caches = fixtures.join("caches");
    let cases = [
        (
            "small",
            fixtures.join("envs/small/spack.lock"),
            "/opt/software",
            caches.join("small-v3"),
            "/opt/view",
        ),
        (
            "tiny",
            fixtures.join("envs/tiny/spack.lock"),
            "/opt/spack-sw",
            caches.join("tiny-v2"),
            "/opt/tiny-view",
        ),
        (
            "demo",
            demo.join(support::DEMO_LOCK),
            "/opt/software",
            demo.join("cache"),
            "/opt/view",
        ),
    ];
    for (name, lock, root, mirror, view) in cases {
        let environment = Environment::new(&lock, root, Some(128), mirror);
        let (real_root, mut made) = environment.view(view);
        let mut expected = expected(&references.join(format!("{name}-view.jsonl")));
        if name == "demo" {
            // Installing writes a file of its own timings into every prefix; not every tarball
            // has one.
            made.retain(|path, _| !path.ends_with("/install_times.json"));
            expected.retain(|path, _| !path.ends_with("/install_times.json"));
        }
        assert_same(&made, &expected);
        if name == "small" {
            assert_eq!(real_root, "/opt/._view/vx4kaaqcwrnhaglykdwzwulpsmdqzymj");
        }
    }
}

#[test]
fn a_script_of_the_demo_is_linked_and_its_metadata_too() {
    let demo = support::demo();
    let lock = demo.join(support::DEMO_LOCK);
    let environment = Environment::new(&lock, "/opt/software", Some(128), demo.join("cache"));
    let (_, made) = environment.view("/opt/view");
    for path in ["bin/spike", "bin/spike-plot", ".spack/spike/spec.json"] {
        let target = made
            .get(path)
            .unwrap_or_else(|| panic!("{path} is not in {made:?}"));
        assert!(target.starts_with(environment.tree.root()), "{target}");
    }
}
