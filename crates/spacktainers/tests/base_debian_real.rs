//! Bases made of a real archive's packages: the one that this machine's own apt uses.
//!
//! Skipped, with the reason, where there is no such archive or no keys to check it with.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use oci_format::DigestReader;
use oci_format::layer::tar::{Limits, Policy, TarReader};
use oci_format::layer::{Entry, EntryKind};
use spacktainers::base::debian::{self, DebianError, DebianSettings};
use spacktainers::base::{BaseArchitecture, BaseContext, LockedDebian};
use spacktainers::event::Silent;
use spacktainers::image::{LayerContent, RecordedLayer};
use spacktainers::local_cache::LocalCache;

fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// The codename of the Debian release that this machine runs: its apt surely has that.
fn own_suite() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    value("VERSION_CODENAME")
}

fn context(cache: &Path, suite: &str, packages: &[&str]) -> BaseContext {
    let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let cache = LocalCache::open(cache).expect("a cache");
    let mut context = BaseContext::new(cache, Arc::new(Silent), jobs, SystemTime::now());
    let mut settings = DebianSettings::new(suite);
    settings.packages = packages.iter().map(|&name| name.to_owned()).collect();
    context.debian = Some(settings);
    context
}

/// Where downloads of these tests are kept between runs; `SPACKTAINERS_TEST_CACHE` overrides.
fn cache() -> PathBuf {
    std::env::var_os("SPACKTAINERS_TEST_CACHE").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-cache"),
        PathBuf::from,
    )
}

