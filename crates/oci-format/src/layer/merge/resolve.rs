//! Where a member's directory really is: symbolic links are followed inside the root.
//!
//! As filepath-securejoin does it for umoci (`join.go`, `SecureJoinVFS`): the root is the end of every
//! `..`, absolute targets begin at the root, and what does not exist (or is below something that is
//! no directory) is taken as a plain name.

use super::error::MergeFault;
use super::file::Body;
use super::names::Names;
use super::places::{PlaceId, Places};
use super::table::NONE;
use super::{File, NAME_MAX, PATH_MAX};

/// Links followed for one path: `MaxSymlinkLimit` of securejoin. (The kernel stops at 40.)
const LINKS_MAX: usize = 255;

/// Components walked for one path. Links can make a path of some bytes into one of 255 × 2048
/// components; nothing real is anywhere near.
const STEPS_MAX: usize = 1 << 16;

/// A directory that was looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The deepest place on the way that holds something.
    pub(super) place: PlaceId,
    /// The names below it that are not there.
    pub(super) missing: Vec<Vec<u8>>,
    /// Bytes of the whole path from the root, with a slash after each name.
    pub(super) length: usize,
}

/// The tree as far as following links needs it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) names: &'a Names,
    pub(super) places: &'a Places,
    pub(super) files: &'a [File],
}

impl<'a> View<'a> {
    fn body(self, place: PlaceId) -> Option<&'a Body> {
        let file = self.places.get(place).file;
        self.files.get(file as usize).map(|file| &file.body)
    }

    fn is_directory(self, place: PlaceId) -> bool {
        matches!(self.body(place), Some(Body::Directory))
    }

    /// What is at `name` in a directory.
    pub(super) fn child(self, directory: PlaceId, name: &[u8]) -> Option<PlaceId> {
        let name = self.names.find(name)?;
        let place = self.places.find(directory, name)?;
        (self.places.get(place).file != NONE).then_some(place)
    }

    /// Follows `path`, every link included.
    pub(super) fn resolve(self, path: &'a [u8]) -> Result<Resolved, MergeFault> {
        let is_slash = |byte: &u8| *byte == b'/';
        // What is still to be walked, the next part last.
        let mut left = vec![path.split(is_slash)];
        let mut found = Resolved {
            place: PlaceId::ROOT,
            missing: Vec::new(),
            length: 0,
        };
        let (mut links, mut steps) = (0, 0);
        while let Some(part) = left.last_mut() {
            let Some(name) = part.next() else {
                left.pop();
                continue;
            };
            steps += 1;
            if steps > STEPS_MAX {
                return Err(MergeFault::LinkLoop);
            }
            match name {
                b"" | b"." => continue,
                b".." => {
                    self.leave(&mut found);
                    continue;
                }
                name if name.len() > NAME_MAX => return Err(MergeFault::NameTooLong(name.len())),
                _ => {}
            }
            let child = if found.missing.is_empty() && self.is_directory(found.place) {
                self.child(found.place, name)
            } else {
                None
            };
            match child.and_then(|child| self.body(child)) {
                Some(Body::Symlink(target)) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(MergeFault::LinkLoop);
                    }
                    let target = self.names.get(*target);
                    if target.first() == Some(&b'/') {
                        found.place = PlaceId::ROOT;
                        found.length = 0;
                    }
                    left.push(target.split(is_slash));
                    continue;
                }
                Some(_) => found.place = child.unwrap_or(found.place),
                None => found.missing.push(name.to_vec()),
            }
            found.length += name.len() + 1;
            if found.length > PATH_MAX {
                return Err(MergeFault::PathTooLong);
            }
        }
        Ok(found)
    }

    /// One directory up; the root is above itself.
    fn leave(self, found: &mut Resolved) {
        if let Some(name) = found.missing.pop() {
            found.length = found.length.saturating_sub(name.len() + 1);
        } else if let Some(parent) = self.places.parent(found.place) {
            let name = self.names.get(self.places.get(found.place).name);
            found.length = found.length.saturating_sub(name.len() + 1);
            found.place = parent;
        }
    }
}
