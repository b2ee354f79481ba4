//! dpkg's records: what makes the tree an installed system to dpkg, apt and scanners.
//!
//! ```text
//! /var/lib/dpkg/
//!   status                        one paragraph per package, "install ok installed"
//!   available                     empty: what dselect once used
//!   arch                          the native architecture
//!   diversions  statoverride      what packages asked for
//!   info/format                   "1"
//!   info/<package>.list           its paths; <package>:<architecture>.list when Multi-Arch: same
//!   info/<package>.{md5sums,conffiles,triggers,shlibs,postinst,…}
//!   triggers/File                 paths that packages wait for changes of
//!   triggers/<name>               packages that wait for a named trigger
//!   alternatives/<name>           see `alternatives`
//! ```
//!
//! Source: dpkg's `doc/` and its `lib/dpkg/dbdir.c`, `dump.c`, `infodb-format.c` as seen in what it writes.

use std::collections::BTreeMap;
use std::io::Write;

use super::deb::ControlFiles;
use super::tree::{PackageFiles, Tree, TreeError};

/// One unpacked package.
pub(super) struct Installed {
    pub(super) control: ControlFiles,
    pub(super) files: PackageFiles,
}

impl Installed {
    fn get(&self, field: &str) -> &str {
        self.control.control.get(field).unwrap_or_default()
    }

    /// The package's name.
    pub(super) fn name(&self) -> &str {
        self.get("Package")
    }

    /// What its files below `info` begin with.
    fn info_name(&self) -> String {
        match self.get("Multi-Arch") {
            "same" => format!("{}:{}", self.name(), self.get("Architecture")),
            _ => self.name().to_owned(),
        }
    }
}

/// Writes all records. `packages` are ordered by name.
pub(super) fn write<W: Write>(
    tree: &mut Tree<W>,
    packages: &[Installed],
    architecture: &str,
    diversions: &str,
    statoverrides: &str,
) -> Result<(), TreeError> {
    const ROOT: &str = "var/lib/dpkg";
    let status: String = packages.iter().map(status_paragraph).collect();
    for (name, content) in [
        ("status", status.as_str()),
        ("available", ""),
        ("arch", &format!("{architecture}\n")),
        ("diversions", diversions),
        ("statoverride", statoverrides),
        ("info/format", "1\n"),
        ("triggers/Unincorp", ""),
    ] {
        tree.file(&format!("{ROOT}/{name}"), 0o644, content.as_bytes())?;
    }
    for folder in ["alternatives", "parts", "updates"] {
        tree.directory(&format!("{ROOT}/{folder}"), 0o755, 0)?;
    }
    for package in packages {
        let start = format!("{ROOT}/info/{}", package.info_name());
        tree.file(&format!("{start}.list"), 0o644, &package.files.list)?;
        for (name, mode, bytes) in &package.control.files {
            // dpkg takes them over as they are; scripts are executable.
            let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
            tree.file(&format!("{start}.{name}"), mode, bytes)?;
        }
    }
    let (by_file, by_name) = triggers(packages);
    tree.file(&format!("{ROOT}/triggers/File"), 0o644, by_file.as_bytes())?;
    for (name, packages) in by_name {
        tree.file(
            &format!("{ROOT}/triggers/{name}"),
            0o644,
            packages.as_bytes(),
        )?;
    }
    Ok(())
}

/// The control fields with the status, and the conffiles with their MD5 sums.
fn status_paragraph(package: &Installed) -> String {
    let mut out = format!(
        "Package: {}\nStatus: install ok installed\n",
        package.name()
    );
    let mut push = |name: &str, value: &str| {
        out.push_str(name);
        // A value that begins on the next line has no blank behind the colon.
        out.push_str(if value.starts_with('\n') { ":" } else { ": " });
        out.push_str(value);
        out.push('\n');
    };
    for (name, value) in package.control.control.iter() {
        let is_description = name.eq_ignore_ascii_case("Description");
        if is_description && !package.files.conffiles.is_empty() {
            push("Conffiles", &conffiles(package));
        }
        if !name.eq_ignore_ascii_case("Package") && !name.eq_ignore_ascii_case("Status") {
            push(name, value);
        }
    }
    out.push('\n');
    out
}

fn conffiles(package: &Installed) -> String {
    let mut out = String::new();
    for path in conffile_paths(&package.control) {
        if let Some(md5) = package.files.conffiles.get(path.as_slice()) {
            out.push_str(&format!("\n /{} {md5}", String::from_utf8_lossy(&path)));
        }
    }
    out
}

/// The paths in a package's `conffiles`, without their leading slash. Lines with a flag before the path
/// (`remove-on-upgrade`) name files that the package does not have.
pub(super) fn conffile_paths(control: &ControlFiles) -> Vec<Vec<u8>> {
    let text = control.text("conffiles").unwrap_or_default();
    text.lines()
        .filter_map(|line| Some(line.trim().strip_prefix('/')?.as_bytes().to_vec()))
        .collect()
}

/// `triggers/File`, and the other files of that folder by name.
fn triggers(packages: &[Installed]) -> (String, BTreeMap<String, String>) {
    let mut by_file = String::new();
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for package in packages {
        let text = package.control.text("triggers").unwrap_or_default();
        for line in text.lines().map(str::trim) {
            let Some((directive, trigger)) = line.split_once(char::is_whitespace) else {
                continue;
            };
            let trigger = trigger.trim();
            let waits = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ => continue,
            };
            if trigger.starts_with('/') {
                by_file.push_str(&format!("{trigger} {}{waits}\n", package.name()));
            } else if !trigger.contains('/') && !trigger.starts_with('.') {
                let file = by_name.entry(trigger.to_owned()).or_default();
                file.push_str(&format!("{}{waits}\n", package.name()));
            }
        }
    }
    (by_file, by_name)
}
