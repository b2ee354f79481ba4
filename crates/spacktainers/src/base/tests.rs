//! Bases that are images or tars already.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oci_format::config::ImageConfig;
use oci_format::layer::tar::TarWriter;
use oci_format::layer::{Entry, EntryKind};
use oci_format::{Descriptor, Digest, ImageIndex, ImageManifest, layout, media_type};

use super::*;
use crate::event::Silent;
use crate::local_cache::LocalCache;

fn context(folder: &Path) -> BaseContext {
    let cache = LocalCache::open(folder.join("cache")).expect("a cache");
    let jobs = NonZeroUsize::new(2).expect("not 0");
    let mut context = BaseContext::new(cache, Arc::new(Silent), jobs, SystemTime::now());
    context.folder = folder.to_owned();
    context
}

fn root_tar() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (entry, content) in [
        (Entry::directory("usr", 0o755, 0), &b""[..]),
        (Entry::directory("usr/bin", 0o755, 0), b""),
        (Entry::file("usr/bin/bash", 0o755, 0, 4), b"bash"),
        (Entry::file("usr/lib/libx.so.1", 0o644, 0, 3), b"elf"),
        (Entry::symlink("bin", "usr/bin", 0), b""),
    ] {
        tar.append_bytes(&entry, content).expect("memory");
    }
    tar.finish().expect("memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn bytes(layer: &RecordedLayer) -> Vec<u8> {
    let LayerContent::Here(content) = &layer.content else {
        panic!("here")
    };
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut content.open(0).expect("readable"), &mut bytes)
        .expect("readable");
    assert_eq!(Digest::of(&bytes), layer.descriptor.digest);
    assert_eq!(bytes.len() as u64, layer.descriptor.size);
    bytes
}

#[tokio::test]
async fn a_root_file_system_is_the_layer_itself_unless_it_is_compressed_in_an_unusual_way() {
    let folder = tempfile::tempdir().expect("a directory");
    let context = context(folder.path());
    let tar = root_tar();
    for (name, file, own, kind) in [
        ("root.tar", tar.clone(), true, media_type::LAYER_TAR),
        ("root.tar.gz", gzip(&tar), true, media_type::LAYER_TAR_GZIP),
        (
            "root.tar.zst",
            zstd::encode_all(&tar[..], 3).expect("memory"),
            false,
            media_type::LAYER_TAR_GZIP,
        ),
        (
            "root.tar.xz",
            liblzma::encode_all(&tar[..], 1).expect("memory"),
            false,
            media_type::LAYER_TAR_GZIP,
        ),
    ] {
        std::fs::write(folder.path().join(name), &file).expect("writable");
        let source = BaseSource::parse(&format!("rootfs:{name}")).expect("a source");
        let locked = resolve(&source, BaseArchitecture::Amd64, &context)
            .await
            .expect("a tar");
        let LockedBase::Rootfs(pinned) = &locked else {
            panic!("a tar")
        };
        assert_eq!(
            (pinned.file.as_str(), pinned.digest),
            (name, Digest::of(&file))
        );
        // The second time it is remembered.
        for _ in 0..2 {
            let base = materialise(&locked, &context).await.expect("a base");
            let [layer] = base.layers.as_slice() else {
                panic!("one layer")
            };
            assert_eq!(
                (layer.diff_id, layer.descriptor.media_type.as_str()),
                (Digest::of(&tar), kind)
            );
            assert_eq!(bytes(layer) == file, own, "{name}");
            let config = base.config.expect("one of ours");
            assert_eq!(config.config.cmd, Some(vec!["bash".to_owned()]));
        }
    }
}

