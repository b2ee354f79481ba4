//! What Spack is given, checked without Spack.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::event::Silent;
use crate::project::Project;

/// A project in a folder, and a Spack that is none.
struct Stage {
    folder: tempfile::TempDir,
}

const DEFINITION: &str = "container_definitions/amd64/x/spack.yaml";

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let stage = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        stage.write("spack/bin/spack", "#!/bin/sh\n");
        stage.write("spack/lib/spack/spack/__init__.py", "spack_version = 1\n");
        for (name, text) in files {
            stage.write(name, text);
        }
        stage
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    fn project(&self) -> Project {
        Project::load(self.folder.path()).expect("a project")
    }

    fn context(&self) -> SpackContext {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        SpackContext {
            cache: LocalCache::open(self.folder.path().join("cache")).expect("a cache"),
            environment: BTreeMap::from([
                variable("PATH", &std::env::var("PATH").expect("a PATH")),
                variable("HOME", "/home/me"),
                variable("SPACK_ENV", "/somewhere"),
                variable("SPACK_USER_CONFIG_PATH", "/mine"),
                variable("AWS_SECRET_ACCESS_KEY", "canary"),
            ]),
            reporter: Arc::new(Silent),
            jobs: NonZeroUsize::MIN,
            is_offline: false,
        }
    }

    async fn spack(&self) -> Spack {
        Spack::open(&self.project().settings, self.context())
            .await
            .expect("a Spack")
    }

    fn manifest(&self) -> Json {
        let project = self.project();
        let definition = project.definitions.first().expect("a definition");
        definition_manifest(&project, definition)["spack"].clone()
    }

    fn path(&self, below: &str) -> String {
        self.folder.path().join(below).display().to_string()
    }
}

const SETTINGS: (&str, &str) = (
    "spacktainers.toml",
    "[spack]\nroot = \"spack\"\n[arch.amd64]\ntarget = \"x86_64_v3\"\n",
);

#[tokio::test]
async fn paths_stay_where_their_files_are() {
    let stage = Stage::new(&[
        SETTINGS,
        (
            "spack.yaml",
            "spack:\n  repos:\n    site: recipes\n  include:\n  - config\n  - https://example.invalid/x.yaml\n",
        ),
        (
            "config/packages.yaml",
            "packages:\n  zlib:\n    require: '@1.3'\n",
        ),
        (
            DEFINITION,
            "spack:\n  specs: [zlib, {matrix: [[a, b], ['%gcc']]}]\n  repos:\n    own: ../../../mine\n    far: /opt/far\n    var: $spack/x\n  develop:\n    zlib:\n      spec: zlib@1.3\n      path: src\n  config:\n    build_jobs: 3\n",
        ),
    ]);
    let manifest = stage.manifest();
    let repos = json!({
        "own": stage.path("mine"),
        "far": "/opt/far",
        "var": "$spack/x",
        "site": stage.path("recipes"),
    });
    assert_eq!(manifest["repos"], repos);
    let source = stage.path("container_definitions/amd64/x/src");
    assert_eq!(manifest["develop"]["zlib"]["path"], json!(source));
    // What was read is merged, what was left to Spack is included still.
    assert_eq!(
        manifest["include"],
        json!(["https://example.invalid/x.yaml"])
    );
    assert_eq!(manifest["packages"]["zlib"]["require"], json!("@1.3"));
    assert_eq!(manifest["config"]["build_jobs"], json!(3));
    let specs = json!(["zlib", {"matrix": [["a", "b"], ["%gcc"]]}]);
    assert_eq!(manifest["specs"], specs);
}

#[tokio::test]
async fn nothing_of_this_machine_is_reused_and_the_target_is_required() {
    let stage = Stage::new(&[
        SETTINGS,
        (DEFINITION, "spack:\n  specs: [zlib]\n  view: /opt/view\n"),
    ]);
    let manifest = stage.manifest();
    assert_eq!(manifest["view"], json!(false));
    assert_eq!(
        manifest["concretizer"]["reuse"]["from"],
        json!([{"type": "buildcache"}, {"type": "external"}])
    );
    assert_eq!(
        manifest["concretizer"]["targets"]["granularity"],
        json!("generic")
    );
    assert_eq!(
        manifest["packages"]["all"]["require"],
        json!(["target=x86_64_v3"])
    );
}

#[tokio::test]
async fn what_people_say_wins_over_our_defaults() {
    let stage = Stage::new(&[
        SETTINGS,
        (
            DEFINITION,
            "spack:\n  specs: [zlib]\n  concretizer:\n    reuse: false\n    targets: {granularity: microarchitectures}\n  packages:\n    all:\n      require: target=zen3\n",
        ),
    ]);
    let manifest = stage.manifest();
    assert_eq!(manifest["concretizer"]["reuse"], json!(false));
    assert_eq!(
        manifest["concretizer"]["targets"]["granularity"],
        json!("microarchitectures")
    );
    assert_eq!(manifest["packages"]["all"]["require"], json!("target=zen3"));
}

