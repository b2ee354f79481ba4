//! Writing a tar stream.

use std::io::{self, Read, Write};

use super::header::{self, octal_limit, put_octal, seal};
use super::path::{PathFault, normalize, printable};
use super::{BLOCK, pax};
use crate::layer::{Entry, EntryKind};

const COPY_BUFFER: usize = 64 * 1024;

/// Names that every system takes; longer ones would be refused by our own reader.
const PATH_LIMIT: usize = 4096;

/// Why a member cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TarWriteError {
    /// The sink failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// The content could not be read.
    #[error("cannot read the content of `{member}`")]
    Content {
        /// Which member.
        member: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content is not as long as the entry says.
    #[error("`{member}` should have {expected} bytes and has {}", if *actual < *expected { "fewer" } else { "more" })]
    Size {
        /// Which member.
        member: String,
        /// Bytes announced by the entry.
        expected: u64,
        /// Bytes seen when that became clear.
        actual: u64,
    },
    /// A name that may not be in a layer.
    #[error("`{member}` is not a name that may be in a layer: {fault}")]
    Path {
        /// The name or hard-link target.
        member: String,
        /// Why not.
        fault: PathFault,
    },
    /// A number that neither ustar nor pax can say.
    #[error("`{member}`: its {field} does not fit a tar header")]
    Number {
        /// Which member.
        member: String,
        /// Which number.
        field: &'static str,
    },
}

/// Writes a tar stream: ustar, with pax records for what ustar cannot say.
///
/// Same entries and contents, same bytes: owner names are empty, and nothing comes from the machine.
/// Writes are as small as headers are; give it a buffered or compressing sink.
pub struct TarWriter<W> {
    inner: W,
    buffer: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// Begins a stream.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
        }
    }

    /// Writes one member with the first [`Entry::size`] bytes of `content`, which must be all of them.
    /// Content is only read for files.
    ///
    /// # Errors
    /// When the sink or the content fails, the content is shorter or longer than announced, or the
    /// entry cannot be said in tar. The stream is of no use then.
    pub fn append(&mut self, entry: &Entry, mut content: impl Read) -> Result<(), TarWriteError> {
        self.append_header(entry)?;
        if entry.kind != EntryKind::File {
            return Ok(());
        }
        let failed = |source| TarWriteError::Content {
            member: printable(&entry.path),
            source,
        };
        let wrong = |actual| TarWriteError::Size {
            member: printable(&entry.path),
            expected: entry.size,
            actual,
        };
        if self.buffer.is_empty() {
            self.buffer = vec![0; COPY_BUFFER];
        }
        let mut left = entry.size;
        // One read beyond the announced end tells whether there is more.
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            if count as u64 > left {
                return Err(wrong(entry.size - left + count as u64));
            }
            if count == 0 {
                break;
            }
            self.inner
                .write_all(&self.buffer[..count])
                .map_err(TarWriteError::Write)?;
            left -= count as u64;
        }
        if left > 0 {
            return Err(wrong(entry.size - left));
        }
        self.pad(entry.size)
    }

    /// Writes one member whose content is in memory.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_bytes(&mut self, entry: &Entry, content: &[u8]) -> Result<(), TarWriteError> {
        if content.len() as u64 != entry.size {
            return Err(TarWriteError::Size {
                member: printable(&entry.path),
                expected: entry.size,
                actual: content.len() as u64,
            });
        }
        self.append_header(entry)?;
        self.inner
            .write_all(content)
            .map_err(TarWriteError::Write)?;
        self.pad(entry.size)
    }

    /// Ends the stream and gives the sink back, not flushed.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(mut self) -> Result<W, TarWriteError> {
        self.inner
            .write_all(&[0; 2 * BLOCK])
            .map_err(TarWriteError::Write)?;
        Ok(self.inner)
    }

    fn pad(&mut self, size: u64) -> Result<(), TarWriteError> {
        let padding = super::padding(size) as usize;
        self.inner
            .write_all(&[0; BLOCK][..padding])
            .map_err(TarWriteError::Write)
    }

    fn append_header(&mut self, entry: &Entry) -> Result<(), TarWriteError> {
        let (block, records) = encode(entry)?;
        if !records.is_empty() {
            self.inner
                .write_all(&records_header(entry, records.len())?)
                .map_err(TarWriteError::Write)?;
            self.inner
                .write_all(&records)
                .map_err(TarWriteError::Write)?;
            self.pad(records.len() as u64)?;
        }
        self.inner.write_all(&block).map_err(TarWriteError::Write)
    }
}

