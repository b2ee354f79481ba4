//! Reading all of an image, to see whether it can be read.

use std::io::Cursor;

use super::{Image, InodeKind, Piece, ReadError};

/// Names that are looked at.
const ENTRIES_MAX: usize = 1 << 20;

/// Reads every name, inode, attribute and byte of content of the image in `bytes`, and throws them
/// away: for checking, and as the entry of fuzzers.
///
/// Small images can stand for trees that are very large, so it stops without an error after
/// `content_max` bytes of content and attributes (holes count) or a million names.
///
/// # Errors
/// The first thing that cannot be read.
pub fn read_everything(bytes: &[u8], content_max: u64) -> Result<(), ReadError> {
    let image = Image::open(Cursor::new(bytes))?;
    let mut left = content_max;
    for entry in image.walk().take(ENTRIES_MAX) {
        let inode = entry?.inode;
        for xattr in image.xattrs(&inode)? {
            left = left.saturating_sub(xattr.value.len() as u64);
        }
        if image.super_block().flags.is_exportable() {
            image.inode(inode.number)?;
        }
        if let InodeKind::File(_) = inode.kind {
            let mut content = image.content(&inode)?;
            while let Some(piece) = content.next_piece()? {
                left = left.saturating_sub(match piece {
                    Piece::Bytes(bytes) => bytes.len() as u64,
                    Piece::Hole(length) => length,
                });
                if left == 0 {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
