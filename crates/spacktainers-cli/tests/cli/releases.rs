//! Releases: many places, all of them or none, whatever happens in between.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fault_proxy::{Faults, Passed, ask, header};
use crate::support::{Bucket, Ran, Registry, Stage};

/// A project that is published to two registries and a bucket, each behind a proxy.
struct Setup {
    stage: Stage,
    faults: Faults,
    registries: [Registry; 2],
    bucket: Bucket,
    /// Of the bucket's proxy.
    endpoint: String,
}

/// Where the container is in each registry.
const NAME: &str = "team/spike";
/// The version of its first spec.
const VERSION: &str = "1.0.0";

impl Setup {
    fn new() -> Option<Self> {
        let registries = [Registry::start()?, Registry::start()?];
        let bucket = Bucket::start("sif")?;
        let faults = Faults::default();
        let stage = Stage::demo();
        let hosts = [0, 1].map(|it: usize| faults.before(&registries[it].address));
        let settings = stage.read("spacktainers.toml");
        let targets = format!(
            "[publish.production]\ntargets = [\"docker://{}/team/{{name}}\", \"docker://{}/team/{{name}}\", \
             \"s3://sif/containers/{{name}}__{{tag}}.sif\"]\n",
            hosts[0], hosts[1]
        );
        stage.write("spacktainers.toml", &format!("{settings}\n{targets}"));
        let endpoint = format!("http://{}", faults.before(bucket.address()));
        Some(Self {
            stage,
            faults,
            registries,
            bucket,
            endpoint,
        })
    }

    fn command(&self, more: &[&str]) -> Command {
        let fixed = ["publish", "--allow-missing-libraries", "--json"];
        let mut command = self.stage.command(&[&fixed, more].concat());
        self.bucket.known_to(&mut command);
        command.env("AWS_ENDPOINT_URL_S3", &self.endpoint);
        command
    }

    fn publish(&self, more: &[&str]) -> Ran {
        Ran::of(self.command(more).output().expect("the program runs"))
    }

    /// Makes the next image another one.
    fn change(&self, how: usize) {
        let definition = self.stage.definition();
        let text = self.stage.read(definition);
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("# change"))
            .collect();
        let text = format!("{}\n# change {how}\n", kept.join("\n"));
        self.stage.write(definition, &text);
    }

    /// The image that a tag names, of which everything is there; nothing where there is no tag.
    #[track_caller]
    fn tagged(&self, registry: usize, tag: &str) -> Option<String> {
        let address = &self.registries[registry].address;
        let path = format!("/v2/{NAME}/manifests/{tag}");
        let (status, head, body) = ask(address, "GET", &path);
        if status == 404 {
            return None;
        }
        let digest = header(&head, "docker-content-digest").expect("a digest");
        let manifest: Value = serde_json::from_slice(&body).expect("a manifest");
        let layers = manifest["layers"].as_array().expect("layers");
        for blob in layers.iter().chain([&manifest["config"]]) {
            let blob = blob["digest"].as_str().expect("a digest");
            let (status, _, _) = ask(address, "HEAD", &format!("/v2/{NAME}/blobs/{blob}"));
            assert_eq!(status, 200, "{tag} of registry {registry} lacks {blob}");
        }
        Some(digest.to_owned())
    }

    /// The image of the SIF file, which is whole.
    #[track_caller]
    fn object(&self) -> Option<String> {
        let path = format!("/sif/containers/spike__{VERSION}.sif");
        let (status, head, body) = ask(self.bucket.address(), "GET", &path);
        if status == 404 {
            return None;
        }
        let digest = oci_format::Digest::of(&body).hex();
        let told = header(&head, "x-amz-meta-sha256").unwrap_or_else(|| panic!("{head}"));
        assert_eq!(
            told, digest,
            "the file is not the one that its metadata names"
        );
        header(&head, "x-amz-meta-image-digest").map(str::to_owned)
    }

    /// What every name means, in the order in which names change.
    fn names(&self) -> Vec<Option<String>> {
        vec![
            self.tagged(0, VERSION),
            self.tagged(1, VERSION),
            self.object(),
            self.tagged(0, "latest"),
            self.tagged(1, "latest"),
        ]
    }
}

