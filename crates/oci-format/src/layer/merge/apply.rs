//! Applying members, one after the other.
//!
//! ```text
//! member ─► directory, links followed ─┬─ whiteout ─► what lower layers have there is gone
//!                                      └─ else ─────► what is there goes, unless both are
//!                                                     directories; the member takes its place
//! ```
//!
//! The rules are umoci's (`oci/layer/tar_extract.go`, `UnpackEntry` and `ociWhiteout`, version 0.6),
//! which Apptainer unpacks images with; [`super`] lists where and why they are left.

use indexmap::IndexSet;

use super::error::{MergeError, MergeFault};
use super::file::{Body, XATTR_NAME_MAX, XATTR_SIZE_MAX, kept_xattrs};
use super::names::{NameId, Names};
use super::places::{PlaceId, Places};
use super::resolve::{Resolved, View};
use super::table::{MOST, NONE};
use super::{File, MergedTree, NAME_MAX, PATH_MAX, Source, Xattrs};
use crate::layer::tar::{PathFault, TarReader, printable};
use crate::layer::whiteout::{OPAQUE, PREFIX, Whiteout};
use crate::layer::{Entry, EntryKind};

/// Largest device numbers of Linux (`MINORBITS` in `linux/kdev_t.h`).
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

/// Layers on the way to one tree. See the [module's page](super).
#[derive(Debug)]
pub struct LayerMerge {
    pub(super) names: Names,
    pub(super) places: Places,
    pub(super) files: Vec<File>,
    pub(super) xattrs: IndexSet<Xattrs>,
    pub(super) layers: u32,
    last: LastDirectory,
}

/// The directory of the last member. Members mostly come directory by directory.
#[derive(Debug, Default)]
struct LastDirectory {
    /// Its path as the member had it, links not followed.
    path: Vec<u8>,
    place: Option<PlaceId>,
    length: usize,
}

impl Default for LayerMerge {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerMerge {
    /// No layers yet: a root and nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: Names::default(),
            places: Places::new(0),
            files: vec![File::implied_directory(None)],
            xattrs: IndexSet::new(),
            layers: 0,
            last: LastDirectory::default(),
        }
    }

    /// Begins the next layer, the lowest first.
    pub fn begin_layer(&mut self) -> Layer<'_> {
        let index = self.layers;
        self.layers = self.layers.saturating_add(1);
        Layer {
            merge: self,
            index,
            members: 0,
        }
    }

    /// Applies a whole layer, passing over the content of its files. The reader stands at the end
    /// afterwards, so that digests over the stream are right.
    ///
    /// # Errors
    /// When the stream is broken or a member cannot be applied. The merge is of no use then.
    pub fn apply_layer<R: std::io::Read>(
        &mut self,
        tar: &mut TarReader<R>,
    ) -> Result<(), MergeError> {
        let mut layer = self.begin_layer();
        loop {
            match tar.next_member() {
                Ok(Some(member)) => layer.apply(&member.entry)?,
                Ok(None) => return Ok(()),
                Err(source) => {
                    return Err(MergeError::Tar {
                        layer: layer.index,
                        members: layer.members,
                        source,
                    });
                }
            }
        }
    }

    /// The tree that the layers make.
    #[must_use]
    pub fn finish(self) -> MergedTree {
        super::finish::tree(self)
    }
}

/// One layer while its members are applied. Every member has to be shown, in order: members are known
/// by their count.
#[derive(Debug)]
pub struct Layer<'a> {
    merge: &'a mut LayerMerge,
    index: u32,
    members: u32,
}

impl Layer<'_> {
    /// Applies the next member.
    ///
    /// # Errors
    /// When the member cannot be applied to what is there. The merge is of no use then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), MergeError> {
        let ordinal = self.members;
        let too_many = || MergeError::TooMany { layer: self.index };
        self.members = ordinal.checked_add(1).ok_or_else(too_many)?;
        // Layers are counted from 1 in the marks of places.
        let mark = self.index.checked_add(1).ok_or_else(too_many)?;
        let source = Source {
            layer: self.index,
            ordinal,
        };
        self.merge
            .apply(entry, source, mark)
            .map_err(|fault| MergeError::Member {
                layer: self.index,
                ordinal,
                member: printable(&entry.path),
                fault,
            })
    }
}

