//! Whiteouts: how a layer says that something in the layers below is gone.
//!
//! ```text
//! dir/.wh.NAME       dir/NAME of lower layers is gone
//! dir/.wh..wh..opq   everything in dir that lower layers put there is gone
//! ```
//!
//! Source: OCI image specification, `layer.md`, "Whiteouts".

/// What the base name of every whiteout begins with.
pub const PREFIX: &[u8] = b".wh.";
/// The base name of the file that hides the whole content of its directory.
pub const OPAQUE: &[u8] = b".wh..wh..opq";
/// The base names of AUFS's own bookkeeping begin so; they hide nothing and are never unpacked.
const AUFS_METADATA: &[u8] = b".wh..wh.";

/// What a member's name says when it is no ordinary file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whiteout {
    /// The file or tree at this path of lower layers is gone.
    Entry(Vec<u8>),
    /// What lower layers have in this directory is gone; the empty path is the root.
    Opaque(Vec<u8>),
    /// Bookkeeping of a storage driver: neither a file nor a whiteout.
    Metadata,
}

impl Whiteout {
    /// What `path` says, when its base name is a whiteout's.
    #[must_use]
    pub fn of(path: &[u8]) -> Option<Self> {
        let start = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        let (parent, base) = path.split_at(start);
        let parent = parent.strip_suffix(b"/").unwrap_or(parent);
        if base == OPAQUE {
            return Some(Self::Opaque(parent.to_vec()));
        }
        if base.starts_with(AUFS_METADATA) {
            return Some(Self::Metadata);
        }
        let hidden = base.strip_prefix(PREFIX)?;
        let mut path = path[..start].to_vec();
        path.extend_from_slice(hidden);
        Some(if hidden.is_empty() {
            Self::Metadata
        } else {
            Self::Entry(path)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_are_told_from_files() {
        assert_eq!(Whiteout::of(b"etc/passwd"), None);
        assert_eq!(
            Whiteout::of(b"etc/.wh.passwd"),
            Some(Whiteout::Entry(b"etc/passwd".to_vec()))
        );
        assert_eq!(
            Whiteout::of(b".wh.etc"),
            Some(Whiteout::Entry(b"etc".to_vec()))
        );
        assert_eq!(
            Whiteout::of(b"etc/.wh..wh..opq"),
            Some(Whiteout::Opaque(b"etc".to_vec()))
        );
        assert_eq!(
            Whiteout::of(b".wh..wh..opq"),
            Some(Whiteout::Opaque(Vec::new()))
        );
        assert_eq!(Whiteout::of(b".wh..wh.plnk"), Some(Whiteout::Metadata));
        assert_eq!(
            Whiteout::of(b"etc/.wh.x/file"),
            None,
            "only the base name counts"
        );
    }
}