#[tokio::test]
async fn spack_hears_nothing_of_the_users_configuration_and_builds_nothing_of_secrets() {
    let stage = Stage::new(&[SETTINGS, (DEFINITION, "spack:\n  specs: [zlib]\n")]);
    let spack = stage.spack().await;
    let trusted = spack.variables(Trusted::Mirrors).expect("variables");
    let set = |name: &str| trusted.get(name).map(String::as_str);
    assert_eq!(set("SPACK_DISABLE_LOCAL_CONFIG"), Some("1"));
    assert_eq!(set("SPACK_ENV"), None);
    assert_eq!(set("SPACK_USER_CONFIG_PATH"), None);
    assert_eq!(set("AWS_SECRET_ACCESS_KEY"), Some("canary"));
    assert!(set("SPACK_USER_CACHE_PATH").is_some_and(|it| it.starts_with(&stage.path("cache"))));
    let untrusted = spack.variables(Trusted::Nothing).expect("variables");
    assert!(untrusted.values().all(|value| !value.contains("canary")));
    assert_ne!(untrusted.get("HOME").map(String::as_str), Some("/home/me"));
}

#[tokio::test]
async fn mirrors_of_the_project_are_mirrors_of_spack() {
    let stage = Stage::new(&[
        (
            "spacktainers.toml",
            "[spack]\nroot = \"spack\"\n[[mirror]]\nname = \"a\"\nurl = \"store\"\nsigned = false\n[[mirror]]\nname = \"b\"\nurl = \"s3://bucket/x\"\nendpoint = \"http://127.0.0.1:9\"\nsigned = false\n",
        ),
        ("store/x", ""),
        (DEFINITION, "spack:\n  specs: [zlib]\n"),
    ]);
    let scope: Json = serde_json::from_str(
        &stage
            .spack()
            .await
            .scope(Store::Empty)
            .expect("a scope")
            .text(),
    )
    .expect("JSON");
    let mirrors = &scope["mirrors"];
    assert_eq!(
        mirrors["a"]["url"],
        json!(format!("file://{}", stage.path("store")))
    );
    assert_eq!(mirrors["a"]["signed"], json!(false));
    assert_eq!(mirrors["b"]["endpoint_url"], json!("http://127.0.0.1:9"));
}

#[tokio::test]
async fn without_a_spack_it_is_said_what_to_set() {
    let stage = Stage::new(&[(DEFINITION, "spack:\n  specs: [zlib]\n")]);
    let settings = stage.project().settings;
    let error = Spack::open(&settings, stage.context())
        .await
        .err()
        .expect("an error");
    assert!(matches!(error, SpackError::NotFound));
    let hint = error.hint().expect("a hint");
    assert!(
        hint.contains("[spack]") && hint.contains("SPACK_ROOT"),
        "{hint}"
    );
    let mut context = stage.context();
    context
        .environment
        .insert("SPACK_ROOT".to_owned(), stage.path("nowhere"));
    let error = Spack::open(&settings, context)
        .await
        .err()
        .expect("an error");
    assert!(matches!(error, SpackError::NoSpack { .. }), "{error}");
}

#[tokio::test]
async fn recipes_are_known_by_their_content() {
    let stage = Stage::new(&[
        ("recipes/repo.yaml", "repo:\n"),
        ("recipes/packages/a/package.py", "a\n"),
    ]);
    let (folder, context) = (stage.folder.path().join("recipes"), stage.context());
    let identity = || checkout::recipes_identity(&folder, &context);
    let before = identity().await.expect("an identity");
    stage.write("recipes/packages/a/__pycache__/x.pyc", "x");
    assert_eq!(identity().await.expect("an identity"), before);
    stage.write("recipes/packages/a/package.py", "b\n");
    assert_ne!(identity().await.expect("an identity"), before);
}

#[tokio::test]
async fn a_commit_is_cloned_once_and_whole() {
    let stage = Stage::new(&[("origin/bin/spack", "#!/bin/sh\n")]);
    let origin = stage.folder.path().join("origin");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(&origin)
            .args(["-c", "user.name=a", "-c", "user.email=a@example.invalid"])
            .args(arguments)
            .output();
        output.is_ok_and(|it| it.status.success())
    };
    if !(git(&["init", "--quiet"]) && git(&["add", "."]) && git(&["commit", "--quiet", "-m", "x"]))
    {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no git");
        return;
    }
    let head = fs::read_to_string(origin.join(".git/HEAD")).expect("a HEAD");
    let branch = head.trim().trim_start_matches("ref: ");
    let commit = fs::read_to_string(origin.join(".git").join(branch)).expect("a commit");
    let source = crate::project::CheckoutSource::Git {
        url: format!("file://{}", origin.display()),
        commit: commit.trim().to_owned(),
    };
    let context = stage.context();
    let folder = checkout::checkout(&source, &context)
        .await
        .expect("a clone");
    assert!(folder.join("bin/spack").is_file());
    fs::remove_dir_all(&origin).expect("it is gone");
    assert_eq!(
        checkout::checkout(&source, &context)
            .await
            .expect("the same"),
        folder
    );
    let other = crate::project::CheckoutSource::Git {
        url: format!("file://{}", origin.display()),
        commit: "0".repeat(40),
    };
    let error = checkout::checkout(&other, &context)
        .await
        .expect_err("no such commit");
    assert!(matches!(error, SpackError::Clone { .. }), "{error}");
    let left = fs::read_dir(Path::new(&folder).parent().expect("a folder")).expect("a folder");
    assert_eq!(left.count(), 1, "what failed leaves nothing");
}
