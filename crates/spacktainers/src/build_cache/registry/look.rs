//! What a build cache in a registry has, and whether all of it is what it says.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use futures::{StreamExt, stream};
use oci_format::layer::compression::Compression;
use oci_format::{Descriptor, DigestWriter};
use spack_format::build_cache::oci::INDEX_TAG;
use spack_format::dag_hash::DagHash;

use super::{Entry, RegistryCache};
use crate::build_cache::error::{CacheError, CacheFault};
use crate::build_cache::list::Listed;
use crate::build_cache::object::digest;
use crate::build_cache::verify::{EntryFault, VerifyReport};
use crate::fetch::{Context, FindFault, Trust};

impl RegistryCache {
    /// All packages, by name, version and hash: those that have a tag, whatever the index says.
    ///
    /// # Errors
    /// When the registry fails, or its index is none.
    pub async fn list(&self) -> Result<Vec<Listed>, CacheError> {
        let about = CacheError::about(format!("cannot list {}", self.url));
        let listed = async {
            let index = self.index().await?;
            let mut known: BTreeMap<DagHash, Listed> = index
                .iter()
                .flat_map(|index| index.records.values())
                .filter(|record| record.in_build_cache)
                .map(|record| (record.spec.hash, Listed::of_index(&record.spec)))
                .collect();
            let mut all: Vec<Listed> = self
                .tags()
                .await?
                .into_iter()
                .filter_map(|(hash, tag)| known.remove(&hash).or_else(|| by_tag(&tag, hash)))
                .collect();
            all.sort();
            Ok(all)
        };
        listed.await.map_err(about)
    }

    /// Reads every config and every package's own layer, and what the layer unpacks to. Entries are wrong all of them
    /// where `trust` wants signatures, as there are none.
    ///
    /// # Errors
    /// When it cannot be known what is there. That something which is there is wrong is in the report.
    pub async fn verify(
        &self,
        trust: &Trust,
        context: &Context<'_>,
    ) -> Result<VerifyReport, CacheError> {
        let about = CacheError::about(format!("cannot verify {}", self.url));
        let tags = match self.tags().await {
            Ok(tags) => tags,
            Err(fault) => return Err(about(fault)),
        };
        let mut report = VerifyReport {
            entries: tags.len(),
            ..VerifyReport::default()
        };
        let mut checks = stream::iter(&tags)
            .map(|(hash, tag)| async move { (tag, self.check(tag, *hash, trust).await) })
            .buffered(context.jobs.get());
        while let Some((tag, checked)) = checks.next().await {
            match checked {
                Ok(bytes) => report.bytes += bytes,
                Err(fault) => report.faults.push(EntryFault {
                    key: tag.clone(),
                    fault,
                }),
            }
        }
        match self.index().await {
            Ok(index) => {
                let is_indexed = |hash: &DagHash| {
                    let record = index.as_ref().and_then(|it| it.records.get(hash));
                    record.is_some_and(|it| it.in_build_cache)
                };
                report.unindexed = tags.iter().filter(|(hash, _)| !is_indexed(hash)).count();
            }
            Err(fault) => report.faults.push(EntryFault {
                key: INDEX_TAG.to_owned(),
                fault,
            }),
        }
        Ok(report)
    }

    /// The bytes of an entry's layer, if they and its config are right.
    async fn check(&self, tag: &str, hash: DagHash, trust: &Trust) -> Result<u64, CacheFault> {
        if trust.wants_signatures() {
            return Err(FindFault::Unsignable.into());
        }
        let entry = self.entry(tag, hash).await?;
        let Entry {
            tarball, config, ..
        } = entry.ok_or_else(|| CacheFault::Absent {
            key: tag.to_owned(),
        })?;
        let is_gzip = Compression::of_media_type(&tarball.media_type) == Some(Compression::Gzip);
        let blob = Descriptor::new(tarball.media_type, digest(&tarball.checksum), tarball.size);
        let mut pieces = self.repository.blob(&blob);
        let mut unpacked = MultiGzDecoder::new(DigestWriter::new(io::sink()));
        let mut broken = None;
        while let Some(piece) = pieces.next().await? {
            if is_gzip && broken.is_none() {
                broken = unpacked.write_all(&piece).err();
            }
        }
        if !is_gzip {
            return Ok(blob.size);
        }
        let unpacked = match broken {
            Some(error) => Err(error),
            None => unpacked.finish(),
        };
        let (_, actual, _) = unpacked
            .map_err(|source| FindFault::Decompress {
                key: tag.to_owned(),
                source,
            })?
            .finish();
        let expected = digest(&config.diff_id);
        if actual != expected {
            return Err(CacheFault::Entry(FindFault::Digest {
                key: format!("{tag}, unpacked"),
                expected,
                actual,
            }));
        }
        Ok(blob.size)
    }
}

/// What a tag tells: `NAME-VERSION-HASH.spack`. Names may have a `-` before a digit, and then some of it counts as version.
fn by_tag(tag: &str, hash: DagHash) -> Option<Listed> {
    let stem = tag.strip_suffix(".spack")?.strip_suffix(hash.as_str())?;
    let stem = stem.strip_suffix('-')?;
    let is_version = |at: &usize| {
        let next = stem.as_bytes().get(at + 1);
        next.is_some_and(u8::is_ascii_digit)
    };
    let dashes = || stem.match_indices('-').map(|(at, _)| at);
    let at = dashes().find(is_version).or_else(|| dashes().next_back())?;
    let (name, version) = (stem.get(..at)?, stem.get(at + 1..)?);
    Some(Listed {
        name: name.to_owned(),
        version: version.to_owned(),
        hash,
        arch: None,
        is_indexed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_name_and_version() {
        let hash: DagHash = "v2xkvre6nnz5uxaywvclfmfndak7xmmy".parse().expect("a hash");
        for (stem, name, version) in [
            ("zlib-ng-2.2.4", "zlib-ng", "2.2.4"),
            ("a-1.0-rc1", "a", "1.0-rc1"),
            ("gcc-runtime-develop", "gcc-runtime", "develop"),
        ] {
            let listed = by_tag(&format!("{stem}-{hash}.spack"), hash).expect("a package");
            assert_eq!((&*listed.name, &*listed.version), (name, version));
        }
        assert_eq!(by_tag(&format!("{hash}.spack"), hash), None);
    }
}
