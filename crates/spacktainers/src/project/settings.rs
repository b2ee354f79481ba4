//! `spacktainers.toml`, with every default applied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use spack_format::prefix::pad_root;
use spack_format::yaml::shape::{self, Shape};
use spack_format::yaml::{Node, SourceId, Span};

use super::building_settings::BuildingSettings;
use super::ci_settings::CiSettings;
use super::ecr_settings::EcrSettings;
use super::farm_settings::FarmSettings;
use super::publish_settings::{self, PublishSettings};
use super::settings_shape::SETTINGS;
use super::slim_settings;
use super::spack_settings::SpackSettings;
use super::toml_tree;
use super::trust_settings::TrustSettings;
use crate::base::debian::{DebianSettings, DebianVariant, ValidUntil};
use crate::base::{BaseArchitecture, BaseSource};
use crate::build::{InstallRoot, Limits};
use crate::cpu::{CpuPolicy, CpuSettings};
use crate::diagnostic::Diagnostic;
use crate::layer::Compress;
use crate::layer::slim::SlimRules;
use crate::mirror::Location;

/// The file's name, in the project's folder.
pub const SETTINGS_FILE: &str = "spacktainers.toml";

/// Where views lie unless somebody says otherwise.
pub const DEFAULT_VIEW: &str = "/opt/view";

/// The most package layers of an image unless somebody says otherwise: the kernel's overlay and Docker stop at 127 or
/// 128, and users put layers of their own on top.
pub const DEFAULT_BUDGET: usize = 100;

/// The project's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The folder of the definitions, relative to the project's.
    pub definitions: PathBuf,
    /// Where packages are looked for, in order.
    pub mirrors: Vec<MirrorSettings>,
    /// Where packages lie in images; none: where they were built to lie.
    pub install: Option<InstallRoot>,
    /// Where views lie of definitions that do not say.
    pub view: String,
    /// The most layers.
    pub budget: usize,
    /// `[layers] compression`: of package layers; none: as they are in the build cache.
    pub compression: Option<Compress>,
    /// `[slim]`: what of packages images have.
    pub slim: SlimRules,
    /// `[limits]`: how large images may be.
    pub limits: Limits,
    /// `[image] tree_digest`: whether images say what tree they hold, as SIF files do.
    pub tree_digest: bool,
    /// Per architecture.
    pub architectures: BTreeMap<BaseArchitecture, ArchitectureSettings>,
    /// `[base.debian]`.
    pub debian: Option<DebianSettings>,
    /// Registries that are spoken to without TLS.
    pub insecure: BTreeSet<String>,
    /// `[sif] keys`: files with OpenPGP public keys whose signatures of SIF files count, and where each was written.
    pub sif_keys: Vec<(PathBuf, Span)>,
    /// `[publish.…]`, by environment.
    pub publish: BTreeMap<String, PublishSettings>,
    /// `[ecr]`.
    pub ecr: EcrSettings,
    /// `[trust]`, `[secrets]`.
    pub trust: TrustSettings,
    /// `[spack]`.
    pub spack: SpackSettings,
    /// `[farm]`, `[[source_mirror]]`, `[base.builder]`, `[base.runtime]`.
    pub building: BuildingSettings,
    /// `[farm]`.
    pub farm: FarmSettings,
    /// `[ci]`.
    pub ci: CiSettings,
}

/// One `[[mirror]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorSettings {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// Whether entries must be signed by one of [`MirrorSettings::keys`].
    pub signed: bool,
    /// Files with OpenPGP public keys, relative to the project's folder, and where each was written.
    pub keys: Vec<(PathBuf, Span)>,
    /// Whether what we build goes there.
    pub push: bool,
    /// Whether it is for ourselves only: packages whose recipes forbid to give their binaries to others may go there.
    pub private: bool,
    /// Where it was written.
    pub place: Span,
}