#[tokio::test]
async fn a_root_file_system_that_changed_or_leaves_the_root_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let context = context(folder.path());
    let path = folder.path().join("root.tar");
    let source = BaseSource::Rootfs("root.tar".into());
    std::fs::write(&path, root_tar()).expect("writable");
    let locked = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect("a tar");
    let mut other = root_tar();
    // Within the content of a member: the tar itself is as good as before.
    let at = other
        .windows(4)
        .position(|window| window == b"bash")
        .expect("its name");
    let at = at
        + other[at + 4..]
            .windows(4)
            .position(|window| window == b"bash")
            .expect("its content")
        + 4;
    other[at] = b'B';
    std::fs::write(&path, other).expect("writable");
    assert!(
        materialise(&locked, &context)
            .await
            .expect_err("changed")
            .is_verification()
    );

    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let name = b"../../etc/passwd";
    header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name);
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, &[][..]).expect("memory");
    std::fs::write(&path, builder.into_inner().expect("memory")).expect("writable");
    let locked = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect("hashed only");
    let error = materialise(&locked, &context)
        .await
        .expect_err("leaves the root");
    assert!(one_line(&error).contains(".."), "{}", one_line(&error));

    let mut tar = TarWriter::new(Vec::new());
    let device = |path: &str| Entry {
        kind: EntryKind::CharacterDevice(1, 3),
        ..Entry::file(path, 0o666, 0, 0)
    };
    tar.append_bytes(&device("dev/null"), b"").expect("memory");
    std::fs::write(&path, tar.finish().expect("memory")).expect("writable");
    let locked = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect("hashed only");
    let base = materialise(&locked, &context)
        .await
        .expect("only a warning");
    assert!(
        base.warnings[0].contains("1 device nodes"),
        "{:?}",
        base.warnings
    );
    let mut tar = TarWriter::new(Vec::new());
    tar.append_bytes(&device("etc/null"), b"").expect("memory");
    std::fs::write(&path, tar.finish().expect("memory")).expect("writable");
    let locked = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect("hashed only");
    let error = materialise(&locked, &context).await.expect_err("a device");
    assert!(
        one_line(&error).contains("etc/null"),
        "{}",
        one_line(&error)
    );
}

/// Writes a layout with one image for `architecture` behind an index, and gives the manifest's digest.
fn write_layout(root: &Path, architecture: &str) -> Digest {
    let put = |bytes: &[u8], kind: &str| {
        let descriptor = Descriptor::of(kind, bytes);
        let path = root.join(layout::blob_path(&descriptor.digest));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, bytes).expect("writable");
        descriptor
    };
    let tar = root_tar();
    let layer = put(&gzip(&tar), media_type::LAYER_TAR_GZIP);
    let platform = oci_format::Platform {
        architecture: architecture.into(),
        os: "linux".into(),
        variant: None,
    };
    let mut config = ImageConfig::new(&platform);
    config.config.env.push("A=1".into());
    config.rootfs.diff_ids.push(Digest::of(&tar));
    let config = put(&config.to_json(), media_type::IMAGE_CONFIG);
    let mut manifest = put(
        &ImageManifest::new(config, vec![layer]).to_json(),
        media_type::IMAGE_MANIFEST,
    );
    let digest = manifest.digest;
    manifest.platform = Some(platform);
    let index = put(
        &ImageIndex::new(vec![manifest]).to_json(),
        media_type::IMAGE_INDEX,
    );
    let text = layout::set_reference(None, Some("v1"), &index).expect("an index");
    std::fs::write(root.join(layout::INDEX_FILE), text).expect("writable");
    std::fs::write(root.join(layout::LAYOUT_FILE), layout::LAYOUT_CONTENT).expect("writable");
    digest
}

#[tokio::test]
async fn an_image_of_a_layout_is_pinned_by_its_manifest_and_used_where_it_lies() {
    let folder = tempfile::tempdir().expect("a directory");
    let context = context(folder.path());
    let digest = write_layout(&folder.path().join("images"), "arm64");
    let source = BaseSource::parse("oci:images:v1").expect("a source");
    let locked = resolve(&source, BaseArchitecture::Arm64, &context)
        .await
        .expect("an image");
    let LockedBase::Layout(pinned) = &locked else {
        panic!("a layout")
    };
    assert_eq!(
        (pinned.reference.as_str(), pinned.manifest),
        ("images:v1", digest)
    );
    let base = materialise(&locked, &context).await.expect("a base");
    assert_eq!(bytes(&base.layers[0]), gzip(&root_tar()));
    assert_eq!(base.config.as_ref().expect("its own").config.env, ["A=1"]);
    let records = library_records(&base, &context).await.expect("a layer");
    assert_eq!(records[0].files, ["usr/lib/libx.so.1"]);

    let error = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect_err("only arm64");
    assert!(
        error
            .to_string()
            .contains("is for linux/arm64, not for amd64"),
        "{error}"
    );
    let missing = BaseSource::parse("oci:images:v2").expect("a source");
    let error = resolve(&missing, BaseArchitecture::Arm64, &context)
        .await
        .expect_err("no v2");
    assert!(
        error.to_string().contains("no base image `oci:images:v2`"),
        "{error}"
    );

    let manifest = folder
        .path()
        .join("images")
        .join(layout::blob_path(&digest));
    std::fs::write(manifest, b"{}").expect("writable");
    assert!(
        materialise(&locked, &context)
            .await
            .expect_err("damaged")
            .is_verification()
    );
}

