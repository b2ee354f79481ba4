//! What the local cache promises, kept by threads, other processes and killed ones.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use super::*;

fn cache() -> (tempfile::TempDir, LocalCache) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let cache = LocalCache::open(directory.path().join("cache")).expect("new cache");
    (directory, cache)
}

fn read(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    content
        .open(0)
        .expect("opens")
        .read_to_end(&mut bytes)
        .expect("reads");
    bytes
}

fn left_over(cache: &LocalCache) -> usize {
    fs::read_dir(cache.partials()).expect("lists").count()
}

fn mine(claim: Claim) -> PartialBlob {
    match claim {
        Claim::Mine(partial) => partial,
        Claim::Present(_) => panic!("the blob is present"),
        Claim::Busy => panic!("somebody else has it"),
    }
}

#[test]
fn what_is_inserted_is_found_and_leaves_nothing_else() {
    let (_keep, cache) = cache();
    let digest = Digest::of(b"spack");
    assert!(cache.blob(&digest).is_none());
    cache.insert(&digest, 5, &b"spack"[..]).expect("inserts");
    assert_eq!(read(&cache.blob(&digest).expect("found")), b"spack");
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn bytes_that_are_not_the_promised_ones_are_refused() {
    let (_keep, cache) = cache();
    let digest = Digest::of(b"spack");
    let wrong = cache
        .insert(&digest, 5, &b"spock"[..])
        .expect_err("other bytes");
    assert!(matches!(wrong, LocalCacheError::Digest { .. }), "{wrong}");
    let short = cache.insert(&digest, 5, &b"spac"[..]).expect_err("too few");
    assert!(
        matches!(short, LocalCacheError::Size { actual: 4, .. }),
        "{short}"
    );
    let long = cache
        .insert(&digest, 5, io::repeat(7))
        .expect_err("endless");
    assert!(
        matches!(long, LocalCacheError::Size { actual: 6, .. }),
        "{long}"
    );
    assert!(cache.blob(&digest).is_none());
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn a_writer_names_the_blob_at_the_end_and_a_dropped_one_leaves_nothing() {
    let (_keep, cache) = cache();
    let mut writer = cache.writer().expect("writer");
    writer.write_all(b"one").expect("writes");
    assert_eq!(left_over(&cache), 1);
    let (digest, content) = writer.finish().expect("finishes");
    assert_eq!(digest, Digest::of(b"one"));
    assert_eq!(read(&content), b"one");
    drop(cache.writer().expect("writer"));
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn a_download_is_continued_where_it_stopped() {
    let (_keep, cache) = cache();
    let digest = Digest::of(b"abcdef");
    let mut first = mine(cache.claim(&digest, 6).expect("claims"));
    first.append(b"abc").expect("appends");
    assert!(
        matches!(cache.try_claim(&digest, 6), Ok(Claim::Busy)),
        "held by the first"
    );
    drop(first);
    let mut second = mine(cache.claim(&digest, 6).expect("claims"));
    assert_eq!(second.offset(), 3);
    let too_much = second.append(b"defg").expect_err("more than promised");
    assert!(
        matches!(too_much, LocalCacheError::Size { actual: 7, .. }),
        "{too_much}"
    );
    second.append(b"def").expect("appends");
    assert_eq!(read(&second.commit().expect("complete")), b"abcdef");
    assert!(matches!(cache.try_claim(&digest, 6), Ok(Claim::Present(_))));
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn an_incomplete_download_stays_and_a_wrong_one_goes() {
    let (_keep, cache) = cache();
    let digest = Digest::of(b"abcdef");
    let mut partial = mine(cache.claim(&digest, 6).expect("claims"));
    partial.append(b"abX").expect("appends");
    assert!(matches!(
        partial.commit(),
        Err(LocalCacheError::Size { actual: 3, .. })
    ));
    let mut partial = mine(cache.claim(&digest, 6).expect("claims"));
    assert_eq!(partial.offset(), 3);
    partial.append(b"def").expect("appends");
    assert!(matches!(
        partial.commit(),
        Err(LocalCacheError::Digest { .. })
    ));
    assert_eq!(mine(cache.claim(&digest, 6).expect("claims")).offset(), 0);
    assert!(cache.blob(&digest).is_none());
}

#[test]
fn a_restarted_download_begins_at_nothing() {
    let (_keep, cache) = cache();
    let digest = Digest::of(b"abcdef");
    let mut partial = mine(cache.claim(&digest, 6).expect("claims"));
    partial.append(b"wrong").expect("appends");
    partial.restart().expect("truncates");
    assert_eq!(partial.offset(), 0);
    partial.append(b"abcdef").expect("appends");
    partial.commit().expect("complete");
}

#[test]
fn two_threads_that_want_one_blob_write_it_once() {
    let (_keep, cache) = cache();
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(&bytes);
    let wrote: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(
                    || match cache.claim(&digest, bytes.len() as u64).expect("claims") {
                        Claim::Present(_) => false,
                        Claim::Busy => panic!("`claim` waits"),
                        Claim::Mine(mut partial) => {
                            for chunk in bytes.chunks(1000) {
                                partial.append(chunk).expect("appends");
                            }
                            partial.commit().expect("complete");
                            true
                        }
                    },
                )
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(wrote.iter().filter(|wrote| **wrote).count(), 1);
    assert_eq!(read(&cache.blob(&digest).expect("found")), bytes);
}

#[test]
fn opening_removes_what_the_dead_left_and_spares_what_the_living_hold() {
    let (_keep, cache) = cache();
    let living = cache.writer().expect("writer");
    let dead = cache.partials().join("tmp-1-1");
    let old = cache.partials().join(Digest::of(b"old").hex());
    let recent = cache.partials().join(Digest::of(b"recent").hex());
    for path in [&dead, &old, &recent] {
        fs::write(path, b"x").expect("writes");
    }
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    File::options()
        .write(true)
        .open(&old)
        .expect("opens")
        .set_modified(long_ago)
        .expect("ages");
    let again = LocalCache::open(cache.root()).expect("opens again");
    assert!(!dead.exists() && !old.exists() && recent.exists());
    let (digest, _) = living.finish().expect("was not touched");
    assert!(again.blob(&digest).is_some());
}

#[test]
fn a_damaged_blob_is_found_out_and_forgotten() {
    let (_keep, cache) = cache();
    let (digest, _) = {
        let mut writer = cache.writer().expect("writer");
        writer.write_all(b"precious").expect("writes");
        writer.finish().expect("finishes")
    };
    assert!(cache.verified_blob(&digest).expect("reads").is_some());
    fs::write(cache.blob_path(&digest), b"damaged!").expect("damages");
    assert!(cache.verified_blob(&digest).expect("reads").is_none());
    assert!(cache.blob(&digest).is_none());
}

#[test]
fn records_are_remembered_by_kind_and_key() {
    let (_keep, cache) = cache();
    let odd_key = "../../etc/passwd or a key with spaces";
    cache
        .put_record("diff-id", "sha256:ab", b"one")
        .expect("remembers");
    cache
        .put_record("diff-id", odd_key, b"two\n")
        .expect("remembers");
    cache
        .put_record("listing", "sha256:ab", b"")
        .expect("remembers");
    assert_eq!(
        cache.record("diff-id", "sha256:ab").as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(
        cache.record("diff-id", odd_key).as_deref(),
        Some(&b"two\n"[..])
    );
    assert_eq!(
        cache.record("listing", "sha256:ab").as_deref(),
        Some(&b""[..])
    );
    assert_eq!(cache.record("listing", "sha256:cd"), None);
    cache
        .put_record("diff-id", "sha256:ab", b"three")
        .expect("replaces");
    assert_eq!(
        cache.record("diff-id", "sha256:ab").as_deref(),
        Some(&b"three"[..])
    );
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn a_record_with_any_byte_changed_does_not_exist() {
    let (_keep, cache) = cache();
    cache
        .put_record("diff-id", "key", b"value")
        .expect("remembers");
    let path = cache.record_path("diff-id", "key");
    let whole = fs::read(&path).expect("reads");
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x20;
        fs::write(&path, &damaged).expect("damages");
        assert_eq!(cache.record("diff-id", "key"), None, "byte {index} changed");
        fs::write(&path, &whole[..index]).expect("truncates");
        assert_eq!(cache.record("diff-id", "key"), None, "cut at byte {index}");
    }
    cache
        .put_record("diff-id", "key", b"value")
        .expect("written again");
    assert_eq!(
        cache.record("diff-id", "key").as_deref(),
        Some(&b"value"[..])
    );
}

/// `/dev/full` refuses every write as a full disk does.
#[test]
fn a_full_disk_is_an_error_of_its_own_and_names_nothing() {
    let (_keep, cache) = cache();
    let digest = Digest::of(b"abcdef");
    let mut partial = mine(cache.claim(&digest, 6).expect("claims"));
    partial.put_on_a_full_disk();
    let full = partial.append(b"abc").expect_err("no space");
    assert!(matches!(full, LocalCacheError::Full { .. }), "{full}");
    assert!(full.to_string().contains("no space left"), "{full}");
    drop(partial);
    assert!(cache.blob(&digest).is_none());
}

/// Set in the environment of the process that is to be killed: the cache's directory.
const VICTIM: &str = "SPACKTAINERS_TEST_VICTIM";
const VICTIM_BYTES: &[u8] = b"the first half, and the second half";

fn start_victim(cache: &LocalCache) -> Child {
    let program = std::env::current_exe().expect("this test's program");
    let mut child = Command::new(program)
        .args([
            "--exact",
            "local_cache::tests::victim_of_kill",
            "--nocapture",
        ])
        .env(VICTIM, cache.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts itself");
    // It says so when half of each is written.
    let mut said = Vec::new();
    let out = child.stdout.as_mut().expect("piped");
    while !said.ends_with(b"READY") {
        let mut byte = [0];
        out.read_exact(&mut byte).expect("the victim lives");
        said.push(byte[0]);
    }
    child
}

/// Does nothing unless started by [`start_victim`].
#[test]
fn victim_of_kill() {
    let Some(root) = std::env::var_os(VICTIM) else {
        return;
    };
    let cache = LocalCache::open(PathBuf::from(root)).expect("opens");
    let digest = Digest::of(VICTIM_BYTES);
    let mut partial = mine(
        cache
            .claim(&digest, VICTIM_BYTES.len() as u64)
            .expect("claims"),
    );
    partial.append(&VICTIM_BYTES[..15]).expect("appends");
    let mut writer = cache.writer().expect("writer");
    writer.write_all(b"lost").expect("writes");
    let mut out = io::stdout();
    out.write_all(b"READY")
        .and_then(|()| out.flush())
        .expect("says so");
    // Until killed, or until the other side closes.
    let _ = io::stdin().read(&mut [0]);
}

#[test]
fn a_killed_process_leaves_a_download_that_the_next_one_continues() {
    let (_keep, cache) = cache();
    let digest = Digest::of(VICTIM_BYTES);
    let size = VICTIM_BYTES.len() as u64;
    let mut victim = start_victim(&cache);
    assert!(
        matches!(cache.try_claim(&digest, size), Ok(Claim::Busy)),
        "the other process has it"
    );
    LocalCache::open(cache.root()).expect("opens beside a living process");
    assert_eq!(left_over(&cache), 2);
    victim.kill().expect("SIGKILL");
    victim.wait().expect("dies");
    assert!(cache.blob(&digest).is_none(), "half a blob has no name");
    let cache = LocalCache::open(cache.root()).expect("opens again");
    assert_eq!(
        left_over(&cache),
        1,
        "the temporary file is gone, the download is not"
    );
    let mut partial = mine(cache.claim(&digest, size).expect("claims"));
    assert_eq!(partial.offset(), 15);
    partial.append(&VICTIM_BYTES[15..]).expect("appends");
    assert_eq!(read(&partial.commit().expect("complete")), VICTIM_BYTES);
    assert_eq!(left_over(&cache), 0);
}
