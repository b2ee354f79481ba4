//! Which mirror has a package, in which layout, and whom to believe.

use super::super::*;
use super::made::*;
use crate::content::Content;
use crate::mirror::Mirror;
use crate::test_support::http_server::{Fault, HttpServer};
use crate::test_support::sign_as_alpha;
use spack_format::build_cache::v3;

#[tokio::test]
async fn mirrors_are_asked_in_order_and_layout_3_before_2() {
    let (bench, specs) = (Bench::new(), specs());
    let (first, second) = (bench.folder.path().join("1"), bench.folder.path().join("2"));
    let mut objects = Objects::default();
    objects.add_v2(named(&specs, "alpha"), b"old", 2);
    objects
        .add_v2(named(&specs, "beta"), b"old", 2)
        .add_v3(named(&specs, "beta"), b"new");
    objects.into_folder(&first);
    let mut objects = Objects::default();
    for name in ["alpha", "gamma"] {
        objects.add_v3(named(&specs, name), b"newest");
    }
    objects.into_folder(&second);
    let mirrors = [
        at_folder(&first, signed_by(ALPHA_PUB)).await,
        at_folder(&second, signed_by(ALPHA_PUB)).await,
    ];
    let mut seen = Vec::new();
    for name in ["alpha", "beta", "gamma"] {
        let entry = the_entry(&mirrors, name, &bench).await;
        seen.push((entry.mirror, entry.layout, entry.tarball.size));
    }
    let expected = [
        (0, Layout::V2(2), 3),
        (0, Layout::V3, 3),
        (1, Layout::V3, 6),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_entry_says_what_it_is() {
    let (bench, specs) = (Bench::new(), specs());
    let folder = bench.folder.path().join("mirror");
    let mut objects = Objects::default();
    objects.add_v3(named(&specs, "alpha"), b"tarball");
    objects.into_folder(&folder);
    let mirrors = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    assert_eq!(entry.package, "alpha@1.0 /aaaaaaa");
    assert_eq!(entry.tarball.digest, oci_format::Digest::of(b"tarball"));
    let fingerprint = "341DDE1A0845DFB9EA90AC1411E09B00BC327572".to_owned();
    let reservations = Vec::new();
    assert_eq!(
        entry.signature,
        SignatureState::Signed {
            fingerprint,
            reservations
        }
    );
    assert_eq!(
        entry.path(),
        Some(&folder.join(blob_key(b"tarball"))),
        "in place"
    );
}

#[tokio::test]
async fn what_no_mirror_has_is_a_value_that_names_the_mirrors() {
    let (bench, specs) = (Bench::new(), specs());
    let server = HttpServer::start().await;
    let elsewhere = HttpServer::start().await;
    let mirrors = [
        at_folder(bench.folder.path(), signed_by(ALPHA_PUB)).await,
        at_server(&server, signed_by(ALPHA_PUB), false).await,
        at_server(&elsewhere, signed_by(ALPHA_PUB), true).await,
    ];
    let wanted: Vec<_> = specs.iter().collect();
    let found = find_all(&mirrors, wanted, &specs, &bench.context()).await;
    assert_eq!(found.len(), 3);
    for result in found {
        let Ok(Found::Nowhere(missing)) = result else {
            panic!("{result:?}")
        };
        assert_eq!(
            missing.asked,
            [mirrors[0].url.clone(), mirrors[1].url.clone()]
        );
        assert_eq!(missing.offline, [mirrors[2].url.clone()]);
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_mirror_that_fails_is_an_error_even_if_the_next_one_would_do() {
    let (bench, specs) = (Bench::new(), specs());
    let server = HttpServer::start().await;
    let folder = bench.folder.path().join("mirror");
    let mut objects = Objects::default();
    objects.add_v3(named(&specs, "alpha"), b"tarball");
    objects.into_folder(&folder);
    let mirrors = [
        at_server(&server, signed_by(ALPHA_PUB), false).await,
        at_folder(&folder, signed_by(ALPHA_PUB)).await,
    ];
    server.next(vec![Fault::Status(500); 10]);
    let error = the_fault(&mirrors, "alpha", &bench).await;
    assert_eq!(
        error.kind(),
        FailureKind::Mirror,
        "{error}: {}",
        error.reason
    );
    assert_eq!(error.mirror, mirrors[0].url);
}

#[tokio::test]
async fn a_store_that_lets_nobody_list_refuses_what_is_absent() {
    let (bench, specs) = (Bench::new(), specs());
    let server = HttpServer::start().await;
    let denied = Fault::Page(403, "<Error><Code>AccessDenied</Code></Error>");
    let mirrors = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    server.next(vec![denied.clone(); 9]);
    let error = the_fault(&mirrors, "alpha", &bench).await;
    assert_eq!(
        error.kind(),
        FailureKind::Mirror,
        "we may read nothing at all"
    );
    // A fresh look, now that there is something that can be read.
    let mirrors = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    server.put("v3/layout.json", b"{}");
    server.deny_what_is_absent();
    server.next([]);
    let found = find(&mirrors, named(&specs, "alpha"), &specs, &bench.context()).await;
    assert!(matches!(found, Ok(Found::Nowhere(_))), "{found:?}");
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_entries_are_refused_unless_the_mirror_may_have_them() {
    let specs = specs();
    let alpha = named(&specs, "alpha");
    let key = v3::spec_manifest_path(alpha);
    let mut signed = Objects::default();
    signed.add_v3(alpha, b"tarball");
    let text = String::from_utf8(signed.0[&key].clone()).expect("UTF-8");
    let payload = crate::openpgp::unverified_text(&text).expect("signed");
    let mut plain = signed.clone();
    plain.0.insert(key.clone(), payload.into_bytes());
    let mut changed = signed.clone();
    changed.0.insert(
        key.clone(),
        text.replace("\"contentLength\":7", "\"contentLength\":8")
            .into(),
    );
    for (name, objects) in [
        ("signed", &signed),
        ("plain", &plain),
        ("changed", &changed),
    ] {
        let bench = Bench::new();
        let folder = bench.folder.path().join("mirror");
        objects.clone().into_folder(&folder);
        let strict = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
        let stranger = [at_folder(&folder, signed_by(BETA_PUB)).await];
        let lenient = [at_folder(&folder, unsigned()).await];
        let error = the_fault(&stranger, "alpha", &bench).await;
        assert_eq!(
            error.kind(),
            FailureKind::Verification,
            "{name}: {}",
            error.reason
        );
        match name {
            "signed" => drop(the_entry(&strict, "alpha", &bench).await),
            "plain" => {
                let error = the_fault(&strict, "alpha", &bench).await;
                assert!(
                    matches!(error.reason, FindFault::Unsigned { .. }),
                    "{}",
                    error.reason
                );
            }
            _ => {
                let error = the_fault(&strict, "alpha", &bench).await;
                assert!(
                    matches!(error.reason, FindFault::Signature { .. }),
                    "{}",
                    error.reason
                );
            }
        }
        let state = the_entry(&lenient, "alpha", &bench).await.signature;
        let expected = if name == "plain" {
            SignatureState::Unsigned
        } else {
            SignatureState::Unknown
        };
        assert_eq!(state, expected, "{name}");
    }
}

#[tokio::test]
async fn a_signed_manifest_under_another_packages_name_is_refused() {
    let (bench, specs) = (Bench::new(), specs());
    let (alpha, beta) = (named(&specs, "alpha"), named(&specs, "beta"));
    let folder = bench.folder.path().join("mirror");
    let mut objects = Objects::default();
    objects.add_v3(alpha, b"tarball");
    let renamed = objects.0[&v3::spec_manifest_path(alpha)].clone();
    objects.0.insert(v3::spec_manifest_path(beta), renamed);
    objects.into_folder(&folder);
    let mirrors = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
    let error = the_fault(&mirrors, "beta", &bench).await;
    assert!(
        matches!(error.reason, FindFault::Renamed { .. }),
        "{}",
        error.reason
    );
    assert_eq!(error.kind(), FailureKind::Verification);
    // The old layout likewise.
    let folder = bench.folder.path().join("old");
    let mut objects = Objects::default();
    objects.add_v2(alpha, b"tarball", 2);
    let renamed = objects.0[&v2_paths(alpha).signed_spec].clone();
    objects.0.insert(v2_paths(beta).signed_spec, renamed);
    objects.into_folder(&folder);
    let error = the_fault(
        &[at_folder(&folder, signed_by(ALPHA_PUB)).await],
        "beta",
        &bench,
    )
    .await;
    assert!(
        matches!(error.reason, FindFault::Renamed { .. }),
        "{}",
        error.reason
    );
}

#[tokio::test]
async fn a_spec_blob_that_is_not_the_signed_one_is_refused() {
    let specs = specs();
    let alpha = named(&specs, "alpha");
    let mut right = Objects::default();
    right.add_v3(alpha, b"tarball");
    let spec_key = right
        .0
        .keys()
        .find(|key| key.starts_with("blobs/") && **key != blob_key(b"tarball"));
    let spec_key = spec_key.expect("the spec blob").clone();
    let spoil = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut objects = right.clone();
        change(objects.0.get_mut(&spec_key).expect("there"));
        objects
    };
    for objects in [
        spoil(&|blob| blob.truncate(20)),
        spoil(&|blob| blob.push(0)),
        spoil(&|blob| blob[20] ^= 1),
    ] {
        let bench = Bench::new();
        let folder = bench.folder.path().join("mirror");
        objects.into_folder(&folder);
        let mirrors = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
        let error = the_fault(&mirrors, "alpha", &bench).await;
        assert_eq!(error.kind(), FailureKind::Verification, "{}", error.reason);
    }
}

#[tokio::test]
async fn what_is_signed_and_makes_no_sense_is_refused() {
    let (bench, specs) = (Bench::new(), specs());
    let alpha = named(&specs, "alpha");
    let bomb = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..80 {
            std::io::Write::write_all(&mut gzip, &[b' '; 1 << 20]).expect("memory");
        }
        gzip.finish().expect("memory")
    };
    for (number, (manifest, blob)) in [
        ("{}".to_owned(), vec![]),
        ("{\"version\":4,\"data\":[]}".to_owned(), vec![]),
        ("{\"version\":3,\"data\":[]}".to_owned(), vec![]),
        (manifest(b"tarball", b"not gzip"), b"not gzip".to_vec()),
        (manifest(b"tarball", &[0xff; 9]), vec![0xff; 9]),
        (
            manifest(b"tarball", b"\x1f\x8bbroken"),
            b"\x1f\x8bbroken".to_vec(),
        ),
        (manifest(b"tarball", &bomb), bomb),
        (
            manifest(b"tarball", b"{}").replace("\"gzip\"", "\"rar\""),
            b"{}".to_vec(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = bench.folder.path().join(number.to_string());
        let mut objects = Objects::default();
        objects.0.insert(
            v3::spec_manifest_path(alpha),
            sign_as_alpha(&manifest).into_bytes(),
        );
        objects.0.insert(blob_key(&blob), blob);
        objects.into_folder(&folder);
        let mirrors = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
        let error = the_fault(&mirrors, "alpha", &bench).await;
        assert_eq!(
            error.kind(),
            FailureKind::Verification,
            "{number}: {}",
            error.reason
        );
    }
}

#[tokio::test]
async fn half_an_entry_is_no_entry_and_a_warning() {
    let (bench, specs) = (Bench::new(), specs());
    let folder = bench.folder.path().join("mirror");
    let mut objects = Objects::default();
    objects
        .add_v3(named(&specs, "alpha"), b"a")
        .add_v2(named(&specs, "beta"), b"b", 2);
    objects
        .0
        .retain(|key, _| !key.starts_with("blobs/") && !key.ends_with(".spack"));
    objects.into_folder(&folder);
    let mirrors = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
    for name in ["alpha", "beta"] {
        let found = find(&mirrors, named(&specs, name), &specs, &bench.context()).await;
        assert!(matches!(found, Ok(Found::Nowhere(_))), "{found:?}");
        assert_eq!(bench.told.warnings().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn an_archive_within_an_archive_is_read_in_place_or_taken_out() {
    let (bench, specs) = (Bench::new(), specs());
    let alpha = named(&specs, "alpha");
    let tarball = tarball(100_000);
    let mut objects = Objects::default();
    objects.add_v2(alpha, &tarball, 0);
    let server = HttpServer::start().await;
    objects.onto(&server);
    let folder = bench.folder.path().join("mirror");
    objects.into_folder(&folder);
    let here = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
    let there = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    for mirrors in [here, there] {
        let entry = the_entry(&mirrors, "alpha", &bench).await;
        assert_eq!(entry.layout, Layout::V2(0));
        let fetched = fetch_all(&mirrors, [&entry], &bench.context())
            .await
            .remove(0);
        let content = fetched.expect("fetched").content;
        assert_eq!(bytes(&content), tarball);
        assert!(matches!(content, Content::File { .. }));
    }
    // Archives that are none.
    let paths = v2_paths(alpha);
    for stored in [&b""[..], &[0; 1024], &[1; 5000]] {
        let (bench, server) = (Bench::new(), HttpServer::start().await);
        let mut objects = Objects::default();
        objects.add_v2(alpha, &tarball, 0);
        objects.0.insert(paths.tarball.clone(), stored.to_vec());
        objects.onto(&server);
        let folder = bench.folder.path().join("mirror");
        objects.into_folder(&folder);
        let here = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
        let there = [at_server(&server, signed_by(ALPHA_PUB), false).await];
        for mirrors in [here, there] {
            let error = the_fault(&mirrors, "alpha", &bench).await;
            assert_eq!(error.kind(), FailureKind::Verification, "{}", error.reason);
        }
    }
}

#[tokio::test]
async fn without_a_network_what_was_seen_before_is_found_again_and_judged_again() {
    let (bench, specs) = (Bench::new(), specs());
    let server = HttpServer::start().await;
    let mut objects = Objects::default();
    objects.add_v3(named(&specs, "alpha"), b"alpha's tarball");
    objects.add_v2(named(&specs, "beta"), b"beta's tarball", 2);
    objects.onto(&server);
    let online = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    for name in ["alpha", "beta"] {
        let entry = the_entry(&online, name, &bench).await;
        fetch_all(&online, [&entry], &bench.context())
            .await
            .remove(0)
            .expect("fetched");
    }
    server.next([]);
    let offline = [at_server(&server, signed_by(ALPHA_PUB), true).await];
    for name in ["alpha", "beta"] {
        let entry = the_entry(&offline, name, &bench).await;
        let fetched = fetch_all(&offline, [&entry], &bench.context())
            .await
            .remove(0);
        assert_eq!(
            bytes(&fetched.expect("cached").content),
            format!("{name}'s tarball").as_bytes()
        );
    }
    let gamma = find(&offline, named(&specs, "gamma"), &specs, &bench.context()).await;
    assert!(matches!(gamma, Ok(Found::Nowhere(_))), "{gamma:?}");
    let other_key = [at_server(&server, signed_by(BETA_PUB), true).await];
    let error = the_fault(&other_key, "alpha", &bench).await;
    assert_eq!(error.kind(), FailureKind::Verification, "{}", error.reason);
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_mirror_cannot_be_asked_for_what_is_not_a_key() {
    let folder = crate::mirror::FileMirror::new("/srv/mirror");
    assert_eq!(folder.local_path("../x"), None);
}
