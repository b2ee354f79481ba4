//! Archives made here, through whole chains: what is left out, stripped, moved and compressed in one pass.

use std::io::Read;
use std::sync::Arc;

use oci_format::layer::compression::{Compression, Decoder};
use oci_format::layer::tar::{TarReader, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use spack_format::build_cache::BinaryDistribution;
use spack_format::relocation::PrefixMap;

use super::*;
use crate::content::Content;
use crate::event::{Event, Reporter};
use crate::layer::slim::{Profile, SlimRules};
use crate::layer::{PackageRecord, scan};
use crate::local_cache::LocalCache;

const NAME: &str = "a-1-abcdefg";
const OLD: &str = "/old/much/longer/place";

struct Silent;

impl Reporter for Silent {
    fn event(&self, _: Event) {}
}

/// An archive of these files below `OLD/NAME`; `= path` is a hard link.
fn archive(files: &[(&str, &[u8])], lists: &str) -> (Content, Digest, Arc<PackageRecord>) {
    let mut tar = TarWriter::new(Vec::new());
    let below = |path: &str| format!("{}/{NAME}/{path}", &OLD[1..]);
    let mark = format!("{{buildpath: {OLD}, relative_prefix: {NAME}{lists}}}");
    let mut all = files.to_vec();
    all.push((".spack/binary_distribution", mark.as_bytes()));
    for (path, bytes) in all {
        let mut entry = Entry::file(below(path), 0o755, 0, bytes.len() as u64);
        match bytes.strip_prefix(b"= ") {
            Some(target) => {
                let target = below(&String::from_utf8_lossy(target)).into_bytes();
                entry.kind = EntryKind::HardLink(target);
                entry.size = 0;
                tar.append_bytes(&entry, b"").expect("memory");
            }
            None => tar.append_bytes(&entry, bytes).expect("memory"),
        }
    }
    let bytes = tar.finish().expect("memory");
    let digest = Digest::of(&bytes);
    let content = Content::Memory(bytes.into());
    let record = scan(&content, &digest, content.len()).expect("a package");
    (content, digest, Arc::new(record))
}

fn runtime() -> SlimRules {
    SlimRules {
        profile: Some(Profile::Runtime),
        ..SlimRules::default()
    }
}

fn relocation(record: &PackageRecord) -> Rules {
    let built = BinaryDistribution::parse(&record.binary_distribution).expect("ours");
    let map = PrefixMap::new([
        (built.prefix(), format!("/new/{NAME}")),
        (OLD.into(), "/new".into()),
    ]);
    let prefix = format!("new/{NAME}");
    Rules::new(record, &built, map.expect("paths"), &prefix, "/new", |_| {
        true
    })
}

/// Runs one job and lists what came of it: path, and bytes or target.
fn run(job: &TransformJob, cache: &LocalCache) -> (Transformed, Vec<(String, Vec<u8>)>) {
    let jobs = std::slice::from_ref(job);
    let mut done = transform_all(jobs, cache, 1, &Silent);
    let done = done.remove(0).expect("transforms");
    let members = members(&done.content);
    (done, members)
}

fn members(content: &Content) -> Vec<(String, Vec<u8>)> {
    let reader = content.open(0).expect("opens");
    let mut tar = TarReader::new(Decoder::new(reader, u64::MAX).expect("compressed"));
    let mut all = Vec::new();
    while let Some(mut member) = tar.next_member().expect("sound") {
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("memory");
        if let EntryKind::HardLink(target) = &member.entry.kind {
            bytes = [b"= ", &target[..]].concat();
        }
        let path = String::from_utf8(member.entry.path.clone()).expect("text");
        all.push((path, bytes));
    }
    all
}

fn job(
    files: &[(&str, &[u8])],
    lists: &str,
    chain: impl Fn(&PackageRecord) -> Chain,
) -> TransformJob {
    let (content, blob, record) = archive(files, lists);
    TransformJob {
        title: "a@1".into(),
        blob,
        size: content.len(),
        content,
        chain: chain(&record),
        record,
    }
}

fn cache() -> (tempfile::TempDir, LocalCache) {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = LocalCache::open(folder.path()).expect("a cache");
    (folder, cache)
}

#[test]
fn one_pass_leaves_out_moves_and_compresses() {
    let text = format!("#!{OLD}/{NAME}/bin/sh\n");
    let files: &[(&str, &[u8])] = &[
        ("include/a.h", text.as_bytes()),
        ("bin/x", text.as_bytes()),
        ("share/a.h", b"= include/a.h"),
        ("share/b.h", b"= include/a.h"),
        ("lib/a.a", b"!<arch>\n"),
    ];
    // Spack lists a file with several names by one of them.
    let job = job(
        files,
        ", relocate_textfiles: [bin/x, include/a.h]",
        |record| Chain {
            slim: Some(Selection::new(record, &runtime().of("a"))),
            relocate: Some(relocation(record)),
            compress: Compress::parse("zstd", None),
            ..Chain::default()
        },
    );
    let (_folder, cache) = cache();
    let (done, members) = run(&job, &cache);
    let new = format!("#!/new/{NAME}/bin/sh\n").into_bytes();
    let below = |path: &str| format!("new/{NAME}/{path}");
    assert_eq!(members[0].0, "new");
    assert_eq!(
        members[1..4],
        [
            (below("share/a.h"), new.clone()),
            (below("bin/x"), new),
            (
                below("share/b.h"),
                format!("= {}", below("share/a.h")).into_bytes()
            ),
        ]
    );
    assert_eq!(members.len(), 5, "{members:?}");
    let record = scan(&done.content, &done.digest, done.content.len()).expect("a package still");
    assert_eq!(record.compression, "zstd");
    // What is known is not made again, and is the same elsewhere.
    let (_other, elsewhere) = self::cache();
    assert_eq!(run(&job, &cache).0.digest, done.digest);
    assert_eq!(run(&job, &elsewhere).0.digest, done.digest);
}

#[test]
fn an_archive_is_only_compressed_anew_where_that_is_all() {
    let job = job(&[("bin/x", b"x")], "", |_| Chain {
        compress: Compress::parse("zstd", Some(7)),
        ..Chain::default()
    });
    let (_folder, cache) = cache();
    let (done, _) = run(&job, &cache);
    let record = scan(&done.content, &done.digest, done.content.len()).expect("a package");
    assert_eq!(record.diff_id, job.record.diff_id, "the same tar");
    let mut first = [0; 4];
    let mut reader = done.content.open(0).expect("opens");
    reader.read_exact(&mut first).expect("bytes");
    assert_eq!(Compression::detect(&first), Compression::Zstd);
}

#[test]
fn what_has_no_symbols_stays_the_blob_of_the_cache() {
    let job = job(
        &[("bin/x", &[7; 100]), ("lib/a.o", b"\x7fELF\x02")],
        "",
        |_| Chain {
            strip: Some(StripRules {
                symbols: Symbols::Separate,
                keep: Vec::new(),
            }),
            ..Chain::default()
        },
    );
    let (_folder, cache) = cache();
    for _ in 0..2 {
        let (done, _) = run(&job, &cache);
        assert_eq!(done.digest, job.blob);
        assert!(done.debug.is_none());
        assert_eq!(done.symbols, SymbolReport::default());
    }
}

#[test]
fn programs_are_stripped_on_the_way_and_their_symbols_kept() {
    let program = std::fs::read(std::env::current_exe().expect("a program")).expect("a file");
    let twice = program.clone();
    let old = format!("{OLD}/{NAME}");
    let mut named = program.clone();
    named.extend_from_slice(old.as_bytes());
    let files: &[(&str, &[u8])] = &[
        ("bin/x", &program),
        ("bin/y", &twice),
        ("bin/kept", &program),
        ("bin/appended", &named),
    ];
    let chain = |symbols| {
        move |_: &PackageRecord| Chain {
            strip: Some(StripRules {
                symbols,
                keep: vec![Glob::parse("bin/k*").expect("a pattern")],
            }),
            ..Chain::default()
        }
    };
    let (_folder, cache) = cache();
    let separate = job(files, "", chain(Symbols::Separate));
    let (done, members) = run(&separate, &cache);
    let size = |name: &str| {
        let path = format!("{}/{NAME}/bin/{name}", &OLD[1..]);
        members.iter().find(|it| it.0 == path).expect(name).1.len()
    };
    assert_eq!(size("kept"), program.len());
    assert_eq!(size("appended"), named.len());
    assert!(size("x") < program.len() && size("x") == size("y"));
    let kept: Vec<_> = done
        .symbols
        .kept
        .iter()
        .map(|it| (it.0.as_str(), *it.1))
        .collect();
    use strip::KeptBecause::{Appended, Named};
    assert_eq!(kept, [("bin/appended", Appended), ("bin/kept", Named)]);
    assert_eq!(done.symbols.stripped.files, 2);
    let debug = done.debug.as_ref().expect("has a build ID");
    let debug = self::members(&debug.content);
    // Both programs are the same, and so is what was taken.
    assert_eq!(done.symbols.separate.files, 1);
    let paths: Vec<&str> = debug.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(
        paths[..4],
        ["usr", "usr/lib", "usr/lib/debug", "usr/lib/debug/.build-id"]
    );
    assert!(paths[5].ends_with(".debug"), "{paths:?}");
    // All of it is remembered.
    let (again, _) = run(&separate, &cache);
    assert_eq!((again.digest, again.symbols), (done.digest, done.symbols));
    assert_eq!(
        again.debug.map(|it| it.digest),
        done.debug.map(|it| it.digest)
    );
    // Dropped or kept apart, the program is the same.
    let dropped = job(files, "", chain(Symbols::Drop));
    assert_eq!(run(&dropped, &cache).0.digest, done.digest);
    assert_ne!(
        dropped.chain.key(&dropped.blob),
        separate.chain.key(&separate.blob)
    );
}
