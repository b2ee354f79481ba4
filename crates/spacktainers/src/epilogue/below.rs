//! What the image holds so far, as far as an instruction has to know it.

use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::{Kind, MergedTree, Node};
use oci_format::layer::tar::{Limits, Policy, TarReader};

use std::io::Read as _;

use super::EpilogueError;
use crate::sif::{self, SifWriteError};
use crate::source::LoadedLayer;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;
/// The longest `/etc/passwd`.
const LONGEST_FILE: u64 = 16 << 20;
/// Bytes that one layer may decompress to.
const LAYER_LIMIT: u64 = 1 << 40;

/// The tree of the layers so far.
pub(super) struct Below<'l> {
    layers: &'l [LoadedLayer],
    tree: MergedTree,
}

impl<'l> Below<'l> {
    pub(super) fn new(layers: &'l [LoadedLayer]) -> Result<Self, EpilogueError> {
        Ok(Self {
            layers,
            tree: sif::merged_tree(layers)?,
        })
    }

    /// Where a path leads: links are followed as a program in the image would follow them. What is not there stays as it
    /// is written.
    pub(super) fn real(&self, path: &str) -> String {
        let mut pending: Vec<String> = parts(path);
        pending.reverse();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let node = self.tree.get(done.join("/").as_bytes());
            if let Some(Kind::Symlink(target)) = node.map(Node::kind)
                && links < MOST_LINKS
            {
                links += 1;
                done.pop();
                let target = String::from_utf8_lossy(target);
                if target.starts_with('/') {
                    done.clear();
                }
                pending.extend(parts(&target).into_iter().rev());
            }
        }
        done.join("/")
    }

    /// Whether a directory is at this path, which is a real one.
    pub(super) fn is_directory(&self, path: &str) -> bool {
        let node = self.tree.get(path.as_bytes());
        node.is_some_and(|node| matches!(node.kind(), Kind::Directory))
    }

    /// The bytes of a small file.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, EpilogueError> {
        let node = self.tree.get(self.real(path).as_bytes());
        let Some(Kind::File { size, source }) = node.map(Node::kind) else {
            return Ok(None);
        };
        let number = source.layer as usize + 1;
        let Some(layer) = self.layers.get(source.layer as usize) else {
            return Ok(None);
        };
        if size > LONGEST_FILE {
            return Ok(None);
        }
        let open = |source| SifWriteError::Open { number, source };
        let decoder = Decoder::new(layer.content.open(0).map_err(open)?, LAYER_LIMIT);
        let decoder = decoder.map_err(open)?;
        let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
        let mut ordinal = 0;
        loop {
            let member = tar
                .next_member()
                .map_err(|source| SifWriteError::Layer { number, source })?;
            let Some(mut member) = member else {
                return Ok(None);
            };
            if ordinal == source.ordinal {
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes).map_err(open)?;
                return Ok(Some(bytes));
            }
            ordinal += 1;
        }
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .map(str::to_owned)
        .collect()
}
