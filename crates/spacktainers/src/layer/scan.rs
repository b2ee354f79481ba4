//! One streaming pass over a package's archive: verified, decompressed, hashed and listed.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use oci_format::layer::compression::{Compression, Decoder};
use oci_format::layer::tar::{Member, TarError, TarReader};
use oci_format::{Digest, DigestReader};

use super::elf;
use super::package::Members;
pub use super::package::PackageFault;
use super::record::PackageRecord;
use crate::content::Content;

/// Bytes that a package may decompress to: 64 GiB. A bound against archives that are bombs; the largest known to us, a
/// GPU compiler suite, has 12 GB.
const TAR_LIMIT: u64 = 64 << 30;

/// Bytes of an ELF file that are read into memory to find its dynamic section. Larger ones (static libraries of whole
/// frameworks, with debug information) are taken as they are.
const ELF_LIMIT: u64 = 64 << 20;

/// Bytes of a script that a view may want to rewrite.
const TEXT_LIMIT: u64 = 64 << 10;

/// Bytes of `.spack/binary_distribution`: a list of all relocatable files.
const BINARY_DISTRIBUTION_LIMIT: u64 = 64 << 20;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It cannot be read from where it lies, or its compression is broken.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// Not a readable tar.
    #[error("the archive is not a sound tar stream")]
    Tar(#[source] TarError),
    /// A member that no package may have.
    #[error("the archive is refused")]
    Refused(#[source] PackageFault),
    /// Not the bytes that were asked for.
    #[error(
        "the archive's digest is {actual} ({actual_size} bytes), but {expected} ({expected_size} bytes) was promised"
    )]
    Digest {
        /// What the mirror promised.
        expected: Digest,
        /// Bytes that were promised.
        expected_size: u64,
        /// What it is.
        actual: Digest,
        /// Bytes that it has.
        actual_size: u64,
    },
    /// xz, or another compression that neither Spack nor images use.
    #[error("the archive's compression cannot be used in an image layer")]
    Compression,
}

/// Reads the archive `content` once and says all about it.
///
/// # Errors
/// When its bytes are not those that were promised, or it is no package that may go into an image.
pub fn scan(
    content: &Content,
    expected: &Digest,
    expected_size: u64,
) -> Result<PackageRecord, ScanError> {
    match scan_stream(content) {
        Ok((record, actual, actual_size))
            if actual == *expected && actual_size == expected_size =>
        {
            Ok(record)
        }
        Ok((_, actual, actual_size)) => Err(ScanError::Digest {
            expected: *expected,
            expected_size,
            actual,
            actual_size,
        }),
        // Bytes that are not the promised ones explain every other fault.
        Err(fault) => match digest_of(content) {
            Ok((actual, actual_size)) if actual != *expected => Err(ScanError::Digest {
                expected: *expected,
                expected_size,
                actual,
                actual_size,
            }),
            _ => Err(fault),
        },
    }
}

fn digest_of(content: &Content) -> io::Result<(Digest, u64)> {
    let mut reader = DigestReader::new(content.open(0)?);
    io::copy(&mut reader, &mut io::sink())?;
    let (_, digest, size) = reader.finish();
    Ok((digest, size))
}

fn scan_stream(content: &Content) -> Result<(PackageRecord, Digest, u64), ScanError> {
    let stored = DigestReader::new(content.open(0).map_err(ScanError::Read)?);
    let decoder = Decoder::new(stored, TAR_LIMIT).map_err(ScanError::Read)?;
    let compression = match decoder.compression() {
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
        Compression::Plain => "none",
        Compression::Xz => return Err(ScanError::Compression),
    };
    let mut tar = TarReader::new(DigestReader::new(decoder));
    let facts = Facts::of(&mut tar)?;
    let (decoder, diff_id, tar_size) = tar.into_inner().finish();
    let (_, digest, size) = decoder.into_inner().finish();
    Ok((facts.record(compression, diff_id, tar_size)?, digest, size))
}

