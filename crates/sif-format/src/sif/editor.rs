//! Changing SIF files that exist.
//!
//! ```text
//! append: content behind all objects ──► descriptor ──► header
//! delete: descriptor                 ──► header       (──► zeros over the content, when asked for)
//! ```
//!
//! In that order a change that is cut short leaves either the old file or the new one; at worst the header counts one
//! free descriptor too many or too few, which no reader relies on.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::writer::write_zeros;
use super::{
    Arch, DESCRIPTOR_SIZE, DataType, Group, Link, NewObject, PartitionKind, SifDescriptor,
    SifError, SifReader,
};

/// A SIF file that is open for changes.
#[derive(Debug)]
pub struct SifEditor<F> {
    reader: SifReader<F>,
}

impl<F: Read + Write + Seek> SifEditor<F> {
    /// Opens the file that begins at byte 0 of `file`.
    ///
    /// # Errors
    /// As [`SifReader::open`], and when parts of the file overlap.
    pub fn open(file: F) -> Result<Self, SifError> {
        let reader = SifReader::open(file)?;
        match reader
            .oddities()
            .iter()
            .find(|oddity| oddity.forbids_changes())
        {
            Some(oddity) => Err(SifError::Damaged(oddity.clone())),
            None => Ok(Self { reader }),
        }
    }

    /// The file as it is now.
    pub fn reader(&mut self) -> &mut SifReader<F> {
        &mut self.reader
    }

    /// Appends an object behind all others and gives its id. `time` is in Unix seconds.
    ///
    /// # Errors
    /// When the table is full, when there is a primary partition already, when the object would enter a group that is
    /// signed, when a link leads nowhere, or when the file or `content` fails.
    pub fn append(
        &mut self,
        object: NewObject,
        mut content: impl Read,
        time: i64,
    ) -> Result<u32, SifError> {
        object.check()?;
        let slot = self
            .reader
            .free_slot()
            .ok_or(SifError::Full(self.reader.header().descriptors_total))?;
        let id = u32::try_from(slot).map_err(|_| SifError::Full(slot))?;
        self.may_append(&object)?;
        let end = self.reader.data_end();
        let offset = object.place(end)?;
        let padding = offset.saturating_sub(end);

        let file = self.reader.inner_mut();
        file.seek(SeekFrom::Start(end))?;
        write_zeros(file, padding)?;
        let size = io::copy(&mut content, file)?;
        file.flush()?;
        let data_end = offset
            .checked_add(size)
            .filter(|end| i64::try_from(*end).is_ok());
        let data_end = data_end.ok_or(SifError::TooLong64)?;

        let mut header = self.reader.header().clone();
        header.modified = time;
        header.descriptors_free = header.descriptors_free.saturating_sub(1);
        header.data_size = data_end.saturating_sub(header.data_offset);
        if let Some(partition) = object.primary() {
            header.arch = partition.arch;
        }
        let descriptor = object.describe(id, time, offset, padding, size);
        self.put(slot, &descriptor.to_bytes(), &header)?;
        Ok(id)
    }

    /// Deletes the object `id`. `time` is in Unix seconds; with `wipe`, zeros are written over its content.
    ///
    /// Gives the length that the file may be cut to, which a pure `Write` cannot do itself.
    ///
    /// # Errors
    /// When there is no such object, when another object is linked to it or is a signature over its group, or when the
    /// file fails.
    pub fn delete(&mut self, id: u32, wipe: bool, time: i64) -> Result<u64, SifError> {
        let slot = self.reader.slot_of(id)?;
        let object = self.reader.descriptor(id)?.clone();
        self.may_delete(&object)?;

        let mut header = self.reader.header().clone();
        header.modified = time;
        header.descriptors_free = header
            .descriptors_free
            .saturating_add(1)
            .min(header.descriptors_total);
        if object
            .partition()
            .is_some_and(|it| it.kind == PartitionKind::PrimarySystem)
        {
            header.arch = Arch::UNKNOWN;
        }
        let others = self.reader.descriptors().filter(|other| other.id != id);
        let last = others
            .map(SifDescriptor::end)
            .max()
            .unwrap_or(0)
            .max(header.data_offset);
        header.data_size = last.saturating_sub(header.data_offset);
        self.put(slot, &[0; DESCRIPTOR_SIZE], &header)?;
        if wipe {
            let file = self.reader.inner_mut();
            file.seek(SeekFrom::Start(object.offset))?;
            write_zeros(file, object.size)?;
            file.flush()?;
        }
        Ok(self.reader.data_end())
    }

    /// The file below.
    pub fn into_inner(self) -> F {
        self.reader.into_inner()
    }

    /// Writes a slot of the table and the header, and reads both again.
    fn put(
        &mut self,
        slot: u64,
        bytes: &[u8; DESCRIPTOR_SIZE],
        header: &super::Header,
    ) -> Result<(), SifError> {
        let place = header.descriptors_offset.saturating_add(
            slot.saturating_sub(1)
                .saturating_mul(DESCRIPTOR_SIZE as u64),
        );
        let file = self.reader.inner_mut();
        file.seek(SeekFrom::Start(place))?;
        file.write_all(bytes)?;
        file.flush()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header.to_bytes())?;
        file.flush()?;
        self.reader.refresh()
    }

    fn may_append(&self, object: &NewObject) -> Result<(), SifError> {
        if object.primary().is_some()
            && let Some(first) = self.reader.primary_partition()
        {
            return Err(SifError::SecondPrimary(first.id));
        }
        match object.link() {
            Link::Object(id) => self.reader.descriptor(id).map(|_| ())?,
            Link::Group(group)
                if !self
                    .reader
                    .descriptors()
                    .any(|known| known.group() == Some(group)) =>
            {
                return Err(SifError::NoSuchGroup(group));
            }
            Link::Group(_) | Link::None => {}
        }
        match object.group() {
            Group::Number(group) => self.not_signed(group),
            Group::None => Ok(()),
        }
    }

    fn may_delete(&self, object: &SifDescriptor) -> Result<(), SifError> {
        if let Some(by) = self
            .reader
            .descriptors()
            .find(|other| other.link() == Link::Object(object.id))
        {
            let what = format!("object {}", object.id);
            return Err(SifError::InUse {
                what,
                by: by.id,
                by_type: by.data_type,
            });
        }
        match object.group() {
            Some(group) => self.not_signed(group),
            None => Ok(()),
        }
    }

    fn not_signed(&self, group: u32) -> Result<(), SifError> {
        let signs = |it: &&SifDescriptor| {
            it.data_type == DataType::Signature && it.link() == Link::Group(group)
        };
        match self.reader.descriptors().find(signs) {
            Some(by) => Err(SifError::InUse {
                what: format!("group {group}"),
                by: by.id,
                by_type: by.data_type,
            }),
            None => Ok(()),
        }
    }
}
