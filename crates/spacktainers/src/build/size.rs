//! How large an image is, what made it so, and whether it may be.
//!
//! ```text
//! Locked, Image ──► SizeReport ──► text, JSON
//!                       │
//!            Limits ────┴──► BuildError::TooLarge, with what grew since the last container.lock
//! ```
//!
//! Two sizes count. `compressed` is what registries keep and users pull: bytes of layers as they are stored. `unpacked` is what
//! lies on a disk afterwards: bytes of the uncompressed layers.

use std::collections::BTreeMap;
use std::io;

use oci_format::layer::compression::Decoder;
use serde::Serialize;
use spack_format::dag_hash::DagHash;

use super::BuildError;
use super::make::Locked;
use crate::image::{LayerContent, RecordedLayer};
use crate::layer::slim::Amount;
use crate::local_cache::LocalCache;
use crate::lock::Lock;

/// Kind of the records in the local cache: bytes of an uncompressed layer, by diffID.
const RECORD_KIND: &str = "unpacked-1";

/// Bytes that a layer may decompress to.
const TAR_LIMIT: u64 = 256 << 30;

/// Packages that a message about growth names.
const MOST_NAMED: usize = 10;

/// How large images may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// `size`: bytes of all layers as registries store them.
    pub size: Option<u64>,
    /// `unpacked_size`: bytes of all layers uncompressed.
    pub unpacked_size: Option<u64>,
}

impl Limits {
    /// `2 GB`, `750MB`, `1.5 GiB`, `4096`: a number and a unit, of 1000 or 1024.
    #[must_use]
    pub fn parse_size(text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text
            .find(|it: char| !it.is_ascii_digit() && it != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        // Thousandths are exact enough, and no floating point decides about a build.
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().ok()?;
        let digits = part.get(..part.len().min(3))?;
        if part.len() > digits.len() || (number.contains('.') && digits.is_empty()) {
            return None;
        }
        let thousandths: u64 = format!("{digits:0<3}").parse().ok()?;
        let parts = unit.checked_mul(thousandths)? / 1000;
        whole.checked_mul(unit)?.checked_add(parts)
    }

    /// These, with those of a container instead where it has any.
    #[must_use]
    pub fn with(self, container: Self) -> Self {
        Self {
            size: container.size.or(self.size),
            unpacked_size: container.unpacked_size.or(self.unpacked_size),
        }
    }
}

/// Bytes of the same thing in two forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// As registries store it.
    pub compressed: u64,
    /// Uncompressed.
    pub unpacked: u64,
}

impl std::ops::AddAssign for Sizes {
    fn add_assign(&mut self, other: Self) {
        self.compressed = self.compressed.saturating_add(other.compressed);
        self.unpacked = self.unpacked.saturating_add(other.unpacked);
    }
}

/// One package of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageSize {
    /// `zlib@1.3.1 /abc1234`.
    pub package: String,
    /// Its name alone.
    #[serde(skip)]
    pub name: String,
    /// Which one.
    pub hash: DagHash,
    /// Its archive in the build cache.
    pub before: Sizes,
    /// Its archive in the image; where packages share a layer, before they were packed together.
    pub after: Sizes,
    /// What was left out, by cause.
    pub removed: BTreeMap<&'static str, Amount>,
    /// Programs and libraries that lost their symbols, and the bytes that went.
    pub symbols: Amount,
    /// Files with their symbols that are kept apart.
    pub separate: Amount,
    /// Files that have symbols and keep them, with the reason.
    pub kept_symbols: BTreeMap<String, &'static str>,
}

/// How large an image is, and what was spared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SizeReport {
    /// All layers.
    pub image: Sizes,
    /// Layers of the base.
    pub base: Sizes,
    /// Layers with packages.
    pub packages_in_image: Sizes,
    /// All else: the site layer and what finishes the image.
    pub rest: Sizes,
    /// The archives of all packages as the build cache has them.
    pub packages_in_cache: Sizes,
    /// What was left out of packages, by cause.
    pub removed: BTreeMap<&'static str, Amount>,
    /// The packages, largest first.
    pub packages: Vec<PackageSize>,
}

impl SizeReport {
    /// Of an image with these layers, which begin with those of the base and of the packages. What is not on this machine,
    /// because a registry has it, counts nothing uncompressed.
    #[must_use]
    pub fn of(locked: &Locked<'_>, layers: &[RecordedLayer], cache: &LocalCache) -> Self {
        let (base_count, package_count) = locked.layer_counts();
        let mut report = Self {
            image: Sizes::default(),
            base: Sizes::default(),
            packages_in_image: Sizes::default(),
            rest: Sizes::default(),
            packages_in_cache: Sizes::default(),
            removed: BTreeMap::new(),
            packages: locked.package_sizes(),
        };
        for (index, layer) in layers.iter().enumerate() {
            let size = Sizes {
                compressed: layer.descriptor.size,
                unpacked: unpacked(layer, cache).unwrap_or(0),
            };
            report.image += size;
            match index {
                _ if index < base_count => report.base += size,
                _ if index < base_count + package_count => report.packages_in_image += size,
                _ => report.rest += size,
            }
        }
        for package in &report.packages {
            report.packages_in_cache += package.before;
            for (cause, amount) in &package.removed {
                *report.removed.entry(cause).or_default() += *amount;
            }
            if package.symbols.files > 0 {
                *report.removed.entry("symbols").or_default() += package.symbols;
            }
        }
        report.packages.sort_by(|a, b| {
            (b.after.compressed, &a.package).cmp(&(a.after.compressed, &b.package))
        });
        report
    }

