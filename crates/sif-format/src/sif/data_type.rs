//! What a data object is.
//!
//! Source: `apptainer/sif`, `pkg/sif/sif.go`, `DataType`.

use std::fmt;

/// The type of a data object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataType {
    /// The definition file that the image was built from.
    DefinitionFile,
    /// Environment variables.
    Environment,
    /// Labels.
    Labels,
    /// A file system.
    Partition,
    /// A signature over other objects.
    Signature,
    /// A JSON document, found by its name.
    GenericJson,
    /// Anything.
    Generic,
    /// An encrypted or signed message: holds the key of an encrypted partition.
    CryptoMessage,
    /// A software bill of materials.
    Sbom,
    /// The root index of an OCI image kept in the file.
    OciRootIndex,
    /// A blob of an OCI image kept in the file.
    OciBlob,
    /// A type that this crate does not know.
    Other(i32),
}

const TYPES: [(i32, DataType, &str); 11] = [
    (0x4001, DataType::DefinitionFile, "definition file"),
    (0x4002, DataType::Environment, "environment variables"),
    (0x4003, DataType::Labels, "labels"),
    (0x4004, DataType::Partition, "partition"),
    (0x4005, DataType::Signature, "signature"),
    (0x4006, DataType::GenericJson, "JSON"),
    (0x4007, DataType::Generic, "generic data"),
    (0x4008, DataType::CryptoMessage, "cryptographic message"),
    (0x4009, DataType::Sbom, "bill of materials"),
    (0x400A, DataType::OciRootIndex, "OCI root index"),
    (0x400B, DataType::OciBlob, "OCI blob"),
];

impl DataType {
    /// From the number in a descriptor.
    #[must_use]
    pub fn from_code(code: i32) -> Self {
        TYPES
            .iter()
            .find(|(known, ..)| *known == code)
            .map_or(Self::Other(code), |(_, kind, _)| *kind)
    }

    /// The number in a descriptor.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Other(code) => code,
            known => TYPES
                .iter()
                .find(|(_, kind, _)| *kind == known)
                .map_or(0, |(code, ..)| *code),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(_, kind, _)| kind == self) {
            Some((_, _, name)) => f.write_str(name),
            None => write!(f, "type {:#x}", self.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_types_name_each_other() {
        for code in 0x4000..0x4010 {
            assert_eq!(DataType::from_code(code).code(), code);
        }
        assert_eq!(DataType::from_code(0x4004), DataType::Partition);
        assert_eq!(DataType::from_code(-7).to_string(), "type 0xfffffff9");
    }
}
