//! The UUID in the header.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Keeps ids apart from other hashes of the same digest.
const DOMAIN: &[u8] = b"sif image id\0";

/// The id of an image: an RFC 9562 UUID, in the order of its text.
///
/// Apptainer draws it at random, which makes two builds of one image differ. Here it is derived from what the
/// image is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageId([u8; 16]);

impl ImageId {
    /// All zero: what the `sif` library writes in its deterministic mode. Listing tools leave it out.
    pub const NIL: Self = Self([0; 16]);

    /// From the bytes of the header.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Of an image that is told apart by `content`, such as the text of a digest of all that goes into it.
    ///
    /// A UUID of version 8, which is the version for private schemes: here the head of a SHA-256.
    /// Equal content has equal ids.
    #[must_use]
    pub fn derived_from(content: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(content)
            .finalize()
            .into();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The bytes of the header.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_a_uuid_of_version_8_and_depends_on_the_content_alone() {
        let id = ImageId::derived_from(b"sha256:00");
        assert_eq!(id, ImageId::derived_from(b"sha256:00"));
        assert_ne!(id, ImageId::derived_from(b"sha256:01"));
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'8');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(
            ImageId::NIL.to_string(),
            "00000000-0000-0000-0000-000000000000"
        );
    }
}
