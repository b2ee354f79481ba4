//! The metadata of containers, as a tree of files: what is there, with which content, and what an image keeps.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use sif_format::singularity::{
    AppParts, Assembled, BuildFacts, DefinitionParts, EmptyRoot, EntryContent, EntryKind,
    ExistingRoot, MetadataObject, Notice, OciConfig, Script, SingularityError, Source, assemble,
    definition_of_pull,
};

/// A root file system in memory: directories end with a slash, links are files whose text begins with `->`.
struct Tree(BTreeMap<String, String>);

impl Tree {
    fn of(entries: &[(&str, &str)]) -> Self {
        Self(
            entries
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }
}

impl ExistingRoot for Tree {
    fn kind(&self, path: &str) -> Option<EntryKind> {
        match self.0.get(path) {
            Some(text) if text.starts_with("->") => Some(EntryKind::Symlink),
            Some(_) => Some(EntryKind::File),
            None => {
                let inside = format!("{path}/");
                self.0
                    .keys()
                    .any(|known| known.starts_with(&inside))
                    .then_some(EntryKind::Directory)
            }
        }
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if path.contains("unreadable") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(self.0.get(path).map(|text| text.clone().into_bytes()))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let inside = format!("{path}/");
        let names = self
            .0
            .keys()
            .filter_map(|known| known.strip_prefix(&inside));
        Ok(names
            .filter_map(|rest| rest.split('/').next())
            .map(ToOwned::to_owned)
            .collect())
    }
}

fn facts() -> BuildFacts {
    BuildFacts {
        time: 1_795_638_580,
        arch: "amd64".to_owned(),
        apptainer_version: Some("1.4.5".to_owned()),
        ..BuildFacts::default()
    }
}

fn oci(config: Value) -> Source {
    Source::Oci(OciConfig::from_json(config).unwrap())
}

fn file(assembled: &Assembled, path: &str) -> String {
    let entry = assembled.entries.iter().find(|entry| entry.path == path);
    match &entry.unwrap_or_else(|| panic!("no {path}")).content {
        EntryContent::File(content) => String::from_utf8(content.clone()).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

fn labels(assembled: &Assembled) -> BTreeMap<String, String> {
    serde_json::from_str(&file(assembled, ".singularity.d/labels.json")).unwrap()
}

fn inspected(assembled: &Assembled) -> Value {
    let found = assembled.objects.iter().find_map(|object| match object {
        MetadataObject::Json {
            name: "inspect-metadata.json",
            content,
        } => Some(content),
        _ => None,
    });
    serde_json::from_str(found.unwrap()).unwrap()
}

/// One line an entry: mode, path, and what it is.
fn listing(assembled: &Assembled) -> String {
    let line = |entry: &sif_format::singularity::RootEntry| match &entry.content {
        EntryContent::Directory => format!("{:04o} {}/\n", entry.mode, entry.path),
        EntryContent::File(content) => format!(
            "{:04o} {} ({} bytes)\n",
            entry.mode,
            entry.path,
            content.len()
        ),
        EntryContent::Symlink(target) => format!("{:04o} {} -> {target}\n", entry.mode, entry.path),
    };
    assembled.entries.iter().map(line).collect()
}

#[test]
fn a_pulled_image_has_all_that_apptainer_gives_it() {
    let config = json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin", "FOO=bar"], "Labels": {"FOO": "1"}});
    let pull = definition_of_pull("docker", "host/repo:tag");
    let assembled = assemble(&oci(config.clone()), &pull, &facts(), &EmptyRoot).unwrap();
    insta::assert_snapshot!("pulled_listing", listing(&assembled));
    insta::assert_snapshot!(
        "pulled_runscript",
        file(&assembled, ".singularity.d/runscript")
    );
    insta::assert_snapshot!(
        "pulled_labels",
        file(&assembled, ".singularity.d/labels.json")
    );
    let contents: Vec<&[u8]> = assembled
        .objects
        .iter()
        .map(MetadataObject::content)
        .collect();
    assert_eq!(contents[0], b"bootstrap: docker\nfrom: host/repo:tag\n\n");
    assert_eq!(contents[2], config.to_string().as_bytes());
    assert_eq!(
        inspected(&assembled)["data"]["attributes"]["deffile"],
        "bootstrap: docker\nfrom: host/repo:tag"
    );
    assert_eq!(assembled.notices, []);
}

#[test]
fn a_definition_file_replaces_scripts_and_adds_to_the_environment() {
    let definition = DefinitionParts {
        text: "Bootstrap: docker\n".to_owned(),
        help: Some("    Some help\n".to_owned()),
        environment: Some("    export A=1\n".to_owned()),
        runscript: Some(Script::new("    echo run\n")),
        startscript: Some(Script::new("    echo start\n")),
        test: Some(Script {
            text: "    true\n".to_owned(),
            arguments: Some("-e".to_owned()),
        }),
        labels: [("Author", "me"), ("FOO", "2")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect(),
        ..DefinitionParts::default()
    };
    let source = oci(json!({"Cmd": ["x"], "Labels": {"FOO": "1"}}));
    let assembled = assemble(&source, &definition, &facts(), &EmptyRoot).unwrap();
    assert_eq!(
        file(&assembled, ".singularity.d/runscript"),
        "#!/bin/sh\n\n    echo run\n\n"
    );
    assert_eq!(
        file(&assembled, ".singularity.d/startscript"),
        "#!/bin/sh\n\n    echo start\n\n"
    );
    assert_eq!(
        file(&assembled, ".singularity.d/test"),
        "#!/bin/sh -e\n\n    true\n\n"
    );
    assert_eq!(
        file(&assembled, ".singularity.d/runscript.help"),
        "    Some help\n\n"
    );
    let environment = file(&assembled, ".singularity.d/env/90-environment.sh");
    assert!(
        environment.starts_with("#!/bin/sh\n") && environment.ends_with("\n\n    export A=1\n\n")
    );
    assert_eq!(labels(&assembled)["FOO"], "1", "the image's label stays");
    assert_eq!(
        labels(&assembled)["org.label-schema.usage"],
        "/.singularity.d/runscript.help"
    );
    assert_eq!(assembled.notices, [Notice::LabelKept("FOO".to_owned())]);
    let attributes = &inspected(&assembled)["data"]["attributes"];
    assert_eq!(attributes["test"], "#!/bin/sh -e\n\n    true");
    assert_eq!(attributes["helpfile"], "    Some help");

    let forced = BuildFacts {
        force: true,
        ..facts()
    };
    let assembled = assemble(&source, &definition, &forced, &EmptyRoot).unwrap();
    assert_eq!(
        (labels(&assembled)["FOO"].as_str(), assembled.notices.len()),
        ("2", 0)
    );
}

#[test]
fn build_labels_replace_those_of_the_schema_and_respect_those_of_oci() {
    let source = oci(json!({"Labels": {
        "org.label-schema.build-arch": "vax",
        "org.opencontainers.image.created": "long ago",
    }}));
    let facts = BuildFacts {
        variant: Some("v3".to_owned()),
        base: Some(("host/repo:tag".to_owned(), "sha256:00".to_owned())),
        ..facts()
    };
    let definition = definition_of_pull("docker", "host/repo:tag");
    let labels = labels(&assemble(&source, &definition, &facts, &EmptyRoot).unwrap());
    for (key, value) in [
        ("org.label-schema.build-arch", "amd64"),
        (
            "org.label-schema.build-date",
            "Wednesday_25_November_2026_20:29:40_UTC",
        ),
        (
            "org.label-schema.usage.singularity.deffile.from",
            "host/repo:tag",
        ),
        ("org.opencontainers.image.created", "long ago"),
        ("org.opencontainers.image.variant", "v3"),
        ("org.opencontainers.image.base.digest", "sha256:00"),
    ] {
        assert_eq!(labels[key], value, "{key}");
    }
}

#[test]
fn apps_have_their_own_tree() {
    let app = AppParts {
        help: Some("help\n".to_owned()),
        environment: Some("export FOO=1\n".to_owned()),
        runscript: Some("echo run\n".to_owned()),
        startscript: Some("echo start\n".to_owned()),
        test: Some("echo test\n".to_owned()),
        labels: [("Ver".to_owned(), "1.0".to_owned())].into_iter().collect(),
    };
    let apps = [
        ("foo".to_owned(), app),
        ("bar-baz".to_owned(), AppParts::default()),
    ];
    let definition = DefinitionParts {
        apps: apps.into_iter().collect(),
        ..DefinitionParts::default()
    };
    let assembled = assemble(&Source::Bare, &definition, &facts(), &EmptyRoot).unwrap();
    let listing = listing(&assembled);
    let scif: Vec<&str> = listing
        .lines()
        .filter(|line| line.contains(" scif"))
        .collect();
    insta::assert_snapshot!("apps_listing", scif.join("\n"));
    insta::assert_snapshot!(
        "apps_locations",
        file(&assembled, ".singularity.d/env/94-appsbase.sh")
    );
    let apps = &inspected(&assembled)["data"]["attributes"]["apps"];
    assert_eq!(
        apps["bar-baz"]["labels"],
        json!({"SCIF_APP_NAME": "bar-baz"})
    );
    assert_eq!(
        apps["foo"]["environment"]["/scif/apps/foo/scif/env/90-environment.sh"],
        "export FOO=1"
    );
    assert_eq!(apps["foo"]["runscript"], "#!/bin/sh\n\necho run");

    let bad = [("../up".to_owned(), AppParts::default())];
    let definition = DefinitionParts {
        apps: bad.into_iter().collect(),
        ..DefinitionParts::default()
    };
    let refused = assemble(&Source::Bare, &definition, &facts(), &EmptyRoot);
    assert!(matches!(refused, Err(SingularityError::AppName(_))));
}

#[test]
fn an_image_with_metadata_keeps_it() {
    let image = Tree::of(&[
        (".singularity.d/Singularity", "Bootstrap: old\n"),
        (
            ".singularity.d/bootstrap_history/Apptainer0",
            "Bootstrap: older\n",
        ),
        (".singularity.d/labels.json", "{\"a\": \"1\"}"),
        (".singularity.d/runscript", "#!/bin/sh\necho old\n"),
        (".singularity.d/runscript.help", "old help\n"),
        (
            ".singularity.d/env/90-environment.sh",
            "#!/bin/sh\nexport OLD=1\n",
        ),
        (".singularity.d/env/91-environment.sh", "export POST=1\n"),
        ("scif/apps/tool/scif/runscript", "#!/bin/sh\necho tool\n"),
    ]);
    let definition = DefinitionParts {
        text: "Bootstrap: localimage\n".to_owned(),
        environment: Some("export NEW=1\n".to_owned()),
        help: Some("new help\n".to_owned()),
        ..DefinitionParts::default()
    };
    let assembled = assemble(&Source::Image, &definition, &facts(), &image).unwrap();
    assert!(
        assembled
            .entries
            .iter()
            .all(|entry| entry.path != ".singularity.d/runscript")
    );
    assert_eq!(
        file(&assembled, ".singularity.d/env/90-environment.sh"),
        "#!/bin/sh\nexport OLD=1\n\nexport NEW=1\n\n"
    );
    assert_eq!(
        file(&assembled, ".singularity.d/bootstrap_history/Apptainer1"),
        "Bootstrap: old\n"
    );
    assert_eq!(labels(&assembled)["a"], "1");
    assert_eq!(assembled.notices, [Notice::HelpKept]);
    let attributes = &inspected(&assembled)["data"]["attributes"];
    assert_eq!(attributes["runscript"], "#!/bin/sh\necho old");
    assert_eq!(attributes["helpfile"], "old help");
    assert_eq!(
        attributes["environment"]["/.singularity.d/env/91-environment.sh"],
        "export POST=1"
    );
    assert_eq!(
        attributes["apps"]["tool"]["runscript"],
        "#!/bin/sh\necho tool"
    );
    assert_eq!(assembled.objects.len(), 2, "no OCI config");

    // The same tree as an OCI image: its config decides.
    let assembled = assemble(&oci(json!({"Cmd": ["x"]})), &definition, &facts(), &image).unwrap();
    assert!(file(&assembled, ".singularity.d/runscript").contains("OCI_CMD='\"x\"'"));
    assert!(!labels(&assembled).contains_key("a"));
}

#[test]
fn files_at_the_root_are_left_alone_and_links_are_renewed() {
    let image = Tree::of(&[
        ("singularity", "my own"),
        ("environment", "-> /etc/environment"),
    ]);
    let assembled = assemble(&Source::Bare, &DefinitionParts::default(), &facts(), &image).unwrap();
    assert!(
        assembled
            .entries
            .iter()
            .all(|entry| entry.path != "singularity")
    );
    let link = assembled
        .entries
        .iter()
        .find(|entry| entry.path == "environment")
        .unwrap();
    assert_eq!(
        link.content,
        EntryContent::Symlink(".singularity.d/env/90-environment.sh".to_owned())
    );
}

#[test]
fn metadata_that_leads_out_of_the_image_is_replaced() {
    let image = Tree::of(&[
        (".singularity.d", "-> /host"),
        (".singularity.d/labels.json", "{\"stolen\": \"1\"}"),
        (".singularity.d/Singularity", "stolen"),
    ]);
    let assembled = assemble(
        &Source::Image,
        &DefinitionParts::default(),
        &facts(),
        &image,
    )
    .unwrap();
    assert!(
        assembled
            .entries
            .iter()
            .any(|entry| entry.path == ".singularity.d")
    );
    assert!(!labels(&assembled).contains_key("stolen"));
    assert!(!listing(&assembled).contains("bootstrap_history"));
}

#[test]
fn directories_come_before_what_is_in_them() {
    let assembled = assemble(
        &Source::Bare,
        &DefinitionParts::default(),
        &facts(),
        &EmptyRoot,
    )
    .unwrap();
    let paths: Vec<&str> = assembled
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    for (index, path) in paths.iter().enumerate() {
        if let Some((parent, _)) = path.rsplit_once('/') {
            assert!(paths[..index].contains(&parent), "{path}");
        }
    }
}

#[test]
fn labels_that_are_no_strings_are_an_error() {
    let image = Tree::of(&[(".singularity.d/labels.json", "{\"a\": 1}")]);
    let result = assemble(
        &Source::Image,
        &DefinitionParts::default(),
        &facts(),
        &image,
    );
    assert!(matches!(result, Err(SingularityError::Labels(_))));
    let image = Tree::of(&[(".singularity.d/labels.json", "null")]);
    assert!(
        assemble(
            &Source::Image,
            &DefinitionParts::default(),
            &facts(),
            &image
        )
        .is_ok()
    );
    let image = Tree::of(&[(".singularity.d/env/10-docker-unreadable.sh", "")]);
    let result = assemble(
        &Source::Image,
        &DefinitionParts::default(),
        &facts(),
        &image,
    );
    assert!(
        matches!(result, Err(SingularityError::Read { path, .. }) if path.ends_with("unreadable.sh"))
    );
}