#[test]
fn names_follow_the_branch_and_versions_are_not_replaced_silently() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let receipts = ["--receipts", "receipts"];
    let main = ["--branch", "main"];
    let first = setup
        .publish(&[&main[..], &receipts].concat())
        .ends(0)
        .json();
    let digest = first["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(setup.names(), vec![Some(digest.clone()); 5]);
    assert_eq!(first["targets"].as_array().map(Vec::len), Some(5));
    let files: BTreeSet<String> = fs::read_dir(setup.stage.path("receipts"))
        .expect("receipts")
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files.len(), 5, "{files:?}");
    let one = format!("receipts/sif_containers_spike__{VERSION}.sif.amd64.json");
    let receipt: Value = serde_json::from_str(&setup.stage.read(&one)).expect("JSON");
    assert_eq!(receipt["digest"], first["digest"]);
    assert_eq!(receipt["environment"], "production");
    assert_eq!(receipt["branch"]["main"], true);
    assert_eq!(receipt["before"], Value::Null);

    // Another branch gets names of its own; the same image goes there without a byte of a layer.
    setup.faults.passed();
    let branch = setup.publish(&["--branch", "Feature/X"]).ends(0).json();
    let target = branch["targets"][0]["target"].as_str().expect("a target");
    assert!(target.ends_with(":1.0.0__feature-x"), "{target}");
    let puts = setup.faults.passed();
    assert!(
        !puts.iter().any(|it| it.path.contains("/blobs/uploads/")),
        "{puts:?}"
    );
    assert_eq!(setup.names(), vec![Some(digest.clone()); 5]);

    // Another content under the same version is refused, with both digests; nothing changes anywhere.
    setup.change(1);
    let refused = setup.publish(&main).ends(4);
    assert!(refused.stderr.contains(&digest), "{}", refused.stderr);
    let refused = refused
        .says("--replace")
        .says("already, and this is sha256:");
    drop(refused);
    assert_eq!(setup.names(), vec![Some(digest.clone()); 5]);
    // The branch may: its names move.
    setup.publish(&["--branch", "Feature/X"]).ends(0);
    let replaced = setup.publish(&[&main[..], &["--replace"]].concat());
    let replaced = replaced.ends(0).json();
    assert_ne!(replaced["digest"], first["digest"]);
    assert_eq!(replaced["targets"][0]["before"], first["digest"]);
    let now = replaced["digest"].as_str().map(str::to_owned);
    assert_eq!(setup.names(), vec![now; 5]);
}

#[test]
fn a_place_that_fails_leaves_all_of_them_as_they_were() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let settings = setup.stage.read("spacktainers.toml");
    let broken = settings.replace("s3://sif/", "s3://no-such-bucket/");
    setup.stage.write("spacktainers.toml", &broken);
    setup
        .publish(&["--branch", "main"])
        .ends(4)
        .says("nothing is published")
        .says("no-such-bucket");
    assert_eq!(setup.names(), vec![None; 5]);
    setup.stage.write("spacktainers.toml", &settings);
    setup.publish(&["--branch", "main"]).ends(0);
    assert!(setup.names().iter().all(Option::is_some));
}

#[test]
fn what_staging_has_is_promoted_without_building() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let settings = setup.stage.read("spacktainers.toml");
    let host = settings.split("docker://").nth(1).expect("a target");
    let host = host.split('/').next().expect("a host");
    let staging = format!(
        "[publish.staging]\ntargets = [\"docker://{host}/staging/{{name}}\", \"s3://sif/staging/{{name}}.sif\"]\n"
    );
    let text = format!("{settings}\n{staging}");
    setup.stage.write("spacktainers.toml", &text);
    let promote = |more: &[&str]| {
        let fixed = [
            "promote",
            "spike",
            "--from",
            "staging",
            "--to",
            "production",
        ];
        let mut command = setup
            .stage
            .command(&[&fixed, more, &["--branch", "main"]].concat());
        setup.bucket.known_to(&mut command);
        command.env("AWS_ENDPOINT_URL_S3", &setup.endpoint);
        Ran::of(command.output().expect("the program runs"))
    };
    promote(&[]).ends(5).says("nothing is promoted");
    let staged = setup.publish(&["--environment", "staging", "--branch", "main"]);
    let staged = staged.ends(0).json();
    setup.faults.passed();
    let receipts = ["--json", "--receipts", "receipts"];
    let promoted = promote(&receipts).ends(0).json();
    assert_eq!(promoted["digest"], staged["digest"]);
    let digest = staged["digest"].as_str().map(str::to_owned);
    assert_eq!(setup.names(), vec![digest; 5]);
    let passed = setup.faults.passed();
    let to_first = |it: &&Passed| it.upstream == setup.registries[0].address;
    let blobs = passed.iter().filter(to_first);
    let blobs = blobs.filter(|it| it.method == "PUT" && it.path.contains("/blobs/"));
    assert_eq!(
        blobs.count(),
        4,
        "within one registry layers are mounted: the config alone is sent, two bills of materials and their empty config"
    );
    let object = promoted["targets"][4].clone();
    assert_eq!(object["sent"], 0, "the bucket copies by itself: {object}");
    assert_eq!(object["tree"], staged["targets"][2]["tree"], "{staged}");
    assert_eq!(
        fs::read_dir(setup.stage.path("receipts"))
            .expect("receipts")
            .count(),
        5
    );
    // Again: nothing is left to do.
    let again = promote(&["--json"]).ends(0).json();
    let targets = again["targets"].as_array().expect("targets");
    assert!(targets.iter().all(|it| it["unchanged"] == true), "{again}");
}

