//! The first pass: what the layers make together, and whether they are what they should be.
//!
//! Several layers are decompressed at once; their members are applied in order.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use oci_format::layer::Entry;
use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::{LayerMerge, MergedTree};
use oci_format::layer::tar::{Limits, Policy, TarReader};
use oci_format::{Digest, DigestReader};

use super::SifWriteError;
use crate::source::LoadedLayer;

/// Bytes that one layer may decompress to: a bound against archives that are bombs.
pub(super) const LAYER_LIMIT: u64 = 1 << 40;

/// Members handed over at a time, and how many such lists may wait per layer.
const BATCH: usize = 512;
const WAITING: usize = 4;

type Batch = Result<Vec<Entry>, SifWriteError>;

/// The tree that the layers make. Each layer has been checked against its digest.
pub(super) fn merge(
    layers: &[LoadedLayer],
    threads: NonZeroUsize,
) -> Result<MergedTree, SifWriteError> {
    let (senders, receivers): (Vec<SyncSender<Batch>>, Vec<Receiver<Batch>>) =
        layers.iter().map(|_| sync_channel(WAITING)).unzip();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads.get().min(layers.len()) {
            let senders = senders.clone();
            let next = &next;
            scope.spawn(move || {
                // The lowest layer that nobody reads yet: the one that is waited for is always being read.
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(layer), Some(sender)) = (layers.get(index), senders.get(index))
                    else {
                        return;
                    };
                    if let Err(error) = read(layer, index + 1, sender) {
                        // Nobody listens any more when another layer failed.
                        let _ = sender.send(Err(error));
                    }
                    let _ = sender.send(Ok(Vec::new()));
                }
            });
        }
        drop(senders);
        apply(receivers)
    })
}

fn apply(receivers: Vec<Receiver<Batch>>) -> Result<MergedTree, SifWriteError> {
    let mut merge = LayerMerge::new();
    for receiver in receivers {
        let mut layer = merge.begin_layer();
        // An empty list is the end.
        while let Ok(batch) = receiver.recv() {
            let entries = batch?;
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                layer.apply(entry)?;
            }
        }
    }
    Ok(merge.finish())
}

/// Sends all members of a layer, then compares its digest.
fn read(
    layer: &LoadedLayer,
    number: usize,
    sender: &SyncSender<Batch>,
) -> Result<(), SifWriteError> {
    let open = |source| SifWriteError::Open { number, source };
    let stored = layer.content.open(0).map_err(open)?;
    let actual = match layer.digest {
        // The digest of the stored bytes is cheaper: there are fewer of them.
        Some(_) => {
            let decoder = Decoder::new(DigestReader::new(stored), LAYER_LIMIT).map_err(open)?;
            members(decoder, number, sender)?
                .map(|decoder| drained(decoder.into_inner()))
                .transpose()
        }
        None => {
            let decoder = Decoder::new(stored, LAYER_LIMIT).map_err(open)?;
            members(DigestReader::new(decoder), number, sender)?
                .map(drained)
                .transpose()
        }
    };
    match actual.map_err(open)? {
        Some(digest) if digest == layer.digest.unwrap_or(layer.diff_id) => Ok(()),
        Some(_) => Err(SifWriteError::Digest { number }),
        None => Ok(()),
    }
}

/// All members of the stream, and then the reader at its end; nothing when nobody listens any more.
fn members<R: Read>(
    reader: R,
    number: usize,
    sender: &SyncSender<Batch>,
) -> Result<Option<R>, SifWriteError> {
    let mut tar = TarReader::with_policy(reader, Policy::Lenient, Limits::default());
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(member) = tar
        .next_member()
        .map_err(|source| SifWriteError::Layer { number, source })?
    {
        batch.push(member.entry.clone());
        if batch.len() == BATCH
            && sender
                .send(Ok(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))))
                .is_err()
        {
            return Ok(None);
        }
    }
    if !batch.is_empty() && sender.send(Ok(batch)).is_err() {
        return Ok(None);
    }
    Ok(Some(tar.into_inner()))
}

/// The digest of all bytes, those behind the end of what was decoded too.
fn drained<R: Read>(mut reader: DigestReader<R>) -> io::Result<Digest> {
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.finish().1)
}
