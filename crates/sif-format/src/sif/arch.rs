//! Architectures: two ASCII digits and a NUL.
//!
//! Source: `apptainer/sif`, `pkg/sif/arch.go`.

use std::fmt;
use std::str::FromStr;

/// Machine code and `GOARCH` name of every architecture that SIF knows.
const NAMES: [(u8, &str); 13] = [
    (1, "386"),
    (2, "amd64"),
    (3, "arm"),
    (4, "arm64"),
    (5, "ppc64"),
    (6, "ppc64le"),
    (7, "mips"),
    (8, "mipsle"),
    (9, "mips64"),
    (10, "mips64le"),
    (11, "s390x"),
    (12, "riscv64"),
    (13, "loong64"),
];

/// The architecture of a partition, or of the primary partition when it stands in the header.
///
/// Apptainer refuses to run a partition of another architecture than the host's; [`Arch::UNKNOWN`] skips that check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arch(u8);

impl Arch {
    /// Not known, or no primary partition: code `00`.
    pub const UNKNOWN: Self = Self(0);
    /// `amd64`, code `02`.
    pub const AMD64: Self = Self(2);
    /// `arm64`, code `04`.
    pub const ARM64: Self = Self(4);

    /// From the three bytes of a header or a partition; codes that nobody has defined are [`Arch::UNKNOWN`].
    #[must_use]
    pub fn from_code(code: [u8; 3]) -> Self {
        match code {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', 0] => {
                let number = (tens - b'0') * 10 + (ones - b'0');
                NAMES
                    .iter()
                    .find(|(known, _)| *known == number)
                    .map_or(Self::UNKNOWN, |(known, _)| Self(*known))
            }
            _ => Self::UNKNOWN,
        }
    }

    /// The three bytes that stand in a file.
    #[must_use]
    pub fn code(self) -> [u8; 3] {
        [b'0' + self.0 / 10 % 10, b'0' + self.0 % 10, 0]
    }

    /// The `GOARCH` name, or `unknown`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(code, _)| *code == self.0)
            .map_or("unknown", |(_, name)| name)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of the architectures SIF can express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no architecture that SIF knows: use a GOARCH name such as `amd64` or `arm64`")]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(code, _)| Self(*code))
            .ok_or_else(|| UnknownArch(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_the_way_through_its_code() {
        for (_, name) in NAMES {
            let arch: Arch = name.parse().unwrap();
            assert_eq!(Arch::from_code(arch.code()).name(), name);
        }
        assert_eq!(Arch::AMD64.code(), *b"02\0");
        assert_eq!("mips64le".parse::<Arch>().unwrap().code(), *b"10\0");
    }

    #[test]
    fn undefined_codes_are_unknown() {
        for code in [
            *b"99\0",
            *b"2\0\0",
            *b"020",
            *b"ab\0",
            [0, 0, 0],
            [255, 255, 255],
        ] {
            assert_eq!(Arch::from_code(code), Arch::UNKNOWN);
        }
        assert!("x86_64".parse::<Arch>().is_err());
    }
}
