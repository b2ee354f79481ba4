//! The dynamic linker's search, repeated for every file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{BaseRecord, Findings, MissingLibrary, TooOldGlibc, Tree};
use crate::layer::{ElfFacts, PackageEntryKind, PackageRecord};

/// `e_machine` of x86-64.
const X86_64: u16 = 62;
/// `e_machine` of AArch64.
const AARCH64: u16 = 183;

/// A package, and where it is in the image.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// For people: `nano@7.2 /tweex5b`.
    pub package: &'a str,
    /// Without the leading `/`.
    pub prefix: &'a str,
    /// What is known of it.
    pub record: &'a PackageRecord,
}

/// Looks for everything that the packages need, in the packages and in the base.
#[must_use]
pub fn check(base: &[BaseRecord], packages: &[Needs<'_>]) -> Findings {
    let mut tree = Tree::default();
    let mut configuration: BTreeMap<&str, &str> = BTreeMap::new();
    for layer in base {
        layer.apply(&mut tree);
        for gone in &layer.gone {
            configuration.remove(gone.as_str());
        }
        configuration.extend(
            layer
                .linker_configuration
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str())),
        );
    }
    for package in packages {
        for entry in &package.record.entries {
            let path = format!("{}/{}", package.prefix, entry.path);
            match &entry.kind {
                PackageEntryKind::Directory => {}
                PackageEntryKind::File(_) | PackageEntryKind::HardLink(_) => tree.file(&path),
                PackageEntryKind::Symlink(target) => tree.link(&path, target),
            }
        }
    }
    let configured = configured_folders(&configuration);
    let files: HashMap<String, &ElfFacts> = packages
        .iter()
        .flat_map(|package| {
            package
                .record
                .elf
                .iter()
                .map(|(file, facts)| (format!("{}/{file}", package.prefix), facts))
        })
        .collect();
    let search = Search {
        tree: &tree,
        configured: &configured,
        files: &files,
    };
    Findings {
        missing: missing(&search, packages),
        glibc: old_glibc(base, packages),
    }
}

struct Search<'a> {
    tree: &'a Tree,
    /// Folders of `ld.so.conf`, in order.
    configured: &'a [String],
    /// ELF files of the packages.
    files: &'a HashMap<String, &'a ElfFacts>,
}

impl Search<'_> {
    /// The file that `library` is when `file` needs it, searched in these folders first.
    fn find(&self, file: &str, facts: &ElfFacts, own: &[String], library: &str) -> Option<String> {
        if library.contains('/') {
            return self.tree.find(&expand(library, file, facts));
        }
        let own = own.iter().map(|folder| expand(folder, file, facts));
        let rest = self
            .configured
            .iter()
            .cloned()
            .chain(default_folders(facts));
        own.chain(rest).find_map(|folder| {
            let found = self.tree.find(&format!("{folder}/{library}"))?;
            self.fits(&found, facts).then_some(found)
        })
    }

    /// The linker passes over libraries of another machine or word size. What the base has is taken on trust: its
    /// folders are those of its architecture.
    fn fits(&self, library: &str, facts: &ElfFacts) -> bool {
        self.files
            .get(library)
            .is_none_or(|it| it.machine == facts.machine && it.is_64 == facts.is_64)
    }
}

fn missing(search: &Search<'_>, packages: &[Needs<'_>]) -> Vec<MissingLibrary> {
    let mut missing = BTreeSet::new();
    // Who was found to load whom: an RPATH counts for what its owner loads, and for what that loads.
    let mut loaders: HashMap<String, BTreeSet<String>> = HashMap::new();
    let mut unresolved = Vec::new();
    for package in packages {
        for (file, facts) in &package.record.elf {
            let path = format!("{}/{file}", package.prefix);
            let absent = |library: &str| MissingLibrary {
                package: package.package.to_owned(),
                file: file.clone(),
                library: library.to_owned(),
            };
            if let Some(interpreter) = &facts.interpreter
                && search.tree.find(interpreter).is_none()
            {
                missing.insert(absent(interpreter));
            }
            let own = if facts.runpath.is_empty() {
                &facts.rpath
            } else {
                &facts.runpath
            };
            for library in &facts.needed {
                match search.find(&path, facts, own, library) {
                    Some(found) => {
                        loaders.entry(found).or_default().insert(path.clone());
                    }
                    None => unresolved.push((path.clone(), facts, absent(library))),
                }
            }
        }
    }
    for (path, facts, absent) in unresolved {
        // With a RUNPATH of its own, a file hears nothing of its loaders' RPATHs.
        let inherited = facts.runpath.is_empty()
            && found_by_a_loader(search, &loaders, &path, facts, &absent.library);
        if !inherited {
            missing.insert(absent);
        }
    }
    missing.into_iter().collect()
}

