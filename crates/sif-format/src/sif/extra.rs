//! The part of a descriptor that depends on the type of the object.
//!
//! Source: `apptainer/sif`, `pkg/sif/sif.go` (numbers) and `descriptor.go` (layouts).

use super::bytes::{Take, padded, unpadded};
use super::{Arch, DataType};

/// Length of the field in bytes.
pub const EXTRA_SIZE: usize = 384;

/// Declares an enum of numbers that may be extended by others: unknown ones are kept.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A number that this crate does not know.
            Other(i32),
        }

        impl $name {
            /// From the number in a descriptor.
            #[must_use]
            pub fn from_code(code: i32) -> Self {
                match code {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// The number in a descriptor.
            #[must_use]
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(code) => code,
                }
            }
        }
    };
}

numbered! {
    /// The file system in a partition.
    FileSystem {
        /// Squashfs.
        Squashfs = 1,
        /// ext3, for overlays.
        Ext3 = 2,
        /// An archive that is not changed.
        ImmutableArchive = 3,
        /// Raw data.
        Raw = 4,
        /// Squashfs in a LUKS2 container.
        EncryptedSquashfs = 5,
        /// Squashfs in a gocryptfs file system.
        GocryptfsSquashfs = 6,
    }
}

numbered! {
    /// What a partition is for.
    PartitionKind {
        /// A root file system that is not the one to run.
        System = 1,
        /// The root file system that runs. A file has exactly one.
        PrimarySystem = 2,
        /// Data.
        Data = 3,
        /// A writable layer over the primary partition.
        Overlay = 4,
    }
}

numbered! {
    /// The hash that a signature was made with.
    HashType {
        /// SHA-256.
        Sha256 = 1,
        /// SHA-384.
        Sha384 = 2,
        /// SHA-512.
        Sha512 = 3,
        /// BLAKE2s, 256 bits.
        Blake2s = 4,
        /// BLAKE2b, 256 bits.
        Blake2b = 5,
    }
}

numbered! {
    /// How a cryptographic message is written.
    CryptoFormat {
        /// OpenPGP.
        OpenPgp = 1,
        /// PEM.
        Pem = 2,
    }
}

numbered! {
    /// What a cryptographic message is.
    CryptoMessageType {
        /// An OpenPGP clear-signed text.
        ClearSignature = 0x100,
        /// A passphrase, encrypted with RSA-OAEP.
        RsaOaep = 0x200,
    }
}

numbered! {
    /// How a bill of materials is written.
    SbomFormat {
        /// CycloneDX, JSON.
        CycloneDxJson = 1,
        /// CycloneDX, XML.
        CycloneDxXml = 2,
        /// GitHub dependency snapshot, JSON.
        GitHubJson = 3,
        /// SPDX, JSON.
        SpdxJson = 4,
        /// SPDX, RDF.
        SpdxRdf = 5,
        /// SPDX, tag and value.
        SpdxTagValue = 6,
        /// SPDX, YAML.
        SpdxYaml = 7,
        /// Syft, JSON.
        SyftJson = 8,
    }
}

/// What a descriptor says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its file system.
    pub file_system: FileSystem,
    /// What it is for.
    pub kind: PartitionKind,
    /// The architecture of the programs in it.
    pub arch: Arch,
}

/// What a descriptor says about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureInfo {
    /// The hash of the signature itself; digests in the signed text name their own.
    pub hash: HashType,
    /// The fingerprint of the OpenPGP key; none for signatures made with a key file.
    pub fingerprint: Option<[u8; 20]>,
}

/// What a descriptor says about a cryptographic message. Its link names the partition that it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoMessage {
    /// How it is written.
    pub format: CryptoFormat,
    /// What it is.
    pub message: CryptoMessageType,
}

/// The digest of an OCI blob: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciDigest(pub String);

impl Partition {
    pub(crate) fn to_extra(self) -> [u8; EXTRA_SIZE] {
        let mut bytes = Vec::with_capacity(11);
        bytes.extend(self.file_system.code().to_le_bytes());
        bytes.extend(self.kind.code().to_le_bytes());
        bytes.extend(self.arch.code());
        field(&bytes)
    }

