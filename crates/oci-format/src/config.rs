//! Image configs: platform, how to start the program, history, and the diffIDs of the layers.
//!
//! The digest of the config blob is the image ID.
//!
//! Source: OCI image specification, `config.md`; Docker image specification 1.2 for what Docker adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::{self, JsonError, MAX_CONFIG_BYTES};
use crate::{Digest, Platform};

/// An image config.
///
/// Fields that this type does not name (`os.version`, Docker's `container_config`, …) are kept in
/// `other` and written back, so that a base image loses nothing when layers are added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// `GOARCH`: `amd64`, `arm64`, …
    pub architecture: String,
    /// `GOOS`: `linux`.
    pub os: String,
    /// CPU variant: `v8` for arm64; `v2`, `v3`, `v4` for x86-64 levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How containers are run from the image.
    #[serde(default, deserialize_with = "json::null_is_default")]
    pub config: ContainerConfig,
    /// The layers, by diffID.
    pub rootfs: RootFs,
    /// What each layer came from, lowest first.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
    /// Everything else, as it was read.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How containers are run from an image: the config's `config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `user`, `uid`, `user:group`, …; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Ports that programs listen on: `8080/tcp`.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Environment variables, `NAME=value`, in order.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(
        default,
        deserialize_with = "json::one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments that the person who runs the container may replace.
    #[serde(
        default,
        deserialize_with = "json::one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    pub cmd: Option<Vec<String>>,
    /// Directories that hold data.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the program starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Key–value text; sorted, so that equal labels are equal bytes.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end: `SIGTERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Everything else (Docker's `Healthcheck`, `Shell`, `OnBuild`, …), as it was read.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An object without members: how sets are written in image configs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The layers of an image, by diffID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: RootFsKind,
    /// Digests of the uncompressed tars, lowest first.
    #[serde(default, deserialize_with = "json::null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// How a root file system is described; the specification knows one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootFsKind {
    /// By a list of diffIDs.
    #[default]
    Layers,
}

/// Where one layer, or a change without a layer, came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// A config for `platform` with no layers.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self {
            created: None,
            author: None,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            config: ContainerConfig::default(),
            rootfs: RootFs {
                kind: RootFsKind::Layers,
                diff_ids: Vec::new(),
            },
            history: Vec::new(),
            other: Map::new(),
        }
    }

    /// Reads OCI's and Docker's image configs.
    ///
    /// # Errors
    /// When the bytes are too many or not a config.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        json::parse("the image config", bytes, MAX_CONFIG_BYTES)
    }

    /// Compact JSON; equal configs give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(self)
    }

    /// What the image runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_config_with_nulls_is_read_and_keeps_what_we_do_not_know() {
        let text = br#"{"architecture":"amd64","config":{"Hostname":"","Env":["PATH=/bin"],"Cmd":["bash"],
            "Volumes":null,"Entrypoint":null,"Labels":null,"OnBuild":null,"Healthcheck":{"Test":["NONE"]}},
            "created":"2024-01-01T00:00:00Z","docker_version":"20.10","history":[{"created_by":"x","empty_layer":true}],
            "os":"linux","os.version":"1","rootfs":{"type":"layers","diff_ids":[
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
        let config = ImageConfig::parse(text).expect("a Docker config");
        assert_eq!(config.config.cmd, Some(vec!["bash".to_owned()]));
        assert_eq!(config.config.entrypoint, None);
        assert_eq!(config.other["docker_version"], "20.10");
        assert_eq!(config.other["os.version"], "1");
        assert_eq!(config.config.other["Healthcheck"]["Test"][0], "NONE");
        assert_eq!(config.rootfs.diff_ids, [Digest::of(b"")]);
        let written = config.to_json();
        assert_eq!(
            ImageConfig::parse(&written).expect("our own").to_json(),
            written
        );
    }

    #[test]
    fn the_smallest_config_is_the_one_the_specification_asks_for() {
        let platform = Platform {
            architecture: "amd64".into(),
            os: "linux".into(),
            variant: None,
        };
        assert_eq!(
            String::from_utf8(ImageConfig::new(&platform).to_json()).expect("text"),
            r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#
        );
    }

    #[test]
    fn null_config_and_a_string_for_a_command_are_understood() {
        let text = br#"{"architecture":"arm64","os":"linux","config":null,"history":null,"rootfs":{"type":"layers","diff_ids":null}}"#;
        let config = ImageConfig::parse(text).expect("nulls");
        assert_eq!(config.config, ContainerConfig::default());
        let text = br#"{"architecture":"arm64","os":"linux","config":{"Cmd":"sh"},"rootfs":{"type":"layers"}}"#;
        let config = ImageConfig::parse(text).expect("one string");
        assert_eq!(config.config.cmd, Some(vec!["sh".to_owned()]));
    }

    #[test]
    fn an_oversized_config_is_refused_before_it_is_parsed() {
        let bytes = vec![b' '; 4 << 20 | 1];
        assert!(matches!(
            ImageConfig::parse(&bytes),
            Err(JsonError::TooLarge { .. })
        ));
    }
}