#[tokio::test]
async fn scratch_is_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let context = context(folder.path());
    let locked = resolve(&BaseSource::Scratch, BaseArchitecture::Amd64, &context)
        .await
        .expect("nothing");
    let base = materialise(&locked, &context).await.expect("nothing");
    assert!(base.layers.is_empty() && base.config.is_none());
}

/// A registry of one's own, stopped when dropped.
struct Registry(std::process::Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_registry_is_pinned_and_its_layers_stay_there() {
    let skipped = |reason: &str| {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    };
    let folder = tempfile::tempdir().expect("a directory");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("a port")
        .port();
    let configuration = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
         http:\n  addr: 127.0.0.1:{port}\n",
        folder.path().join("registry").display()
    );
    std::fs::write(folder.path().join("config.yml"), configuration).expect("writable");
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(folder.path().join("config.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        return skipped("docker-registry is not installed");
    };
    let _registry = Registry(child);
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let images = folder.path().join("images");
    let digest = write_layout(&images, "amd64");
    let name = format!("127.0.0.1:{port}/base/image:v1");
    let copied = Command::new("skopeo")
        .args(["copy", "--quiet", "--all", "--dest-tls-verify=false"])
        .arg(format!("oci:{}:v1", images.display()))
        .arg(format!("docker://{name}"))
        .output();
    let Ok(copied) = copied else {
        return skipped("skopeo is not installed");
    };
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );

    let mut context = context(folder.path());
    let source = BaseSource::parse(&format!("docker://{name}")).expect("a source");
    let locked = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect("an image");
    let LockedBase::Registry(pinned) = &locked else {
        panic!("a registry")
    };
    assert_eq!(
        (pinned.reference.as_str(), pinned.manifest),
        (name.as_str(), digest)
    );
    let base = materialise(&locked, &context).await.expect("a base");
    let layer = &base.layers[0];
    assert!(
        matches!(layer.content, LayerContent::Remote(_)),
        "not fetched yet"
    );
    assert_eq!(
        (layer.origins.len(), layer.origins[0].repository.as_str()),
        (1, "base/image")
    );
    assert_eq!(
        library_records(&base, &context).await.expect("fetched")[0].files,
        ["usr/lib/libx.so.1"]
    );

    // All that was needed is in the cache now.
    context.offline = true;
    let base = materialise(&locked, &context).await.expect("offline");
    assert_eq!(bytes(&base.layers[0]), gzip(&root_tar()));
    let error = resolve(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect_err("asks the registry");
    assert!(error.to_string().contains("offline"), "{error}");
}

#[tokio::test]
async fn the_c_library_of_a_base_is_looked_for_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let context = context(folder.path());
    let mut tar = TarWriter::new(Vec::new());
    let linker = Entry::file("lib/ld-musl-x86_64.so.1", 0o755, 0, 3);
    tar.append_bytes(&linker, b"elf").expect("memory");
    let path = folder.path().join("root.tar");
    std::fs::write(&path, tar.finish().expect("memory")).expect("writable");
    let source = BaseSource::Rootfs("root.tar".into());
    let locked = resolve_once(&source, BaseArchitecture::Amd64, &context)
        .await
        .expect("a tar");
    let found = libc(&locked, &context).await.expect("a base");
    assert_eq!(found.map(|it| it.name).as_deref(), Some("musl"));
    std::fs::remove_file(&path).expect("it is there");
    let again = libc(&locked, &context).await.expect("remembered");
    assert_eq!(again.map(|it| it.name).as_deref(), Some("musl"));
    // What was decided is not decided again, though the file is gone.
    let again = resolve_once(&source, BaseArchitecture::Amd64, &context).await;
    assert_eq!(again.expect("remembered"), locked);
    let nothing = libc(&LockedBase::Scratch, &context).await.expect("nothing");
    assert_eq!(nothing, None);
}
