//! The global header: the first 128 bytes.
//!
//! Source: `apptainer/sif`, `pkg/sif/sif.go`, `header`.

use std::borrow::Cow;

use super::bytes::{Take, padded, stored, unpadded};
use super::{Arch, ImageId, SifError};

/// Length of a header in bytes. What follows it up to the descriptor table is zero.
pub const HEADER_SIZE: usize = 128;
/// What a SIF file says after its launch script.
pub const MAGIC: [u8; 10] = *b"SIF_MAGIC\0";
/// The only version there is.
pub const VERSION: [u8; 3] = *b"01\0";
/// The first line of the files that Apptainer writes: makes an executable SIF file run itself.
pub const APPTAINER_LAUNCH_SCRIPT: &str = "#!/usr/bin/env run-singularity\n";

/// The line at the very beginning that the kernel reads when the file is executed: at most 31 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchScript([u8; 32]);

impl LaunchScript {
    /// From a text.
    ///
    /// # Errors
    /// When the text has more than 31 bytes.
    pub fn new(text: &str) -> Result<Self, SifError> {
        let too_long = SifError::TooLong {
            field: "launch script",
            length: text.len(),
            limit: 31,
        };
        match padded::<32>(text.as_bytes()) {
            Some(field) if text.len() < 32 => Ok(Self(field)),
            _ => Err(too_long),
        }
    }

    /// The text, without the padding.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(unpadded(&self.0))
    }

    /// The field as it stands in the file.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Default for LaunchScript {
    fn default() -> Self {
        Self(padded(APPTAINER_LAUNCH_SCRIPT.as_bytes()).unwrap_or_default())
    }
}

/// A global header. Offsets and sizes count bytes, times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The first line.
    pub launch_script: LaunchScript,
    /// The architecture of the primary partition; unknown without one.
    pub arch: Arch,
    /// The id of the image.
    pub id: ImageId,
    /// When the file was made.
    pub created: i64,
    /// When an object was last added or deleted.
    pub modified: i64,
    /// Descriptors that are not in use.
    pub descriptors_free: u64,
    /// All descriptors.
    pub descriptors_total: u64,
    /// Where the descriptor table begins.
    pub descriptors_offset: u64,
    /// The length of the descriptor table.
    pub descriptors_size: u64,
    /// Where data begins.
    pub data_offset: u64,
    /// From the beginning of data to the end of the last object.
    pub data_size: u64,
}

impl Header {
    /// Parses the head of a file that has `length` bytes. The table is inside the file when this succeeds.
    ///
    /// # Errors
    /// When it is no SIF header of version 01, or when counts and offsets cannot be true.
    pub(crate) fn parse(bytes: &[u8; HEADER_SIZE], length: u64) -> Result<Self, SifError> {
        let mut take = Take::new(bytes);
        let launch_script = LaunchScript(take.array());
        if take.array::<10>() != MAGIC {
            return Err(SifError::NotSif("it has no `SIF_MAGIC` at byte 32"));
        }
        let version = take.array::<3>();
        if version != VERSION {
            return Err(SifError::Version(
                String::from_utf8_lossy(unpadded(&version)).into_owned(),
            ));
        }
        let arch = Arch::from_code(take.array());
        let id = ImageId::from_bytes(take.array());
        let (created, modified) = (take.i64(), take.i64());
        let mut count = |what: &'static str| {
            let value = take.i64();
            u64::try_from(value).map_err(|_| SifError::Header {
                what,
                value,
                length,
            })
        };
        Ok(Self {
            launch_script,
            arch,
            id,
            created,
            modified,
            descriptors_free: count("a negative number of free descriptors")?,
            descriptors_total: count("a negative number of descriptors")?,
            descriptors_offset: count("a negative offset of the descriptors")?,
            descriptors_size: count("a negative size of the descriptors")?,
            data_offset: count("a negative offset of the data")?,
            data_size: count("a negative size of the data")?,
        })
    }

    /// The 128 bytes of the header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = Vec::with_capacity(HEADER_SIZE);
        bytes.extend(self.launch_script.as_bytes());
        bytes.extend(MAGIC);
        bytes.extend(VERSION);
        bytes.extend(self.arch.code());
        bytes.extend(self.id.as_bytes());
        for number in [
            self.created,
            self.modified,
            stored(self.descriptors_free),
            stored(self.descriptors_total),
            stored(self.descriptors_offset),
            stored(self.descriptors_size),
            stored(self.data_offset),
            stored(self.data_size),
        ] {
            bytes.extend(number.to_le_bytes());
        }
        padded(&bytes).unwrap_or([0; HEADER_SIZE])
    }

    /// What a signature covers of a header: launch script, magic, version and id, 61 bytes.
    ///
    /// Architecture, times and the table's fields are left out, as they change when a signature is added.
    ///
    /// Source: `apptainer/sif`, `pkg/sif/sif.go`, `GetHeaderIntegrityReader`.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        [
            self.launch_script.as_bytes().as_slice(),
            &MAGIC,
            &VERSION,
            self.id.as_bytes(),
        ]
        .concat()
    }
}