/// One `[arch.<arch>]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchitectureSettings {
    /// The base image.
    pub base: BaseSource,
    /// The processor target that every package must be built for.
    pub target: Option<String>,
    /// What is done about instructions above the target.
    pub cpu: CpuSettings,
    /// Where the base was written, if it was.
    pub base_place: Option<Span>,
}

impl Default for ArchitectureSettings {
    fn default() -> Self {
        Self {
            base: BaseSource::Scratch,
            target: None,
            cpu: CpuSettings::default(),
            base_place: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            definitions: "container_definitions".into(),
            mirrors: Vec::new(),
            install: None,
            view: DEFAULT_VIEW.to_owned(),
            budget: DEFAULT_BUDGET,
            compression: None,
            slim: SlimRules::default(),
            limits: Limits::default(),
            tree_digest: false,
            architectures: BTreeMap::new(),
            debian: None,
            insecure: BTreeSet::new(),
            sif_keys: Vec::new(),
            publish: BTreeMap::new(),
            ecr: EcrSettings::default(),
            trust: TrustSettings::default(),
            spack: SpackSettings::default(),
            building: BuildingSettings::default(),
            farm: FarmSettings::default(),
            ci: CiSettings::default(),
        }
    }
}

impl Settings {
    /// What holds for an architecture.
    #[must_use]
    pub fn architecture(&self, architecture: BaseArchitecture) -> ArchitectureSettings {
        self.architectures
            .get(&architecture)
            .cloned()
            .unwrap_or_default()
    }

    /// What holds for a variant of an architecture: its own target is required, and all else is as for the architecture.
    #[must_use]
    pub fn platform(
        &self,
        architecture: BaseArchitecture,
        variant: Option<&str>,
    ) -> ArchitectureSettings {
        let settings = self.architecture(architecture);
        match variant.and_then(|variant| variant_target(architecture, variant)) {
            Some(target) => ArchitectureSettings {
                target: Some(target),
                ..settings
            },
            None => settings,
        }
    }

    /// Reads the text; what cannot be used has its default, and is among the faults.
    #[must_use]
    pub fn parse(text: &str, source: SourceId, folder: &Path) -> (Self, Vec<Diagnostic>) {
        let root = match toml_tree::parse(text, source) {
            Ok(root) => root,
            Err(fault) => return (Self::default(), vec![fault]),
        };
        let mut faults: Vec<Diagnostic> = shape::check(&root, &Shape::Map(&SETTINGS), true)
            .into_iter()
            .map(Diagnostic::from)
            .collect();
        let settings = Self {
            mirrors: mirrors(&root, folder, &mut faults),
            tree_digest: root
                .at(&["image", "tree_digest"])
                .and_then(Node::as_bool)
                .unwrap_or(false),
            install: install(&root, &mut faults),
            compression: slim_settings::compression(&root, &mut faults),
            slim: slim_settings::slim(&root),
            limits: slim_settings::limits(&root),
            debian: root.at(&["base", "debian"]).and_then(debian),
            publish: publish_settings::read(&root),
            ecr: EcrSettings::read(&root),
            trust: TrustSettings::read(&root, folder),
            sif_keys: root
                .at(&["sif", "keys"])
                .map(|node| files(node, folder))
                .unwrap_or_default(),
            architectures: architectures(&root, &mut faults),
            spack: SpackSettings::read(&root, folder, &mut faults),
            building: BuildingSettings::read(&root, folder, &mut faults),
            farm: FarmSettings::read(&root, folder),
            ci: CiSettings::read(&root, publish_settings::read(&root).keys(), &mut faults),
            insecure: root
                .at(&["registry", "insecure"])
                .map(texts)
                .unwrap_or_default()
                .into_iter()
                .collect(),
            ..Self::default()
        };
        let defaults = Self::default();
        let settings = Self {
            definitions: text_at(&root, &["definitions"])
                .map_or(defaults.definitions, PathBuf::from),
            view: text_at(&root, &["install", "view"])
                .map_or(defaults.view, |view| view.trim_end_matches('/').to_owned()),
            budget: root
                .at(&["layers", "budget"])
                .and_then(Node::as_integer)
                .and_then(|budget| usize::try_from(budget).ok())
                .filter(|budget| *budget > 0)
                .unwrap_or(defaults.budget),
            ..settings
        };
        faults.sort_by_key(|fault| fault.place.map(|place| (place.start, place.end)));
        (settings, faults)
    }
}

