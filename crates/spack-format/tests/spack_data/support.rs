//! Where the fixtures are.

use std::io::Write as _;
use std::path::PathBuf;

/// The folder of fixtures; `None`, having said so, if this machine has none.
pub(crate) fn fixtures(test: &str) -> Option<PathBuf> {
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

/// The text of a file that has to be there.
pub(crate) fn read(path: impl AsRef<std::path::Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All `spack.lock` files of the fixtures.
pub(crate) fn locks(fixtures: &std::path::Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for folder in ["envs", "locks"] {
        let Ok(entries) = std::fs::read_dir(fixtures.join(folder)) else {
            continue;
        };
        out.extend(
            entries
                .flatten()
                .map(|entry| entry.path().join("spack.lock"))
                .filter(|it| it.is_file()),
        );
    }
    out.sort();
    assert!(!out.is_empty(), "the fixtures hold no locks");
    out
}

/// The folder of outputs of real Spack (`<name>-index.json`, `<name>-view.jsonl`,
/// `<name>-activate.sh`), if this machine has one.
pub(crate) fn references(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SPACKTAINERS_REFERENCES").map(PathBuf::from);
    if root.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {test}: no outputs of real Spack; name their folder by SPACKTAINERS_REFERENCES"
        );
    }
    root
}

/// The demo of this project: a lock and a build cache that real Spack made.
pub(crate) fn demo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../demo")
}

/// The lock of the demo, below its folder.
pub(crate) const DEMO_LOCK: &str = "container_definitions/amd64/spike/spack.lock";
