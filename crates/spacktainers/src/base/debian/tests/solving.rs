//! Which packages a base has.

use super::*;

#[tokio::test]
async fn required_and_essential_packages_come_with_what_they_depend_on() {
    let packs = [
        pack("shell", "Essential: yes\nPre-Depends: libc (>= 2)\n"),
        pack("zone", "Priority: required\n"),
        pack("apt", "Depends: keyring\n"),
        pack("keyring", "Architecture: all\n"),
        pack("libc", "Version: 2.36-9\n"),
        pack(
            "extra",
            "Depends: awk, missing | present (>= 1.0)\nRecommends: unwanted\n",
        ),
        pack("mawk", "Provides: awk\nPriority: required\n"),
        pack("gawk", "Provides: awk\n"),
        pack("present", ""),
        pack("unwanted", ""),
    ];
    let found = names(&packs, &["extra"]).await.expect("goes together");
    assert_eq!(
        found,
        [
            "apt", "extra", "keyring", "libc", "mawk", "present", "shell", "zone"
        ]
    );
}

#[tokio::test]
async fn variants_say_what_every_base_has() {
    let packs = [
        pack("shell", "Essential: yes\n"),
        pack("apt", ""),
        pack("zone", "Priority: required\n"),
        pack("tool", ""),
    ];
    let archive = Archive::of(&packs);
    for (variant, expected) in [
        (DebianVariant::None, "tool"),
        (DebianVariant::Essential, "shell tool"),
        (DebianVariant::Apt, "apt shell tool"),
        (DebianVariant::Minbase, "apt shell tool zone"),
    ] {
        let mut context = archive.context(&["tool"]);
        context.debian.as_mut().expect("settings").variant = variant;
        let locked = resolve(BaseArchitecture::Amd64, &context)
            .await
            .expect("goes together");
        let names: Vec<&str> = locked
            .packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(names.join(" "), expected);
    }
}

#[tokio::test]
async fn the_newest_version_is_taken_unless_another_is_asked_for() {
    let archive = Archive::of(&[pack("tool", "Version: 1.10\n")]);
    let index = "Package: tool\nVersion: 1.9\nArchitecture: amd64\nFilename: pool/old.deb\nSize: 1\nSHA256: ";
    let index = format!(
        "{index}{0}\n\n{1}{0}\n",
        Digest::of(b"x").hex(),
        index.replace("1.9", "1.10")
    );
    let index = xz(index.as_bytes());
    let digest = Digest::of(&index).hex();
    archive.write("dists/tiny/main/binary-amd64/Packages.xz", &index);
    let release = format!(
        "{RELEASE}SHA256:\n {digest} {} main/binary-amd64/Packages.xz\n",
        index.len()
    );
    archive.write("dists/tiny/InRelease", sign_as_alpha(&release).as_bytes());
    let version = |locked: LockedDebian| locked.packages[0].version.clone();
    assert_eq!(
        version(locked(&archive, &["tool"]).await.expect("there")),
        "1.10"
    );
    assert_eq!(
        version(locked(&archive, &["tool=1.9"]).await.expect("there")),
        "1.9"
    );
    let error = locked(&archive, &["tool=2"]).await.expect_err("not there");
    assert!(
        full_message(&error).contains("the archive has 1.10, 1.9"),
        "{}",
        full_message(&error)
    );
}

#[tokio::test]
async fn a_choice_that_leads_to_a_conflict_is_taken_back() {
    let packs = [
        pack("wanted", "Depends: first | second, third\n"),
        pack("first", "Depends: deep\n"),
        pack("deep", ""),
        pack("second", ""),
        pack("third", "Depends: fourth | nothing\n"),
        pack("fourth", "Conflicts: deep\n"),
    ];
    let found = names(&packs, &["wanted"]).await.expect("there is a way");
    assert_eq!(found, ["fourth", "second", "third", "wanted"]);
}

#[tokio::test]
async fn what_does_not_go_together_is_said_with_the_chain_to_it() {
    let message = async |packs: &[Pack], packages: &[&str]| {
        full_message(&names(packs, packages).await.expect_err("impossible"))
    };
    let packs = [
        pack("a", "Depends: b\n"),
        pack("b", "Depends: c (>= 2)\n"),
        pack("c", "Breaks: d (<< 3)\n"),
        pack("d", "Version: 2\n"),
    ];
    let text = message(&packs, &["a"]).await;
    assert!(
        text.contains("a → b needs `c (>= 2)`, but there is c 1.0-1"),
        "{text}"
    );
    let text = message(&packs, &["c", "d"]).await;
    assert!(
        text.contains("c conflicts with d: it says `d (<< 3)`"),
        "{text}"
    );
    let text = message(&[pack("python3", "")], &["pyton3"]).await;
    assert!(
        text.contains("no package `pyton3` in the archive; did you mean python3?"),
        "{text}"
    );
    assert!(
        message(&packs, &["a:arm64"])
            .await
            .contains("write `name` or `name=version`")
    );
}