/// `cpu` and `cpu_allow` of an architecture.
fn cpu(node: &Node, faults: &mut Vec<Diagnostic>) -> CpuSettings {
    let policy = node.get("cpu").and_then(Node::as_str);
    let patterns = node.get("cpu_allow").and_then(Node::as_sequence);
    let mut allowed = Vec::new();
    for pattern in patterns.unwrap_or_default() {
        match pattern.as_str().map(glob::Pattern::new) {
            Some(Ok(pattern)) => allowed.push(pattern),
            Some(Err(error)) => faults.push(
                Diagnostic::error(pattern.span, format!("this is no pattern: {}", error.msg))
                    .label("here")
                    .hint("patterns of paths have `*`, `?` and `[…]`: `*/lib/libkernels*.so*`"),
            ),
            None => {}
        }
    }
    CpuSettings {
        policy: policy.and_then(CpuPolicy::parse).unwrap_or_default(),
        allowed,
    }
}

/// The target that is required of packages for a variant; none if there is no such variant.
///
/// Source: the names of archspec's `microarchitectures.json`, which Spack uses.
pub(super) fn variant_target(architecture: BaseArchitecture, variant: &str) -> Option<String> {
    let version = variant.strip_prefix('v')?;
    match (architecture, version) {
        (BaseArchitecture::Amd64, "2" | "3" | "4") => Some(format!("x86_64_v{version}")),
        (BaseArchitecture::Arm64, "9") => Some("armv9.0a".to_owned()),
        (BaseArchitecture::Arm64, _) => {
            let minor: u8 = version.strip_prefix("8.")?.parse().ok()?;
            (1..=6).contains(&minor).then(|| format!("armv8.{minor}a"))
        }
        _ => None,
    }
}

fn text_at(root: &Node, path: &[&str]) -> Option<String> {
    root.at(path).and_then(Node::as_str).map(str::to_owned)
}

fn texts(node: &Node) -> Vec<String> {
    node.as_sequence()
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_str)
        .map(str::to_owned)
        .collect()
}

/// Files relative to the project's folder.
fn files(node: &Node, folder: &Path) -> Vec<(PathBuf, Span)> {
    node.as_sequence()
        .unwrap_or_default()
        .iter()
        .filter_map(|file| Some((folder.join(file.as_str()?), file.span)))
        .collect()
}

fn mirrors(root: &Node, folder: &Path, faults: &mut Vec<Diagnostic>) -> Vec<MirrorSettings> {
    let mut mirrors: Vec<MirrorSettings> = Vec::new();
    for node in root
        .get("mirror")
        .and_then(Node::as_sequence)
        .unwrap_or_default()
    {
        let (Some(name), Some(url)) = (node.get("name"), node.get("url")) else {
            continue;
        };
        let (Some(name_text), Some(url_text)) = (name.as_str(), url.as_str()) else {
            continue;
        };
        if mirrors.iter().any(|it| it.name == name_text) {
            faults.push(
                Diagnostic::error(
                    name.span,
                    format!("there are two mirrors called `{name_text}`"),
                )
                .label("second one")
                .hint("give each mirror a name of its own"),
            );
        }
        let endpoint = node.get("endpoint");
        let location = match Location::parse(url_text, endpoint.and_then(Node::as_str), folder) {
            Ok(location) => location,
            Err(error) => {
                faults.push(Diagnostic::error(url.span, error.to_string()).label("cannot be used"));
                continue;
            }
        };
        let signed = node.get("signed").and_then(Node::as_bool).unwrap_or(true);
        let keys = node
            .get("keys")
            .map(|node| files(node, folder))
            .unwrap_or_default();
        if signed && keys.is_empty() {
            let hint = match location {
                Location::Registry(_) => {
                    "Spack signs no packages in registries: say `signed = false` to accept what lies there"
                }
                _ => {
                    "add `keys = [\"FILE\"]` with the armoured public keys that sign its packages, or `signed = false` to accept any"
                }
            };
            faults.push(
                Diagnostic::error(
                    name.span,
                    format!(
                        "the mirror `{name_text}` names no keys, so nothing in it can be trusted"
                    ),
                )
                .label("no `keys`")
                .hint(hint),
            );
        }
        let flag = |name: &str| node.get(name).and_then(Node::as_bool).unwrap_or(false);
        mirrors.push(MirrorSettings {
            name: name_text.to_owned(),
            location,
            signed,
            keys,
            push: flag("push"),
            private: flag("private"),
            place: name.span,
        });
    }
    mirrors
}