async fn resolved(architecture: BaseArchitecture, context: &BaseContext) -> Option<LockedDebian> {
    match debian::resolve(architecture, context).await {
        Ok(locked) => Some(locked),
        Err(error @ (DebianError::Plan(_) | DebianError::Archive(_))) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            skipped(&format!("no archive of this machine can be used: {text}"));
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn entries(layer: &RecordedLayer) -> Vec<Entry> {
    let mut entries = Vec::new();
    for_each_member(layer, |entry, _| entries.push(entry.clone()));
    entries
}

fn for_each_member(layer: &RecordedLayer, mut visit: impl FnMut(&Entry, &mut dyn std::io::Read)) {
    let LayerContent::Here(content) = &layer.content else {
        panic!("it was just made")
    };
    let gzip = flate2::read::MultiGzDecoder::new(content.open(0).expect("readable"));
    let mut reader = TarReader::with_policy(gzip, Policy::Strict, Limits::default());
    while let Some(mut member) = reader.next_member().expect("a strict tar") {
        let entry = member.entry.clone();
        visit(&entry, &mut member);
    }
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_of_the_machines_own_release_runs() {
    let Some(suite) = own_suite() else {
        return skipped("no codename in /etc/os-release");
    };
    let packages = [
        "bash",
        "coreutils",
        "python3-minimal",
        "apt",
        "dpkg",
        "ca-certificates",
    ];
    let context = context(&cache(), &suite, &packages);
    let own = match std::env::consts::ARCH {
        "aarch64" => BaseArchitecture::Arm64,
        _ => BaseArchitecture::Amd64,
    };
    let start = Instant::now();
    let Some(locked) = resolved(own, &context).await else {
        return;
    };
    let _ = writeln!(
        std::io::stderr(),
        "resolve: {:?}, {} packages",
        start.elapsed(),
        locked.packages.len()
    );
    let start = Instant::now();
    let (layer, digests, warnings) = debian::make(&locked, &context).await.expect("a layer");
    let _ = writeln!(
        std::io::stderr(),
        "make: {:?}, {} bytes, {warnings:?}",
        start.elapsed(),
        digests.size
    );
    assert_eq!(
        warnings,
        Vec::<String>::new(),
        "every script of these packages is known"
    );

    let start = Instant::now();
    let (_, again, _) = debian::make(&locked, &context).await.expect("remembered");
    assert_eq!(again, digests);
    assert!(
        start.elapsed().as_millis() < 500,
        "a remembered layer is not made again"
    );

    if !is_root() {
        return skipped("only root can change its root directory");
    }
    let root = tempfile::tempdir().expect("a directory");
    let LayerContent::Here(content) = &layer.content else {
        panic!("it was just made")
    };
    let blob = root.path().join("layer.tar.gz");
    let mut file = std::fs::File::create(&blob).expect("writable");
    std::io::copy(&mut content.open(0).expect("readable"), &mut file).expect("copied");
    let tree = root.path().join("tree");
    std::fs::create_dir(&tree).expect("writable");
    let status = Command::new("tar")
        .arg("-xpzf")
        .arg(&blob)
        .arg("-C")
        .arg(&tree)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "tar unpacks the layer"
    );

    let run = |command: &[&str]| {
        let output = Command::new("chroot")
            .arg(&tree)
            .args(command)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .output()
            .expect("chroot runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {text}");
        text
    };
    assert!(run(&["bash", "-c", "echo $((6*7)) | cat"]).contains("42"));
    assert!(run(&["sh", "-c", "awk 'BEGIN{print 6*7}'; which ls"]).contains("42\n/usr/bin/ls"));
    let list = run(&["dpkg", "-l"]);
    assert_eq!(
        list.lines().filter(|line| line.starts_with("ii ")).count(),
        locked.packages.len()
    );
    assert_eq!(run(&["dpkg", "--audit"]), "");
    assert_eq!(
        run(&["dpkg", "--verify"]),
        "",
        "every file has the checksum that its package says"
    );
    assert!(run(&["apt-get", "--version"]).starts_with("apt "));
    assert!(run(&["apt", "list", "--installed"]).contains("bash/"));
    assert_eq!(run(&["apt-get", "check", "-qq"]), "");
    assert!(run(&["getent", "passwd", "root"]).starts_with("root:x:0:0:root:/root:/bin/bash"));
    assert!(
        run(&[
            "python3",
            "-c",
            "import sys, os, re; print(6 * 7, sys.version)"
        ])
        .contains("42")
    );
    assert!(run(&["dpkg", "-S", "/bin/bash"]).starts_with("bash:"));
    assert!(run(&["update-alternatives", "--query", "awk"]).contains("Value: /usr/bin/mawk"));
    assert_eq!(run(&["date", "+%Z"]), "UTC\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_for_another_architecture_needs_no_such_machine() {
    let Some(suite) = own_suite() else {
        return skipped("no codename in /etc/os-release");
    };
    let context = context(&cache(), &suite, &["bash", "ca-certificates"]);
    let Some(locked) = resolved(BaseArchitecture::Arm64, &context).await else {
        return;
    };
    let (layer, ..) = debian::make(&locked, &context).await.expect("a layer");
    let entries = entries(&layer);
    let find = |path: &str| {
        entries
            .iter()
            .find(|entry| entry.path == path.as_bytes())
            .unwrap_or_else(|| panic!("{path}"))
    };
    assert_eq!(find("bin").kind, EntryKind::Symlink(b"usr/bin".to_vec()));
    assert_eq!(find("lib").kind, EntryKind::Symlink(b"usr/lib".to_vec()));
    find("usr/lib/aarch64-linux-gnu/libc.so.6");
    find("usr/bin/bash");
    find("var/lib/dpkg/status");
    find("etc/ssl/certs/ca-certificates.crt");
    assert_eq!(find("tmp").mode, 0o1777);
    assert_eq!(
        (find("etc/shadow").mode, find("etc/shadow").gid),
        (0o640, 42)
    );
    // Every entry stands once, and behind no link.
    let mut paths: Vec<&[u8]> = entries.iter().map(|entry| entry.path.as_slice()).collect();
    let count = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), count);
    assert!(
        !paths
            .iter()
            .any(|path| path.starts_with(b"bin/") || path.starts_with(b"lib/"))
    );
}

/// One path of a tree: kind, mode, owner, and target or size. Times are left out: generated files have
/// none in common.
fn describe(entry: &Entry, content: &mut dyn std::io::Read) -> String {
    let kind = match &entry.kind {
        EntryKind::Directory => "directory".to_owned(),
        EntryKind::File => {
            let mut reader = DigestReader::new(content);
            std::io::copy(&mut reader, &mut std::io::sink()).expect("readable");
            format!("file {}", reader.finish().1)
        }
        // The other tool copies what is hard-linked into the tar in its own order.
        EntryKind::HardLink(_) => "file".to_owned(),
        EntryKind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
        other => format!("{other:?}"),
    };
    format!("{:o} {}:{} {kind}", entry.mode, entry.uid, entry.gid)
}

/// What may differ from a tree whose packages' scripts were run, and why.
fn is_expected_difference(path: &str) -> bool {
    const EXPECTED: [&str; 15] = [
        // Logs and caches of the run itself.
        "var/log/",
        "var/cache/",
        "var/lib/apt/",
        "etc/apt/",
        "run/",
        // debconf's data base: no questions were asked.
        "var/cache/debconf/",
        // Services do not run in an image.
        "etc/systemd/",
        "var/lib/systemd/",
        "etc/rc0.d/",
        "etc/rc6.d/",
        "etc/rcS.d/",
        "etc/init.d/",
        // dpkg's records hold the order of unpacking and backups; they are judged by dpkg itself, above.
        "var/lib/dpkg/",
        "dev/",
        "etc/ld.so.cache",
    ];
    const FILES: [&str; 10] = [
        "etc/.pwd.lock",
        "etc/passwd-",
        "etc/group-",
        "etc/fstab",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/hosts",
        // The day of the last change of passwords; comments at the top.
        "etc/shadow",
        "etc/ca-certificates.conf",
        // The order of lines depends on when the other tool merges /usr.
        "etc/shells",
    ];
    EXPECTED
        .iter()
        .any(|start| path.starts_with(start) || path == start.trim_end_matches('/'))
        || FILES.contains(&path)
        || path.contains("/__pycache__")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_the_one_that_mmdebstrap_makes() {
    let Ok(mirror) = std::env::var("SPACKTAINERS_TEST_DEBIAN_MIRROR") else {
        return skipped("SPACKTAINERS_TEST_DEBIAN_MIRROR does not name a mirror");
    };
    if !is_root()
        || Command::new("mmdebstrap")
            .arg("--version")
            .output()
            .is_err()
    {
        return skipped("mmdebstrap is not installed, or this is not root");
    }
    let suite = std::env::var("SPACKTAINERS_TEST_DEBIAN_SUITE")
        .ok()
        .or_else(own_suite);
    let Some(suite) = suite else {
        return skipped("no codename in /etc/os-release");
    };
    let packages = [
        "bash",
        "coreutils",
        "python3-minimal",
        "ca-certificates",
        "less",
        "nano",
    ];
    let mut context = context(&cache(), &suite, &packages);
    if let Some(settings) = &mut context.debian {
        settings.mirror = Some(mirror.clone());
    }
    let Some(locked) = resolved(BaseArchitecture::Amd64, &context).await else {
        return;
    };
    let (layer, ..) = debian::make(&locked, &context).await.expect("a layer");
    let mut ours = std::collections::BTreeMap::new();
    for_each_member(&layer, |entry, content| {
        ours.insert(
            String::from_utf8_lossy(&entry.path).into_owned(),
            describe(entry, content),
        );
    });

    let directory = tempfile::tempdir().expect("a directory");
    let tar = directory.path().join("theirs.tar");
    let output = Command::new("mmdebstrap")
        .args([
            "--variant=minbase",
            "--architectures=amd64",
            "--aptopt=Acquire::Check-Valid-Until \"false\"",
        ])
        .arg(format!("--include={}", packages.join(",")))
        .arg(&suite)
        .arg(&tar)
        .arg(&mirror)
        .output()
        .expect("mmdebstrap runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let file = std::fs::File::open(&tar).expect("readable");
    let mut reader = TarReader::with_policy(file, Policy::Lenient, Limits::default());
    let mut theirs = std::collections::BTreeMap::new();
    while let Some(mut member) = reader.next_member().expect("a tar") {
        let entry = member.entry.clone();
        if !entry.path.is_empty() {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            theirs.insert(path, describe(&entry, &mut member));
        }
    }
    let mut differences = Vec::new();
    for path in ours
        .keys()
        .chain(theirs.keys())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let (our, their) = (ours.get(path), theirs.get(path));
        let same_file = |a: &str, b: &str| {
            a.split(' ').take(3).eq(b.split(' ').take(3))
                && a.ends_with("file") | b.ends_with("file")
        };
        let is_same = match (our, their) {
            (Some(our), Some(their)) => our == their || same_file(our, their),
            _ => false,
        };
        if !is_same && !is_expected_difference(path) {
            differences.push(format!("{path}: ours {our:?}, theirs {their:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
