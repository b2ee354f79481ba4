//! New projects, and projects made from the repositories that Spacktainers descends from.

use std::fs;
use std::path::Path;

use crate::support::{Stage, fixtures};

#[test]
fn a_new_project_works_and_says_what_could_be_in_it() {
    let stage = Stage::empty();
    stage
        .run(&["init"])
        .ends(0)
        .says("spacktainers.toml: written");
    stage.run(&["check"]).ends(0);
    let ran = stage.run(&["list"]).ends(0);
    assert!(
        ran.stdout.contains("example") && ran.stdout.contains("switched off"),
        "{}",
        ran.stdout
    );
    stage
        .run(&["init"])
        .ends(2)
        .says("there is a project already");
    stage.run(&["init", "--force"]).ends(0);
    // What stands behind a `#` is good to be taken out of it.
    let text = stage.read("spacktainers.toml");
    let keys = [
        "[[mirror]]",
        "[arch.amd64]",
        "[base.debian]",
        "[publish.production]",
        "[ci]",
    ];
    assert!(keys.iter().all(|key| text.contains(key)), "{text}");
}

/// A repository like the public ones, as far as its definitions go.
fn made() -> Stage {
    let stage = Stage::empty();
    stage.write(
        "container_definitions/amd64/alpha/spack.yaml",
        "spack:\n  specs:\n  - zlib\n",
    );
    stage.write(
        "container_definitions/amd64/beta.yaml",
        "spack:\n  specs:\n  - bzip2\n",
    );
    stage.write(
        "container_definitions/amd64/tool.def",
        "Bootstrap: docker\nFrom: alpine:3.20\n",
    );
    stage.write(
        "container_definitions/_arm64/gamma.yaml",
        "spack:\n  specs:\n  - xz\n",
    );
    stage.write(
        ".github/workflows/build.yaml",
        "on: [push]\njobs:\n  spacktainer-build-job:\n    strategy:\n      matrix:\n        spacktainer: [alpha]\n    \
         runs-on: [large]\n    steps:\n      - uses: ./x\n        with:\n          GHCR_PATH: /org/spack-${{ matrix.spacktainer }}\n          \
         GHCR_TOKEN: ${{ secrets.GHCR_TOKEN }}\n",
    );
    stage
}

#[test]
fn a_repository_becomes_a_project_with_the_same_names() {
    let stage = made();
    let before = stage.read("container_definitions/amd64/alpha/spack.yaml");
    let ran = stage.run(&["init", "--from-seed", "--json"]).ends(0);
    let document = ran.json();
    assert_eq!(
        document["jobs"][0]["theirs"],
        "spacktainer-build-job (alpha)"
    );
    assert_eq!(document["jobs"][0]["ours"], "publish alpha");
    assert_eq!(document["replaced"][0], ".github/workflows/build.yaml");
    assert_eq!(
        stage.read("container_definitions/amd64/alpha/spack.yaml"),
        before
    );
    let settings = stage.read("spacktainers.toml");
    assert!(
        settings.contains("\"docker://ghcr.io/org/spack-{name}:latest\""),
        "{settings}"
    );
    assert!(
        settings.contains("skip = [\"beta\", \"tool\"]"),
        "{settings}"
    );
    stage.run(&["check"]).ends(0);
    stage
        .run(&["ci", "generate", "--for", "github", "--check"])
        .ends(0);
    let run = stage.read(".github/workflows/spacktainers-run.yml");
    assert!(
        run.contains("GHCR_TOKEN") && !run.contains("apt-get"),
        "{run}"
    );
    stage
        .run(&["init", "--from-seed"])
        .ends(2)
        .says("there is a project already");
    let ran = stage.run(&["init", "--from-seed", "--force"]).ends(0);
    assert!(
        ran.stdout
            .contains("take these away, or both will run:\n  .github/workflows/build.yaml"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_folder_without_definitions_is_no_repository_of_that_kind() {
    let stage = Stage::empty();
    stage
        .run(&["init", "--from-seed"])
        .ends(2)
        .says("there is no project here");
    let stage = made();
    stage
        .run(&["init", "--from-seed", "--value", "X"])
        .ends(2)
        .says("`X` has no value");
}

#[test]
fn both_public_repositories_become_projects() {
    let Some(fixtures) = fixtures() else { return };
    for name in ["BlueBrain", "openbraininstitute"] {
        let stage = Stage::empty();
        copy(&fixtures.join("seed-projects").join(name), &stage.path(""));
        let names = |stage: &Stage| -> Vec<String> {
            let ran = stage.run(&["list", "--json"]);
            let document = ran.json();
            let all = document["containers"].as_array().expect("containers");
            all.iter()
                .map(|it| it["name"].as_str().expect("a name").to_owned())
                .collect()
        };
        let before = names(&stage);
        stage.run(&["init", "--from-seed"]).ends(0);
        assert_eq!(names(&stage), before, "{name}");
        stage.run(&["check"]).ends(0);
        // The template says `ci: target: gitlab`, and there are no workflows beside it.
        stage
            .run(&["ci", "generate", "--for", "gitlab", "--check"])
            .ends(0);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file");
        }
    }
}
