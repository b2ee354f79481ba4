//! Threads that compress, and their results in the order of the work.
//!
//! ```text
//! submit ──► jobs ──► thread … thread ──► results ──► sorted by number ──► next
//! ```
//!
//! Whoever submits takes the results, so nothing is ever written by two threads, and the order of
//! the bytes does not depend on which thread was faster.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::encoder::{Compression, Encoder};
use super::{Hash, WriteError};
use crate::squashfs::layout::BLOCK_STORED;

struct Job {
    number: u64,
    block: Vec<u8>,
    length: usize,
    hashed: bool,
}

struct Done {
    number: u64,
    packed: Packed,
    spare: Option<Vec<u8>>,
}

/// A block as it goes into the image.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    /// It did not shrink and is as it was.
    pub(super) stored: bool,
    /// Of `stored` and `bytes`; zeros when not asked for. Compressing is a function and has an
    /// inverse, so equal hashes mean equal content, and there is less to hash after compression.
    pub(super) hash: Hash,
}

impl Packed {
    /// The block's size as block lists and the fragment table have it.
    pub(super) fn size_field(&self) -> u32 {
        // At most a block size, which is far below the flag.
        let size = self.bytes.len() as u32;
        if self.stored {
            size | BLOCK_STORED
        } else {
            size
        }
    }
}

/// The threads. They end when this is dropped.
pub(super) struct Pool {
    jobs: Option<Sender<Job>>,
    results: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    submitted: u64,
    taken: u64,
    /// Results from number `taken` on, those that are there.
    waiting: VecDeque<Option<Packed>>,
    /// Buffers to use again: fresh ones of this size cost a page fault every 4 KiB.
    spare: Vec<Vec<u8>>,
    block_size: usize,
}

impl Pool {
    pub(super) fn start(
        compression: Compression,
        threads: NonZeroUsize,
        block_size: usize,
    ) -> Result<Self, WriteError> {
        let (jobs, source) = channel();
        let source = Arc::new(Mutex::new(source));
        let (sink, results) = channel();
        let mut pool = Self {
            jobs: Some(jobs),
            results,
            threads: Vec::new(),
            submitted: 0,
            taken: 0,
            waiting: VecDeque::new(),
            spare: Vec::new(),
            block_size,
        };
        for _ in 0..threads.get() {
            let encoder = Encoder::new(compression).map_err(WriteError::Start)?;
            let (source, sink) = (Arc::clone(&source), sink.clone());
            let thread = std::thread::Builder::new()
                .name("squashfs".to_owned())
                .spawn(move || work(encoder, &source, &sink))
                .map_err(WriteError::Start)?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Blocks submitted whose results have not been taken.
    pub(super) fn in_flight(&self) -> usize {
        (self.submitted - self.taken) as usize
    }

    /// A buffer of one block's size, with anything in it.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| vec![0; self.block_size])
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.len() == self.block_size {
            self.spare.push(buffer);
        }
    }

    /// Has the first `length` bytes of `block` compressed.
    pub(super) fn submit(
        &mut self,
        block: Vec<u8>,
        length: usize,
        hashed: bool,
    ) -> Result<(), WriteError> {
        let job = Job {
            number: self.submitted,
            block,
            length,
            hashed,
        };
        let jobs = self.jobs.as_ref().ok_or(WriteError::Stopped)?;
        jobs.send(job).map_err(|_| WriteError::Stopped)?;
        self.submitted += 1;
        Ok(())
    }

    /// The next result if it is there.
    pub(super) fn ready(&mut self) -> Option<Packed> {
        while let Ok(done) = self.results.try_recv() {
            self.sort_in(done);
        }
        self.take()
    }

    /// The next result, waiting for it. Only for what was submitted.
    pub(super) fn next(&mut self) -> Result<Packed, WriteError> {
        loop {
            if let Some(packed) = self.take() {
                return Ok(packed);
            }
            let done = self.results.recv().map_err(|_| WriteError::Stopped)?;
            self.sort_in(done);
        }
    }

    fn sort_in(&mut self, done: Done) {
        if let Some(spare) = done.spare {
            self.recycle(spare);
        }
        let index = (done.number - self.taken) as usize;
        if self.waiting.len() <= index {
            self.waiting.resize_with(index + 1, || None);
        }
        self.waiting[index] = Some(done.packed);
    }

    fn take(&mut self) -> Option<Packed> {
        let packed = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.taken += 1;
        Some(packed)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has been noticed as a missing result.
            let _ = thread.join();
        }
    }
}

fn work(mut encoder: Encoder, jobs: &Mutex<Receiver<Job>>, results: &Sender<Done>) {
    loop {
        // The lock is held while waiting: one thread waits for work, the others for the lock.
        let job = jobs.lock().ok().and_then(|jobs| jobs.recv().ok());
        let Some(job) = job else { return };
        if results.send(pack(&mut encoder, job)).is_err() {
            return;
        }
    }
}

fn pack(encoder: &mut Encoder, job: Job) -> Done {
    let Job {
        number,
        mut block,
        length,
        hashed,
    } = job;
    let shrunk = encoder.encode(&block[..length]).map(<[u8]>::to_vec);
    let (bytes, stored, spare) = match shrunk {
        Some(bytes) => (bytes, false, Some(block)),
        None => {
            block.truncate(length);
            (block, true, None)
        }
    };
    let hash = if hashed {
        hash(&[&[u8::from(stored)], &bytes])
    } else {
        Hash::default()
    };
    Done {
        number,
        packed: Packed {
            bytes,
            stored,
            hash,
        },
        spare,
    }
}

/// Half of a SHA-256, which is plenty: two contents that collide have to be looked for on purpose, at
/// the price of 2^64 hashes, by somebody who then makes both files of the same image anyway.
pub(super) fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut hash = Hash::default();
    let length = hash.len();
    hash.copy_from_slice(&digest[..length]);
    hash
}

/// Blocks that may be on their way at one time: enough that no thread waits while one file's content
/// is being read, few enough to need no more than a few MiB.
pub(super) fn queue_length(threads: NonZeroUsize) -> usize {
    threads.get().saturating_mul(3).saturating_add(4)
}

/// For errors of [`std::io::Write`].
pub(super) fn as_io(error: WriteError) -> io::Error {
    match error {
        WriteError::Output(error) | WriteError::Input(error) => error,
        other => io::Error::other(other),
    }
}
