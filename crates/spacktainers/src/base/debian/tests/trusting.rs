//! Archives, and whose word counts.

use super::*;

#[tokio::test]
async fn an_archive_without_a_trusted_signature_is_refused() {
    let archive = Archive::of(&[pack("a", "")]);
    let mut context = archive.context(&["a"]);
    context.debian.as_mut().expect("settings").keyring = Some(archive.path("other.pub"));
    let error = resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect_err("unknown key");
    assert!(crate::base::BaseError::from(error).is_verification());

    let signed = std::fs::read_to_string(archive.path("dists/tiny/InRelease")).expect("readable");
    archive.write(
        "dists/tiny/InRelease",
        signed
            .replace("Codename: tiny", "Codename: tiny\nX: y")
            .as_bytes(),
    );
    let error = locked(&archive, &["a"]).await.expect_err("changed");
    assert!(
        full_message(&error).contains("changed after signing"),
        "{}",
        full_message(&error)
    );

    archive.write("dists/tiny/InRelease", RELEASE.as_bytes());
    let error = locked(&archive, &["a"]).await.expect_err("not signed");
    assert!(crate::base::BaseError::from(error).is_verification());
}

#[tokio::test]
async fn an_index_or_package_with_another_checksum_is_refused() {
    let archive = Archive::of(&[pack("a", "")]);
    let locked = locked(&archive, &["a"]).await.expect("good");
    archive.write("pool/a.deb", &pack("a", "Section: other\n").deb());
    let error = make(&locked, &archive.context(&["a"]))
        .await
        .expect_err("another file");
    assert!(crate::base::BaseError::from(error).is_verification());

    let archive = Archive::of(&[pack("a", "")]);
    let folder = archive.path("dists/tiny/main/binary-amd64/by-hash/SHA256");
    let index = std::fs::read_dir(&folder)
        .expect("there")
        .next()
        .expect("one")
        .expect("readable")
        .path();
    let mut bytes = std::fs::read(&index).expect("readable");
    bytes[20] ^= 1;
    std::fs::write(&index, bytes).expect("writable");
    let error = super::tests::locked(&archive, &["a"])
        .await
        .expect_err("damaged");
    assert!(crate::base::BaseError::from(error).is_verification());
}

#[tokio::test]
async fn the_release_of_another_suite_is_refused() {
    let archive = Archive::with_release(&[pack("a", "")], &RELEASE.replace("tiny", "other"));
    let error = locked(&archive, &["a"]).await.expect_err("another suite");
    assert!(
        full_message(&error).contains("is about `other (stable)`, not `tiny`"),
        "{}",
        full_message(&error)
    );
}

#[tokio::test]
async fn a_release_past_its_date_is_a_warning_or_an_error_as_the_settings_say() {
    use std::sync::{Arc, Mutex};
    struct Collect(Mutex<Vec<String>>);
    impl crate::event::Reporter for Collect {
        fn event(&self, event: Event) {
            if let Event::Warning(text) = event {
                self.0.lock().expect("one thread").push(text);
            }
        }
    }
    let release = format!("{RELEASE}Valid-Until: Sat, 18 Jul 2020 10:16:37 UTC\n");
    let archive = Archive::with_release(&[pack("a", "")], &release);
    let collected = Arc::new(Collect(Mutex::default()));
    let mut context = archive.context(&["a"]);
    context.reporter = collected.clone();
    resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect("only a warning");
    let warnings = collected.0.lock().expect("one thread").join("\n");
    assert!(
        warnings.contains("was valid until Sat, 18 Jul 2020"),
        "{warnings}"
    );
    context.debian.as_mut().expect("settings").check_valid_until = ValidUntil::Strict;
    let error = resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect_err("strict");
    assert!(crate::base::BaseError::from(error).is_verification());
    context.now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_595_000_000);
    resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect("not past its date then");
}

#[tokio::test]
async fn without_mirror_the_machines_own_apt_is_asked_and_offline_what_was_seen_counts() {
    let archive = Archive::of(&[pack("a", "")]);
    let mut context = archive.context(&["a"]);
    context.debian.as_mut().expect("settings").mirror = None;
    let error = resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect_err("no mirror at all");
    assert!(
        full_message(&error).contains("set `mirror` in [base.debian]"),
        "{}",
        full_message(&error)
    );
    let uri = format!("file://{}", archive.folder.path().display());
    archive.write(
        "no-apt/sources.list.d/own.sources",
        format!("Types: deb\nURIs: {uri}\nSuites: tiny\nComponents: main\n").as_bytes(),
    );
    let online = resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect("the machine's");
    assert!(
        online.apt_sources.is_empty(),
        "the machine's mirror does not get into the image"
    );
    context.offline = true;
    std::fs::remove_file(archive.path("dists/tiny/InRelease")).expect("there");
    assert_eq!(
        resolve(BaseArchitecture::Amd64, &context)
            .await
            .expect("remembered"),
        online
    );
}
