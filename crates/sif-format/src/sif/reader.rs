//! Reading SIF files that nobody has vouched for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};

use super::{
    DESCRIPTOR_SIZE, DataType, HEADER_SIZE, Header, Oddity, PartitionKind, SifDescriptor, SifError,
};

/// How many descriptors are looked at. Apptainer writes tables of 48.
pub const MAX_DESCRIPTORS: u64 = 1 << 16;

/// A SIF file: its header, its descriptors, and its objects on demand.
///
/// When it is open, all descriptors point into the file and ids are unique. What else is odd is listed in
/// [`SifReader::oddities`].
#[derive(Debug)]
pub struct SifReader<R> {
    inner: R,
    map: Map,
}

/// What the first pages of a file say.
#[derive(Debug)]
struct Map {
    length: u64,
    header: Header,
    /// The objects with their slots, counted from 1.
    slots: Vec<(u64, SifDescriptor)>,
    /// Where in `slots` an id is.
    ids: BTreeMap<u32, usize>,
    oddities: Vec<Oddity>,
}

impl Map {
    fn read<R: Read + Seek>(inner: &mut R) -> Result<Self, SifError> {
        let length = inner.seek(SeekFrom::End(0))?;
        if length < HEADER_SIZE as u64 {
            return Err(SifError::NotSif("it is shorter than a header"));
        }
        inner.seek(SeekFrom::Start(0))?;
        let mut bytes = [0; HEADER_SIZE];
        inner.read_exact(&mut bytes)?;
        let header = Header::parse(&bytes, length)?;
        let slots = read_table(inner, &header, length)?;
        let mut ids = BTreeMap::new();
        for (index, (_, object)) in slots.iter().enumerate() {
            if ids.insert(object.id, index).is_some() {
                return Err(SifError::DuplicateId(object.id));
            }
        }
        let oddities = Oddity::find(&header, &slots);
        Ok(Self {
            length,
            header,
            slots,
            ids,
            oddities,
        })
    }

    /// The slot and the descriptor of the object `id`.
    fn find(&self, id: u32) -> Result<&(u64, SifDescriptor), SifError> {
        let index = self.ids.get(&id).ok_or(SifError::NoSuchObject(id))?;
        self.slots.get(*index).ok_or(SifError::NoSuchObject(id))
    }
}

impl<R: Read + Seek> SifReader<R> {
    /// Reads header and descriptors of the file that begins at byte 0 of `inner`.
    ///
    /// # Errors
    /// When it is no SIF file, or when an offset, a size or a count cannot be true.
    pub fn open(mut inner: R) -> Result<Self, SifError> {
        let map = Map::read(&mut inner)?;
        Ok(Self { inner, map })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.map.header
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.map.length
    }

    /// What is odd about the file; empty for one that is well made.
    #[must_use]
    pub fn oddities(&self) -> &[Oddity] {
        &self.map.oddities
    }

    /// The descriptors that are in use, in the order of the table.
    pub fn descriptors(&self) -> impl DoubleEndedIterator<Item = &SifDescriptor> {
        self.map.slots.iter().map(|(_, descriptor)| descriptor)
    }

