//! One store for all packages of an image.
//!
//! Where the settings name no install root, archives are used as they are, so a package lies where it was built to lie. That
//! has to be the same store for every package: an image of two stores has one whose programs look for their libraries where
//! nothing is. Where the settings name a root, all packages go there, and [`super::relocate`] changes those that were built
//! for another.

use super::gather::{Package, by_hash};
use super::{BuildError, BuildInput, InstallRoot};

/// The store of the image, and the prefix of each package in it, in the order of the packages.
pub(super) fn one_store(
    packages: &[Package<'_>],
    input: &BuildInput<'_>,
) -> Result<(InstallRoot, Vec<String>), BuildError> {
    let store = match (&input.install, packages.first()) {
        (Some(wanted), _) => wanted.clone(),
        (None, Some(first)) => InstallRoot {
            root: unpadded_root(first),
            store: first.built.build_path.clone(),
        },
        // An image without packages has no store; the default of DESIGN serves for its database.
        (None, None) => InstallRoot {
            root: "/opt/software".into(),
            store: "/opt/software".into(),
        },
    };
    let mut prefixes = Vec::with_capacity(packages.len());
    for package in packages {
        let built = package.built.prefix();
        let wanted = format!("{}/{}", store.store, package.built.relative_prefix);
        if input.install.is_none() && built != wanted {
            return Err(BuildError::Prefix {
                package: package.entry.package.clone(),
                built,
                wanted,
            });
        }
        prefixes.push(wanted);
    }
    if input.install.is_none() {
        check_dependencies(packages)?;
    }
    Ok((store, prefixes))
}

/// Each package has its dependencies' prefixes in it: they have to be where these lie.
fn check_dependencies(packages: &[Package<'_>]) -> Result<(), BuildError> {
    let known = by_hash(packages);
    for package in packages {
        for (hash, recorded) in &package.built.hash_to_prefix {
            let Some(dependency) = known.get(hash) else {
                continue;
            };
            let prefix = dependency.built.prefix();
            if *recorded != prefix {
                return Err(BuildError::Prefix {
                    package: format!(
                        "{} as {} knows it",
                        dependency.entry.package, package.entry.package
                    ),
                    built: recorded.clone(),
                    wanted: prefix,
                });
            }
        }
    }
    Ok(())
}

/// The root before padding: where `bin/sbang` is, for packages that say so.
fn unpadded_root(package: &Package<'_>) -> String {
    package
        .built
        .sbang_install_path
        .as_deref()
        .and_then(|path| path.strip_suffix("/bin/sbang"))
        .unwrap_or(&package.built.build_path)
        .to_owned()
}
