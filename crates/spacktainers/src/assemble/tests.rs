//! An image is a function of its parts.

use oci_format::Digest;

use super::*;
use crate::content::Content;
use crate::image::LayerContent;

fn layer(title: &str, media_type: &str) -> RecordedLayer {
    RecordedLayer {
        descriptor: Descriptor::of(media_type, title.as_bytes()),
        diff_id: Digest::of(title.as_bytes()),
        content: LayerContent::Here(Content::Memory(title.as_bytes().into())),
        origins: Vec::new(),
        title: title.to_owned(),
    }
}

fn parts<'a>(base: &'a ImageConfig, environment: &'a IndexMap<String, String>) -> Parts<'a> {
    Parts {
        platform: Platform {
            architecture: "amd64".into(),
            os: "linux".into(),
            variant: None,
        },
        base: Some(base),
        base_layers: vec![layer("base", media_type::DOCKER_LAYER_GZIP)],
        layers: vec![
            layer("zlib", media_type::LAYER_TAR_GZIP),
            layer("site", media_type::LAYER_TAR_GZIP),
        ],
        environment,
        labels: IndexMap::from([
            (annotation::TITLE.to_owned(), "small".to_owned()),
            ("maintainer".to_owned(), "somebody".to_owned()),
        ]),
        created: SourceDateEpoch(0),
    }
}

fn base() -> ImageConfig {
    let mut base = ImageConfig::new(&Platform {
        architecture: "amd64".into(),
        os: "linux".into(),
        variant: None,
    });
    base.config.env = vec!["PATH=/usr/bin".into(), "LANG=C.UTF-8".into()];
    base.config.cmd = Some(vec!["bash".into()]);
    base.history = vec![
        History {
            created_by: Some("ADD rootfs".into()),
            ..History::default()
        },
        History {
            created_by: Some("CMD bash".into()),
            empty_layer: true,
            ..History::default()
        },
    ];
    base
}

#[test]
fn the_environment_wins_over_the_base_and_keeps_its_order() {
    let environment = IndexMap::from([
        ("CMAKE_PREFIX_PATH".to_owned(), "/opt/view".to_owned()),
        ("PATH".to_owned(), "/opt/view/bin:/usr/bin".to_owned()),
    ]);
    let image = assemble(parts(&base(), &environment));
    let config = ImageConfig::parse(&image.config).expect("our own config");
    assert_eq!(
        config.config.env,
        [
            "PATH=/opt/view/bin:/usr/bin",
            "LANG=C.UTF-8",
            "CMAKE_PREFIX_PATH=/opt/view"
        ]
    );
    assert_eq!(config.config.cmd, Some(vec!["bash".to_owned()]));
}

#[test]
fn every_layer_has_one_diff_id_one_descriptor_and_one_step_of_history() {
    let image = assemble(parts(&base(), &IndexMap::new()));
    let config = ImageConfig::parse(&image.config).expect("our own config");
    let manifest = ImageManifest::parse(&image.manifest).expect("our own manifest");
    assert_eq!(config.rootfs.diff_ids.len(), 3);
    assert_eq!(manifest.layers.len(), 3);
    assert_eq!(
        config
            .history
            .iter()
            .filter(|step| !step.empty_layer)
            .count(),
        3
    );
    assert!(
        manifest
            .layers
            .iter()
            .all(|layer| layer.media_type == media_type::LAYER_TAR_GZIP)
    );
    assert_eq!(
        image.manifest_descriptor.digest,
        Digest::of(&image.manifest)
    );
}

#[test]
fn a_base_whose_history_does_not_fit_its_layers_gets_a_new_one() {
    let mut base = base();
    base.history.pop();
    base.history.push(History {
        created_by: Some("a layer that is not there".into()),
        ..History::default()
    });
    let image = assemble(parts(&base, &IndexMap::new()));
    let config = ImageConfig::parse(&image.config).expect("our own config");
    let steps: Vec<_> = config
        .history
        .iter()
        .filter_map(|step| step.created_by.as_deref())
        .collect();
    assert_eq!(steps, ["base", "zlib", "site"]);
}

#[test]
fn only_labels_of_known_families_become_annotations() {
    let image = assemble(parts(&base(), &IndexMap::new()));
    let manifest = ImageManifest::parse(&image.manifest).expect("our own manifest");
    assert_eq!(
        manifest
            .annotations
            .get(annotation::TITLE)
            .map(String::as_str),
        Some("small")
    );
    assert!(!manifest.annotations.contains_key("maintainer"));
}