    pub(crate) fn from_extra(extra: &[u8; EXTRA_SIZE]) -> Self {
        let mut take = Take::new(extra);
        Self {
            file_system: FileSystem::from_code(take.i32()),
            kind: PartitionKind::from_code(take.i32()),
            arch: Arch::from_code(take.array()),
        }
    }
}

impl SignatureInfo {
    pub(crate) fn to_extra(self) -> [u8; EXTRA_SIZE] {
        let mut bytes = self.hash.code().to_le_bytes().to_vec();
        bytes.extend(self.fingerprint.unwrap_or_default());
        field(&bytes)
    }

    pub(crate) fn from_extra(extra: &[u8; EXTRA_SIZE]) -> Self {
        let mut take = Take::new(extra);
        let hash = HashType::from_code(take.i32());
        let fingerprint = take.array::<20>();
        Self {
            hash,
            fingerprint: (fingerprint != [0; 20]).then_some(fingerprint),
        }
    }
}

impl CryptoMessage {
    pub(crate) fn to_extra(self) -> [u8; EXTRA_SIZE] {
        let mut bytes = self.format.code().to_le_bytes().to_vec();
        bytes.extend(self.message.code().to_le_bytes());
        field(&bytes)
    }

    pub(crate) fn from_extra(extra: &[u8; EXTRA_SIZE]) -> Self {
        let mut take = Take::new(extra);
        Self {
            format: CryptoFormat::from_code(take.i32()),
            message: CryptoMessageType::from_code(take.i32()),
        }
    }
}

impl SbomFormat {
    pub(crate) fn to_extra(self) -> [u8; EXTRA_SIZE] {
        field(&self.code().to_le_bytes())
    }

    pub(crate) fn from_extra(extra: &[u8; EXTRA_SIZE]) -> Self {
        Self::from_code(Take::new(extra).i32())
    }
}

impl OciDigest {
    pub(crate) fn to_extra(&self) -> Option<[u8; EXTRA_SIZE]> {
        padded(self.0.as_bytes())
    }

    pub(crate) fn from_extra(extra: &[u8; EXTRA_SIZE]) -> Option<Self> {
        let text = std::str::from_utf8(unpadded(extra)).ok()?;
        let digits = text.strip_prefix("sha256:")?;
        (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .then(|| Self(text.to_owned()))
    }
}

/// Whether objects of this type keep a digest in the field.
pub(crate) fn holds_digest(data_type: DataType) -> bool {
    matches!(data_type, DataType::OciRootIndex | DataType::OciBlob)
}

fn field(bytes: &[u8]) -> [u8; EXTRA_SIZE] {
    padded(bytes).unwrap_or([0; EXTRA_SIZE])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_eleven_bytes() {
        let partition = Partition {
            file_system: FileSystem::Squashfs,
            kind: PartitionKind::PrimarySystem,
            arch: Arch::AMD64,
        };
        let extra = partition.to_extra();
        assert_eq!(hex::encode(&extra[..12]), "010000000200000030320000");
        assert_eq!(Partition::from_extra(&extra), partition);
    }

    #[test]
    fn a_fingerprint_of_zeros_is_none() {
        let bare = SignatureInfo {
            hash: HashType::Sha256,
            fingerprint: None,
        };
        assert_eq!(SignatureInfo::from_extra(&bare.to_extra()), bare);
        let by_key = SignatureInfo {
            hash: HashType::Other(77),
            fingerprint: Some([7; 20]),
        };
        assert_eq!(SignatureInfo::from_extra(&by_key.to_extra()), by_key);
    }

    #[test]
    fn only_sha256_digests_are_digests() {
        let digest = OciDigest(format!("sha256:{}", "0a".repeat(32)));
        assert_eq!(
            OciDigest::from_extra(&digest.to_extra().unwrap()),
            Some(digest)
        );
        assert_eq!(OciDigest::from_extra(&[0; EXTRA_SIZE]), None);
        assert_eq!(OciDigest::from_extra(&[0xff; EXTRA_SIZE]), None);
    }
}
