//! Reading a tar stream member by member.

use std::io::{self, BufRead, BufReader, Read};

use super::error::TarError;
use super::header::{self, Header};
use super::member::{Holes, Member, Stored};
use super::path::{PathFault, normalize, printable};
use super::pax::{self, Records};
use super::{BLOCK, sparse};
use crate::layer::{Entry, EntryKind};

/// Large enough that most files of a package come in one read, small enough for the cache of a core.
const BUFFER: usize = 128 * 1024;

/// What to do where archives in the wild are sloppy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// An archive that every reader understands in the same way, or an error: absolute names, holes,
    /// links with content, a missing end and bytes after the end are refused.
    Strict,
    /// As container runtimes take foreign layers: a leading `/` is stripped, holes are filled, the size
    /// of a link is ignored, the end may be missing.
    Lenient,
}

/// How much a stream may make its reader hold in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one extension (pax records, long name, map of holes). Go's reader allows 1 MiB too.
    pub extension: usize,
    /// Bytes of a name or link target; Linux takes no path above 4096.
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            extension: 1 << 20,
            path: 4096,
        }
    }
}

/// Reads a tar stream. See the module's page for what it understands.
pub struct TarReader<R> {
    pub(super) inner: BufReader<R>,
    policy: Policy,
    limits: Limits,
    pub(super) offset: u64,
    pub(super) content: Stored,
    /// The name of the last member, for errors.
    pub(super) current: Vec<u8>,
    ended: bool,
}

/// The extensions seen before a member.
#[derive(Default)]
struct Pending {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: Read> TarReader<R> {
    /// Reads `inner` strictly. It is buffered here; no buffer is needed outside.
    pub fn new(inner: R) -> Self {
        Self::with_policy(inner, Policy::Strict, Limits::default())
    }

    /// Reads `inner` under the given rules.
    pub fn with_policy(inner: R, policy: Policy, limits: Limits) -> Self {
        Self {
            inner: BufReader::with_capacity(BUFFER, inner),
            policy,
            limits,
            offset: 0,
            content: Stored::default(),
            current: Vec::new(),
            ended: false,
        }
    }

    /// The reader below. All of it has been read once [`Self::next_member`] has given `None`.
    pub fn into_inner(self) -> R {
        self.inner.into_inner()
    }

    /// The next member, or `None` at the end, by when the reader below has been read to *its* end, so
    /// that digests over the whole stream are right.
    ///
    /// # Errors
    /// When the stream is broken or holds what the rules refuse. Nothing can be read after an error.
    pub fn next_member(&mut self) -> Result<Option<Member<'_, R>>, TarError> {
        let entry = match self.next_entry() {
            Ok(entry) => entry,
            Err(error) => {
                self.ended = true;
                return Err(error);
            }
        };
        Ok(entry.map(|entry| Member {
            entry,
            reader: self,
        }))
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let left = std::mem::take(&mut self.content);
        self.skip(left.left + left.padding)?;
        let mut pending = Pending::default();
        loop {
            let at = self.offset;
            let Some(block) = self.read_block()? else {
                if self.policy == Policy::Strict || pending.any() {
                    return Err(self.truncated());
                }
                self.ended = true;
                return Ok(None);
            };
            if block.iter().all(|byte| *byte == 0) {
                if pending.any() {
                    return Err(TarError::Extensions { offset: at });
                }
                self.read_end(at)?;
                self.ended = true;
                return Ok(None);
            }
            let Some(header) = Header::check(block) else {
                return Err(TarError::Header {
                    offset: at,
                    member: printable(&self.current),
                });
            };
            let stored = |reader: &Self| {
                let size = header
                    .number(header::SIZE)
                    .and_then(|size| u64::try_from(size).ok());
                size.ok_or_else(|| reader.number_error(&header, "size"))
            };
            let twice = || TarError::Extensions { offset: at };
            match header.type_flag() {
                b'x' => {
                    let data = self.read_extension(stored(self)?)?;
                    let records = pax::parse(&data).map_err(|source| TarError::Pax {
                        offset: at + BLOCK as u64,
                        source,
                    })?;
                    if pending.records.replace(records).is_some() {
                        return Err(twice());
                    }
                }
                b'g' => {
                    let data = self.read_extension(stored(self)?)?;
                    pax::check_global(&data).map_err(|source| TarError::Pax {
                        offset: at + BLOCK as u64,
                        source,
                    })?;
                }
                b'L' => {
                    let name = self.read_long_name(stored(self)?)?;
                    if pending.name.replace(name).is_some() {
                        return Err(twice());
                    }
                }
                b'K' => {
                    let link = self.read_long_name(stored(self)?)?;
                    if pending.link.replace(link).is_some() {
                        return Err(twice());
                    }
                }
                _ => return self.member(&header, pending, at).map(Some),
            }
        }
    }