    /// Refuses an image that is larger than it may be. `before` is what was locked last.
    ///
    /// # Errors
    /// When a limit is passed.
    pub fn check(&self, limits: &Limits, before: Option<&Lock>) -> Result<(), BuildError> {
        let passed = [
            ("size", "compressed", self.image.compressed, limits.size),
            (
                "unpacked_size",
                "unpacked",
                self.image.unpacked,
                limits.unpacked_size,
            ),
        ];
        for (key, what, size, limit) in passed {
            if let Some(limit) = limit.filter(|limit| size > *limit) {
                return Err(BuildError::TooLarge {
                    key,
                    what,
                    size,
                    limit,
                    grown: self.grown(before),
                });
            }
        }
        Ok(())
    }

    /// What grew since `before`, or is new, largest growth first: for people.
    fn grown(&self, before: Option<&Lock>) -> Vec<String> {
        let Some(before) = before else {
            let largest = self.packages.iter().take(MOST_NAMED);
            return largest
                .map(|it| format!("{} has {}", it.package, human(it.after.compressed)))
                .collect();
        };
        // Packages of one name belong together; few images have two.
        let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
        for package in &before.packages {
            let size = package.made.as_ref().map_or(package.size, |it| it.size);
            *sizes.entry(&package.name).or_default() += size;
        }
        let mut grown = Vec::new();
        for package in &self.packages {
            let now = package.after.compressed;
            let was = sizes.get(&*package.name).copied();
            match was {
                None => grown.push((now, format!("{} is new: {}", package.package, human(now)))),
                Some(was) if now > was => {
                    let text = format!(
                        "{} grew from {} to {}",
                        package.package,
                        human(was),
                        human(now)
                    );
                    grown.push((now - was, text));
                }
                Some(_) => {}
            }
        }
        grown.sort_by(|a, b| b.cmp(a));
        grown.into_iter().take(MOST_NAMED).map(|it| it.1).collect()
    }

    /// For people: a table.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        let row = |what: &str, size: Sizes| {
            let (compressed, unpacked) = (human(size.compressed), human(size.unpacked));
            format!("{what:<24} {compressed:>10} {unpacked:>10}")
        };
        lines.push(format!(
            "{:<24} {:>10} {:>10}",
            "", "compressed", "unpacked"
        ));
        lines.push(row("image", self.image));
        lines.push(row("  base", self.base));
        lines.push(row("  packages", self.packages_in_image));
        lines.push(row("    in the build cache", self.packages_in_cache));
        lines.push(row("  site and finish", self.rest));
        if !self.removed.is_empty() {
            lines.push(String::new());
            lines.push(format!(
                "{:<24} {:>10} {:>10}",
                "left out", "files", "bytes"
            ));
            for (cause, amount) in &self.removed {
                let bytes = human(amount.bytes);
                lines.push(format!("  {cause:<22} {:>10} {bytes:>10}", amount.files));
            }
        }
        lines.push(String::new());
        lines
            .push("packages, compressed and unpacked: in the build cache, in the image".to_owned());
        for it in &self.packages {
            lines.push(format!(
                "  {}: {} {}, {} {}",
                it.package,
                human(it.before.compressed),
                human(it.before.unpacked),
                human(it.after.compressed),
                human(it.after.unpacked)
            ));
            for (cause, amount) in &it.removed {
                lines.push(format!(
                    "    {cause}: {} in {} files",
                    human(amount.bytes),
                    amount.files
                ));
            }
            if it.symbols.files > 0 {
                let (bytes, files) = (human(it.symbols.bytes), it.symbols.files);
                lines.push(format!("    symbols: {bytes} in {files} files"));
            }
            for (file, why) in &it.kept_symbols {
                lines.push(format!("    `{file}` keeps its symbols: {why}"));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Bytes of an uncompressed layer, found out once.
fn unpacked(layer: &RecordedLayer, cache: &LocalCache) -> Option<u64> {
    let key = layer.diff_id.hex();
    let known = cache.record(RECORD_KIND, &key);
    if let Some(size) = known.and_then(|it| String::from_utf8(it).ok()?.parse().ok()) {
        return Some(size);
    }
    let content = match &layer.content {
        LayerContent::Here(content) => content.clone(),
        LayerContent::Remote(_) => cache.blob(&layer.descriptor.digest)?,
    };
    let mut decoder = Decoder::new(content.open(0).ok()?, TAR_LIMIT).ok()?;
    let size = io::copy(&mut decoder, &mut io::sink()).ok()?;
    // Not remembered is only slower.
    let _ = cache.put_record(RECORD_KIND, &key, size.to_string().as_bytes());
    Some(size)
}

/// Bytes for people, with decimal units.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut tenths = bytes.saturating_mul(10);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        for (text, size) in [
            ("2 GB", 2_000_000_000),
            ("750MB", 750_000_000),
            ("1.5 GiB", 3 << 29),
            ("4096", 4096),
            ("0.25 kB", 250),
        ] {
            assert_eq!(Limits::parse_size(text), Some(size), "{text}");
        }
        for text in [
            "",
            "GB",
            "-1 GB",
            "2 gigs",
            "1.",
            "1.2345 GB",
            "99999999999999 TB",
            "1.2.3 GB",
        ] {
            assert_eq!(Limits::parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_are_told_as_people_say_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (2_345_678, "2.3 MB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
