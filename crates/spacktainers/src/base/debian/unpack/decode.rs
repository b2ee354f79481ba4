//! Decompressing several packages at once, and handing them on in order.
//!
//! Nearly all the time of unpacking goes into xz, which is sequential within a package. Each thread
//! takes the next package and fills that package's own bounded queue; the reader empties the queues in
//! order. A thread that is far ahead waits, so memory stays at a few MiB per thread.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::deb::Deb;

/// Bytes that travel together.
const CHUNK: usize = 256 << 10;
/// Chunks that wait in one package's queue.
const QUEUE: usize = 24;
/// More threads than that are not kept busy by one reader.
const MOST_THREADS: usize = 6;

type Chunk = io::Result<Vec<u8>>;

/// Gives the uncompressed data part of each package to `consume`, in order.
///
/// # Errors
/// The first error of `consume`; a package that cannot be decompressed shows up there, as a failing reader.
pub(super) fn in_order<'a, E>(
    debs: impl Iterator<Item = &'a Deb>,
    jobs: usize,
    mut consume: impl FnMut(usize, QueueReader) -> Result<(), E>,
) -> Result<(), E> {
    let (senders, receivers): (Vec<_>, Vec<_>) = debs
        .map(|deb| {
            let (sender, receiver) = sync_channel::<Chunk>(QUEUE);
            ((deb, std::sync::Mutex::new(Some(sender))), receiver)
        })
        .unzip();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, MOST_THREADS) {
            scope.spawn(|| {
                loop {
                    let Some((deb, sender)) = senders.get(next.fetch_add(1, Ordering::Relaxed))
                    else {
                        return;
                    };
                    let sender = sender.lock().ok().and_then(|mut sender| sender.take());
                    if let Some(sender) = sender {
                        decode(deb, &sender);
                    }
                }
            });
        }
        // Queues of packages not consumed any more are dropped on return, which ends the threads.
        for (index, receiver) in receivers.into_iter().enumerate() {
            consume(
                index,
                QueueReader {
                    receiver,
                    chunk: Vec::new(),
                    at: 0,
                },
            )?;
        }
        Ok(())
    })
}

fn decode(deb: &Deb, sender: &SyncSender<Chunk>) {
    let mut data = match deb.data() {
        Ok(data) => data,
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let result = data.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        let is_last = !matches!(result, Ok(count) if count > 0);
        if let Err(error) = result {
            let _ = sender.send(Err(error));
        } else if !chunk.is_empty() && sender.send(Ok(chunk)).is_err() {
            // Nobody reads it any more: something failed elsewhere.
            return;
        }
        if is_last {
            return;
        }
    }
}

/// Reads what comes through a queue.
pub(super) struct QueueReader {
    receiver: Receiver<Chunk>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for QueueReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
