//! Extended attributes: sets, each stored once, and values, the long ones stored once.
//!
//! ```text
//! key/value stream:  type  length  name  length  value │ …       (value: or a reference to an earlier one)
//! lookup table:      where a set begins, attributes in it, bytes of it
//! header:            where the stream begins, sets, places of the lookup table's blocks
//! ```
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h` and `xattr_id.c`; squashfs-tools-ng, `doc/format.adoc`.

use std::collections::HashMap;

use crate::squashfs::layout::{NO_XATTR, XATTR_OUT_OF_LINE, Xattr};

use super::WriteError;
use super::metadata::{Sink, Stream};
use super::pool::Pool;

/// A reference takes eight bytes; a value is worth one if it is longer.
const REFERENCE: usize = 8;

/// The sets of attributes that inodes refer to by number.
#[derive(Default)]
pub(super) struct Sets<'a> {
    numbers: HashMap<&'a [Xattr], u32>,
    sets: Vec<&'a [Xattr]>,
}

impl<'a> Sets<'a> {
    /// The number of a set, which is sorted.
    pub(super) fn number(&mut self, set: &'a [Xattr]) -> Result<u32, WriteError> {
        if set.is_empty() {
            return Ok(NO_XATTR);
        }
        if let Some(number) = self.numbers.get(set) {
            return Ok(*number);
        }
        let number = u32::try_from(self.sets.len())
            .ok()
            .filter(|number| *number != NO_XATTR);
        let limit = u64::from(NO_XATTR);
        let number = number.ok_or(WriteError::TooMany {
            what: "sets of attributes",
            limit,
        })?;
        self.numbers.insert(set, number);
        self.sets.push(set);
        Ok(number)
    }

    pub(super) fn count(&self) -> u32 {
        self.sets.len() as u32
    }

    /// Writes the key/value stream and gives the lookup table.
    pub(super) fn write(
        &self,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) -> Result<Vec<u8>, WriteError> {
        let mut stream = Stream::default();
        let mut places = Vec::with_capacity(self.sets.len());
        let mut values: HashMap<&[u8], u64> = HashMap::new();
        for set in &self.sets {
            let begin = stream.place();
            let mut size = 0_usize;
            for xattr in *set {
                // References name places in the compressed stream, so all before must be compressed.
                let known = values.get(&xattr.value[..]).copied();
                let kind = xattr.namespace.id()
                    | if known.is_some() {
                        XATTR_OUT_OF_LINE
                    } else {
                        0
                    };
                let mut key = kind.to_le_bytes().to_vec();
                key.extend_from_slice(&(xattr.name.len() as u16).to_le_bytes());
                key.extend_from_slice(&xattr.name);
                stream.push(&key, pool, sink)?;
                let value = if let Some(reference) = known {
                    [
                        &(REFERENCE as u32).to_le_bytes()[..],
                        &reference.to_le_bytes(),
                    ]
                    .concat()
                } else {
                    if xattr.value.len() > REFERENCE {
                        stream.drain(pool, sink)?;
                        values.insert(&xattr.value, stream.reference(stream.place())?);
                    }
                    let length = xattr.value.len() as u32;
                    [&length.to_le_bytes()[..], &xattr.value].concat()
                };
                stream.push(&value, pool, sink)?;
                size += key.len() + value.len();
            }
            places.push((begin, set.len(), size));
        }
        stream.finish(pool, sink)?;
        let mut table = Vec::with_capacity(places.len() * 16);
        for (place, count, size) in places {
            table.extend_from_slice(&stream.reference(place)?.to_le_bytes());
            for number in [count, size] {
                let number = u32::try_from(number).map_err(|_| WriteError::TooMany {
                    what: "bytes of attributes",
                    limit: u32::MAX.into(),
                })?;
                table.extend_from_slice(&number.to_le_bytes());
            }
        }
        Ok(table)
    }
}
