//! Amazon's registry: its API is moto's, and in its place stands a registry that wants the token which that API gives.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bucket, Ran, Registry, Stage, has};

/// What moto's API gives for a password.
const TOKEN: &str = "123456789012-auth-token";

struct Setup {
    stage: Stage,
    registry: Registry,
    aws: Bucket,
}

impl Setup {
    fn new(ecr: &str) -> Option<Self> {
        let registry = Registry::start_like_ecr()?;
        let aws = Bucket::start("none")?;
        let stage = Stage::demo();
        let settings = stage.read("spacktainers.toml");
        let host = &registry.address;
        let more = format!(
            "[ecr]\nhosts = [\"{host}\"]\n{ecr}\n\
             [publish.production]\ntargets = [\"docker://{host}/spacktainers/{{name}}\"]\n"
        );
        stage.write("spacktainers.toml", &format!("{settings}\n{more}"));
        Some(Self {
            stage,
            registry,
            aws,
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command(args);
        self.aws.known_to(&mut command);
        command
            .env("HOME", self.stage.path("home"))
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("REGISTRY_AUTH_FILE")
            .env_remove("DOCKER_CONFIG")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.aws.address()));
        command
    }

    /// Runs the program, which tells the token to nobody.
    fn run(&self, args: &[&str]) -> Ran {
        let ran = Ran::of(self.command(args).output().expect("the program runs"));
        assert!(!ran.stderr.contains(TOKEN), "{}", ran.stderr);
        ran
    }

    fn publish(&self) -> Ran {
        let fixed = ["publish", "--allow-missing-libraries", "--json", "-v"];
        let ran = self.run(&[&fixed[..], &["--branch", "main"]].concat());
        assert!(!ran.stdout.contains(TOKEN), "{}", ran.stdout);
        ran
    }

    /// Asks ECR's API.
    fn api(&self, operation: &str, input: &Value) -> Value {
        let body = input.to_string();
        let address = self.aws.address();
        let mut stream = TcpStream::connect(address).expect("connects");
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.{operation}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=x\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("asks");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let body = answer.split_once("\r\n\r\n").map_or("", |it| it.1);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

#[test]
fn repositories_are_made_and_tokens_are_fetched_without_a_program_of_aws() {
    let Some(setup) = Setup::new("create = true\nscan_on_push = true\ntags = { team = \"hpc\" }")
    else {
        return;
    };
    let made = setup.publish().ends(0);
    let note = format!(
        "made the repository {}/spacktainers/spike",
        setup.registry.address
    );
    assert!(made.stdout.contains(&note), "{}", made.stdout);
    let named = json!({"repositoryNames": ["spacktainers/spike"]});
    let described = setup.api("DescribeRepositories", &named);
    let repository = &described["repositories"][0];
    assert_eq!(repository["imageTagMutability"], "MUTABLE", "{described}");
    assert_eq!(repository["imageScanningConfiguration"]["scanOnPush"], true);
    let arn = json!({"resourceArn": repository["repositoryArn"]});
    let tags = setup.api("ListTagsForResource", &arn);
    assert_eq!(tags["tags"][0], json!({"Key": "team", "Value": "hpc"}));

    // It is there now; a policy that would delete what is attached to images is told.
    let policy = json!({"rules": [{
        "rulePriority": 7,
        "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1},
        "action": {"type": "expire"},
    }]});
    let input =
        json!({"repositoryName": "spacktainers/spike", "lifecyclePolicyText": policy.to_string()});
    setup.api("PutLifecyclePolicy", &input);
    let text = setup.stage.read(setup.stage.definition());
    setup
        .stage
        .write(setup.stage.definition(), &format!("{text}\n# changed\n"));
    let fixed = [
        "publish",
        "--allow-missing-libraries",
        "--json",
        "--replace",
    ];
    let again = setup
        .run(&[&fixed[..], &["--branch", "main"]].concat())
        .ends(0);
    assert!(!again.stdout.contains(&note));
    assert!(
        again
            .stdout
            .contains("lifecycle rule 7 deletes untagged images"),
        "{}",
        again.stdout
    );
}

#[test]
fn without_credentials_nothing_is_published() {
    let Some(setup) = Setup::new("") else {
        return;
    };
    let mut command = setup.command(&["publish", "--allow-missing-libraries", "--branch", "main"]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = Ran::of(command.output().expect("the program runs"));
    drop(ran.ends(4).says("there are no credentials for it"));
}

#[test]
fn a_login_is_for_the_programs_that_pull() {
    let Some(setup) = Setup::new("") else {
        return;
    };
    setup.publish().ends(0);
    let host = &*setup.registry.address;
    let shown = setup.run(&["login", host, "--password-stdout"]).ends(0);
    assert_eq!(shown.stdout.trim(), TOKEN);
    let file = setup.stage.path("auth.json");
    let file = file.to_str().expect("text");
    let written = setup
        .run(&["login", "--auth-file", file, "--json"])
        .ends(0)
        .json();
    assert_eq!(written["registries"][0]["user"], "AWS");
    assert_eq!(written["registries"][0]["registry"], host);
    assert!(fs::read_to_string(file).expect("a file").contains(host));
    setup
        .run(&["login", "nobody.example"])
        .ends(4)
        .says("no credentials");

    let ways = setup.run(&["pull-command", "spike", "--for", "podman", "--json"]);
    let ways = ways.ends(0).json();
    assert_eq!(
        ways["ways"][1]["commands"],
        json!([format!("podman pull {host}/spacktainers/spike:latest")])
    );
    if !has("skopeo") {
        return;
    }
    let image = format!("docker://{host}/spacktainers/spike:latest");
    let read = Command::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--authfile", file, &image])
        .output();
    Ran::of(read.expect("skopeo runs")).ends(0);
}

#[test]
fn what_to_type_is_printed_for_each_program() {
    let stage = Stage::demo();
    let settings = stage.read("spacktainers.toml");
    let host = "130659266700.dkr.ecr.us-east-1.amazonaws.com";
    let more = format!(
        "[publish.production]\ntargets = [\"docker://{host}/spacktainers/{{name}}\", \
         \"docker://ghcr.io/bluebrain/spack-{{name}}:{{version}}\", \"s3://sif/{{name}}__{{tag}}.sif\"]\n"
    );
    stage.write("spacktainers.toml", &format!("{settings}\n{more}"));
    let typed = stage.run(&["pull-command", "spike"]).ends(0).stdout;
    let expected = format!(
        "\
# docker://{host}/spacktainers/spike:1.0.0
spacktainers login {host}
apptainer pull spike.sif docker://{host}/spacktainers/spike:1.0.0
# docker://{host}/spacktainers/spike:latest
spacktainers login {host}
apptainer pull spike.sif docker://{host}/spacktainers/spike:latest
# docker://ghcr.io/bluebrain/spack-spike:1.0.0
apptainer pull spike.sif docker://ghcr.io/bluebrain/spack-spike:1.0.0
# s3://sif/spike__1.0.0.sif
spacktainers pull spike --environment production --output spike.sif
"
    );
    assert_eq!(typed, expected);
    let sarus = stage
        .run(&["pull-command", "spike", "--for", "sarus"])
        .ends(0)
        .stdout;
    assert!(
        sarus.contains("| sarus pull --login -u AWS --password-stdin"),
        "{sarus}"
    );
    assert!(!sarus.contains("s3://"));
}
