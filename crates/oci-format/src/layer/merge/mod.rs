//! Layers applied one over the other to a tree in memory, without unpacking anything.
//!
//! ```text
//! layers, lowest first ─► LayerMerge ─finish─► MergedTree ─► nodes in order: what, whose, where its bytes lie
//!   (first pass: headers)  apply                          └► per layer: which members' bytes are wanted
//!                                                                  (second pass: contents)
//!
//! table ◄─ names, places ◄─ resolve ◄─ apply ─► finish ─► tree ─► digest
//! hashing  what is where    links      rules    order     result  one digest for all of it
//! ```
//!
//! A second pass over the same tar streams then takes exactly the contents that survive, in the order
//! they come, and writes a file system image.
//!
//! ```
//! # use oci_format::layer::{Entry, merge::{Kind, LayerMerge}};
//! let mut merge = LayerMerge::new();
//! let mut lower = merge.begin_layer();
//! lower.apply(&Entry::file("etc/motd", 0o644, 0, 5))?;
//! lower.apply(&Entry::file("etc/issue", 0o644, 0, 7))?;
//! let mut upper = merge.begin_layer();
//! upper.apply(&Entry::file("etc/.wh.motd", 0, 0, 0))?;
//! let tree = merge.finish();
//! let paths: Vec<_> = tree.nodes().map(|node| node.path()).collect();
//! assert_eq!(paths, [&b""[..], b"etc", b"etc/issue"]);
//! assert_eq!(tree.wanted(0)[0].ordinal, 1);
//! # Ok::<(), oci_format::layer::merge::MergeError>(())
//! ```
//!
//! # Rules
//!
//! Those of the OCI image specification (`layer.md`, "Applying Changesets") where it has any, and else
//! those of umoci 0.6 run by root (`umoci raw unpack`, with the umask 022), because Apptainer unpacks
//! images with it:
//!
//! - A directory over a directory replaces its owner, mode, time and attributes and keeps what is in
//!   it. Everything else replaces the whole of what was there, also within one layer: the last wins.
//! - A member's directory is found by following symbolic links inside the root; the member itself and
//!   the target of a hard link are not followed.
//! - Directories that no member describes are made 0755, owned by root, and inherit the group and bit
//!   of a setgid parent. So is the root. A file in their way is removed.
//! - A whiteout removes what lower layers have, never what its own layer has, whichever comes first. A
//!   directory that its own layer has put something into stays and loses the rest; when no member of
//!   the layer describes it, it has its old metadata if that something came first and is made anew
//!   otherwise.
//! - A hard link is another name of what its target is at that moment. Whatever happens to the target's
//!   name afterwards, the content stays.
//! - AUFS's bookkeeping (`.wh..wh.plnk` and such) removes nothing. What is *in* such a directory is
//!   taken like any other file, as umoci does; containers/storage leaves it out at the root.
//! - Attributes: see `keeps_xattr` in `file.rs`.
//!
//! # Where we leave umoci
//!
//! - **Times of directories.** umoci restores a directory's time after each member in it, but where a
//!   directory is made for a member, or is emptied by a whiteout of its parent, the time of unpacking
//!   stays. Here directories have the time that their member says, and 0 if there is none, as umoci
//!   does for the root. Fractions of seconds are cut off (by the tar reader).
//! - **A directory in place of a file** that no member describes is 0755 as others are; umoci gives it
//!   the metadata of the file if that was the direct parent of the member, and so 0644, which nobody
//!   can enter. (umoci 0.4 refused such members, containers/storage still does.)
//! - **Whiteouts of `.` and `..`** are errors; umoci removes the directory, or its parent.
//! - **Numbers that Linux cannot store** (owners, devices) are errors; umoci stores their lower bits.
//! - **`user.` attributes of links, devices and pipes** are left out; umoci stops there as root.
//! - **Default ACLs** (`system.posix_acl_default`) are kept and not passed on to implied directories.
//! - **Old sparse files** (type `S`), which the tar reader understands, are files; umoci refuses them.
//! - **Names with `..` components** are refused by the tar reader; umoci takes them as if the root were
//!   the end of every `..`.
//!
//! containers/storage (Podman) differs in more: its members are applied through the kernel inside a
//! chroot, and a plain whiteout that comes after a member of its own layer removes that member
//! (`pkg/archive/diff.go`), which the specification does not allow. Layers that have their whiteouts
//! first, as they should, mean the same to all.
//!
//! # Cost
//!
//! Time grows with the members, never with their product: names and places are found by hash,
//! directories are emptied at the price of what was put into them, and a directory is swept at most once
//! per layer. Memory is about 130 bytes for each name plus its bytes, each component being kept once.

mod apply;
pub mod digest;
mod error;
mod file;
mod finish;
mod names;
mod places;
mod resolve;
mod table;
mod tree;

pub use apply::{Layer, LayerMerge};
pub use digest::tree_digest;
pub use error::{MergeError, MergeFault};
pub use file::Source;
pub use tree::{FileId, Kind, MergedTree, Node, NodeId, Wanted};

use file::File;

/// Extended attributes of a file, sorted by name.
type Xattrs = Box<[(Vec<u8>, Vec<u8>)]>;

/// Longest name of a file (`NAME_MAX` in `linux/limits.h`).
const NAME_MAX: usize = 255;

/// Longest path or link target: `PATH_MAX` in `linux/limits.h`, less the NUL at its end.
const PATH_MAX: usize = 4095;
