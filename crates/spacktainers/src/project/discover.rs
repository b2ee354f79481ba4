//! Which files are definitions.
//!
//! ```text
//! container_definitions/amd64/neuron/spack.yaml     neuron, with room for files beside it
//! container_definitions/amd64/neuron.yaml           neuron, flat
//! container_definitions/amd64/storage.def           storage, a Singularity definition file
//! container_definitions/amd64_v4/neuron/spack.yaml  the same container for a higher level of processors
//! container_definitions/_arm64/…                    switched off
//! container_definitions/amd64/_old/…                switched off
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::BaseArchitecture;
use crate::diagnostic::Diagnostic;
use spack_format::yaml::nearest;

/// A file that is a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) architecture: BaseArchitecture,
    /// `v4` of `amd64_v4`.
    pub(super) variant: Option<String>,
    /// Whether neither its folder nor its own name begins with `_`.
    pub(super) enabled: bool,
    pub(super) file: PathBuf,
    pub(super) form: Form,
}

/// How a definition lies in its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `<name>/spack.yaml`
    Folder,
    /// `<name>.yaml`
    Flat,
    /// `<name>.def`
    Deffile,
}

/// All definitions below `folder`, sorted, and what lies there and is none. `shown` is how people know the folder.
pub(super) fn discover(
    folder: &Path,
    shown: &Path,
) -> Result<(Vec<Candidate>, Vec<Diagnostic>), io::Error> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (name, path) in entries(folder)? {
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        let enabled = !name.starts_with('_');
        let Some((architecture, variant)) = platform(name.trim_start_matches('_')) else {
            if enabled {
                let meant = nearest(&name, ["amd64", "arm64"]).unwrap_or(match name.as_str() {
                    "aarch64" => "arm64",
                    _ => "amd64",
                });
                faults.push(
                    Diagnostic::general(format!(
                        "`{}` is not the folder of an architecture",
                        shown.join(&name).display()
                    ))
                    .hint(format!(
                        "call it `{meant}`, or begin its name with `_` to switch it off"
                    )),
                );
            }
            continue;
        };
        architecture_folder(
            &path,
            &shown.join(&name),
            (architecture, variant),
            enabled,
            &mut found,
            &mut faults,
        )?;
    }
    found.sort_by(|a, b| {
        let key = |it: &Candidate| {
            (
                it.architecture,
                it.name.clone(),
                it.variant.clone(),
                it.file.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    duplicates(&found, folder, shown, &mut faults);
    Ok((found, faults))
}

/// What a folder's definitions are for: `amd64`, `arm64`, or one of these with a variant: `amd64_v4`.
///
/// Levels of amd64 are those of the x86-64 psABI; variants of arm64 are versions of the architecture, as in the image
/// specification (`image-index.md`, "Platform Variants").
fn platform(name: &str) -> Option<(BaseArchitecture, Option<String>)> {
    if let Some(architecture) = BaseArchitecture::parse(name) {
        return Some((architecture, None));
    }
    let (architecture, variant) = name.split_once('_')?;
    let architecture = BaseArchitecture::parse(architecture)?;
    super::settings::variant_target(architecture, variant)?;
    Some((architecture, Some(variant.to_owned())))
}

/// Names and paths in a folder, sorted, so that every machine sees the same order.
fn entries(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            found.insert(name.to_owned(), path);
        }
    }
    Ok(found)
}

fn architecture_folder(
    folder: &Path,
    shown: &Path,
    (architecture, variant): (BaseArchitecture, Option<String>),
    enabled: bool,
    found: &mut Vec<Candidate>,
    faults: &mut Vec<Diagnostic>,
) -> io::Result<()> {
    for (name, path) in entries(folder)? {
        if name.starts_with('.') {
            continue;
        }
        let (stem, file, form) = if path.is_dir() {
            let deffile = path.join(format!("{name}.def"));
            match (path.join("spack.yaml"), deffile) {
                (spack, _) if spack.is_file() => (name.clone(), spack, Form::Folder),
                (_, deffile) if deffile.is_file() => (name.clone(), deffile, Form::Deffile),
                _ if name.starts_with('_') => continue,
                _ => {
                    faults.push(
                        Diagnostic::general(format!("`{}` holds no definition", shown.join(&name).display()))
                            .hint("put a `spack.yaml` into it, or begin its name with `_` to switch it off"),
                    );
                    continue;
                }
            }
        } else if let Some(stem) = name.strip_suffix(".yaml") {
            (stem.to_owned(), path, Form::Flat)
        } else if let Some(stem) = name.strip_suffix(".def") {
            (stem.to_owned(), path, Form::Deffile)
        } else {
            if name.ends_with(".yml") {
                faults.push(
                    Diagnostic::general(format!(
                        "`{}` is not taken for a definition",
                        shown.join(&name).display()
                    ))
                    .as_warning()
                    .hint("let its name end in `.yaml` if it is one"),
                );
            }
            continue;
        };
        let enabled = enabled && !stem.starts_with('_');
        let name = stem.trim_start_matches('_').to_owned();
        if enabled {
            check_name(&name, &shown.join(&name), faults);
        }
        found.push(Candidate {
            name,
            architecture,
            variant: variant.clone(),
            enabled,
            file,
            form,
        });
    }
    Ok(())
}

/// A container's name becomes part of references and file names.
fn check_name(name: &str, shown: &Path, faults: &mut Vec<Diagnostic>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(fits) || name.starts_with(['.', '-']) {
        faults.push(
            Diagnostic::general(format!("`{}`: `{name}` cannot be the name of a container", shown.display()))
                .hint("use lower-case letters, digits, `.`, `_` and `-`: the name becomes part of image references"),
        );
    } else if name.chars().any(|c| c.is_ascii_uppercase()) {
        faults.push(
            Diagnostic::general(format!(
                "`{}`: registries take no upper-case letters in names",
                shown.display()
            ))
            .as_warning()
            .hint("write the name in lower case"),
        );
    }
}

fn duplicates(found: &[Candidate], folder: &Path, shown: &Path, faults: &mut Vec<Diagnostic>) {
    let enabled: Vec<&Candidate> = found.iter().filter(|it| it.enabled).collect();
    for pair in enabled.windows(2) {
        let [first, second] = pair else { continue };
        if first.name == second.name
            && first.architecture == second.architecture
            && first.variant == second.variant
        {
            let show = |file: &Path| {
                shown
                    .join(file.strip_prefix(folder).unwrap_or(file))
                    .display()
                    .to_string()
            };
            faults.push(
                Diagnostic::general(format!(
                    "`{}` is defined twice for {}: in `{}` and in `{}`",
                    first.name,
                    first.architecture,
                    show(&first.file),
                    show(&second.file)
                ))
                .hint("rename or remove one of them"),
            );
        }
    }
}