    /// Puts header and extensions together.
    fn member(&mut self, header: &Header, pending: Pending, at: u64) -> Result<Entry, TarError> {
        let records = pending.records.unwrap_or_default();
        // Go lets GNU's names win over pax ones, Python the outermost: refuse to choose.
        if (pending.name.is_some() && records.path.is_some())
            || (pending.link.is_some() && records.link.is_some())
        {
            return Err(TarError::Extensions { offset: at });
        }
        let announced = if records.sparse.is_empty() {
            None
        } else {
            let made = sparse::announced(&records.sparse);
            Some(made.ok_or_else(|| self.sparse_error(header, "its records make no sense"))?)
        };
        let sparse_name = match &announced {
            Some(
                sparse::Announced::Parts { name, .. } | sparse::Announced::InContent { name, .. },
            ) => name.clone(),
            None => None,
        };
        let name = sparse_name
            .or(records.path)
            .or(pending.name)
            .unwrap_or_else(|| header.name());
        self.current.clone_from(&name);

        let strip_root = self.policy == Policy::Lenient;
        let path =
            normalize(&name, strip_root, self.limits.path).map_err(|fault| TarError::Path {
                member: printable(&name),
                fault,
            })?;
        let number = |field, range: std::ops::Range<usize>| {
            header.number(range).ok_or_else(|| TarError::Number {
                member: printable(&name),
                field,
            })
        };
        let natural = |field, range| {
            number(field, range).and_then(|value| {
                u64::try_from(value).map_err(|_| TarError::Number {
                    member: printable(&name),
                    field,
                })
            })
        };
        let link = records
            .link
            .or(pending.link)
            .unwrap_or_else(|| header.link().to_vec());
        let kind = self.kind(header, &name, link)?;
        let is_file = kind == EntryKind::File;
        if path.is_empty() && kind != EntryKind::Directory {
            return Err(TarError::Path {
                member: printable(&name),
                fault: PathFault::Empty,
            });
        }

        let mut stored = match records.size {
            Some(size) => size,
            None => natural("size", header::SIZE)?,
        };
        if !is_file && stored != 0 {
            if self.policy == Policy::Strict {
                return Err(TarError::LinkWithContent {
                    member: printable(&name),
                    size: stored,
                });
            }
            stored = 0;
        }
        let mtime = match records.mtime {
            Some(mtime) => mtime,
            // Times before 1970 exist; no layer needs them.
            None => u64::try_from(number("mtime", header::MTIME)?).unwrap_or(0),
        };
        let mut entry = Entry {
            path,
            kind,
            mode: (natural("mode", header::MODE)? & 0o7777) as u32,
            uid: records
                .uid
                .map_or_else(|| natural("uid", header::UID), Ok)?,
            gid: records
                .gid
                .map_or_else(|| natural("gid", header::GID), Ok)?,
            mtime,
            size: stored,
            xattrs: records.xattrs,
        };
        self.content = Stored {
            left: stored,
            padding: super::padding(stored),
            holes: None,
        };
        if let Some(map) = self.holes(header, announced, is_file)? {
            entry.size = map.size;
            self.content.holes = Some(Holes {
                map,
                next: 0,
                position: 0,
            });
        }
        Ok(entry)
    }

    fn kind(&self, header: &Header, name: &[u8], link: Vec<u8>) -> Result<EntryKind, TarError> {
        let link_fault = |fault| TarError::LinkTarget {
            member: printable(name),
            target: printable(&link),
            fault,
        };
        let device = |range: std::ops::Range<usize>| {
            header
                .number(range)
                .and_then(|value| u32::try_from(value).ok())
                .ok_or_else(|| TarError::Number {
                    member: printable(name),
                    field: "device",
                })
        };
        let is_slashed = name.ends_with(b"/");
        let kind = match header.type_flag() {
            0 if is_slashed => EntryKind::Directory,
            // Contiguous files (7) are files everywhere; S is one with holes.
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => {
                let strip_root = self.policy == Policy::Lenient;
                let target = normalize(&link, strip_root, self.limits.path).map_err(link_fault)?;
                if target.is_empty() {
                    return Err(link_fault(PathFault::Empty));
                }
                EntryKind::HardLink(target)
            }
            b'2' => {
                let fault = match &link[..] {
                    [] => Some(PathFault::Empty),
                    link if link.contains(&0) => Some(PathFault::Nul),
                    link if link.len() > self.limits.path => Some(PathFault::TooLong),
                    _ => None,
                };
                match fault {
                    Some(fault) => return Err(link_fault(fault)),
                    None => EntryKind::Symlink(link),
                }
            }
            b'3' => EntryKind::CharacterDevice(
                device(header::DEVICE_MAJOR)?,
                device(header::DEVICE_MINOR)?,
            ),
            b'4' => {
                EntryKind::BlockDevice(device(header::DEVICE_MAJOR)?, device(header::DEVICE_MINOR)?)
            }
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            flag => {
                return Err(TarError::Type {
                    member: printable(name),
                    flag,
                });
            }
        };
        if kind == EntryKind::File && is_slashed {
            let fault = PathFault::FileWithSlash;
            return Err(TarError::Path {
                member: printable(name),
                fault,
            });
        }
        Ok(kind)
    }