/// A repository of Docker Hub's kind: used where somebody has made it, and from the main branch only.
#[test]
fn established_repositories_are_used_where_they_exist_and_from_the_main_branch() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let stage = Stage::demo();
    let settings = stage.read("spacktainers.toml");
    let targets = format!(
        "[publish.production]\ntargets = [\"oci:image:{{tag}}\"]\n\
         established = [\"docker://{}/hub/{{name}}\"]\n",
        registry.address
    );
    stage.write("spacktainers.toml", &format!("{settings}\n{targets}"));
    let publish = |more: &[&str]| {
        let fixed = ["publish", "--allow-missing-libraries", "--json"];
        stage.run(&[&fixed, more].concat()).ends(0).json()
    };
    let count = |result: &Value| result["targets"].as_array().map(Vec::len);
    assert_eq!(count(&publish(&["--branch", "main"])), Some(1));
    stage
        .build(&format!("docker://{}/hub/spike:first", registry.address))
        .ends(0);
    assert_eq!(count(&publish(&["--branch", "other"])), Some(1));
    assert_eq!(count(&publish(&["--branch", "main"])), Some(3));
}

#[test]
fn a_kill_after_any_request_leaves_whole_releases_and_the_next_run_finishes() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let args = ["--branch", "main", "--replace"];
    let first = setup.publish(&args).ends(0).json();
    let mut old = first["digest"].as_str().map(str::to_owned);
    let mut mixed = 0;
    let mut killed = 0;
    for requests in 1.. {
        setup.change(requests);
        let mut command = setup.command(&args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = setup.faults.run_killed(&mut command, requests);
        let before = setup.faults.passed();
        let seen = setup.names();
        setup.publish(&args).ends(0);
        let after = setup.faults.passed();
        let now = setup.names();
        let new = now[0].clone();
        assert!(now.iter().all(|it| *it == new && it.is_some()), "{now:?}");
        assert_ne!(new, old, "another image");
        // Each name is a whole release, the old or the new one, and they change in their order.
        let changed = seen.iter().take_while(|it| **it == new).count();
        assert!(
            seen[changed..].iter().all(|it| *it == old),
            "after {requests} requests: {seen:?} between {old:?} and {new:?}"
        );
        mixed += usize::from(changed > 0 && changed < seen.len());
        // What arrived is not sent again: neither blobs nor manifests nor names nor the object.
        let arrived: BTreeSet<String> = before
            .iter()
            .filter(|it| it.method == "PUT" && (200..300).contains(&it.status))
            .map(identity)
            .collect();
        // A list of referrers under its fallback tag is another list with every one that is added.
        let is_content = |it: &&Passed| !it.path.contains("/manifests/sha256-");
        let puts = after.iter().filter(|it| it.method == "PUT");
        for put in puts.filter(is_content) {
            let identity = identity(put);
            assert!(
                !arrived.contains(&identity),
                "after {requests} requests {identity} was sent again"
            );
        }
        old = new;
        if ended {
            break;
        }
        killed += 1;
    }
    assert!(killed > 20, "killed {killed} times");
    assert!(mixed >= 4, "killed between names {mixed} times");
}

/// What a PUT brings, and where: a blob by its digest, else what the address names.
fn identity(put: &Passed) -> String {
    let named = put.path.split_once("digest=").map_or(&*put.path, |it| it.1);
    format!("{named} to {}", put.upstream)
}

#[test]
fn a_release_that_was_killed_between_names_can_be_undone() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let args = ["--branch", "main", "--replace"];
    let nothing = setup.publish(&["--branch", "main", "--roll-back"]).ends(4);
    drop(nothing.says("no release to these places was left unfinished"));
    let first = setup.publish(&args).ends(0).json();
    let old = first["digest"].as_str().map(str::to_owned);
    for requests in (10..).step_by(1) {
        setup.change(requests);
        let mut command = setup.command(&args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = setup.faults.run_killed(&mut command, requests);
        assert!(!ended, "it was never killed between names");
        let seen = setup.names();
        if seen[0] == old {
            continue;
        }
        assert_eq!(seen[1..], vec![old.clone(); 4], "one name has changed");
        let undone = setup
            .publish(&["--branch", "main", "--roll-back"])
            .ends(0)
            .json();
        assert_eq!(undone["targets"][0]["state"], "restored", "{undone}");
        assert_eq!(setup.names(), vec![old; 5]);
        return;
    }
}
