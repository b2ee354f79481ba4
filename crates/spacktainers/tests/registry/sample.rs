//! Small images, and contexts to publish them in.

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;
use oci_format::{Descriptor, Digest, ImageConfig, ImageManifest, Platform, media_type};
use spacktainers::bucket::BucketAccess;
use spacktainers::content::Content;
use spacktainers::event::Silent;
use spacktainers::image::{Image, LayerContent, RecordedLayer};
use spacktainers::local_cache::LocalCache;
use spacktainers::mirror::Network;
use spacktainers::publish::PublishContext;
use spacktainers::registry::{RegistryClient, RegistrySettings, RetryPolicy};

/// An image with one layer for each of `sizes`: a file of so many bytes that do not compress.
pub(crate) fn image(directory: &Path, seed: u64, sizes: &[usize]) -> Image {
    let layers: Vec<RecordedLayer> = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| layer(directory, seed + 1000 * index as u64, index, *size))
        .collect();
    of_layers(layers, seed)
}

/// An image of these layers; `seed` goes into a label.
pub(crate) fn of_layers(layers: Vec<RecordedLayer>, seed: u64) -> Image {
    for_platform(layers, seed, &platform("amd64", None))
}

/// What runs Linux on this.
pub(crate) fn platform(architecture: &str, variant: Option<&str>) -> Platform {
    Platform {
        architecture: architecture.into(),
        os: "linux".into(),
        variant: variant.map(Into::into),
    }
}

/// The same for another platform.
pub(crate) fn for_platform(layers: Vec<RecordedLayer>, seed: u64, platform: &Platform) -> Image {
    let mut config = ImageConfig::new(platform);
    config.config.env = vec!["PATH=/usr/bin".into()];
    config.config.cmd = Some(vec!["/bin/true".into()]);
    config.config.labels.insert("seed".into(), seed.to_string());
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    let config = config.to_json();
    let config_descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    let descriptors = layers
        .iter()
        .map(|layer| layer.descriptor.clone())
        .collect();
    let manifest = ImageManifest::new(config_descriptor.clone(), descriptors).to_json();
    Image {
        config,
        config_descriptor,
        manifest_descriptor: Descriptor::of(media_type::IMAGE_MANIFEST, &manifest),
        manifest,
        layers,
    }
}

fn layer(directory: &Path, seed: u64, index: usize, size: usize) -> RecordedLayer {
    let mut tar = TarWriter::new(Vec::new());
    let folder = Entry::directory("data", 0o755, 0);
    tar.append_bytes(&folder, b"").expect("memory");
    let file = Entry::file(format!("data/file-{index}"), 0o644, 0, size as u64);
    tar.append_bytes(&file, &noise(seed, size)).expect("memory");
    let tar = tar.finish().expect("memory");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).expect("memory");
    let blob = gzip.finish().expect("memory");
    let descriptor = Descriptor::of(media_type::LAYER_TAR_GZIP, &blob);
    let path = directory.join(descriptor.digest.hex());
    fs::write(&path, &blob).expect("writes");
    RecordedLayer {
        diff_id: Digest::of(&tar),
        content: LayerContent::Here(Content::File {
            path,
            offset: 0,
            len: descriptor.size,
        }),
        descriptor,
        origins: Vec::new(),
        title: format!("layer {index}"),
    }
}

/// Bytes that look random and are the same every time.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(step).collect()
}

/// Settings that lose no time.
pub(crate) fn settings() -> RegistrySettings {
    RegistrySettings {
        retry: RetryPolicy {
            tries: 4,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(20),
            longest_asked: Duration::from_secs(3),
        },
        stall: Duration::from_secs(5),
        ..RegistrySettings::default()
    }
}

/// A context whose cache lies below `directory`.
pub(crate) fn context(directory: &Path, settings: RegistrySettings) -> PublishContext {
    PublishContext {
        buckets: BucketAccess {
            network: Network::new(Duration::from_secs(10)),
            environment: Arc::default(),
            is_offline: true,
        },
        platform: None,
        is_one_of_several: false,
        is_forced: false,
        registry: RegistryClient::new(settings),
        cache: LocalCache::open(directory.join("cache")).expect("a cache"),
        jobs: NonZeroUsize::new(3).expect("not zero"),
        reporter: Arc::new(Silent),
        ahead: spacktainers::publish::Ahead::default(),
        squashfs: spacktainers::sif::SquashfsOptions::new(std::num::NonZeroUsize::MIN),
    }
}

/// An error and all that is behind it, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
