//! From places to the tree: only what is there, in order.

use super::apply::LayerMerge;
use super::file::Body;
use super::names::NameId;
use super::places::PlaceId;
use super::table::NONE;
use super::tree::{FileId, MergedTree, Stored, Wanted};

/// A child while its directory is sorted. Most names differ in their first eight bytes.
#[derive(Clone, Copy)]
struct Child {
    begin: u64,
    name: NameId,
    place: PlaceId,
}

pub(super) fn tree(merge: LayerMerge) -> MergedTree {
    let mut nodes: Vec<Stored> = Vec::new();
    let mut files = Vec::new();
    let mut first_names = Vec::new();
    let mut last_names: Vec<u32> = Vec::new();
    // The number in the tree of each file that has been met.
    let mut numbers = vec![NONE; merge.files.len()];
    // Places still to be visited with the nodes of their directories, the next one last.
    let mut left = vec![(PlaceId::ROOT, NONE)];
    let mut children: Vec<Child> = Vec::new();

    while let Some((id, parent)) = left.pop() {
        let place = merge.places.get(id);
        let Some(file) = merge.files.get(place.file as usize) else {
            continue;
        };
        let node = nodes.len() as u32;
        let number = match numbers.get_mut(place.file as usize) {
            Some(number) if *number == NONE => {
                *number = files.len() as u32;
                files.push(*file);
                first_names.push(node);
                last_names.push(node);
                *number
            }
            number => {
                let number = number.map_or(NONE, |number| *number);
                if let Some(last) = last_names.get_mut(number as usize) {
                    let before = std::mem::replace(last, node);
                    if let Some(before) = nodes.get_mut(before as usize) {
                        before.next_name = node;
                    }
                }
                number
            }
        };
        nodes.push(Stored {
            parent,
            name: place.name,
            file: number,
            end: node + 1,
            next_name: NONE,
        });
        if !file.is_directory() {
            continue;
        }
        children.clear();
        children.extend(merge.places.children(id).map(|place| {
            let name = merge.places.get(place).name;
            Child {
                begin: begin(merge.names.get(name)),
                name,
                place,
            }
        }));
        // Backwards: what is pushed last is visited first.
        children.sort_unstable_by(|a, b| {
            let names = || merge.names.get(b.name).cmp(merge.names.get(a.name));
            b.begin.cmp(&a.begin).then_with(names)
        });
        left.extend(children.iter().map(|child| (child.place, node)));
    }

    // A directory ends where its last descendant does; descendants come after it.
    for index in (1..nodes.len()).rev() {
        let Stored { parent, end, .. } = nodes[index];
        if let Some(parent) = nodes.get_mut(parent as usize) {
            parent.end = parent.end.max(end);
        }
    }

    let mut wanted = vec![Vec::new(); merge.layers as usize];
    for (number, file) in files.iter().enumerate() {
        if let Body::File { source, .. } = file.body
            && let Some(of_layer) = wanted.get_mut(source.layer as usize)
        {
            of_layer.push(Wanted {
                ordinal: source.ordinal,
                file: FileId(number as u32),
            });
        }
    }
    for of_layer in &mut wanted {
        of_layer.sort_unstable();
    }

    MergedTree {
        names: merge.names.freeze(),
        nodes,
        files,
        first_names,
        xattrs: merge.xattrs.into_iter().collect(),
        wanted,
    }
}

/// The first eight bytes as a number in the same order, short names filled up with zeros (which no
/// name contains).
fn begin(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = name.len().min(8);
    bytes[..length].copy_from_slice(&name[..length]);
    u64::from_be_bytes(bytes)
}