/// The record of a gzip archive whose tar is in memory, and whose digest is right.
pub(crate) fn scan_tar(tar: &[u8]) -> Result<PackageRecord, ScanError> {
    let facts = Facts::of(&mut TarReader::new(tar))?;
    facts.record("gzip", Digest::of(tar), tar.len() as u64)
}

/// What a tar tells, member by member.
#[derive(Default)]
struct Facts {
    members: Members,
    found: Found,
}

impl Facts {
    /// Reads the tar to its end.
    fn of<R: Read>(tar: &mut TarReader<R>) -> Result<Self, ScanError> {
        let mut facts = Self::default();
        while let Some(mut member) = tar.next_member().map_err(ScanError::Tar)? {
            let name = facts.members.add(&member.entry);
            let name = name.map_err(ScanError::Refused)?;
            let looked = facts.found.look_at(name, &mut member);
            looked.map_err(ScanError::Read)?;
        }
        Ok(facts)
    }

    fn record(
        self,
        compression: &str,
        diff_id: Digest,
        tar_size: u64,
    ) -> Result<PackageRecord, ScanError> {
        let Self { members, mut found } = self;
        let (prefix, entries) = members.finish().map_err(ScanError::Refused)?;
        // Since Spack 0.21 members carry the full path of the prefix; before, they lay below one folder.
        let has_full_paths = prefix.contains('/');
        let below = |name: &str| {
            name.strip_prefix(&prefix)
                .and_then(|it| it.strip_prefix('/'))
                .map(str::to_owned)
        };
        let binary_distribution = found
            .distributions
            .remove(&format!("{prefix}/.spack/binary_distribution"));
        Ok(PackageRecord {
            compression: compression.to_owned(),
            diff_id,
            tar_size,
            binary_distribution: binary_distribution.unwrap_or_default(),
            entries,
            elf: found
                .elf
                .into_iter()
                .filter_map(|(name, facts)| Some((below(&name)?, facts)))
                .collect(),
            texts: found
                .texts
                .into_iter()
                .filter_map(|(name, text)| Some((below(&name)?, text)))
                .collect(),
            top: (!has_full_paths).then(|| prefix.clone()),
            prefix: has_full_paths.then_some(prefix),
        })
    }
}

/// What was found in contents.
#[derive(Default)]
struct Found {
    elf: BTreeMap<String, elf::ElfFacts>,
    texts: BTreeMap<String, String>,
    distributions: BTreeMap<String, String>,
    /// Kept between files: most fit into what the largest before them needed.
    buffer: Vec<u8>,
}

impl Found {
    fn look_at<R: Read>(&mut self, name: String, member: &mut Member<'_, R>) -> io::Result<()> {
        let size = member.entry.size;
        if size == 0 {
            return Ok(());
        }
        if name.ends_with(".spack/binary_distribution") && size <= BINARY_DISTRIBUTION_LIMIT {
            self.read(member)?;
            self.distributions
                .insert(name, String::from_utf8_lossy(&self.buffer).into_owned());
            return Ok(());
        }
        let first = member.fill_buf()?;
        if first.starts_with(elf::MAGIC) {
            if size <= ELF_LIMIT {
                self.read(member)?;
                if let Some(facts) = elf::facts(&self.buffer) {
                    self.elf.insert(name, facts);
                }
            }
        } else if size <= TEXT_LIMIT
            && (name.contains("/bin/") && first.starts_with(b"#!") || name.ends_with("/pyvenv.cfg"))
        {
            self.read(member)?;
            if let Ok(text) = std::str::from_utf8(&self.buffer) {
                self.texts.insert(name, text.to_owned());
            }
        }
        Ok(())
    }

    fn read<R: Read>(&mut self, member: &mut Member<'_, R>) -> io::Result<()> {
        self.buffer.clear();
        member.read_to_end(&mut self.buffer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
