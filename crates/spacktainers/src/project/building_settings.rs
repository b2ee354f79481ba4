//! `[farm]`, `[[source_mirror]]`, `[base.builder]` and `[base.runtime]`: what packages are built in and from, and the two
//! images that the project makes to build on.
//!
//! ```toml
//! [base.builder]
//! packages = ["build-essential", "gfortran", …]   # Debian packages in place of the usual ones
//! wheels = ["wheels/clingo-….whl"]                # Python packages that Spack needs, from files
//! bootstrap = true                                # have Spack fetch what it needs to run, while the image is made
//!
//! [base.runtime]
//! packages = ["libgfortran5", …]
//!
//! [farm]
//! builder = "base"                                # or an image: "docker://…", "oci:DIR[:REF]"
//! network = ["py-torch"]                          # packages whose builds fetch things themselves
//!
//! [[source_mirror]]                               # where sources are looked for before their own sites are asked
//! name = "sources"
//! url = "file:///srv/sources"
//! ```

use std::path::{Path, PathBuf};

use spack_format::yaml::shape::{
    KeyShape, MapShape, Others, STRINGS, Shape, TextFault, TextShape, key, required,
};
use spack_format::yaml::{Node, Span};

use crate::base::BaseSource;
use crate::diagnostic::Diagnostic;
use crate::mirror::Location;

/// The packages of a builder unless somebody says otherwise: compilers, and the programs that Spack itself calls.
const BUILDER_PACKAGES: &[&str] = &[
    "build-essential",
    "bzip2",
    "ca-certificates",
    "curl",
    "environment-modules",
    "file",
    "gfortran",
    "git",
    "gnupg",
    "openssh-client",
    "patch",
    "patchelf",
    "python3",
    "python3-boto3",
    "python3-cffi",
    "tar",
    "unzip",
    "xz-utils",
    "zstd",
];

/// The packages of a runtime image unless somebody says otherwise: the compilers' own libraries, and what looks into
/// programs that crash.
const RUNTIME_PACKAGES: &[&str] = &[
    "binutils",
    "ca-certificates",
    "gdb",
    "libatomic1",
    "libgfortran5",
    "libgomp1",
    "libstdc++6",
];

/// What the settings say of building.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildingSettings {
    /// `[base.builder]`.
    pub builder: OwnBaseSettings,
    /// `[base.runtime]`.
    pub runtime: OwnBaseSettings,
    /// `[farm] builder`: the image that packages are built in; none: the project's own.
    pub room: Option<BaseSource>,
    /// `[farm] network`: names of packages whose builds may use the network.
    pub network: Vec<String>,
    /// `[[source_mirror]]`, in the order in which they are asked.
    pub source_mirrors: Vec<SourceMirror>,
}

/// One of the two images that the project makes to build on.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnBaseSettings {
    /// Debian packages that are asked for, `name` or `name=version`.
    pub packages: Vec<String>,
    /// Python packages that Spack needs to run, as files, and where each was written.
    pub wheels: Vec<(PathBuf, Span)>,
    /// Whether Spack fetches what it needs to run while the image is made.
    pub bootstrap: bool,
}

/// A mirror of sources, as `spack mirror create` fills one.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceMirror {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub location: Location,
}

impl Default for BuildingSettings {
    fn default() -> Self {
        Self {
            builder: OwnBaseSettings::with(BUILDER_PACKAGES),
            runtime: OwnBaseSettings::with(RUNTIME_PACKAGES),
            room: None,
            network: Vec::new(),
            source_mirrors: Vec::new(),
        }
    }
}

impl OwnBaseSettings {
    fn with(packages: &[&str]) -> Self {
        Self {
            packages: packages.iter().map(|it| (*it).to_owned()).collect(),
            wheels: Vec::new(),
            bootstrap: false,
        }
    }
}

impl BuildingSettings {
    /// Reads the sections; what cannot be used is left out and among the faults.
    pub(super) fn read(root: &Node, folder: &Path, faults: &mut Vec<Diagnostic>) -> Self {
        let defaults = Self::default();
        let room = root.at(&["farm", "builder"]).and_then(Node::as_str);
        Self {
            builder: own_base(root, "builder", folder, defaults.builder),
            runtime: own_base(root, "runtime", folder, defaults.runtime),
            room: room
                .filter(|text| *text != OWN)
                .and_then(|text| BaseSource::parse(text).ok()),
            network: root.at(&["farm", "network"]).map(texts).unwrap_or_default(),
            source_mirrors: source_mirrors(root, folder, faults),
        }
    }
}

fn texts(node: &Node) -> Vec<String> {
    let items = node.as_sequence().unwrap_or_default().iter();
    items.filter_map(Node::as_str).map(str::to_owned).collect()
}

fn own_base(root: &Node, name: &str, folder: &Path, default: OwnBaseSettings) -> OwnBaseSettings {
    let Some(node) = root.at(&["base", name]) else {
        return default;
    };
    let wheels = node.get("wheels").and_then(Node::as_sequence);
    OwnBaseSettings {
        packages: node.get("packages").map_or(default.packages, texts),
        wheels: wheels
            .unwrap_or_default()
            .iter()
            .filter_map(|file| Some((folder.join(file.as_str()?), file.span)))
            .collect(),
        bootstrap: node
            .get("bootstrap")
            .and_then(Node::as_bool)
            .unwrap_or(default.bootstrap),
    }
}

