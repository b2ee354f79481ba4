//! Files written, and read by others.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;

use flate2::write::GzEncoder;
use oci_format::Platform;
use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;

use super::*;
use crate::content::Content;

const THREADS: NonZeroUsize = NonZeroUsize::MIN;

fn file(path: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (
        Entry::file(path, 0o644, 5, content.len() as u64),
        content.to_vec(),
    )
}

fn other(entry: Entry) -> (Entry, Vec<u8>) {
    (entry, Vec::new())
}

fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::file(path, 0o644, 5, 0);
    entry.kind = oci_format::layer::EntryKind::HardLink(target.into());
    other(entry)
}

/// A layer in gzip.
fn layer(members: &[(Entry, Vec<u8>)]) -> LoadedLayer {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in members {
        writer
            .append_bytes(entry, content)
            .expect("memory takes all");
    }
    let tar = writer.finish().expect("memory takes all");
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("memory takes all");
    let stored = gzip.finish().expect("memory takes all");
    LoadedLayer {
        diff_id: Digest::of(&tar),
        digest: Some(Digest::of(&stored)),
        content: Content::Memory(stored.into()),
    }
}

/// Two layers of which the upper one hides much of the lower one, and not all that seems to be hidden.
fn stack() -> Vec<LoadedLayer> {
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let lower = layer(&[
        file("kept", b"kept"),
        file("gone", b"gone"),
        file("linked", b"kept alive by a link"),
        link("link", "linked"),
        file("replaced", b"old"),
        file("folder/inside", b"inside"),
        file("big", &big),
        other(Entry::directory("opaque", 0o755, 5)),
        file("opaque/old", b"old"),
    ]);
    let upper = layer(&[
        other(Entry::file(".wh.gone", 0, 0, 0)),
        other(Entry::file(".wh.linked", 0, 0, 0)),
        file("replaced", b"new"),
        file("folder", b"now a file"),
        other(Entry::file("opaque/.wh..wh..opq", 0, 0, 0)),
        file("opaque/new", b"new"),
        other(Entry::symlink("symlink", "kept", 5)),
    ]);
    vec![lower, upper]
}

fn squashfs(
    layers: &[LoadedLayer],
    threads: usize,
    compression: Compression,
) -> (Vec<u8>, SifSummary) {
    let mut options = SquashfsOptions::new(NonZeroUsize::new(threads).expect("not zero"));
    options.compression = compression;
    let written = write_squashfs(layers, 7, &options, &|_| {}, Cursor::new(Vec::new()));
    let (out, summary) = written.expect("writes");
    (out.into_inner(), summary)
}

/// Unpacks an image with the squashfs tools, where they are there.
fn unsquashed(image: &[u8], folder: &Path) -> Option<()> {
    let file = folder.join("image");
    fs::write(&file, image).expect("writes");
    let unpacked = Command::new("unsquashfs")
        .args(["-q", "-n", "-no-xattrs", "-d"])
        .arg(folder.join("root"))
        .arg(&file)
        .output();
    match unpacked {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            Some(())
        }
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: there is no unsquashfs");
            None
        }
    }
}

#[test]
fn what_survives_is_in_the_file_system() {
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, summary) = squashfs(&stack(), 2, compression);
        assert_eq!(summary.entries, 9);
        if unsquashed(&image, folder.path()).is_none() {
            return;
        }
        let root = folder.path().join("root");
        let text = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
        assert_eq!(text("kept"), "kept");
        assert_eq!(text("link"), "kept alive by a link");
        assert_eq!(text("replaced"), "new");
        assert_eq!(text("folder"), "now a file");
        assert_eq!(text("opaque/new"), "new");
        assert_eq!(text("symlink"), "kept");
        assert_eq!(
            fs::metadata(root.join("big")).expect("a file").len(),
            1_200_000
        );
        for gone in ["gone", "linked", "opaque/old"] {
            assert!(!root.join(gone).exists(), "{gone}");
        }
    }
}

#[test]
fn the_same_layers_make_the_same_bytes() {
    let (one, summary) = squashfs(&stack(), 1, Compression::GZIP);
    let (many, again) = squashfs(&stack(), 7, Compression::GZIP);
    assert_eq!(one, many);
    assert_eq!(summary, again);
    assert_eq!(
        layers_tree_digest(&stack(), &|_| {}).expect("a digest"),
        summary.tree
    );
    let other = layers_tree_digest(&stack()[..1], &|_| {}).expect("a digest");
    assert_ne!(other, summary.tree);
}

#[test]
fn a_sif_file_says_what_it_was_made_from() {
    let layers = stack();
    let mut config = ImageConfig::new(&Platform {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        variant: None,
    });
    config.created = Some("2026-01-02T03:04:05Z".to_owned());
    config.config.env = vec!["A=b c".to_owned()];
    config
        .config
        .labels
        .insert("who".to_owned(), "us".to_owned());
    let image = Digest::of(b"manifest");
    let input = SifInput::of_image(&layers, &config, Some(image), "oci", "here").expect("an input");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.sif");
    let out = fs::File::create(&path).expect("a file");
    let (_, summary) =
        write_sif(&input, &SquashfsOptions::new(THREADS), &|_| {}, out).expect("writes");
    assert_eq!(fs::metadata(&path).expect("a file").len(), summary.size);
    let mut sif = inspect::open(&path).expect("a SIF file");
    let record = inspect::record(&mut sif).expect("a record");
    assert_eq!((record.image, record.tree), (Some(image), summary.tree));
    let labels = inspect::image_labels(&mut sif).expect("labels");
    assert_eq!(labels.get("who").map(String::as_str), Some("us"));
    assert_eq!(sif.header().created, 1_767_323_045);
    assert!(sif.oddities().is_empty(), "{:?}", sif.oddities());
}

#[test]
fn layers_that_are_not_what_they_should_be_make_no_file() {
    let write = |layers: &[LoadedLayer]| {
        let options = SquashfsOptions::new(THREADS);
        write_squashfs(layers, 0, &options, &|_| {}, Cursor::new(Vec::new())).expect_err("no file")
    };
    let mut wrong = stack();
    wrong[0].digest = Some(Digest::of(b"another"));
    assert!(matches!(write(&wrong), SifWriteError::Digest { number: 1 }));
    wrong[0].digest = None;
    wrong[0].diff_id = Digest::of(b"another");
    assert!(matches!(write(&wrong), SifWriteError::Digest { number: 1 }));
    let Content::Memory(bytes) = stack()[1].content.clone() else {
        panic!("in memory")
    };
    let mut cut = stack();
    cut[1].content = Content::Memory(bytes[..bytes.len() / 2].into());
    let error = write(&cut);
    assert!(
        error.is_verification() || matches!(error, SifWriteError::Open { number: 2, .. }),
        "{error:?}"
    );
    let mut more = stack();
    more[1].content = Content::Memory([&bytes[..], b"more"].concat().into());
    assert!(write(&more).is_verification());
    assert_eq!(
        write(&[layer(&[file("a", b"a"), link("b", "nowhere")])]).to_string(),
        "the layers do not fit together"
    );
}
