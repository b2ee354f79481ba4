//! What Spack in the builder is configured with: what the settings say, and nothing that is secret or of this machine.

use serde_json::{Map, Value as Json, json};
use spack_format::microarchitecture::Microarchitecture;

use crate::base::LockedDebian;
use crate::build::InstallRoot;
use crate::mirror::Location;
use crate::project::MirrorSettings;
use crate::spack::{SpackError, is_secret, mirror_json};

/// What the configuration is made from.
pub(super) struct Input<'a> {
    pub(super) install: Option<&'a InstallRoot>,
    /// The target that is required of every package.
    pub(super) target: Option<&'a str>,
    pub(super) mirrors: &'a [MirrorSettings],
    /// Namespaces of recipes, and where they are in the image.
    pub(super) repositories: &'a [(String, String)],
    /// The packages of the image.
    pub(super) debian: &'a LockedDebian,
    /// Whether Spack knows compilers as packages, as it does from 1.0 on.
    pub(super) has_compiler_packages: bool,
}

/// The files of a scope: section and text. JSON is YAML.
pub(super) fn sections(input: &Input<'_>) -> Result<Vec<(&'static str, String)>, SpackError> {
    let mut sections = Vec::new();
    let mut say = |name: &'static str, value: Json| {
        if value.as_object().is_some_and(|it| !it.is_empty()) {
            let text = serde_json::to_string_pretty(&json!({ name: value })).unwrap_or_default();
            sections.push((name, text + "\n"));
        }
    };
    if let Some(install) = input.install {
        let is_padded = install.store != install.root;
        let length = if is_padded { install.store.len() } else { 0 };
        say(
            "config",
            json!({"install_tree": {"root": install.root, "padded_length": length}}),
        );
    }
    let mut packages = Map::new();
    if let Some(target) = input.target {
        let require = json!([format!("target={target}")]);
        packages.insert("all".to_owned(), json!({ "require": require }));
        if Microarchitecture::from_name(target).vendor() == "generic" {
            say(
                "concretizer",
                json!({"targets": {"granularity": "generic"}}),
            );
        }
    }
    if let Some(gcc) = compiler(input.debian).filter(|_| input.has_compiler_packages) {
        packages.insert("gcc".to_owned(), json!({ "externals": [gcc] }));
    }
    say("packages", Json::Object(packages));
    let repositories = input.repositories.iter();
    say(
        "repos",
        repositories
            .map(|(name, folder)| (name.clone(), json!(folder)))
            .collect(),
    );
    let mut mirrors = Map::new();
    for mirror in input.mirrors.iter().filter(|it| goes_along(it)) {
        let json = mirror_json(mirror)?;
        // Addresses are without users already; that of a bucket's server is as it was written.
        if !is_secret("", &json.to_string()) {
            mirrors.insert(mirror.name.clone(), json);
        }
    }
    say("mirrors", Json::Object(mirrors));
    Ok(sections)
}

/// Whether a mirror can be reached from elsewhere than this machine.
pub(super) fn goes_along(mirror: &MirrorSettings) -> bool {
    !matches!(mirror.location, Location::Folder(_))
}

/// Debian's own gcc, as an external package of Spack's, with the languages that are there.
fn compiler(debian: &LockedDebian) -> Option<Json> {
    let version = |name: &str| {
        let package = debian.packages.iter().find(|it| it.name == name)?;
        let upstream = package.version.split(['-', '+']).next()?;
        // An epoch is none of the compiler's.
        let upstream = upstream.rsplit(':').next()?;
        Some(upstream.to_owned())
    };
    // `gcc` is a package without content that names the release's own: `gcc-12`.
    let major = version("gcc")?;
    let major = major.split('.').next()?.to_owned();
    let full = version(&format!("gcc-{major}"))?;
    let mut languages = vec!["c"];
    let mut compilers = Map::from_iter([("c".to_owned(), json!("/usr/bin/gcc"))]);
    for (package, language, key, program) in [
        ("g++", "c++", "cxx", "/usr/bin/g++"),
        ("gfortran", "fortran", "fortran", "/usr/bin/gfortran"),
    ] {
        if version(package).is_some() {
            languages.push(language);
            compilers.insert(key.to_owned(), json!(program));
        }
    }
    Some(json!({
        "spec": format!("gcc@{full} languages:='{}'", languages.join(",")),
        "prefix": "/usr",
        "extra_attributes": {"compilers": compilers},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LockedPackage;
    use std::path::Path;

    fn debian(packages: &[(&str, &str)]) -> LockedDebian {
        let package = |(name, version): &(&str, &str)| LockedPackage {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            architecture: "amd64".to_owned(),
            suite: "bookworm".to_owned(),
            filename: String::new(),
            size: 0,
            sha256: String::new(),
        };
        LockedDebian {
            origin: "debian".to_owned(),
            suite: "bookworm".to_owned(),
            architecture: "amd64".to_owned(),
            apt_sources: Vec::new(),
            layer: None,
            packages: packages.iter().map(package).collect(),
        }
    }

    #[test]
    fn spack_is_told_what_the_settings_say_and_no_secret() {
        let text = "[[mirror]]\nname=\"s3\"\nurl=\"s3://bucket/x\"\nsigned=false\n\
                    [[mirror]]\nname=\"user\"\nurl=\"https://me:canary@host/x\"\nsigned=false\n\
                    [[mirror]]\nname=\"server\"\nurl=\"s3://b/y\"\nendpoint=\"https://me:canary@host\"\nsigned=false\n\
                    [[mirror]]\nname=\"here\"\nurl=\"cache\"\nsigned=false\n\
                    [install]\nroot=\"/opt/software\"\npadded_length=128\n";
        let source = spack_format::yaml::SourceId(0);
        let (settings, _) = crate::project::Settings::parse(text, source, Path::new("/project"));
        let debian = debian(&[
            ("gcc", "4:12.2.0-3"),
            ("gcc-12", "12.2.0-14+deb12u1"),
            ("g++", "4:12.2.0-3"),
        ]);
        let sections = sections(&Input {
            install: settings.install.as_ref(),
            target: Some("x86_64_v3"),
            mirrors: &settings.mirrors,
            repositories: &[("builtin".to_owned(), "/opt/spack-repos/builtin".to_owned())],
            debian: &debian,
            has_compiler_packages: true,
        })
        .expect("sections");
        let all: String = sections.iter().map(|(_, text)| text.as_str()).collect();
        let value = |name: &str| -> Json {
            let (_, text) = sections
                .iter()
                .find(|it| it.0 == name)
                .expect("the section");
            serde_json::from_str(text).expect("JSON")
        };
        assert_eq!(
            value("config")["config"]["install_tree"],
            json!({"root": "/opt/software", "padded_length": 128})
        );
        assert_eq!(
            value("packages")["packages"]["all"]["require"],
            json!(["target=x86_64_v3"])
        );
        assert_eq!(
            value("packages")["packages"]["gcc"]["externals"][0]["spec"],
            "gcc@12.2.0 languages:='c,c++'"
        );
        assert_eq!(
            value("concretizer")["concretizer"]["targets"]["granularity"],
            "generic"
        );
        let mirrors = value("mirrors");
        let mirrors = mirrors["mirrors"].as_object().expect("mirrors");
        assert_eq!(mirrors.keys().collect::<Vec<_>>(), ["s3", "user"]);
        assert_eq!(mirrors["user"]["url"], "https://host/x");
        assert!(!all.contains("canary"), "{all}");
    }
}
