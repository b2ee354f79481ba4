//! Projects on disk, good and bad.

use std::fs;

use super::*;

/// A project of these files.
fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }
    let project = Project::load(folder.path()).expect("a project");
    (folder, project)
}

/// Faults as `file:line:column: message`.
fn faults(project: &Project) -> Vec<String> {
    let show =
        |fault: &Diagnostic| match fault.place.and_then(|place| project.sources.locate(place)) {
            Some(at) => format!(
                "{}:{}:{}: {}",
                at.path.display(),
                at.line,
                at.column,
                fault.message
            ),
            None => fault.message.clone(),
        };
    project.diagnostics.iter().map(show).collect()
}

#[test]
fn both_forms_and_switched_off_folders_are_found() {
    let spack = "spack:\n  specs: [zlib]\n";
    let (folder, project) = project(&[
        ("container_definitions/amd64/neuron/spack.yaml", spack),
        ("container_definitions/amd64/flat.yaml", spack),
        (
            "container_definitions/amd64/storage.def",
            "Bootstrap: docker\nFrom: a.io:5000/x/y:7.1\n",
        ),
        ("container_definitions/amd64/_old.yaml", "broken: ["),
        ("container_definitions/_arm64/neuron/spack.yaml", "spack: 7"),
        ("container_definitions/amd64/README.md", "notes"),
    ]);
    assert_eq!(faults(&project), Vec::<String>::new());
    let names: Vec<_> = project
        .definitions
        .iter()
        .map(|it| (it.title(), it.enabled))
        .collect();
    let expected = [
        ("flat (amd64)", true),
        ("neuron (amd64)", true),
        ("old (amd64)", false),
        ("storage (amd64)", true),
        ("neuron (arm64)", false),
    ];
    assert_eq!(names, expected.map(|(name, on)| (name.to_owned(), on)));
    let below = |path: PathBuf| {
        path.strip_prefix(folder.path())
            .expect("below")
            .display()
            .to_string()
    };
    let neuron = project.select(&["neuron".into()], None).expect("neuron")[0];
    assert_eq!(
        below(neuron.spack_lock()),
        "container_definitions/amd64/neuron/spack.lock"
    );
    let flat = project.select(&["flat".into()], None).expect("flat")[0];
    assert_eq!(
        below(flat.container_lock()),
        "container_definitions/amd64/flat.container.lock"
    );
    let storage = project.select(&["storage".into()], None).expect("storage")[0];
    assert!(
        matches!(&storage.kind, DefinitionKind::Deffile(it) if it.version.as_deref() == Some("7.1"))
    );
}

#[test]
fn names_that_are_not_there_are_told_with_the_nearest() {
    let (_folder, project) = project(&[(
        "container_definitions/amd64/neuron.yaml",
        "spack:\n  specs: [zlib]\n",
    )]);
    let error = project
        .select(&["nueron".into()], Some(BaseArchitecture::Amd64))
        .expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "there is no container `nueron` for amd64; did you mean `neuron`?"
    );
    assert!(
        project
            .select(&["neuron".into()], Some(BaseArchitecture::Arm64))
            .is_err()
    );
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let (_folder, project) = project(&[
        (
            "spacktainers.toml",
            "mirors = 1\n[arch.amd64]\nbase = \"rootfs:none.tar\"\n[[mirror]]\nname = \"m\"\nurl = \"cache\"\nkeys = [\"k.pub\"]\n",
        ),
        (
            "spack.yaml",
            "spack:\n  packages:\n    all:\n      requires: x\n",
        ),
        (
            "container_definitions/amd64/a.yaml",
            "spack:\n  specs:\n  - zlib\n  view: relative\n  include:\n  - none.yaml\n",
        ),
        (
            "container_definitions/amd64/a/spack.yaml",
            "spack:\n  specs: []\n",
        ),
        ("container_definitions/amd64/b/notes.txt", ""),
        ("container_definitions/x86/c.yaml", ""),
        (
            "container_definitions/amd64/d.yaml",
            "spack:\n  specs:\n  - a: [\n",
        ),
    ]);
    let found = faults(&project);
    for expected in [
        "spacktainers.toml:1:1: `mirors`",
        "the base `none.tar` is not there",
        "the folder `cache`",
        "this key cannot be used",
        "spack.yaml:4:7: `requires`",
        "a.yaml:4:9: the view `default` has a relative root",
        "a.yaml:6:5: the included `none.yaml` is not there",
        "a/spack.yaml:2:3: this definition asks for no specs",
        "`a` is defined twice for amd64",
        "`container_definitions/amd64/b` holds no definition",
        "`container_definitions/x86` is not the folder of an architecture",
        "d.yaml:3",
    ] {
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "no fault says {expected:?}: {found:#?}"
        );
    }
    assert!(project.has_errors());
}