impl LayerMerge {
    fn view(&self) -> View<'_> {
        View {
            names: &self.names,
            places: &self.places,
            files: &self.files,
        }
    }

    fn file(&self, place: PlaceId) -> Option<&File> {
        self.files.get(self.places.get(place).file as usize)
    }

    fn is_directory(&self, place: PlaceId) -> bool {
        self.file(place).is_some_and(File::is_directory)
    }

    fn apply(&mut self, entry: &Entry, source: Source, mark: u32) -> Result<(), MergeFault> {
        check_path(&entry.path).map_err(MergeFault::Path)?;
        if entry.path.is_empty() {
            if entry.kind != EntryKind::Directory {
                return Err(MergeFault::Root);
            }
            let file = self.make_file(entry, source)?;
            return self.replace_metadata(PlaceId::ROOT, file);
        }
        let (parent, base) = split(&entry.path);
        if base.starts_with(PREFIX) {
            return self.apply_whiteout(&entry.path, base, mark);
        }
        if base.len() > NAME_MAX {
            return Err(MergeFault::NameTooLong(base.len()));
        }
        let (directory, length) = self.directory(parent)?;
        if length + base.len() > PATH_MAX {
            return Err(MergeFault::PathTooLong);
        }
        let name = self.names.intern(base).ok_or(MergeFault::TooMany)?;
        let place = self
            .places
            .find_or_add(directory, name)
            .ok_or(MergeFault::TooMany)?;

        let both_directories = entry.kind == EntryKind::Directory && self.is_directory(place);
        if !both_directories && self.places.get(place).file != NONE {
            self.remove(place);
        }
        if let EntryKind::HardLink(target) = &entry.kind {
            // Looked for only now, as umoci does: a link to itself has removed its own target.
            let file = self.link_target(target)?;
            if let Some(target) = self.files.get_mut(file as usize) {
                target.links = target.links.saturating_add(1);
            }
            self.places.fill(place, file);
        } else {
            let file = self.make_file(entry, source)?;
            if both_directories {
                self.replace_metadata(place, file)?;
            } else {
                let file = self.add_file(file)?;
                self.places.fill(place, file);
            }
        }
        self.places.touch(place, mark);
        Ok(())
    }

    /// Removes what lower layers have. What this layer has put there stays, whichever came first.
    fn apply_whiteout(&mut self, path: &[u8], base: &[u8], mark: u32) -> Result<(), MergeFault> {
        let (parent, _) = split(path);
        if base == OPAQUE {
            if let Some(directory) = self.existing_directory(parent)? {
                self.sweep(directory, mark);
            }
            return Ok(());
        }
        // With `..` umoci would go up and remove the directory's own parent, and more with `.wh.`.
        if matches!(&base[PREFIX.len()..], b"" | b"." | b"..") {
            return Err(MergeFault::Whiteout);
        }
        let Some(Whiteout::Entry(hidden)) = Whiteout::of(path) else {
            // Bookkeeping of AUFS. Nothing can be there that would have to be hidden.
            return Ok(());
        };
        let (_, hidden) = split(&hidden);
        if hidden.len() > NAME_MAX {
            return Err(MergeFault::NameTooLong(hidden.len()));
        }
        let directory = self.existing_directory(parent)?;
        let Some(place) = directory.and_then(|place| self.view().child(place, hidden)) else {
            return Ok(());
        };
        if self.places.get(place).touched != mark {
            self.remove(place);
        } else if self.is_directory(place) {
            self.sweep(place, mark);
        }
        Ok(())
    }

    /// Removes all that lower layers have below a directory.
    fn sweep(&mut self, directory: PlaceId, mark: u32) {
        let mut left = vec![directory];
        while let Some(place) = left.pop() {
            // Whatever comes here later in this layer is touched by it: once is enough.
            if std::mem::replace(&mut self.places.get_mut(place).swept, mark) == mark {
                continue;
            }
            let children: Vec<PlaceId> = self.places.children(place).collect();
            for child in children {
                if self.places.get(child).touched != mark {
                    self.remove(child);
                } else if self.is_directory(child) {
                    left.push(child);
                }
            }
        }
    }

    /// The directory at a path, when there is one.
    fn existing_directory(&self, path: &[u8]) -> Result<Option<PlaceId>, MergeFault> {
        let Resolved { place, missing, .. } = self.view().resolve(path)?;
        Ok((missing.is_empty() && self.is_directory(place)).then_some(place))
    }

    /// The directory at a path and its path's length. What is missing of it is made, and what is no
    /// directory gives way.
    fn directory(&mut self, path: &[u8]) -> Result<(PlaceId, usize), MergeFault> {
        if let Some(place) = self.last.place.filter(|_| self.last.path == path) {
            return Ok((place, self.last.length));
        }
        let Resolved {
            mut place,
            missing,
            length,
        } = self.view().resolve(path)?;
        if !self.is_directory(place) {
            self.remove(place);
            self.imply_directory(place)?;
        }
        for name in missing {
            let name = self.names.intern(&name).ok_or(MergeFault::TooMany)?;
            place = self
                .places
                .find_or_add(place, name)
                .ok_or(MergeFault::TooMany)?;
            self.imply_directory(place)?;
        }
        self.last.path.clear();
        self.last.path.extend_from_slice(path);
        self.last.place = Some(place);
        self.last.length = length;
        Ok((place, length))
    }

    fn imply_directory(&mut self, place: PlaceId) -> Result<(), MergeFault> {
        let parent = self
            .places
            .parent(place)
            .and_then(|parent| self.file(parent));
        let file = self.add_file(File::implied_directory(parent))?;
        self.places.fill(place, file);
        Ok(())
    }

    fn link_target(&self, path: &[u8]) -> Result<u32, MergeFault> {
        check_path(path).map_err(MergeFault::Path)?;
        let (parent, base) = split(path);
        let directory = self.existing_directory(parent)?;
        let target = directory
            .and_then(|directory| self.view().child(directory, base))
            .ok_or_else(|| MergeFault::LinkTargetMissing(printable(path)))?;
        if self.is_directory(target) {
            return Err(MergeFault::LinkToDirectory(printable(path)));
        }
        Ok(self.places.get(target).file)
    }

    /// Empties a place and all below it.
    fn remove(&mut self, place: PlaceId) {
        // The last directory may lie below, or be reached through a link that goes.
        self.last.place = None;
        let files = &mut self.files;
        self.places.empty(place, |file| {
            if let Some(file) = files.get_mut(file as usize) {
                file.links = file.links.saturating_sub(1);
            }
        });
    }

    fn add_file(&mut self, file: File) -> Result<u32, MergeFault> {
        let index = u32::try_from(self.files.len()).map_err(|_| MergeFault::TooMany)?;
        if self.files.len() >= MOST {
            return Err(MergeFault::TooMany);
        }
        self.files.push(file);
        Ok(index)
    }

    fn replace_metadata(&mut self, place: PlaceId, file: File) -> Result<(), MergeFault> {
        let index = self.places.get(place).file as usize;
        *self.files.get_mut(index).ok_or(MergeFault::Root)? = file;
        Ok(())
    }

    fn make_file(&mut self, entry: &Entry, source: Source) -> Result<File, MergeFault> {
        let device = |major, minor| {
            if major > MAJOR_MAX || minor > MINOR_MAX {
                return Err(MergeFault::Device(major, minor));
            }
            Ok((major, minor))
        };
        let body = match &entry.kind {
            EntryKind::Directory => Body::Directory,
            EntryKind::File => Body::File {
                size: entry.size,
                source,
            },
            EntryKind::Symlink(target) => Body::Symlink(self.symlink_target(target)?),
            EntryKind::CharacterDevice(major, minor) => {
                let (major, minor) = device(*major, *minor)?;
                Body::CharacterDevice(major, minor)
            }
            EntryKind::BlockDevice(major, minor) => {
                let (major, minor) = device(*major, *minor)?;
                Body::BlockDevice(major, minor)
            }
            EntryKind::Fifo => Body::Fifo,
            // Links share the file of their target and never come here.
            EntryKind::HardLink(target) => {
                return Err(MergeFault::LinkTargetMissing(printable(target)));
            }
        };
        let mode = match body {
            // Linux has no modes of links and shows this one.
            Body::Symlink(_) => 0o777,
            _ => (entry.mode & 0o7777) as u16,
        };
        Ok(File {
            body,
            mtime: entry.mtime,
            uid: owner("user", entry.uid)?,
            gid: owner("group", entry.gid)?,
            xattrs: self.make_xattrs(entry)?,
            links: 1,
            mode,
        })
    }

    fn symlink_target(&mut self, target: &[u8]) -> Result<NameId, MergeFault> {
        let fault = match target {
            [] => Some(PathFault::Empty),
            target if target.contains(&0) => Some(PathFault::Nul),
            target if target.len() > PATH_MAX => Some(PathFault::TooLong),
            _ => None,
        };
        match fault {
            Some(fault) => Err(MergeFault::SymlinkTarget(fault)),
            None => self.names.intern(target).ok_or(MergeFault::TooMany),
        }
    }

    fn make_xattrs(&mut self, entry: &Entry) -> Result<u32, MergeFault> {
        if entry.xattrs.is_empty() {
            return Ok(NONE);
        }
        let kept = kept_xattrs(entry);
        let too_large = |(name, value): &&(Vec<u8>, Vec<u8>)| {
            name.len() > XATTR_NAME_MAX || value.len() > XATTR_SIZE_MAX
        };
        if let Some((name, _)) = kept.iter().find(too_large) {
            return Err(MergeFault::Xattr(printable(name)));
        }
        if kept.is_empty() {
            return Ok(NONE);
        }
        let (index, _) = self.xattrs.insert_full(kept.into_boxed_slice());
        u32::try_from(index).map_err(|_| MergeFault::TooMany)
    }
}

fn owner(field: &'static str, value: u64) -> Result<u32, MergeFault> {
    match u32::try_from(value) {
        Ok(value) if value != u32::MAX => Ok(value),
        _ => Err(MergeFault::Owner { field, value }),
    }
}

/// Directory and last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Whether a path is spelled as [`Entry::path`] promises.
fn check_path(path: &[u8]) -> Result<(), PathFault> {
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > PATH_MAX {
        return Err(PathFault::TooLong);
    }
    if path[0] == b'/' {
        return Err(PathFault::Absolute);
    }
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => return Err(PathFault::NotNormal),
            b".." => return Err(PathFault::ParentComponent),
            component if component.contains(&0) => return Err(PathFault::Nul),
            _ => {}
        }
    }
    Ok(())
}
