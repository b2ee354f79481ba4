//! The variables that `spack env activate` sets for real environments.

use std::collections::BTreeMap;
use std::path::Path;

use spack_format::environment_modifications::{
    EnvironmentRequest, Modifications, PrefixInspections, ViewPlaces, for_view,
};
use spack_format::lockfile::SpackLockfile;

use crate::support;

/// A package's name, and directories that it has.
type Folders<'a> = (&'a str, &'a [&'a str]);

/// The values for `lock` with a view at `root`, from an environment of only a `PATH`.
///
/// No package's own directories matter here: with a view, what they add is what the view adds.
/// Directories of externals do; these are the ones on the machine that made the references.
fn activated(lock: &Path, root: &str, packages: &[Folders<'_>]) -> BTreeMap<String, String> {
    let lock = SpackLockfile::parse(&support::read(lock)).expect("a lock");
    let roots: Vec<_> = lock.root_hashes().collect();
    let request = EnvironmentRequest {
        specs: &lock.specs,
        roots: &roots,
        prefix: &|spec| match &spec.external {
            Some(external) => external.path.clone(),
            None => Some(format!("/s/{}", spec.name)),
        },
        is_directory: &|path| {
            let system = ["/usr/bin", "/usr/share/man", "/usr/share/aclocal"];
            let libraries = ["/usr/lib/pkgconfig", "/usr/share/pkgconfig"];
            let own = |(name, folders): &Folders<'_>| {
                folders
                    .iter()
                    .any(|folder| path == format!("/s/{name}/{folder}"))
            };
            system.contains(&path) || libraries.contains(&path) || packages.iter().any(own)
        },
        inspections: &PrefixInspections::default(),
        env_vars: &Modifications::new(),
        recipes: &|_| None,
    };
    let view = ViewPlaces {
        root,
        place: &|_| root.to_owned(),
    };
    let path = ("PATH".to_owned(), "/bin:/usr/bin".to_owned());
    for_view(&request, &view).apply(&BTreeMap::from([path]))
}

/// Which of the small environment's packages have which of the directories.
const SMALL: [Folders<'_>; 7] = [
    ("bzip2", &["bin", "lib/pkgconfig", "man"]),
    ("lz4", &["bin", "lib/pkgconfig", "share/man"]),
    ("xz", &["bin", "lib/pkgconfig", "share/man"]),
    ("nano", &["bin", "share/man"]),
    ("zlib", &["lib/pkgconfig", "share/man"]),
    ("ncurses", &["bin", "lib/pkgconfig", "share/man"]),
    ("zstd", &["lib/pkgconfig"]),
];

#[test]
fn activating_the_small_environment_sets_what_spack_sets() {
    let test = "activating_the_small_environment_sets_what_spack_sets";
    let Some(fixtures) = support::fixtures(test) else {
        return;
    };
    let made = activated(
        &fixtures.join("envs/small/spack.lock"),
        "/opt/fxview",
        &SMALL,
    );
    let text = support::read(fixtures.join("expected/small-environment.json"));
    let mut expected: BTreeMap<String, String> = serde_json::from_str(&text).expect("JSON");
    expected.remove("comment");
    assert_eq!(made, expected);
}

#[test]
fn activating_other_environments_sets_what_spack_sets() {
    let test = "activating_other_environments_sets_what_spack_sets";
    let (Some(fixtures), Some(references)) = (support::fixtures(test), support::references(test))
    else {
        return;
    };
    let cases: [(_, _, _, &[Folders<'_>]); 2] = [
        (
            "small",
            fixtures.join("envs/small/spack.lock"),
            "/opt/view",
            &SMALL,
        ),
        (
            "demo",
            support::demo().join(support::DEMO_LOCK),
            "/opt/view",
            &[("libspike", &["lib/pkgconfig"])],
        ),
    ];
    for (name, lock, root, packages) in cases {
        let made = activated(&lock, root, packages);
        let text = support::read(references.join(format!("{name}-activate.sh")));
        let mut expected = BTreeMap::from([("PATH".to_owned(), "/bin:/usr/bin".to_owned())]);
        let exports = text.lines().filter_map(|line| line.strip_prefix("export "));
        for (name, value) in exports.filter_map(|it| it.split_once('=')) {
            if !name.starts_with("SPACK_ENV") {
                expected.insert(name.to_owned(), value.trim_end_matches(';').to_owned());
            }
        }
        assert_eq!(made, expected, "{name}");
    }
}
