//! Writing SIF files from front to back.
//!
//! ```text
//! create ──► begin ──► write… ──► finish (object) ──► … ──► finish (file)
//!                      length unknown                        descriptors, then the header
//! ```
//!
//! The header comes last, so a file whose making was cut short is no SIF file at all.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{
    Arch, DESCRIPTOR_SIZE, HEADER_SIZE, Header, ImageId, LaunchScript, MAX_DESCRIPTORS, NewObject,
    SifDescriptor, SifError,
};

/// How many descriptors Apptainer makes room for.
pub const DEFAULT_CAPACITY: u32 = 48;
/// Where the descriptor table begins.
pub const DESCRIPTORS_OFFSET: u64 = 4096;

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SifOptions {
    /// The id of the image.
    pub id: ImageId,
    /// The time of the file and of all its objects, Unix seconds.
    pub time: i64,
    /// The first line.
    pub launch_script: LaunchScript,
    /// How many objects the file can ever hold; signatures that are added later count.
    pub capacity: u32,
}

impl SifOptions {
    /// With Apptainer's first line and room for 48 objects.
    #[must_use]
    pub fn new(id: ImageId, time: i64) -> Self {
        Self {
            id,
            time,
            launch_script: LaunchScript::default(),
            capacity: DEFAULT_CAPACITY,
        }
    }
}

/// Writes a SIF file into `W`, beginning at byte 0.
#[derive(Debug)]
pub struct SifWriter<W> {
    inner: W,
    options: SifOptions,
    objects: Vec<SifDescriptor>,
    arch: Arch,
    data_offset: u64,
    /// The first byte behind all objects.
    end: u64,
    unfinished: bool,
}

impl<W: Write + Seek> SifWriter<W> {
    /// Begins a file. `inner` has to be empty.
    ///
    /// # Errors
    /// When the capacity is 0 or more than readers accept, or when `inner` cannot be written.
    pub fn create(mut inner: W, options: SifOptions) -> Result<Self, SifError> {
        let capacity = u64::from(options.capacity);
        if capacity == 0 || capacity > MAX_DESCRIPTORS {
            return Err(SifError::TooManyDescriptors {
                count: i64::from(options.capacity),
                limit: MAX_DESCRIPTORS,
            });
        }
        let data_offset =
            DESCRIPTORS_OFFSET.saturating_add(capacity.saturating_mul(DESCRIPTOR_SIZE as u64));
        inner.seek(SeekFrom::Start(0))?;
        write_zeros(&mut inner, data_offset)?;
        Ok(Self {
            inner,
            options,
            objects: Vec::new(),
            arch: Arch::UNKNOWN,
            data_offset,
            end: data_offset,
            unfinished: false,
        })
    }

