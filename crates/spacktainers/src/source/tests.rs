//! Images in archives that other programs wrote.

use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::event::Silent;
use crate::local_cache::LocalCache;

#[test]
fn sources_are_read_as_skopeo_reads_them() {
    for text in [
        "docker://ghcr.io/a/b:c",
        "oci:dir",
        "oci:dir:v1",
        "oci-archive:a.tar:v1",
        "docker-archive:a.tar:a/b:c",
    ] {
        assert_eq!(
            ImageSource::parse(text).map(|it| it.to_string()).as_deref(),
            Ok(text)
        );
    }
    for text in ["debian", "docker:x", "docker://", "oci:", "sif:x", ""] {
        assert!(ImageSource::parse(text).is_err(), "{text}");
    }
}

fn context(folder: &Path) -> BaseContext {
    let cache = LocalCache::open(folder.join("cache")).expect("a cache");
    let jobs = std::num::NonZeroUsize::MIN;
    let mut context = BaseContext::new(cache, Arc::new(Silent), jobs, std::time::SystemTime::now());
    context.folder = folder.to_owned();
    context
}

/// A layout with one image of two layers, made by umoci.
fn layout(folder: &Path) -> Option<()> {
    let run = |args: &[&str]| {
        let output = Command::new("umoci")
            .args(args)
            .current_dir(folder)
            .output();
        output.ok().filter(|it| it.status.success())
    };
    run(&["init", "--layout", "layout"])?;
    run(&["new", "--image", "layout:v1"])?;
    for name in ["one", "two"] {
        std::fs::write(folder.join(name), name).expect("writes");
        let tar = format!("{name}.tar");
        let done = Command::new("tar")
            .args(["cf", &tar, name])
            .current_dir(folder)
            .status();
        assert!(done.is_ok_and(|it| it.success()));
        run(&["raw", "add-layer", "--image", "layout:v1", &tar])?;
    }
    run(&["config", "--image", "layout:v1", "--config.env", "A=b"]).map(|_| ())
}

#[tokio::test]
async fn archives_of_skopeo_hold_the_same_image_as_the_layout() {
    let folder = tempfile::tempdir().expect("a folder");
    let skopeo = |to: &str| {
        let copied = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "oci:layout:v1", to])
            .current_dir(folder.path())
            .status();
        copied.is_ok_and(|it| it.success())
    };
    if layout(folder.path()).is_none()
        || !skopeo("oci-archive:oci.tar:v1")
        || !skopeo("docker-archive:docker.tar:team/thing:v1")
    {
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: there is no umoci or no skopeo here"
        );
        return;
    }
    let context = context(folder.path());
    let load = async |text: &str| {
        let source = ImageSource::parse(text).expect("a source");
        load(&source, BaseArchitecture::Amd64, &context).await
    };
    let expected = load("oci:layout:v1").await.expect("loads");
    assert_eq!(expected.layers.len(), 2);
    assert_eq!(
        expected.config.config.env.last().map(String::as_str),
        Some("A=b")
    );
    let ids = |image: &LoadedImage| image.layers.iter().map(|it| it.diff_id).collect::<Vec<_>>();
    for text in [
        "oci-archive:oci.tar",
        "oci-archive:oci.tar:v1",
        "docker-archive:docker.tar",
        "docker-archive:docker.tar:team/thing:v1",
    ] {
        let image = load(text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(ids(&image), ids(&expected), "{text}");
        for layer in &image.layers {
            let mut tar = oci_format::layer::compression::Decoder::new(
                layer.content.open(0).expect("opens"),
                1 << 20,
            )
            .expect("a layer");
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut tar, &mut bytes).expect("reads");
            assert_eq!(Digest::of(&bytes), layer.diff_id, "{text}");
        }
    }
    for text in [
        "oci-archive:oci.tar:v2",
        "docker-archive:docker.tar:other/thing:v1",
    ] {
        let error = load(text).await.expect_err("no such image");
        assert!(
            base::one_line(&error).contains("v1"),
            "{error:?} should say what there is"
        );
    }
    assert!(load("oci-archive:one:v1").await.is_err(), "not a tar");
}
