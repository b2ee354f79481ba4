//! What people type as references, and what they are told.

use proptest::prelude::*;

use super::*;

fn full(text: &str) -> String {
    text.parse::<Reference>()
        .map_or_else(|error| error.to_string(), |found| found.to_string())
}

#[test]
fn short_names_are_spoken_out_as_docker_does() {
    assert_eq!(full("debian"), "docker.io/library/debian");
    assert_eq!(full("debian:12"), "docker.io/library/debian:12");
    assert_eq!(full("spack/ubuntu:v1"), "docker.io/spack/ubuntu:v1");
    assert_eq!(full("docker.io/debian"), "docker.io/library/debian");
    assert_eq!(
        full("index.docker.io/library/debian"),
        "docker.io/library/debian"
    );
    assert_eq!(full("localhost/a"), "localhost/a");
    assert_eq!(full("localhost:5000/a:b"), "localhost:5000/a:b");
    assert_eq!(full("ghcr.io/o/r/n:t"), "ghcr.io/o/r/n:t");
    assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a");
    assert_eq!(full("HOST/a"), "HOST/a");
}

#[test]
fn a_port_is_not_a_tag_and_a_tag_is_not_a_port() {
    let reference: Reference = "127.0.0.1:5017/repo".parse().expect("port");
    assert_eq!(
        (reference.registry(), reference.tag()),
        ("127.0.0.1:5017", None)
    );
    let reference: Reference = "repo:5017".parse().expect("tag");
    assert_eq!(
        (reference.repository(), reference.tag()),
        ("library/repo", Some("5017"))
    );
}

#[test]
fn tag_and_digest_may_stand_together_and_the_digest_decides() {
    let digest = Digest::of(b"x");
    let reference: Reference = format!("h.io/a:t@{digest}").parse().expect("both");
    assert_eq!(
        (reference.tag(), reference.digest()),
        (Some("t"), Some(&digest))
    );
    let reference: Reference = format!("h.io/a@{digest}").parse().expect("digest");
    assert_eq!(reference.effective_tag(), None);
    let reference: Reference = "h.io/a".parse().expect("neither");
    assert_eq!(reference.effective_tag(), Some("latest"));
}

#[test]
fn faults_are_named_with_their_place() {
    let faults = [
        ("", "a repository name is missing, at character 1"),
        ("ghcr.io/", "a repository name is missing, at character 9"),
        (
            "ghcr.io/Foo",
            "repository names are lower case, at character 9",
        ),
        ("a//b", "a letter or digit must stand here, at character 3"),
        ("a/", "a letter or digit must stand here, at character 3"),
        ("a-", "a letter or digit must stand here, at character 3"),
        ("-a", "a letter or digit must stand here, at character 1"),
        (
            "a..b",
            "`.` cannot stand here in a repository name, at character 3",
        ),
        (
            "a___b",
            "`_` cannot stand here in a repository name, at character 4",
        ),
        (
            "a._b",
            "`_` cannot stand here in a repository name, at character 3",
        ),
        (
            "a b",
            "` ` cannot stand here in a repository name, at character 2",
        ),
        (
            "ä",
            "`ä` cannot stand here in a repository name, at character 1",
        ),
        ("a:", "a tag is missing after `:`, at character 3"),
        ("a:-b", "`-` cannot stand here in a tag, at character 3"),
        ("a:b:c", "`:` cannot stand here in a tag, at character 4"),
        (
            "host:0/a",
            "the port is not a number between 1 and 65535, at character 6",
        ),
        (
            "host:99999/a",
            "the port is not a number between 1 and 65535, at character 6",
        ),
        (
            "a_b.c/d",
            "`_` cannot stand here in a host name, at character 2",
        ),
        (".c/d", "the host name is not complete, at character 1"),
        ("[::g]/a", "the host name is not complete, at character 2"),
    ];
    for (text, expected) in faults {
        assert_eq!(
            full(text),
            format!("`{text}` is not an image reference: {expected}")
        );
    }
    assert!(
        full("a@sha512:00").contains("only sha256"),
        "{}",
        full("a@sha512:00")
    );
    assert!(full(&format!("a:{}", "t".repeat(129))).contains("longer than 128"));
    assert!(full(&"a".repeat(256)).contains("longer than 255"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused_with_a_place_inside_it(text in "[a-zA-Z0-9:/@._\\[\\]ä -]{0,40}") {
        match text.parse::<Reference>() {
            Ok(reference) => {
                let again: Reference = reference.to_string().parse().expect("spoken-out form");
                prop_assert_eq!(again, reference);
            }
            Err(error) => {
                prop_assert!(error.at <= text.len());
                prop_assert!(error.column() >= 1);
            }
        }
    }
}
