//! `Release`: what an archive says about one suite, and the checksums of its indices.
//!
//! ```text
//! <mirror>/dists/<suite>/InRelease                               clear-signed
//! <mirror>/dists/<suite>/main/binary-amd64/Packages.xz           named in it with size and checksum
//! <mirror>/dists/<suite>/main/binary-amd64/by-hash/SHA256/<hex>  the same, when Acquire-By-Hash is yes
//! ```
//!
//! Source: Debian wiki, `DebianRepository/Format`.

use std::time::{Duration, SystemTime};

use oci_format::Digest;

use super::control::{ControlError, first_paragraph};

/// What we need of a `Release` file.
#[derive(Debug, Clone)]
pub(super) struct Release {
    /// `Debian`, `Ubuntu`.
    pub(super) origin: String,
    /// `oldstable`
    pub(super) suite: String,
    /// `bookworm`, `bookworm-security`
    pub(super) codename: String,
    /// When it stops being valid, if it ever does.
    pub(super) valid_until: Option<SystemTime>,
    /// Whether indices can be fetched by their checksum, so that a mirror that is just being updated
    /// serves indices that fit.
    pub(super) by_hash: bool,
    /// `main`, `contrib`, …
    pub(super) components: Vec<String>,
    /// Whether packages for all architectures stand in an index of their own and are not repeated
    /// in each architecture's.
    pub(super) separate_all: bool,
    files: Vec<ReleaseFile>,
}

/// One file that a `Release` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReleaseFile {
    /// Relative to the `Release` file.
    pub(super) path: String,
    /// Bytes.
    pub(super) size: u64,
    /// Its checksum.
    pub(super) sha256: Digest,
}

/// Why a `Release` file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Not control data.
    #[error("the Release file cannot be read")]
    Control(#[from] ControlError),
    /// No SHA256 section: an archive older than 2006, or not an archive.
    #[error("the Release file has no SHA256 checksums")]
    NoChecksums,
    /// A line of checksums that is none.
    #[error("the Release file has a malformed checksum line: `{0}`")]
    Checksum(String),
    /// A date that is none.
    #[error("the Release file has a malformed Valid-Until: `{0}`")]
    Date(String),
}

/// Endings of indices that we read, best first: xz is about a third smaller than gzip.
const INDEX_ENDINGS: [&str; 3] = [".xz", ".gz", ""];

impl Release {
    /// Reads the text of a `Release` file whose signature was checked.
    ///
    /// # Errors
    /// See [`ReleaseError`].
    pub(super) fn parse(text: &[u8]) -> Result<Self, ReleaseError> {
        let paragraph = first_paragraph(text)?;
        let get = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
        let words = |name: &str| -> Vec<String> {
            get(name).split_whitespace().map(str::to_owned).collect()
        };
        let files = paragraph
            .get("SHA256")
            .ok_or(ReleaseError::NoChecksums)?
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(parse_file)
            .collect::<Result<Vec<_>, _>>()?;
        let valid_until = paragraph
            .get("Valid-Until")
            .map(|text| parse_date(text).ok_or_else(|| ReleaseError::Date(text.to_owned())))
            .transpose()?;
        let separate_all = words("Architectures").iter().any(|word| word == "all")
            && !words("No-Support-for-Architecture-all")
                .iter()
                .any(|word| word == "Packages");
        Ok(Self {
            origin: get("Origin"),
            suite: get("Suite"),
            codename: get("Codename"),
            valid_until,
            by_hash: get("Acquire-By-Hash") == "yes",
            components: words("Components"),
            separate_all,
            files,
        })
    }

