//! The C library of a base, found out before anything is put on it.
//!
//! ```text
//! LockedBase ──Debian──► the version of libc6               no layer is looked into
//!            ──image, tar──► record by digest ─┐
//!                └─ layers ──library_records───┴─► Libc     once per base
//! ```

use serde::{Deserialize, Serialize};

use super::{BaseContext, BaseError, LockedBase, LockedDebian, library_records, materialise};
use crate::libraries::{BaseRecord, Libc};

/// The kind of record that C libraries of bases are remembered as, by the digest of the base.
const RECORD: &str = "base-libc-1";

/// What is remembered of a base: also that it has none.
#[derive(Serialize, Deserialize)]
struct Remembered {
    libc: Option<Libc>,
}

/// The C library of the base that was decided; nothing where it has none that is known.
///
/// Of Debian packages it is read off their versions. Layers of images and tars are looked into once, which fetches those
/// that are not here.
///
/// # Errors
/// When the base cannot be had or read.
pub async fn libc(locked: &LockedBase, context: &BaseContext) -> Result<Option<Libc>, BaseError> {
    let digest = match locked {
        LockedBase::Scratch => return Ok(None),
        LockedBase::Debian(debian) => return Ok(of_packages(debian)),
        LockedBase::Registry(image) | LockedBase::Layout(image) => image.manifest,
        LockedBase::Rootfs(rootfs) => rootfs.digest,
    };
    let key = digest.hex();
    let remembered = context.cache.record(RECORD, &key);
    if let Some(known) =
        remembered.and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok())
    {
        return Ok(known.libc);
    }
    let base = materialise(locked, context).await?;
    let libc = of_layers(&library_records(&base, context).await?);
    let found = Remembered { libc };
    if let Ok(bytes) = serde_json::to_vec(&found) {
        // Not remembered is only slower.
        let _ = context.cache.put_record(RECORD, &key, &bytes);
    }
    Ok(found.libc)
}

/// `2.36-9+deb12u10` is glibc 2.36.
fn of_packages(debian: &LockedDebian) -> Option<Libc> {
    let package = debian.packages.iter().find(|it| it.name == "libc6")?;
    let version = package.version.split_once(':');
    let version = version.map_or(&*package.version, |(_, version)| version);
    let digits = |it: &char| it.is_ascii_digit() || *it == '.';
    let version: String = version.chars().take_while(digits).collect();
    Some(Libc {
        name: "glibc".to_owned(),
        version: (!version.is_empty()).then_some(version),
    })
}

/// What the topmost layer that has a C library has.
fn of_layers(layers: &[BaseRecord]) -> Option<Libc> {
    layers.iter().rev().find_map(|layer| {
        if let Some(version) = &layer.glibc {
            return Some(Libc {
                name: "glibc".to_owned(),
                version: Some(version.clone()),
            });
        }
        let is_musl = |path: &String| {
            let name = path.rsplit('/').next().unwrap_or_default();
            name.starts_with("ld-musl-")
        };
        layer.files.iter().any(is_musl).then(|| Libc {
            name: "musl".to_owned(),
            version: None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LockedPackage;
    use oci_format::Digest;

    fn debian(version: &str) -> LockedDebian {
        LockedDebian {
            origin: "debian".into(),
            suite: "bookworm".into(),
            architecture: "amd64".into(),
            apt_sources: Vec::new(),
            layer: None,
            packages: vec![LockedPackage {
                name: "libc6".into(),
                version: version.into(),
                architecture: "amd64".into(),
                suite: "bookworm".into(),
                filename: "pool/libc6.deb".into(),
                size: 1,
                sha256: Digest::of(b"x").hex(),
            }],
        }
    }

    #[test]
    fn packages_tell_it_by_their_version() {
        for (version, expected) in [
            ("2.36-9+deb12u10", "2.36"),
            ("1:2.31-13", "2.31"),
            ("2.39-0ubuntu8.4", "2.39"),
            ("2.42~rc1-1", "2.42"),
        ] {
            let libc = of_packages(&debian(version)).expect("glibc");
            assert_eq!(libc.version.as_deref(), Some(expected), "{version}");
        }
    }

    #[test]
    fn the_topmost_layer_that_has_one_counts() {
        let with = |glibc: Option<&str>, file: &str| BaseRecord {
            glibc: glibc.map(str::to_owned),
            files: vec![file.to_owned()],
            ..BaseRecord::default()
        };
        let below = with(Some("2.31"), "lib/x86_64-linux-gnu/libc.so.6");
        let above = with(Some("2.36"), "usr/lib/x86_64-linux-gnu/libc.so.6");
        let other = with(None, "usr/lib/libz.so.1");
        let found = of_layers(&[below, above, other.clone()]).expect("glibc");
        assert_eq!(found.to_string(), "glibc 2.36");
        let musl = of_layers(&[with(None, "lib/ld-musl-x86_64.so.1")]).expect("musl");
        assert_eq!(musl.to_string(), "musl");
        assert_eq!(of_layers(&[other]), None);
    }
}