/// The header of `entry` and the records that must stand before it.
fn encode(entry: &Entry) -> Result<([u8; BLOCK], Vec<u8>), TarWriteError> {
    let refuse = |name: &[u8], fault| TarWriteError::Path {
        member: printable(name),
        fault,
    };
    check_name(&entry.path).map_err(|fault| refuse(&entry.path, fault))?;
    let mut name = entry.path.clone();
    let (flag, link): (u8, &[u8]) = match &entry.kind {
        EntryKind::Directory => {
            name.push(b'/');
            (b'5', b"")
        }
        EntryKind::File => (b'0', b""),
        EntryKind::Symlink(target) => (b'2', target),
        EntryKind::HardLink(target) => {
            check_name(target).map_err(|fault| refuse(target, fault))?;
            (b'1', target)
        }
        EntryKind::CharacterDevice(..) => (b'3', b""),
        EntryKind::BlockDevice(..) => (b'4', b""),
        EntryKind::Fifo => (b'6', b""),
    };
    if matches!(flag, b'1' | b'2') && link.is_empty() {
        return Err(refuse(link, PathFault::Empty));
    }
    if link.contains(&0) {
        return Err(refuse(link, PathFault::Nul));
    }

    let mut block = [0; BLOCK];
    let mut records = Vec::new();
    if std::str::from_utf8(&name).is_err() || std::str::from_utf8(link).is_err() {
        // Values of records are UTF-8 unless said otherwise.
        pax::push(&mut records, b"hdrcharset", b"BINARY");
    }
    if !put_name(&mut block, &name) {
        pax::push(&mut records, b"path", &name);
    }
    let shown = link.len().min(header::LINK.len());
    block[header::LINK][..shown].copy_from_slice(&link[..shown]);
    if link.len() > header::LINK.len() || !link.is_ascii() {
        pax::push(&mut records, b"linkpath", link);
    }
    let size = if entry.kind == EntryKind::File {
        entry.size
    } else {
        0
    };
    let mut number = |field: std::ops::Range<usize>, key: &[u8], value: u64| {
        let fits = value <= octal_limit(field.len());
        put_octal(&mut block[field], if fits { value } else { 0 });
        if !fits {
            pax::push(&mut records, key, value.to_string().as_bytes());
        }
    };
    number(header::MODE, b"", u64::from(entry.mode & 0o7777));
    number(header::UID, b"uid", entry.uid);
    number(header::GID, b"gid", entry.gid);
    number(header::SIZE, b"size", size);
    number(header::MTIME, b"mtime", entry.mtime);
    for (name, value) in &entry.xattrs {
        pax::push(&mut records, &[pax::XATTR, name].concat(), value);
    }

    let (major, minor) = match entry.kind {
        EntryKind::CharacterDevice(major, minor) | EntryKind::BlockDevice(major, minor) => {
            (u64::from(major), u64::from(minor))
        }
        _ => (0, 0),
    };
    if major.max(minor) > octal_limit(header::DEVICE_MAJOR.len()) {
        let member = printable(&entry.path);
        return Err(TarWriteError::Number {
            member,
            field: "device number",
        });
    }
    put_octal(&mut block[header::DEVICE_MAJOR], major);
    put_octal(&mut block[header::DEVICE_MINOR], minor);
    block[header::TYPE] = flag;
    block[header::MAGIC].copy_from_slice(header::USTAR);
    seal(&mut block);
    Ok((block, records))
}

/// Only what our own reader would give back unchanged.
fn check_name(name: &[u8]) -> Result<(), PathFault> {
    if name.is_empty() {
        // The root itself is `./` in a tar, which is of no use in a layer.
        return Err(PathFault::Empty);
    }
    match normalize(name, false, PATH_LIMIT)? {
        normal if normal == name => Ok(()),
        normal if normal.is_empty() => Err(PathFault::Empty),
        _ => Err(PathFault::NotNormal),
    }
}

/// Puts the name into name and prefix. False: it does not fit or is not ASCII, so records must have
/// it; the header then has its beginning, for readers that know no records.
fn put_name(block: &mut [u8; BLOCK], name: &[u8]) -> bool {
    if name.is_ascii() && name.len() > header::NAME.len() {
        // The latest slash that leaves a prefix which fits; the name behind it must fit too.
        let window = name.len().min(header::PREFIX.len() + 1);
        let slash = name[..window].iter().rposition(|byte| *byte == b'/');
        if let Some(slash) = slash.filter(|slash| *slash > 0) {
            let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
            if !rest.is_empty() && rest.len() <= header::NAME.len() {
                block[header::PREFIX][..prefix.len()].copy_from_slice(prefix);
                block[header::NAME][..rest.len()].copy_from_slice(rest);
                return true;
            }
        }
    }
    let shown = name.len().min(header::NAME.len());
    block[header::NAME][..shown].copy_from_slice(&name[..shown]);
    shown == name.len() && name.is_ascii()
}

/// The header of the member that holds records.
fn records_header(entry: &Entry, size: usize) -> Result<[u8; BLOCK], TarWriteError> {
    let mut block = [0; BLOCK];
    let name = b"PaxHeaders/";
    let base = entry
        .path
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    // Only ASCII: this name has no records of its own to say more.
    let base = base
        .iter()
        .map(|byte| if byte.is_ascii() { *byte } else { b'_' });
    let name = name.iter().copied().chain(base).take(header::NAME.len());
    for (place, byte) in block[header::NAME].iter_mut().zip(name) {
        *place = byte;
    }
    let size = size as u64;
    if size > octal_limit(header::SIZE.len()) {
        let member = printable(&entry.path);
        return Err(TarWriteError::Number {
            member,
            field: "extended attributes",
        });
    }
    put_octal(&mut block[header::MODE], 0o644);
    for field in [
        header::UID,
        header::GID,
        header::MTIME,
        header::DEVICE_MAJOR,
        header::DEVICE_MINOR,
    ] {
        put_octal(&mut block[field], 0);
    }
    put_octal(&mut block[header::SIZE], size);
    block[header::TYPE] = b'x';
    block[header::MAGIC].copy_from_slice(header::USTAR);
    seal(&mut block);
    Ok(block)
}
