//! Extended attributes.
//!
//! ```text
//! header:        where the stream begins, sets, places of the lookup table's blocks
//! lookup table:  where a set begins, attributes in it, bytes of it
//! stream:        type  length  name  length  value │ …     (value: or a reference to another one)
//! ```
//!
//! Source: Linux, `fs/squashfs/xattr_id.c` and `xattr.c`.

use std::io::{Read, Seek};

use crate::squashfs::layout::{
    NAME_MAX, NO_TABLE, XATTR_OUT_OF_LINE, XATTR_VALUE_MAX, Xattr, XattrNamespace,
};

use super::cursor::{Cursor, Region};
use super::table::Table;
use super::{Image, ReadError};

/// Bytes of attributes that one inode may have. Linux would list 64 KiB of names.
const SET_MAX: usize = 16 << 20;
/// Bytes of the header before the list of blocks.
const HEADER: u64 = 16;

/// Where the attributes of an image are.
#[derive(Clone, Copy)]
pub(super) struct Place {
    lookup: Table,
    stream: Region,
}

/// Reads the header, if the image has attributes.
pub(super) fn open<R: Read + Seek>(image: &Image<R>) -> Result<Option<Place>, ReadError> {
    let table = image.super_block.xattr_table;
    if table == NO_TABLE {
        return Ok(None);
    }
    let mut header = [0; 12];
    let what = "the header of attributes";
    image.store.borrow_mut().read(table, &mut header, what)?;
    let [a, b, c, d, e, f, g, h, count @ ..] = header;
    let start = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    Ok(Some(Place {
        lookup: Table {
            list: table.saturating_add(HEADER),
            count: u32::from_le_bytes(count).into(),
            what: "set of attributes",
        },
        stream: Region {
            start,
            end: table,
            what: "an attribute",
        },
    }))
}

/// The set of attributes with that number, for inode `number`.
pub(super) fn read<R: Read + Seek>(
    image: &Image<R>,
    number: u32,
    index: u32,
) -> Result<Vec<Xattr>, ReadError> {
    let wrong = |reason| ReadError::Inode { number, reason };
    let place = image
        .xattrs
        .ok_or(wrong("has attributes in an image that has none"))?;
    let record: [u8; 16] = place.lookup.record(&image.store, index.into())?;
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = record;
    let reference = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let count = u32::from_le_bytes([i, j, k, l]);
    let mut set = Vec::new();
    if count == 0 {
        return Ok(set);
    }
    let mut cursor = begin(image, &place, reference)?;
    let mut room = SET_MAX;
    for _ in 0..count {
        let kind = cursor.u16()?;
        let length = usize::from(cursor.u16()?);
        if length == 0 || length > NAME_MAX {
            return Err(wrong("has an attribute whose name is empty or too long"));
        }
        let name = cursor.bytes(length)?;
        let value = if kind & XATTR_OUT_OF_LINE == 0 {
            value(&mut cursor, number)?
        } else {
            // The length of the reference, which is eight bytes.
            let _length = cursor.u32()?;
            let reference = cursor.u64()?;
            value(&mut begin(image, &place, reference)?, number)?
        };
        // Counted with what a record takes in memory, so that small ones are bounded as well.
        let size = name.len() + value.len() + size_of::<Xattr>();
        room = room
            .checked_sub(size)
            .ok_or(wrong("has more attributes than are read"))?;
        // Linux leaves out name spaces that it does not know.
        if let Some(namespace) = XattrNamespace::of_id(kind & !XATTR_OUT_OF_LINE) {
            set.push(Xattr {
                namespace,
                name,
                value,
            });
        }
    }
    set.sort();
    Ok(set)
}

fn begin<'a, R: Read + Seek>(
    image: &'a Image<R>,
    place: &Place,
    reference: u64,
) -> Result<Cursor<'a, R>, ReadError> {
    let offset = (reference & 0xffff) as u16;
    Cursor::new(&image.store, place.stream, reference >> 16, offset)
}

fn value<R: Read + Seek>(cursor: &mut Cursor<'_, R>, number: u32) -> Result<Vec<u8>, ReadError> {
    let length = usize::try_from(cursor.u32()?)
        .ok()
        .filter(|length| *length <= XATTR_VALUE_MAX)
        .ok_or(ReadError::Inode {
            number,
            reason: "has an attribute whose value is above 64 KiB",
        })?;
    cursor.bytes(length)
}