/// Whether an RPATH of something that loads `path`, directly or not, leads to `library`.
fn found_by_a_loader(
    search: &Search<'_>,
    loaders: &HashMap<String, BTreeSet<String>>,
    path: &str,
    facts: &ElfFacts,
    library: &str,
) -> bool {
    let mut seen = BTreeSet::new();
    let mut pending: Vec<&String> = loaders.get(path).into_iter().flatten().collect();
    while let Some(loader) = pending.pop() {
        if !seen.insert(loader) {
            continue;
        }
        let Some(its) = search.files.get(loader.as_str()) else {
            continue;
        };
        if its.runpath.is_empty() {
            let folders: Vec<String> = its
                .rpath
                .iter()
                .map(|folder| expand(folder, loader, its))
                .collect();
            if search.find(path, facts, &folders, library).is_some() {
                return true;
            }
        }
        pending.extend(loaders.get(loader.as_str()).into_iter().flatten());
    }
    false
}

/// `$ORIGIN`, `$LIB` and `$PLATFORM`, with and without braces. Source: `ld.so(8)`, "Dynamic string tokens".
fn expand(text: &str, file: &str, facts: &ElfFacts) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    let origin = format!(
        "/{}",
        file.rsplit_once('/').map_or("", |(folder, _)| folder)
    );
    let lib = if facts.is_64 { "lib64" } else { "lib" };
    let platform = match facts.machine {
        X86_64 => "x86_64",
        AARCH64 => "aarch64",
        _ => "",
    };
    [
        ("ORIGIN", origin.as_str()),
        ("LIB", lib),
        ("PLATFORM", platform),
    ]
    .iter()
    .fold(text.to_owned(), |text, (token, value)| {
        text.replace(&format!("${{{token}}}"), value)
            .replace(&format!("${token}"), value)
    })
}

/// Where every linker looks last. Multiarch folders are Debian's; its linker has them built in.
fn default_folders(facts: &ElfFacts) -> impl Iterator<Item = String> {
    let multiarch = match facts.machine {
        X86_64 => "x86_64-linux-gnu",
        AARCH64 => "aarch64-linux-gnu",
        _ => "",
    };
    let with_multiarch = ["/lib", "/usr/lib"]
        .into_iter()
        .filter(move |_| !multiarch.is_empty())
        .map(move |folder| format!("{folder}/{multiarch}"));
    let plain: &[&str] = if facts.is_64 {
        &["/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    } else {
        &["/lib", "/usr/lib"]
    };
    with_multiarch.chain(plain.iter().map(|folder| (*folder).to_owned()))
}

/// The folders that `ld.so.conf` names, its includes in the order of their names. Only the include that distributions
/// ship, a pattern below `ld.so.conf.d`, is followed.
fn configured_folders(configuration: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut folders = Vec::new();
    let mut read = |text: &str| {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.starts_with('/') {
                folders.push(line.trim_end_matches('/').to_owned());
            }
        }
    };
    let main = configuration
        .get("etc/ld.so.conf")
        .copied()
        .unwrap_or_default();
    read(main);
    if main
        .lines()
        .any(|line| line.trim_start().starts_with("include"))
    {
        for (_, text) in configuration
            .iter()
            .filter(|(path, _)| path.starts_with("etc/ld.so.conf.d/"))
        {
            read(text);
        }
    }
    folders
}

/// The highest version of glibc's symbols that the packages need, with a file that needs it.
fn newest_glibc<'a>(packages: &[Needs<'a>]) -> Option<(Vec<u64>, String, &'a str, String)> {
    packages
        .iter()
        .flat_map(|package| {
            package.record.elf.iter().flat_map(move |(file, facts)| {
                facts.versions_needed.iter().filter_map(move |version| {
                    let text = version.strip_prefix("GLIBC_")?;
                    Some((
                        numbers(text)?,
                        text.to_owned(),
                        package.package,
                        file.clone(),
                    ))
                })
            })
        })
        .max_by(|a, b| a.0.cmp(&b.0).then_with(|| (b.2, &b.3).cmp(&(a.2, &a.3))))
}

/// The highest version of glibc's symbols that the packages need: `2.36`.
#[must_use]
pub fn glibc_floor(packages: &[Needs<'_>]) -> Option<String> {
    newest_glibc(packages).map(|(_, text, _, _)| text)
}

fn old_glibc(base: &[BaseRecord], packages: &[Needs<'_>]) -> Option<TooOldGlibc> {
    // Without a glibc in the base its libraries are missing, which is said already.
    let found = base.iter().rev().find_map(|layer| layer.glibc.clone())?;
    let (needed, text, package, file) = newest_glibc(packages)?;
    (needed > numbers(&found)?).then(|| TooOldGlibc {
        needed: text,
        found,
        package: package.to_owned(),
        file,
    })
}

/// `2.36` as numbers; `PRIVATE` and other names are no versions.
fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}