    /// The map of a file with holes; reads the part of the map that is in the stream.
    fn holes(
        &mut self,
        header: &Header,
        announced: Option<sparse::Announced>,
        is_file: bool,
    ) -> Result<Option<sparse::Map>, TarError> {
        let is_old = header.type_flag() == b'S' && header.is_gnu();
        if announced.is_none() && header.type_flag() != b'S' {
            return Ok(None);
        }
        if self.policy == Policy::Strict {
            return Err(self.sparse_error(header, "it is not allowed here"));
        }
        if !is_file || (is_old && announced.is_some()) || (!is_old && announced.is_none()) {
            return Err(self.sparse_error(header, "its type and its records contradict each other"));
        }
        let too_big = "its map is too big";
        let mut parts = Vec::new();
        let size = match announced {
            Some(sparse::Announced::Parts {
                parts: told, size, ..
            }) => {
                parts = told;
                size
            }
            Some(sparse::Announced::InContent { size, .. }) => {
                let mut read = Vec::new();
                parts = loop {
                    let whole = sparse::content_map(&read)
                        .map_err(|()| self.sparse_error(header, "its map is malformed"))?;
                    if let Some(parts) = whole {
                        break parts;
                    }
                    if read.len() >= self.limits.extension || self.content.left < BLOCK as u64 {
                        return Err(self.sparse_error(header, too_big));
                    }
                    let block = self.read_block()?.ok_or_else(|| self.truncated())?;
                    self.content.left -= BLOCK as u64;
                    read.extend_from_slice(&block);
                };
                size
            }
            None => {
                let malformed = "its map is malformed";
                let (mut more, size) = sparse::old_header(&header.0, &mut parts)
                    .ok_or_else(|| self.sparse_error(header, malformed))?;
                while more {
                    if parts.len() * 16 >= self.limits.extension {
                        return Err(self.sparse_error(header, too_big));
                    }
                    let block = self.read_block()?.ok_or_else(|| self.truncated())?;
                    more = sparse::old_extension(&block, &mut parts)
                        .ok_or_else(|| self.sparse_error(header, malformed))?;
                }
                size
            }
        };
        match sparse::Map::checked(parts, size, self.content.left) {
            Some(map) => Ok(Some(map)),
            None => Err(self.sparse_error(header, "its map does not fit its content")),
        }
    }

    /// The second block of zeros, and whatever fills up the last record.
    fn read_end(&mut self, at: u64) -> Result<(), TarError> {
        let second = self.read_block()?;
        if second.is_none() && self.policy == Policy::Strict {
            return Err(self.truncated());
        }
        let mut only_zeros = second.is_none_or(|block| block.iter().all(|byte| *byte == 0));
        loop {
            let buffer = self.inner.fill_buf().map_err(TarError::Read)?;
            if buffer.is_empty() {
                break;
            }
            only_zeros &= buffer.iter().all(|byte| *byte == 0);
            let count = buffer.len();
            self.inner.consume(count);
            self.offset += count as u64;
        }
        if self.policy == Policy::Strict && !only_zeros {
            return Err(TarError::AfterEnd { offset: at });
        }
        Ok(())
    }

    fn read_long_name(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let mut name = self.read_extension(size)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let limit = self.limits.extension;
        let too_big = TarError::ExtensionTooBig {
            offset: self.offset,
            size,
            limit,
        };
        let Some(length) = usize::try_from(size).ok().filter(|size| *size <= limit) else {
            return Err(too_big);
        };
        let mut data = vec![0; length.next_multiple_of(BLOCK)];
        self.read_exact(&mut data)?;
        data.truncate(length);
        Ok(data)
    }

    /// One block; `None` when the stream ends before it.
    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.inner.fill_buf().map_err(TarError::Read)?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(Some(block))
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        match self.inner.read_exact(buffer) {
            Ok(()) => {
                self.offset += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.truncated()),
            Err(error) => Err(TarError::Read(error)),
        }
    }

    fn skip(&mut self, mut count: u64) -> Result<(), TarError> {
        while count > 0 {
            let available = self.inner.fill_buf().map_err(TarError::Read)?.len();
            if available == 0 {
                return Err(self.truncated());
            }
            let step = usize::try_from(count).map_or(available, |count| count.min(available));
            self.inner.consume(step);
            self.offset += step as u64;
            count -= step as u64;
        }
        Ok(())
    }

    fn truncated(&self) -> TarError {
        TarError::Truncated {
            offset: self.offset,
            member: printable(&self.current),
        }
    }

    fn number_error(&self, header: &Header, field: &'static str) -> TarError {
        TarError::Number {
            member: printable(&header.name()),
            field,
        }
    }

    fn sparse_error(&self, header: &Header, reason: &'static str) -> TarError {
        TarError::Sparse {
            member: printable(&header.name()),
            reason,
        }
    }
}

impl Pending {
    fn any(&self) -> bool {
        self.records.is_some() || self.name.is_some() || self.link.is_some()
    }
}