    /// The best form of `<component>/binary-<architecture>/Packages` that the archive offers.
    #[must_use]
    pub(super) fn packages_index(
        &self,
        component: &str,
        architecture: &str,
    ) -> Option<&ReleaseFile> {
        let plain = format!("{component}/binary-{architecture}/Packages");
        // Security archives once named their components `updates/main` and their folders `main`.
        let short = plain.rsplit('/').take(3).collect::<Vec<_>>();
        let short = short.into_iter().rev().collect::<Vec<_>>().join("/");
        INDEX_ENDINGS.iter().find_map(|ending| {
            self.files.iter().find(|file| {
                file.path
                    .strip_suffix(ending)
                    .is_some_and(|path| path == plain || path == short)
            })
        })
    }
}

impl ReleaseFile {
    /// The path below the folder of the `Release` file to ask a mirror for.
    #[must_use]
    pub(super) fn path_by_hash(&self) -> String {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/by-hash/SHA256/{}", self.sha256.hex()),
            None => format!("by-hash/SHA256/{}", self.sha256.hex()),
        }
    }
}

/// `<sha256> <size> <path>`
fn parse_file(line: &str) -> Result<ReleaseFile, ReleaseError> {
    let mut words = line.split_whitespace();
    let file = (|| {
        let sha256 = Digest::from_hex(words.next()?).ok()?;
        let size = words.next()?.parse().ok()?;
        Some(ReleaseFile {
            sha256,
            size,
            path: words.next()?.to_owned(),
        })
    })();
    file.ok_or_else(|| ReleaseError::Checksum(line.trim().to_owned()))
}

/// `Sat, 11 Jul 2026 10:16:37 UTC`; some archives write `+0000` or a one-digit day.
fn parse_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let rest = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = rest.split_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words
        .next()?
        .split(':')
        .map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !matches!(words.next()?, "UTC" | "GMT" | "+0000")
        || !(1..=31).contains(&day)
        || !(1970..=9999).contains(&year)
    {
        return None;
    }
    // Days since 1970 in the Gregorian calendar, counted in years that begin in March so that the
    // leap day comes last.
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: oldstable\nCodename: bookworm\n\
        Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\n\
        No-Support-for-Architecture-all: Packages\nArchitectures: all amd64\nComponents: main contrib\n\
        SHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages.gz\n";

    #[test]
    fn a_release_names_its_indices_and_how_to_ask_for_them() {
        let release = Release::parse(TEXT.as_bytes()).expect("valid");
        assert_eq!(
            (release.origin.as_str(), release.codename.as_str()),
            ("Debian", "bookworm")
        );
        assert!(release.by_hash && !release.separate_all);
        let index = release.packages_index("main", "amd64").expect("there");
        assert_eq!(index.path, "main/binary-amd64/Packages.gz");
        assert_eq!(release.packages_index("updates/main", "amd64"), Some(index));
        assert!(
            index
                .path_by_hash()
                .starts_with("main/binary-amd64/by-hash/SHA256/e3b0")
        );
        assert!(release.packages_index("main", "arm64").is_none());
    }

    #[test]
    fn dates_are_read_in_the_forms_that_archives_write() {
        let seconds = |text: &str| {
            let time = parse_date(text)?;
            Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
        };
        assert_eq!(
            seconds("Sat, 18 Jul 2026 10:16:37 UTC"),
            Some(1_784_369_797)
        );
        assert_eq!(seconds("Thu, 1 Jan 1970 00:00:00 +0000"), Some(0));
        assert_eq!(
            seconds("Thu, 29 Feb 2024 00:00:01 GMT"),
            Some(1_709_164_801)
        );
        assert_eq!(seconds("yesterday"), None);
        assert_eq!(seconds("Sat, 18 Jul 2026 10:16:37 CEST"), None);
    }

    #[test]
    fn what_is_wrong_with_a_release_is_said() {
        assert!(matches!(
            Release::parse(b"Origin: x\n"),
            Err(ReleaseError::NoChecksums)
        ));
        assert!(matches!(
            Release::parse(b"SHA256:\n zz 1 a\n"),
            Err(ReleaseError::Checksum(_))
        ));
        assert!(matches!(
            Release::parse(b"Valid-Until: soon\nSHA256:\n"),
            Err(ReleaseError::Date(_))
        ));
    }
}
