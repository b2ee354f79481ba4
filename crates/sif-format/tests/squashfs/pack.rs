//! Packs a folder of this machine, as a program around the writer would.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sif_format::squashfs::{
    Attributes, Device, FileId, Kind, NodeId, Options, Summary, Tree, Writer,
};

/// Writes all below `folder` to `image`, files in the order of their names.
pub(crate) fn pack(
    folder: &Path,
    image: File,
    options: Options,
) -> Result<Summary, Box<dyn Error>> {
    let mut writer = Writer::new(image, options)?;
    let mut tree = Tree::new(attributes(&fs::symlink_metadata(folder)?))?;
    let mut links: HashMap<(u64, u64), NodeId> = HashMap::new();
    let mut pending = vec![(folder.to_path_buf(), Tree::ROOT)];
    while let Some((path, parent)) = pending.pop() {
        let mut names: Vec<_> = fs::read_dir(&path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        names.sort();
        for name in names {
            let path = path.join(&name);
            let metadata = fs::symlink_metadata(&path)?;
            let known = links.get(&(metadata.dev(), metadata.ino())).copied();
            if let Some(node) = known.filter(|_| !metadata.is_dir() && metadata.nlink() > 1) {
                tree.link(parent, name.as_bytes(), node)?;
                continue;
            }
            if metadata.is_dir() {
                let node = tree.add_directory(parent, name.as_bytes(), attributes(&metadata))?;
                pending.push((path, node));
                continue;
            }
            let kind = kind(&path, &metadata, &mut writer)?;
            let node = tree.add(parent, name.as_bytes(), attributes(&metadata), kind)?;
            links.insert((metadata.dev(), metadata.ino()), node);
        }
    }
    let (_, summary) = writer.finish(&tree)?.patch()?;
    Ok(summary)
}

fn kind(
    path: &Path,
    metadata: &Metadata,
    writer: &mut Writer<File>,
) -> Result<Kind, Box<dyn Error>> {
    let file_type = metadata.file_type();
    Ok(if file_type.is_symlink() {
        Kind::Symlink(fs::read_link(path)?.into_os_string().into_vec())
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else if file_type.is_socket() {
        Kind::Socket
    } else if file_type.is_block_device() {
        Kind::BlockDevice(device(metadata.rdev()))
    } else if file_type.is_char_device() {
        Kind::CharDevice(device(metadata.rdev()))
    } else if metadata.len() == 0 {
        Kind::File(FileId::EMPTY)
    } else {
        Kind::File(writer.add_file(File::open(path)?)?)
    })
}

fn device(number: u64) -> Device {
    Device {
        major: ((number >> 8) & 0xfff) as u32,
        minor: ((number & 0xff) | ((number >> 12) & 0xf_ff00)) as u32,
    }
}

fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: u32::try_from(metadata.mtime()).unwrap_or(0),
    }
}
