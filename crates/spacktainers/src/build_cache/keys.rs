//! The public key that goes with the signatures, and the list of such keys: what `spack buildcache keys` reads.

use spack_format::build_cache::v3::{
    self, KEY_INDEX_MEDIA_TYPE, KEY_MEDIA_TYPE, KEYS_MANIFEST_PATH,
};
use spack_format::build_cache::{Fingerprint, key_index_text, parse_key_index};

use super::error::CacheFault;
use super::object::{blob_bytes, put_bytes, put_manifest, unsigned_manifest};
use crate::mirror::{Put, SharedWriter, When};
use crate::openpgp::SecretKey;

/// How often the list is written anew when others write it at the same time.
const ATTEMPTS: u32 = 50;

/// Publishes the public part of `key`, and lists it.
pub(super) async fn publish(writer: &SharedWriter, key: &SecretKey) -> Result<(), CacheFault> {
    let fingerprint: Fingerprint = key.fingerprint().parse()?;
    let path = v3::key_manifest_path(&fingerprint);
    if writer.size(&path).await?.is_none() {
        let text = key.public_key()?;
        let record = put_bytes(writer, text.into_bytes(), KEY_MEDIA_TYPE).await?;
        put_manifest(writer, &path, record, &When::Absent).await?;
    }
    list(writer, &fingerprint).await
}

/// Puts a key on the list.
pub(super) async fn list(
    writer: &SharedWriter,
    fingerprint: &Fingerprint,
) -> Result<(), CacheFault> {
    for _ in 0..ATTEMPTS {
        let (mut keys, when) =
            match unsigned_manifest(writer, KEYS_MANIFEST_PATH).await? {
                None => (Vec::new(), When::Absent),
                Some((manifest, found)) => {
                    let record = manifest
                        .key_index()
                        .map_err(|source| CacheFault::Manifest {
                            key: KEYS_MANIFEST_PATH.to_owned(),
                            source,
                        })?;
                    let keys =
                        match blob_bytes(&**writer, record).await? {
                            Some(bytes) => parse_key_index(&String::from_utf8_lossy(&bytes))
                                .map_err(|source| CacheFault::Keys {
                                    key: v3::blob_path(&record.checksum),
                                    source,
                                })?,
                            None => Vec::new(),
                        };
                    (keys, When::Version(found.version))
                }
            };
        if keys.contains(fingerprint) {
            return Ok(());
        }
        keys.push(fingerprint.clone());
        let text = key_index_text(&keys).into_bytes();
        let record = put_bytes(writer, text, KEY_INDEX_MEDIA_TYPE).await?;
        if put_manifest(writer, KEYS_MANIFEST_PATH, record, &when).await? == Put::Written {
            return Ok(());
        }
        super::index::pause().await;
    }
    Err(CacheFault::Contended {
        key: KEYS_MANIFEST_PATH.to_owned(),
        attempts: ATTEMPTS,
    })
}
