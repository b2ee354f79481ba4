//! No text makes a parser panic, however it was changed.

use proptest::prelude::*;
use spack_format::build_cache::{
    BinaryDistribution, SpecFile, clearsign, oci, parse_key_index, v3,
};
use spack_format::dag_hash::verify;
use spack_format::database::BuildCacheIndex;
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::{PrefixError, format_path, pad_root};
use spack_format::view::{
    PrefixEntry, PrefixEntryKind, ViewDescriptor, ViewPackage, ViewRequest, plan,
};

const LOCKS: [&str; 3] = [
    include_str!("../data/lock-format3.json"),
    include_str!("../data/lock-rewritten4.json"),
    include_str!("../data/lock-v7.json"),
];

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{\n\"version\":3,\n\"data\":[\n]\n}\n-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n";

const MANIFEST: &str = r#"{"version":3,"data":[{"contentLength":1,"mediaType":"application/pgp-keys","compression":"none","checksumAlgorithm":"sha256","checksum":"07a6c77fc185ada3c5310c4c26b1a3b068da3ba3c90328b12a0d230dc435431f"}]}"#;

const DISTRIBUTION: &str = "{buildpath: /s/__spack,\n  relative_prefix: 'a b', hash_to_prefix: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: /s/a}, relocate_links: [x,\n y]}\n";

/// `text` with some pieces replaced, taken away or doubled.
fn changed(text: &'static str) -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "null",
        "-1",
        "1e999",
        "\\",
        "\u{0}",
        "\u{1f40d}",
        "\n",
        "- ",
        "&a",
        "*a",
        "true",
        "{}",
        "..",
        "/",
    ]);
    let change = (any::<prop::sample::Index>(), 0..12_usize, pieces);
    prop::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut out: Vec<char> = text.chars().collect();
        for (at, length, piece) in changes {
            let start = at.index(out.len() + 1);
            let end = (start + length).min(out.len());
            out.splice(start..end, piece.chars());
        }
        out.into_iter().collect()
    })
}

fn use_lock(text: &str) {
    let Ok(lock) = SpackLockfile::parse(text) else {
        return;
    };
    let closure = lock.runtime_closure();
    assert!(closure.packages.len() + closure.externals.len() <= lock.specs.len());
    for spec in lock.specs.iter() {
        let _ = verify(spec);
        let path = v3::spec_manifest_path(spec);
        assert!(
            path.split('/').all(|part| !matches!(part, "" | "." | "..")),
            "{path}"
        );
        assert!(oci::tag(spec).len() <= 128);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_locks_are_read_or_refused(text in prop::sample::select(LOCKS.to_vec()).prop_flat_map(changed)) {
        use_lock(&text);
    }

    #[test]
    fn changed_files_of_caches_are_read_or_refused(
        signed in changed(SIGNED),
        manifest in changed(MANIFEST),
        distribution in changed(DISTRIBUTION),
    ) {
        let _ = clearsign::split(&signed);
        let _ = v3::Manifest::parse(&manifest);
        let _ = BinaryDistribution::parse(&distribution);
        let _ = parse_key_index(&manifest);
        let _ = oci::PackageManifest::parse(&manifest);
        let _ = oci::PackageConfig::parse(&manifest);
    }

    #[test]
    fn arbitrary_text_is_refused(text in "\\PC{0,60}") {
        let _ = SpackLockfile::parse(&text);
        let _ = SpecFile::parse(&text);
        let _ = BuildCacheIndex::parse(&text);
        let _ = BinaryDistribution::parse(&text);
        let _ = clearsign::split(&format!("-----BEGIN PGP SIGNED MESSAGE-----{text}"));
    }

    #[test]
    fn formatted_paths_stay_below_their_root(format in "[{}a-z./\\\\^:%@=$]{0,12}(\\{(name|version|hash:7|arch|compiler\\.name|variants\\.[a-z]*)\\})?[./a-z]{0,4}") {
        let lock = SpackLockfile::parse(LOCKS[2]).expect("a lock");
        for spec in lock.specs.iter() {
            if let Ok(path) = format_path(&format, spec, &lock.specs) {
                let parts = || path.split('/').filter(|_| !path.is_empty());
                prop_assert!(parts().all(|part| !matches!(part, "" | "." | "..")), "{}", path);
            }
        }
    }

    #[test]
    fn padded_roots_have_their_length(root in "/[a-z/]{0,40}", length in 0..300_usize) {
        let root = root.trim_end_matches('/');
        if let Ok(padded) = pad_root(root, length).map_err(PrefixError::from) {
            prop_assert_eq!(padded.len(), length.max(root.len()));
        }
    }

    #[test]
    fn any_two_prefixes_merge_or_clash(lists in prop::collection::vec(entries(), 2)) {
        let lock = SpackLockfile::parse(LOCKS[2]).expect("a lock");
        let specs: Vec<_> = lock.specs.iter().collect();
        let packages = [
            ViewPackage { spec: specs[0], prefix: "/s/a", entries: &lists[0] },
            ViewPackage { spec: specs[2], prefix: "/s/b", entries: &lists[1] },
        ];
        let descriptor = ViewDescriptor::at("/v");
        let planned = plan(&ViewRequest {
            descriptor: &descriptor,
            real_root: "/v",
            store_root: "/s",
            specs: &lock.specs,
            packages: &packages,
            neighbours: &[],
            satisfies: &|_, _| false,
        });
        let Ok(planned) = planned else { return Ok(()) };
        let mut seen = std::collections::BTreeSet::new();
        for operation in &planned.operations {
            let folder = operation.path.rsplitn(2, |byte| *byte == b'/').nth(1);
            prop_assert!(folder.is_none_or(|folder| seen.contains(folder)), "{:?}", operation);
            prop_assert!(seen.insert(operation.path.clone()), "{:?} twice", operation);
        }
    }
}

/// Some members of a prefix: few names, so that they meet.
fn entries() -> impl Strategy<Value = Vec<PrefixEntry>> {
    let path = || "[ab](/[ab.]){0,3}";
    let kind = prop_oneof![
        Just(PrefixEntryKind::Directory),
        Just(PrefixEntryKind::File {
            executable: true,
            shebang: true
        }),
        "(/s/[ab]/)?[ab.](/[ab]|/\\.\\.){0,3}"
            .prop_map(|it| PrefixEntryKind::Symlink(it.into_bytes())),
        path().prop_map(|it| PrefixEntryKind::HardLink(it.into_bytes())),
    ];
    let entry = (path(), kind).prop_map(|(path, kind)| PrefixEntry {
        path: path.into_bytes(),
        kind,
    });
    prop::collection::vec(entry, 0..8)
}