fn install(root: &Node, faults: &mut Vec<Diagnostic>) -> Option<InstallRoot> {
    let install = root.get("install")?;
    let length = install.get("padded_length");
    let Some(node) = install.get("root") else {
        if let Some(length) = length {
            faults.push(
                Diagnostic::error(length.span, "`padded_length` without `root` pads nothing")
                    .label("pads nothing")
                    .hint("add `root`, or leave both out to use packages where they were built to lie"),
            );
        }
        return None;
    };
    let root = node
        .as_str()
        .filter(|root| root.starts_with('/'))?
        .trim_end_matches('/')
        .to_owned();
    let length_value = length
        .and_then(Node::as_integer)
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    match pad_root(&root, length_value) {
        Ok(store) => Some(InstallRoot { root, store }),
        Err(error) => {
            faults.push(
                Diagnostic::error(length.unwrap_or(node).span, error.to_string())
                    .label("cannot be reached"),
            );
            None
        }
    }
}

fn architectures(
    root: &Node,
    faults: &mut Vec<Diagnostic>,
) -> BTreeMap<BaseArchitecture, ArchitectureSettings> {
    let mut architectures = BTreeMap::new();
    for entry in root
        .get("arch")
        .and_then(Node::as_mapping)
        .into_iter()
        .flat_map(|it| it.iter())
    {
        let Some(architecture) = BaseArchitecture::parse(&entry.key.text) else {
            continue;
        };
        let node = &entry.value;
        let base_node = node.get("base");
        let base = base_node
            .and_then(Node::as_str)
            .and_then(|text| BaseSource::parse(text).ok());
        if base == Some(BaseSource::Debian)
            && root.at(&["base", "debian"]).is_none()
            && let Some(written) = base_node
        {
            faults.push(
                Diagnostic::error(
                    written.span,
                    "`debian` is described by `[base.debian]`, which is not there",
                )
                .label("not described")
                .hint("add `[base.debian]` with at least `suite = \"bookworm\"`"),
            );
        }
        architectures.insert(
            architecture,
            ArchitectureSettings {
                base: base.unwrap_or(BaseSource::Scratch),
                target: node.get("target").and_then(Node::as_str).map(str::to_owned),
                cpu: cpu(node, faults),
                base_place: base_node.map(|node| node.span),
            },
        );
    }
    architectures
}