    /// The descriptor of the object `id`.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn descriptor(&self, id: u32) -> Result<&SifDescriptor, SifError> {
        self.map.find(id).map(|(_, descriptor)| descriptor)
    }

    /// The first object of a type.
    #[must_use]
    pub fn first_of(&self, data_type: DataType) -> Option<&SifDescriptor> {
        self.descriptors()
            .find(|object| object.data_type == data_type)
    }

    /// The JSON object with a name.
    #[must_use]
    pub fn json_named(&self, name: &str) -> Option<&SifDescriptor> {
        self.descriptors()
            .find(|object| object.data_type == DataType::GenericJson && object.name() == name)
    }

    /// The root file system that runs.
    #[must_use]
    pub fn primary_partition(&self) -> Option<&SifDescriptor> {
        self.descriptors().find(|object| {
            object
                .partition()
                .is_some_and(|it| it.kind == PartitionKind::PrimarySystem)
        })
    }

    /// The content of the object `id`, as a stream that can be moved in.
    ///
    /// # Errors
    /// When there is no such object, or when the file cannot be read.
    pub fn object(&mut self, id: u32) -> Result<ObjectReader<'_, R>, SifError> {
        let descriptor = self.descriptor(id)?;
        let (start, size) = (descriptor.offset, descriptor.size);
        self.inner.seek(SeekFrom::Start(start))?;
        Ok(ObjectReader {
            inner: &mut self.inner,
            start,
            size,
            position: 0,
        })
    }

    /// The content of the object `id`, whole, when it has at most `limit` bytes.
    ///
    /// # Errors
    /// When there is no such object, when it is larger, or when the file cannot be read.
    pub fn read_object(&mut self, id: u32, limit: u64) -> Result<Vec<u8>, SifError> {
        let size = self.descriptor(id)?.size;
        if size > limit {
            return Err(SifError::TooLarge { id, size, limit });
        }
        let mut content = Vec::new();
        self.object(id)?.read_to_end(&mut content)?;
        if content.len() as u64 != size {
            return Err(SifError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(content)
    }

    /// The file below.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The first slot that is free, counted from 1.
    pub(crate) fn free_slot(&self) -> Option<u64> {
        let used: BTreeSet<u64> = self.map.slots.iter().map(|(slot, _)| *slot).collect();
        (1..=self.map.header.descriptors_total).find(|slot| !used.contains(slot))
    }

    /// The slot that the object stands in, counted from 1.
    pub(crate) fn slot_of(&self, id: u32) -> Result<u64, SifError> {
        self.map.find(id).map(|(slot, _)| *slot)
    }

    /// The first byte behind all that is in use.
    pub(crate) fn data_end(&self) -> u64 {
        let last = self
            .descriptors()
            .map(SifDescriptor::end)
            .max()
            .unwrap_or(0);
        let table = self
            .map
            .header
            .descriptors_size
            .saturating_add(self.map.header.descriptors_offset);
        last.max(self.map.header.data_offset).max(table)
    }

    pub(crate) fn inner_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Reads header and descriptors again, after they were changed.
    pub(crate) fn refresh(&mut self) -> Result<(), SifError> {
        self.map = Map::read(&mut self.inner)?;
        Ok(())
    }
}

/// Reads the descriptors that are in use, with their slots counted from 1.
fn read_table<R: Read + Seek>(
    inner: &mut R,
    header: &Header,
    length: u64,
) -> Result<Vec<(u64, SifDescriptor)>, SifError> {
    let damaged = |what, value: u64| SifError::Header {
        what,
        value: super::bytes::stored(value),
        length,
    };
    let total = header.descriptors_total;
    if total > MAX_DESCRIPTORS {
        return Err(SifError::TooManyDescriptors {
            count: super::bytes::stored(total),
            limit: MAX_DESCRIPTORS,
        });
    }
    let needed = total.saturating_mul(DESCRIPTOR_SIZE as u64);
    if header.descriptors_size < needed {
        return Err(damaged(
            "the descriptors have too little space",
            header.descriptors_size,
        ));
    }
    if header
        .descriptors_offset
        .checked_add(header.descriptors_size)
        .is_none_or(|end| end > length)
    {
        return Err(damaged(
            "the descriptors are outside of the file",
            header.descriptors_offset,
        ));
    }
    inner.seek(SeekFrom::Start(header.descriptors_offset))?;
    let mut table = io::BufReader::new(inner.by_ref().take(needed));
    let mut slots = Vec::new();
    for slot in 1..=total {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        table.read_exact(&mut bytes)?;
        if let Some(descriptor) = SifDescriptor::parse(&bytes, length)? {
            slots.push((slot, descriptor));
        }
    }
    Ok(slots)
}

/// The content of one object: a window of the file.
#[derive(Debug)]
pub struct ObjectReader<'a, R> {
    inner: &'a mut R,
    start: u64,
    size: u64,
    position: u64,
}

impl<R> ObjectReader<'_, R> {
    /// The length of the object in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl<R: Read> Read for ObjectReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.position);
        let count = self.inner.by_ref().take(left).read(buffer)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for ObjectReader<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        let outside = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek to before the object or past all offsets",
            )
        };
        let target = target.ok_or_else(outside)?;
        let absolute = self.start.checked_add(target).ok_or_else(outside)?;
        self.inner.seek(SeekFrom::Start(absolute))?;
        self.position = target;
        Ok(target)
    }
}
