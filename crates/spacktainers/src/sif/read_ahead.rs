//! A layer decompressed by a thread of its own, so that hashing and cutting into blocks go on meanwhile.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use oci_format::layer::compression::Decoder;
use oci_format::{Digest, DigestReader};

use crate::source::LoadedLayer;

/// Bytes that one layer may decompress to: a bound against archives that are bombs.
pub(super) const LAYER_LIMIT: u64 = 1 << 40;

/// Bytes handed over at a time, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;

/// The uncompressed bytes of a layer.
pub(super) struct ReadAhead<'scope> {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    position: usize,
    thread: ScopedJoinHandle<'scope, Option<Digest>>,
}

impl<'scope> ReadAhead<'scope> {
    /// Begins to decompress.
    pub(super) fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        layer: &'env LoadedLayer,
    ) -> io::Result<Self> {
        let stored = layer.content.open(0)?;
        let (sender, pieces) = sync_channel(WAITING);
        // The digest of the stored bytes is cheaper than the diffID: there are fewer of them.
        let has_digest = layer.digest.is_some();
        let thread = scope.spawn(move || {
            let digest = match has_digest {
                true => by_stored_bytes(stored, &sender),
                false => by_uncompressed_bytes(stored, &sender),
            };
            digest.unwrap_or_else(|error| {
                // Nobody listens any more when something else failed.
                let _ = sender.send(Err(error));
                None
            })
        });
        Ok(Self {
            pieces,
            piece: Vec::new(),
            position: 0,
            thread,
        })
    }

    /// The digest that was asked for, once all has been read; none when reading stopped early.
    pub(super) fn digest(self) -> Option<Digest> {
        drop(self.pieces);
        self.thread.join().ok().flatten()
    }
}

fn by_stored_bytes(
    stored: Box<dyn Read + Send>,
    sender: &SyncSender<io::Result<Vec<u8>>>,
) -> io::Result<Option<Digest>> {
    let mut decoder = Decoder::new(DigestReader::new(stored), LAYER_LIMIT)?;
    if !send_all(&mut decoder, sender)? {
        return Ok(None);
    }
    // Bytes behind the end of what was compressed count as well.
    let mut rest = decoder.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    Ok(Some(rest.finish().1))
}

fn by_uncompressed_bytes(
    stored: Box<dyn Read + Send>,
    sender: &SyncSender<io::Result<Vec<u8>>>,
) -> io::Result<Option<Digest>> {
    let mut decoder = DigestReader::new(Decoder::new(stored, LAYER_LIMIT)?);
    Ok(send_all(&mut decoder, sender)?.then(|| decoder.finish().1))
}

/// Sends everything; says whether somebody listened to the end.
fn send_all(source: &mut dyn Read, sender: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<bool> {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        source.take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(true);
        }
        if sender.send(Ok(piece)).is_err() {
            return Ok(false);
        }
    }
}

impl BufRead for ReadAhead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.piece.len() {
            self.position = 0;
            self.piece.clear();
            // The end of the channel is the end of the layer.
            if let Ok(piece) = self.pieces.recv() {
                self.piece = piece?;
            }
        }
        Ok(self.piece.get(self.position..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.position = (self.position + count).min(self.piece.len());
    }
}

impl Read for ReadAhead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