fn source_mirrors(root: &Node, folder: &Path, faults: &mut Vec<Diagnostic>) -> Vec<SourceMirror> {
    let mut mirrors: Vec<SourceMirror> = Vec::new();
    let nodes = root.get("source_mirror").and_then(Node::as_sequence);
    for node in nodes.unwrap_or_default() {
        let (Some(name), Some(url)) = (node.get("name"), node.get("url")) else {
            continue;
        };
        let (Some(text), Some(url_text)) = (name.as_str(), url.as_str()) else {
            continue;
        };
        if mirrors.iter().any(|it| it.name == text) {
            let message = format!("there are two mirrors of sources called `{text}`");
            faults.push(Diagnostic::error(name.span, message).label("second one"));
            continue;
        }
        let endpoint = node.get("endpoint").and_then(Node::as_str);
        match Location::parse(url_text, endpoint, folder) {
            Ok(location @ Location::Registry(_)) => {
                let message = format!("`{location}` is a registry, which holds no sources");
                faults.push(
                    Diagnostic::error(url.span, message)
                        .label("cannot be used")
                        .hint("name a folder, a web address or a bucket"),
                );
            }
            Ok(location) => mirrors.push(SourceMirror {
                name: text.to_owned(),
                location,
            }),
            Err(error) => {
                faults.push(Diagnostic::error(url.span, error.to_string()).label("cannot be used"));
            }
        }
    }
    mirrors
}

/// What `[farm] builder` says where the project's own builder is meant.
const OWN: &str = "base";

const fn closed(name: &'static str, keys: &'static [KeyShape]) -> MapShape {
    MapShape {
        name,
        keys,
        others: Others::Refused,
    }
}

pub(super) static BUILDER: MapShape = closed(
    "`[base.builder]`",
    &[
        key("packages", STRINGS),
        key("wheels", STRINGS),
        key("bootstrap", Shape::Boolean),
    ],
);

pub(super) static RUNTIME: MapShape = closed("`[base.runtime]`", &[key("packages", STRINGS)]);

pub(super) static SOURCE_MIRROR: MapShape = closed(
    "`[[source_mirror]]`",
    &[
        required("name", Shape::String),
        required("url", Shape::String),
        key("endpoint", Shape::String),
    ],
);

pub(super) static ROOM: TextShape = TextShape {
    noun: "an image to build in",
    check: |text| {
        match BaseSource::parse(text) {
        _ if text == OWN => Ok(()),
        Ok(BaseSource::Registry(_) | BaseSource::Layout { .. }) => Ok(()),
        _ => Err(TextFault {
            range: 0..text.len(),
            message: format!("`{text}` names no image to build in"),
            label: "no image".to_owned(),
            hint: Some(
                "write `base` for the one of [base.builder], or `docker://HOST/REPO:TAG` or `oci:DIR[:REF]`"
                    .to_owned(),
            ),
        }),
    }
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Settings;
    use spack_format::yaml::SourceId;

    fn parse(text: &str) -> (BuildingSettings, Vec<String>) {
        let (settings, faults) = Settings::parse(text, SourceId(0), Path::new("/project"));
        let faults = faults.into_iter().map(|fault| fault.message).collect();
        (settings.building, faults)
    }

    #[test]
    fn what_is_built_in_and_from_is_read() {
        let (building, faults) = parse(
            r#"
            [base.builder]
            packages = ["gcc"]
            wheels = ["wheels/clingo.whl"]
            bootstrap = true
            [farm]
            builder = "oci:builder:v1"
            network = ["py-torch"]
            [[source_mirror]]
            name = "here"
            url = "sources"
            "#,
        );
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(building.builder.packages, ["gcc"]);
        assert_eq!(
            building.builder.wheels[0].0,
            Path::new("/project/wheels/clingo.whl")
        );
        assert!(building.builder.bootstrap);
        assert_eq!(
            building.runtime,
            OwnBaseSettings::with(RUNTIME_PACKAGES),
            "what nobody speaks of stays"
        );
        assert!(matches!(building.room, Some(BaseSource::Layout { .. })));
        assert_eq!(building.network, ["py-torch"]);
        assert_eq!(
            building.source_mirrors[0].location,
            Location::Folder("/project/sources".into())
        );
    }

    #[test]
    fn the_projects_own_builder_needs_no_mention() {
        assert_eq!(parse("").0, BuildingSettings::default());
        assert_eq!(parse("[farm]\nbuilder = \"base\"\n").0.room, None);
    }

    #[test]
    fn what_nothing_can_be_built_in_or_from_is_a_fault() {
        for (text, words) in [
            ("[farm]\nbuilder = \"scratch\"\n", "names no image"),
            (
                "[[source_mirror]]\nname = \"a\"\nurl = \"oci://host/name\"\n",
                "holds no sources",
            ),
            (
                "[[source_mirror]]\nname = \"a\"\nurl = \"x\"\n[[source_mirror]]\nname = \"a\"\nurl = \"y\"\n",
                "two mirrors of sources",
            ),
        ] {
            let (_, faults) = parse(text);
            assert!(
                faults.len() == 1 && faults[0].contains(words),
                "{text:?} gives {faults:?}"
            );
        }
    }
}