    /// Begins an object. Its content is written to what is returned, and [`ObjectWriter::finish`] ends it.
    ///
    /// # Errors
    /// When the table is full, when there is a primary partition already, or when `W` cannot be written.
    pub fn begin(&mut self, object: NewObject) -> Result<ObjectWriter<'_, W>, SifError> {
        if self.unfinished {
            return Err(SifError::Unfinished);
        }
        object.check()?;
        let capacity = u64::from(self.options.capacity);
        let id = match u32::try_from(self.objects.len().saturating_add(1)) {
            Ok(id) if u64::from(id) <= capacity => id,
            _ => return Err(SifError::Full(capacity)),
        };
        if object.primary().is_some()
            && let Some(first) = self.objects.iter().find(|known| is_primary(known))
        {
            return Err(SifError::SecondPrimary(first.id));
        }
        let offset = object.place(self.end)?;
        let padding = offset.saturating_sub(self.end);
        self.inner.seek(SeekFrom::Start(self.end))?;
        write_zeros(&mut self.inner, padding)?;
        self.unfinished = true;
        Ok(ObjectWriter {
            writer: self,
            object,
            id,
            offset,
            padding,
            position: 0,
            size: 0,
        })
    }

    /// Writes an object whose content is read from `content`, and gives its id.
    ///
    /// # Errors
    /// As [`SifWriter::begin`], and when `content` cannot be read.
    pub fn append(&mut self, object: NewObject, mut content: impl Read) -> Result<u32, SifError> {
        let mut out = self.begin(object)?;
        io::copy(&mut content, &mut out)?;
        out.finish()
    }

    /// Ends the file: writes the descriptors and then the header. Gives `W` and the length of the file.
    ///
    /// # Errors
    /// When an object was begun and not finished, or when `W` cannot be written.
    pub fn finish(mut self) -> Result<(W, u64), SifError> {
        if self.unfinished {
            return Err(SifError::Unfinished);
        }
        self.inner.seek(SeekFrom::Start(DESCRIPTORS_OFFSET))?;
        for object in &self.objects {
            self.inner.write_all(&object.to_bytes())?;
        }
        self.inner.flush()?;
        let total = u64::from(self.options.capacity);
        let header = Header {
            launch_script: self.options.launch_script,
            arch: self.arch,
            id: self.options.id,
            created: self.options.time,
            modified: self.options.time,
            descriptors_free: total.saturating_sub(self.objects.len() as u64),
            descriptors_total: total,
            descriptors_offset: DESCRIPTORS_OFFSET,
            descriptors_size: self.data_offset.saturating_sub(DESCRIPTORS_OFFSET),
            data_offset: self.data_offset,
            data_size: self.end.saturating_sub(self.data_offset),
        };
        self.inner.seek(SeekFrom::Start(0))?;
        self.inner.write_all(&header.to_bytes())?;
        self.inner.flush()?;
        Ok((self.inner, self.end))
    }
}

fn is_primary(object: &SifDescriptor) -> bool {
    object
        .partition()
        .is_some_and(|partition| partition.kind == super::PartitionKind::PrimarySystem)
}

/// Writes `count` zero bytes.
pub(crate) fn write_zeros(out: &mut impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(count), out).map(|_| ())
}

/// Takes the content of one object. It may go back and change what was written, as squashfs does with its super block.
#[derive(Debug)]
pub struct ObjectWriter<'a, W> {
    writer: &'a mut SifWriter<W>,
    object: NewObject,
    id: u32,
    offset: u64,
    padding: u64,
    position: u64,
    size: u64,
}

impl<W: Write + Seek> ObjectWriter<'_, W> {
    /// Ends the object and gives its id.
    ///
    /// # Errors
    /// When the file has become longer than offsets can express.
    pub fn finish(self) -> Result<u32, SifError> {
        let end = self
            .offset
            .checked_add(self.size)
            .filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or(SifError::TooLong64)?;
        let time = self.writer.options.time;
        let descriptor = self
            .object
            .describe(self.id, time, self.offset, self.padding, self.size);
        if let Some(partition) = self.object.primary() {
            self.writer.arch = partition.arch;
        }
        self.writer.objects.push(descriptor);
        self.writer.end = end;
        self.writer.unfinished = false;
        Ok(self.id)
    }
}

impl<W: Write> Write for ObjectWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.inner.write(bytes)?;
        self.position = self.position.saturating_add(count as u64);
        self.size = self.size.max(self.position);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.inner.flush()
    }
}

impl<W: Seek> Seek for ObjectWriter<'_, W> {
    /// Moves inside of what was written; positions count from the beginning of the object.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        // A gap would hold whatever the file held before: only what was written can be gone back to.
        let target = target
            .filter(|target| *target <= self.size)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "seek to outside of what was written of the object",
                )
            })?;
        self.writer
            .inner
            .seek(SeekFrom::Start(self.offset.saturating_add(target)))?;
        self.position = target;
        Ok(target)
    }
}

const _: () = assert!(HEADER_SIZE as u64 <= DESCRIPTORS_OFFSET);
