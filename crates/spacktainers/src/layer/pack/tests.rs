//! Groups of archives made here.

use std::io::Read;

use oci_format::layer::tar::TarWriter;

use super::*;
use crate::layer::Compress;
use crate::layer::scan;

/// A plain tar of a package `name` at `prefix`, which may be one folder.
fn archive(prefix: &str, content: &str) -> Content {
    let mut tar = TarWriter::new(Vec::new());
    for (index, _) in prefix.match_indices('/') {
        tar.append_bytes(
            &Entry::directory(&prefix.as_bytes()[..index], 0o755, 0),
            b"",
        )
        .expect("memory");
    }
    tar.append_bytes(&Entry::directory(prefix, 0o755, 0), b"")
        .expect("memory");
    let file = Entry::file(format!("{prefix}/file"), 0o644, 0, content.len() as u64);
    tar.append_bytes(&file, content.as_bytes()).expect("memory");
    let mut link = Entry::file(format!("{prefix}/link"), 0o644, 0, 0);
    link.kind = EntryKind::HardLink(format!("{prefix}/file").into_bytes());
    tar.append_bytes(&link, b"").expect("memory");
    let mark = Entry::file(format!("{prefix}/.spack/binary_distribution"), 0o644, 0, 2);
    tar.append_bytes(&mark, b"{}").expect("memory");
    Content::Memory(tar.finish().expect("memory").into())
}

fn scanned(content: &Content) -> (Digest, PackageRecord) {
    let mut bytes = Vec::new();
    content
        .open(0)
        .expect("memory")
        .read_to_end(&mut bytes)
        .expect("memory");
    let digest = Digest::of(&bytes);
    (
        digest,
        scan(content, &digest, content.len()).expect("sound"),
    )
}

fn input<'a>(
    content: &Content,
    blob: Digest,
    record: &'a PackageRecord,
    prefix: &'a str,
) -> PackInput<'a> {
    PackInput {
        title: prefix.to_owned(),
        blob,
        size: content.len(),
        content: content.clone(),
        record,
        prefix,
        origins: Vec::new(),
    }
}

fn names(layer: &RecordedLayer) -> Vec<(String, EntryKind)> {
    let LayerContent::Here(content) = &layer.content else {
        panic!("not here")
    };
    let decoder = Decoder::new(content.open(0).expect("opens"), 1 << 20).expect("decodes");
    let mut tar = TarReader::new(decoder);
    let mut names = Vec::new();
    while let Some(member) = tar.next_member().expect("sound") {
        names.push((
            String::from_utf8_lossy(&member.entry.path).into_owned(),
            member.entry.kind.clone(),
        ));
    }
    names
}

#[test]
fn one_package_at_its_own_prefix_is_its_own_blob() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cache = LocalCache::open(folder.path()).expect("opens");
    let content = archive("opt/a", "1");
    let (blob, record) = scanned(&content);
    let layer = pack(
        &[input(&content, blob, &record, "opt/a")],
        Compress::default(),
        &cache,
    )
    .expect("packs");
    assert_eq!(
        layer.descriptor,
        Descriptor::new(media_type::LAYER_TAR, blob, content.len())
    );
    assert_eq!(layer.diff_id, blob);
}

#[test]
fn several_packages_share_a_layer_and_their_parents_and_the_bytes_are_the_same_again() {
    let content = [archive("opt/a", "1"), archive("opt/b", "22")];
    let facts: Vec<_> = content.iter().map(scanned).collect();
    let make = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = LocalCache::open(folder.path()).expect("opens");
        let inputs = [
            input(&content[0], facts[0].0, &facts[0].1, "opt/a"),
            input(&content[1], facts[1].0, &facts[1].1, "opt/b"),
        ];
        let layer = pack(&inputs, Compress::default(), &cache).expect("packs");
        let again = pack(&inputs, Compress::default(), &cache).expect("packs");
        assert_eq!(
            layer.descriptor, again.descriptor,
            "what is remembered is what was written"
        );
        assert_eq!(layer.diff_id, again.diff_id);
        let names = names(&layer);
        (layer.descriptor, names)
    };
    let (first, names) = make();
    assert_eq!(
        first,
        make().0,
        "the same packages give the same bytes in another cache"
    );
    let paths: Vec<_> = names.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "opt",
            "opt/a",
            "opt/a/file",
            "opt/a/link",
            "opt/a/.spack/binary_distribution",
            "opt/b",
            "opt/b/file",
            "opt/b/link",
            "opt/b/.spack/binary_distribution"
        ]
    );
}

#[test]
fn an_archive_of_one_top_folder_is_moved_to_its_prefix_with_its_hard_links() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cache = LocalCache::open(folder.path()).expect("opens");
    let content = archive("a-1.0-hash", "1");
    let (blob, record) = scanned(&content);
    let layer = pack(
        &[input(&content, blob, &record, "opt/software/a")],
        Compress::default(),
        &cache,
    )
    .expect("packs");
    let names = names(&layer);
    let link = names
        .iter()
        .find(|(path, _)| path == "opt/software/a/link")
        .expect("moved");
    assert_eq!(link.1, EntryKind::HardLink(b"opt/software/a/file".to_vec()));
    assert_ne!(layer.descriptor.digest, blob);
}
