//! What every mirror promises that can be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::*;
use crate::content::Content;
use oci_format::Digest;

pub(super) async fn behaves_like_a_writer(writer: &SharedWriter) {
    let put = |key: &'static str, text: &'static str, when: When| async move {
        let bytes = Bytes::from_static(text.as_bytes());
        writer.put(key, bytes, &when).await.expect(key)
    };
    assert_eq!(writer.read("a/b", 10).await.expect("reads"), None);
    assert_eq!(writer.size("a/b").await.expect("asks"), None);
    assert_eq!(writer.list("a").await.expect("lists"), Vec::<String>::new());

    assert_eq!(put("a/b", "one", When::Absent).await, Put::Written);
    assert_eq!(put("a/b", "two", When::Absent).await, Put::Refused);
    let one = writer.read("a/b", 10).await.expect("reads").expect("there");
    assert_eq!(one.bytes, b"one");
    writer.read("a/b", 2).await.expect_err("too long");

    let stale = When::Version(one.version.clone());
    assert_eq!(put("a/b", "two", stale.clone()).await, Put::Written);
    assert_eq!(put("a/b", "three", stale.clone()).await, Put::Refused);
    assert_eq!(put("a/absent", "x", stale).await, Put::Refused);
    assert_eq!(put("a/b", "four!", When::Always).await, Put::Written);
    assert_eq!(writer.size("a/b").await.expect("asks"), Some(5));

    put("a/c/d", "", When::Always).await;
    put("ab", "beside the folder", When::Always).await;
    assert_eq!(writer.list("a").await.expect("lists"), ["a/b", "a/c/d"]);

    // Above and below what goes in one request.
    for size in [1000, 33 << 20] {
        let bytes: Arc<[u8]> = (0..size).map(|n: u32| (n >> 3) as u8).collect();
        let (digest, heard) = (Digest::of(&bytes), AtomicU64::new(0));
        let content = Content::Memory(Arc::clone(&bytes));
        let on_bytes = |count| {
            heard.fetch_add(count, Ordering::Relaxed);
        };
        let key = format!("blobs/{size}");
        let sent = writer.put_blob(&key, &content, &digest, &on_bytes).await;
        sent.expect("a blob");
        assert_eq!(heard.into_inner(), u64::from(size));
        let there = writer.get(&key, u64::from(size)).await.expect("reads");
        assert!(there.as_deref() == Some(&*bytes), "{size} bytes");
        let other = Digest::of(b"others");
        let refused = writer.put_blob("blobs/other", &content, &other, &|_| {});
        let error = refused.await.expect_err("other bytes");
        assert!(
            matches!(*error.fault, WriteFault::Changed { .. }),
            "{error}"
        );
        assert_eq!(writer.size("blobs/other").await.expect("asks"), None);
    }

    writer.delete("a/b").await.expect("deletes");
    writer.delete("a/b").await.expect("once more");
    assert_eq!(writer.size("a/b").await.expect("asks"), None);
    for outside in ["../x", "/etc/x", "a/../../x", ""] {
        let put = writer.put(outside, Bytes::new(), &When::Always).await;
        let error = put.expect_err(outside);
        assert!(matches!(*error.fault, WriteFault::Key), "{error}");
        writer.delete(outside).await.expect_err(outside);
        writer.size(outside).await.expect_err(outside);
        writer.read(outside, 10).await.expect_err(outside);
    }
}

#[tokio::test]
async fn a_folder_can_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("not/there/yet");
    let writer: SharedWriter = Arc::new(FolderWriter::new(&root));
    behaves_like_a_writer(&writer).await;
    let unfinished = std::fs::read_dir(root.join(".spacktainers")).expect("a folder");
    let names: Vec<_> = unfinished.flatten().map(|it| it.file_name()).collect();
    assert_eq!(names, ["lock"], "nothing unfinished is left behind");
}