fn debian(node: &Node) -> Option<DebianSettings> {
    let text = |key: &str| node.get(key).and_then(Node::as_str).map(str::to_owned);
    let defaults = DebianSettings::new(text("suite")?);
    Some(DebianSettings {
        components: node.get("components").map_or(defaults.components, texts),
        mirror: text("mirror"),
        pockets: node.get("pockets").map(texts),
        security_mirror: text("security_mirror"),
        snapshot: text("snapshot"),
        packages: node.get("packages").map(texts).unwrap_or_default(),
        variant: text("variant")
            .and_then(|it| DebianVariant::parse(&it))
            .unwrap_or_default(),
        keyring: text("keyring").map(PathBuf::from),
        check_valid_until: text("check_valid_until")
            .and_then(|it| ValidUntil::parse(&it))
            .unwrap_or_default(),
        suite: defaults.suite,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Settings, Vec<String>) {
        let (settings, faults) = Settings::parse(text, SourceId(0), Path::new("/project"));
        (
            settings,
            faults.into_iter().map(|fault| fault.message).collect(),
        )
    }

    #[test]
    fn every_key_has_a_default() {
        assert_eq!(parse(""), (Settings::default(), Vec::new()));
    }

    #[test]
    fn settings_are_read() {
        let text = r#"
            definitions = "containers"
            [[mirror]]
            name = "s3"
            url = "s3://bucket/prefix"
            endpoint = "http://127.0.0.1:9000"
            keys = ["keys/a.pub"]
            [[mirror]]
            name = "here"
            url = "cache"
            signed = false
            [install]
            root = "/opt/software"
            padded_length = 64
            view = "/opt/all/"
            [layers]
            budget = 7
            [image]
            tree_digest = true
            [arch.amd64]
            base = "oci:base:v1"
            target = "x86_64_v3"
            [registry]
            insecure = ["registry.lan:5000"]
            [publish.staging]
            targets = ["docker://registry.lan:5000/{name}:{version}", "s3://sif/{name}.sif"]
            established = ["docker://docker.io/lab/{name}"]
            main = "develop"
            replace = true
            [ecr]
            hosts = ["ecr.lan"]
            create = true
            tags = { team = "hpc" }
        "#;
        let (settings, faults) = parse(text);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(settings.definitions, Path::new("containers"));
        assert_eq!(
            settings.mirrors[0].keys[0].0,
            Path::new("/project/keys/a.pub")
        );
        assert_eq!(
            settings.mirrors[1].location,
            Location::Folder("/project/cache".into())
        );
        assert!(settings.mirrors[0].signed && !settings.mirrors[1].signed);
        assert_eq!(settings.install.as_ref().map(|it| it.store.len()), Some(64));
        assert_eq!((settings.view.as_str(), settings.budget), ("/opt/all", 7));
        assert!(settings.tree_digest);
        let amd64 = settings.architecture(BaseArchitecture::Amd64);
        assert_eq!(amd64.base.to_string(), "oci:base:v1");
        assert_eq!(amd64.target.as_deref(), Some("x86_64_v3"));
        assert_eq!(
            settings.publish["staging"].targets[1].0,
            "s3://sif/{name}.sif"
        );
        let staging = &settings.publish["staging"];
        assert_eq!(staging.established[0].0, "docker://docker.io/lab/{name}");
        assert_eq!(staging.main.as_deref(), Some("develop"));
        assert!(staging.replaces);
        assert!(settings.ecr.create && settings.ecr.hosts.contains("ecr.lan"));
        assert_eq!(settings.ecr.repository.tags["team"], "hpc");
        assert_eq!(
            settings.architecture(BaseArchitecture::Arm64),
            ArchitectureSettings::default()
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let (_, faults) = parse(
            r#"
            mirrors = 1
            [[mirror]]
            name = "a"
            url = "gs://bucket"
            [[mirror]]
            name = "b"
            url = "cache"
            [install]
            padded_length = 128
            view = "relative"
            [layers]
            budget = 0
            [arch.amd64]
            base = "debian"
            target = "x86 64"
            [arch.armv7]
            [publish.production]
            targets = ["ftp://host/{name}"]
            "#,
        );
        let expected = [
            "`mirrors`",
            "gs:",
            "names no keys",
            "without `root`",
            "not an absolute path",
            "budget",
            "which is not there",
            "not a processor target",
            "`armv7`",
            "no transport `ftp`",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, words) in faults.iter().zip(expected) {
            assert!(fault.contains(words), "{fault:?} should speak of {words}");
        }
    }
}
