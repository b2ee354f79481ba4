//! A layer made of files from here and there: sorted, owned by root, without times, so that the same files give the same
//! bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;

use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;
use oci_format::{Descriptor, Digest, DigestWriter, media_type};

use super::OwnImageError;
use crate::base::gzip::ParallelGzip;
use crate::image::{LayerContent, RecordedLayer};
use crate::local_cache::{BlobWriter, LocalCache};

/// The files of a layer, by path and without the leading `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
enum Node {
    Directory(u32),
    Text { bytes: Vec<u8>, mode: u32 },
    File { from: PathBuf, mode: u32 },
    Link(String),
}

impl Tree {
    /// A small file.
    pub(super) fn text(&mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) {
        let bytes = bytes.into();
        self.put(path, Node::Text { bytes, mode });
    }

    /// A file of this machine.
    pub(super) fn file(&mut self, path: &str, from: PathBuf, is_executable: bool) {
        let mode = if is_executable { 0o755 } else { 0o644 };
        self.put(path, Node::File { from, mode });
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node::Link(target.to_owned()));
    }

    /// A folder that is not like others.
    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.put(path, Node::Directory(mode));
    }

    fn put(&mut self, path: &str, node: Node) {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default();
            if !self.nodes.contains_key(above) {
                self.nodes.insert(above.to_owned(), Node::Directory(0o755));
            }
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Writes the layer into the local cache.
    pub(super) fn write(
        &self,
        title: &str,
        cache: &LocalCache,
        jobs: usize,
    ) -> Result<RecordedLayer, OwnImageError> {
        let gzip = ParallelGzip::new(cache.writer()?, jobs).map_err(OwnImageError::Layer)?;
        let buffered = io::BufWriter::with_capacity(1 << 18, DigestWriter::new(gzip));
        let mut tar = TarWriter::new(buffered);
        for (path, node) in &self.nodes {
            let member = |source| OwnImageError::Member {
                path: path.clone(),
                source,
            };
            let name = path.as_bytes();
            match node {
                Node::Directory(mode) => tar.append(&Entry::directory(name, *mode, 0), io::empty()),
                Node::Text { bytes, mode } => {
                    let entry = Entry::file(name, *mode, 0, bytes.len() as u64);
                    tar.append_bytes(&entry, bytes)
                }
                Node::File { from, mode } => {
                    let file = File::open(from).map_err(OwnImageError::read(from))?;
                    let size = file.metadata().map_err(OwnImageError::read(from))?.len();
                    tar.append(&Entry::file(name, *mode, 0, size), file)
                }
                Node::Link(target) => {
                    tar.append(&Entry::symlink(name, target.as_bytes(), 0), io::empty())
                }
            }
            .map_err(member)?;
        }
        let end = |source| OwnImageError::Member {
            path: String::new(),
            source,
        };
        let hashed = tar.finish().map_err(end)?.into_inner();
        let hashed = hashed.map_err(|error| OwnImageError::Layer(error.into_error()))?;
        let (gzip, diff_id, _) = hashed.finish();
        stored(title, gzip, diff_id)
    }
}

/// An uncompressed layer as one that is stored.
pub(super) fn compressed(
    title: &str,
    mut from: impl Read,
    diff_id: Digest,
    cache: &LocalCache,
    jobs: usize,
) -> Result<RecordedLayer, OwnImageError> {
    let mut gzip = ParallelGzip::new(cache.writer()?, jobs).map_err(OwnImageError::Layer)?;
    io::copy(&mut from, &mut gzip).map_err(OwnImageError::Layer)?;
    stored(title, gzip, diff_id)
}

fn stored(
    title: &str,
    gzip: ParallelGzip<BlobWriter>,
    diff_id: Digest,
) -> Result<RecordedLayer, OwnImageError> {
    let mut blob = gzip.finish().map_err(OwnImageError::Layer)?;
    blob.flush().map_err(OwnImageError::Layer)?;
    let (digest, content) = blob.finish()?;
    Ok(RecordedLayer {
        descriptor: Descriptor::new(media_type::LAYER_TAR_GZIP, digest, content.len()),
        diff_id,
        content: LayerContent::Here(content),
        origins: Vec::new(),
        title: title.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_layer_in_whatever_order_they_come() {
        let work = tempfile::tempdir().expect("a folder");
        let cache = LocalCache::open(work.path().join("cache")).expect("a cache");
        let file = work.path().join("file");
        std::fs::write(&file, "x").expect("written");
        let layer = |order: &[usize]| {
            let mut tree = Tree::default();
            for step in order {
                match step {
                    0 => tree.text("opt/a/text", "text", 0o644),
                    1 => tree.file("opt/b/tool", file.clone(), true),
                    2 => tree.link("usr/bin/tool", "/opt/b/tool"),
                    _ => tree.folder("opt/a", 0o700),
                }
            }
            tree.write("a layer", &cache, 2).expect("a layer")
        };
        let (one, two) = (layer(&[0, 1, 2, 3]), layer(&[3, 2, 1, 0]));
        assert_eq!(one.descriptor, two.descriptor);
        let LayerContent::Here(content) = one.content else {
            panic!("it is here");
        };
        let tar = flate2::read::MultiGzDecoder::new(content.open(0).expect("readable"));
        let mut archive = tar::Archive::new(tar);
        let members: Vec<(String, u32)> = archive
            .entries()
            .expect("a tar")
            .map(|entry| {
                let entry = entry.expect("a member");
                let path = entry.path().expect("a path").display().to_string();
                let path = path.trim_end_matches('/').to_owned();
                (path, entry.header().mode().expect("a mode"))
            })
            .collect();
        let expected = [
            ("opt", 0o755),
            ("opt/a", 0o700),
            ("opt/a/text", 0o644),
            ("opt/b", 0o755),
            ("opt/b/tool", 0o755),
            ("usr", 0o755),
            ("usr/bin", 0o755),
            ("usr/bin/tool", 0o777),
        ];
        assert_eq!(
            members,
            expected.map(|(path, mode)| (path.to_owned(), mode))
        );
    }
}
