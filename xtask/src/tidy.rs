//! Rules about the code that no compiler checks. Each guards a sentence of ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::tool;

/// What pure code may not touch: files, clocks, the environment, processes, the network, the screen.
const OUTSIDE_WORLD: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "SystemTime::now",
    "Instant::now",
    "tokio::",
    "reqwest::",
    "object_store::",
    "println!",
    "eprintln!",
];

/// Folders and files (below the root) whose code is pure.
const PURE: &[&str] = &[
    "crates/spack-format/src",
    "crates/oci-format/src",
    "crates/spacktainers/src/affected.rs",
    "crates/spacktainers/src/assemble",
    "crates/spacktainers/src/diagnostic.rs",
    "crates/spacktainers/src/layer/plan",
    "crates/spacktainers/src/lock",
    "crates/spacktainers/src/pipeline",
    "crates/spacktainers/src/resolve",
    "crates/spacktainers/src/seed",
    "crates/spacktainers/src/why.rs",
];

/// Marks of unfinished work.
const UNFINISHED: &[&str] = &["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"];

/// Lines above which a file surely holds two subjects.
const LONGEST: usize = 700;

/// Checks all rules and lists every breach.
pub(crate) fn run() -> Result<()> {
    let breaches = breaches(&tool::root())?;
    if !breaches.is_empty() {
        bail!(
            "{} breaches of the project's rules:\n  {}",
            breaches.len(),
            breaches.join("\n  ")
        );
    }
    tool::say("tidy: all rules hold");
    Ok(())
}

fn breaches(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in sources(root)? {
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        let text = fs::read_to_string(&file)?;
        let is_tidy = name == "xtask/src/tidy.rs";
        if text.lines().count() > LONGEST {
            found.push(format!(
                "{name}: more than {LONGEST} lines: split it by subject"
            ));
        }
        let pure = PURE.iter().any(|place| name.starts_with(place));
        // Tests may read fixtures; the rule is about what ships.
        let production = text.split("#[cfg(test)]").next().unwrap_or("");
        let is_test_file = name.ends_with("/tests.rs") || name.contains("/tests/");
        for (index, line) in text.lines().enumerate() {
            if !is_tidy && let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(**mark)) {
                found.push(format!("{name}:{}: unfinished: `{mark}`", index + 1));
            }
        }
        if pure && !is_test_file {
            for (index, line) in production.lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                if let Some(word) = OUTSIDE_WORLD.iter().find(|word| code.contains(**word)) {
                    found.push(format!(
                        "{name}:{}: `{word}` belongs in an edge module",
                        index + 1
                    ));
                }
            }
        }
        if name.starts_with("crates/") && name.contains("/src/") && !text.starts_with("//!") {
            found.push(format!("{name}: begins with no module documentation"));
        }
    }
    Ok(found)
}

/// Every Rust file of the project.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pending = vec![root.join("crates"), root.join("xtask"), root.join("fuzz")];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                pending.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_code_keeps_the_rules() {
        let breaches = super::breaches(&crate::tool::root()).expect("the sources are readable");
        assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    }
}