#[test]
fn what_is_included_and_the_site_bear_on_the_digest() {
    let files = |site: &'static str, included: &'static str| {
        project(&[
            ("spack.yaml", site),
            ("common/packages.yaml", included),
            (
                "container_definitions/amd64/a/spack.yaml",
                "spack:\n  include: [../../../common]\n  specs: [zlib]\n",
            ),
        ])
    };
    let digest = |project: &Project| {
        assert_eq!(faults(project), Vec::<String>::new());
        project.definitions[0].as_spack().expect("spack").digest
    };
    let site = "spack:\n  view: false\n";
    let one = files(site, "packages:\n  zlib:\n    require: '@1.3'\n");
    let same = files(site, "packages:\n  zlib:\n    require: '@1.3'\n");
    let other = files(site, "packages:\n  zlib:\n    require: '@1.2'\n");
    let other_site = files(
        "spack:\n  view: true\n",
        "packages:\n  zlib:\n    require: '@1.3'\n",
    );
    assert_eq!(digest(&one.1), digest(&same.1));
    assert_ne!(digest(&one.1), digest(&other.1));
    assert_ne!(digest(&one.1), digest(&other_site.1));
    let spack = one.1.definitions[0].as_spack().expect("spack");
    assert!(
        spack.environment.requirement("zlib").is_some(),
        "the included file is merged"
    );
    assert_eq!(
        spack
            .views
            .iter()
            .map(|it| it.root.as_str())
            .collect::<Vec<_>>(),
        [DEFAULT_VIEW]
    );
}

#[test]
fn a_folder_without_definitions_is_no_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Project::load(folder.path())
        .expect_err("no project")
        .to_string();
    assert!(error.contains("container_definitions"), "{error}");
}

/// The two public repositories that this project descends from work as they stand.
#[test]
fn the_seed_projects_have_no_faults() {
    let Some(fixtures) = crate::test_support::fixtures() else {
        return;
    };
    for name in ["BlueBrain", "openbraininstitute"] {
        let folder = fixtures.join("seed-projects").join(name);
        let project = Project::load(&folder).expect("a project");
        let errors: Vec<String> = faults(&project);
        assert_eq!(errors, Vec::<String>::new(), "{name}");
        assert!(project.definitions.len() > 10);
    }
}

#[test]
fn files_that_a_definition_lists_are_copied_into_the_image() {
    let text =
        "spack:\n  specs: [zlib]\nspacktainer:\n  files:\n  - files/it/script.sh:/opt/script.sh\n";
    let (folder, project) = project(&[
        ("container_definitions/amd64/it.yaml", text),
        ("spacktainer/files/it/script.sh", "#!/bin/sh\n"),
    ]);
    assert_eq!(faults(&project), Vec::<String>::new());
    let spack = project.definitions[0].as_spack().expect("Spack's");
    assert_eq!(spack.specs.len(), 1);
    let [finish] = spack.finish.as_slice() else {
        panic!("{:?}", spack.finish);
    };
    assert_eq!(finish.folder, folder.path().join("spacktainer"));
    assert_eq!(
        finish.epilogue.steps[0].text,
        "COPY files/it/script.sh /opt/script.sh"
    );

    let bad = text.replace("script.sh:/opt/script.sh", "missing:/a\n  - no-place");
    let (_folder, project) =
        super::tests::project(&[("container_definitions/amd64/it.yaml", &bad)]);
    let told = faults(&project);
    let file = "container_definitions/amd64/it.yaml";
    assert!(
        told.iter()
            .any(|it| it.starts_with(&format!("{file}:5:5: ")) && it.contains("missing")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|it| it.starts_with(&format!("{file}:6:5: this is not a pair"))),
        "{told:?}"
    );
}
