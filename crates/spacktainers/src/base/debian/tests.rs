//! Bases of packages made here: a small archive with a signed `InRelease`, built for each test.

use std::path::Path;
use std::time::{Duration, SystemTime};

use oci_format::Digest;
use oci_format::layer::tar::TarReader;
use oci_format::layer::{Entry, EntryKind};

use super::*;
use crate::base::context::BaseContext;
use crate::content::Content;
use crate::event::Silent;
use crate::local_cache::LocalCache;
use crate::test_support::sign_as_alpha;

const KEY: &[u8] = include_bytes!("../../../tests/data/openpgp/alpha.pub");
const OTHER_KEY: &[u8] = include_bytes!("../../../tests/data/openpgp/beta.pub");

/// A package to be: control fields beyond the usual, scripts, files.
#[derive(Clone, Default)]
struct Pack {
    name: &'static str,
    fields: &'static str,
    control: Vec<(&'static str, &'static str)>,
    files: Vec<(&'static str, &'static str)>,
}

fn tar(files: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (entry, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_mtime(entry.mtime);
        header.set_size(entry.size);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("./{}", String::from_utf8_lossy(&entry.path));
        match &entry.kind {
            EntryKind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                builder
                    .append_data(&mut header, path + "/", &[][..])
                    .expect("memory");
            }
            EntryKind::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                let target = String::from_utf8_lossy(target).into_owned();
                builder
                    .append_link(&mut header, path, target)
                    .expect("memory");
            }
            EntryKind::CharacterDevice(..) => {
                header.set_entry_type(tar::EntryType::Char);
                header.set_device_major(1).expect("ustar");
                header.set_device_minor(3).expect("ustar");
                builder
                    .append_data(&mut header, path, &[][..])
                    .expect("memory");
            }
            _ => builder
                .append_data(&mut header, path, *content)
                .expect("memory"),
        }
    }
    builder.into_inner().expect("memory")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in members {
        out.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                100_644,
                content.len()
            )
            .bytes(),
        );
        out.extend(content);
        if content.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

const MTIME: u64 = 1_700_000_000;

impl Pack {
    fn control_text(&self) -> String {
        let mut text = format!("Package: {}\n", self.name);
        for (name, default) in [
            ("Version", "1.0-1"),
            ("Architecture", "amd64"),
            ("Maintainer", "Nobody"),
        ] {
            if !self.fields.contains(&format!("{name}: ")) {
                text.push_str(&format!("{name}: {default}\n"));
            }
        }
        text + self.fields + "Description: a package\n of two lines\n"
    }

    fn deb(&self) -> Vec<u8> {
        let text = self.control_text();
        let mut control = vec![(
            Entry::file("control", 0o644, MTIME, text.len() as u64),
            text.as_bytes(),
        )];
        for (name, content) in &self.control {
            let mode = if name.contains("inst") { 0o755 } else { 0o644 };
            control.push((
                Entry::file(*name, mode, MTIME, content.len() as u64),
                content.as_bytes(),
            ));
        }
        let mut data: Vec<(Entry, &[u8])> = Vec::new();
        for (path, content) in &self.files {
            for (at, _) in path.match_indices('/') {
                if data
                    .iter()
                    .all(|(entry, _)| entry.path != path[..at].as_bytes())
                {
                    data.push((Entry::directory(&path[..at], 0o755, MTIME), b""));
                }
            }
            data.push(match content.strip_prefix("-> ") {
                Some(target) => (Entry::symlink(*path, target, MTIME), &b""[..]),
                None if *content == "device" => {
                    let kind = EntryKind::CharacterDevice(1, 3);
                    (
                        Entry {
                            kind,
                            ..Entry::file(*path, 0o666, MTIME, 0)
                        },
                        b"",
                    )
                }
                None => (
                    Entry::file(*path, 0o755, MTIME, content.len() as u64),
                    content.as_bytes(),
                ),
            });
        }
        ar(&[
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.xz", xz(&tar(&control))),
            ("data.tar.xz", xz(&tar(&data))),
        ])
    }
}

/// An archive on the disk, of one suite.
struct Archive {
    folder: tempfile::TempDir,
}

const RELEASE: &str = "Origin: Debian\nSuite: stable\nCodename: tiny\nComponents: main\nArchitectures: amd64\n\
    Acquire-By-Hash: yes\n";

impl Archive {
    fn of(packs: &[Pack]) -> Self {
        Self::with_release(packs, RELEASE)
    }

    fn with_release(packs: &[Pack], release: &str) -> Self {
        let archive = Self {
            folder: tempfile::tempdir().expect("a directory"),
        };
        let mut index = String::new();
        for pack in packs {
            let deb = pack.deb();
            let path = format!("pool/{}.deb", pack.name);
            archive.write(&path, &deb);
            let digest = Digest::of(&deb).hex();
            index.push_str(&pack.control_text());
            index.push_str(&format!(
                "Filename: {path}\nSize: {}\nSHA256: {digest}\n\n",
                deb.len()
            ));
        }
        let index = xz(index.as_bytes());
        let digest = Digest::of(&index).hex();
        let folder = "dists/tiny/main/binary-amd64";
        archive.write(&format!("{folder}/by-hash/SHA256/{digest}"), &index);
        let release = format!(
            "{release}SHA256:\n {digest} {} main/binary-amd64/Packages.xz\n",
            index.len()
        );
        archive.write("dists/tiny/InRelease", sign_as_alpha(&release).as_bytes());
        archive.write("keys.pub", KEY);
        archive.write("other.pub", OTHER_KEY);
        archive
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("writable");
        std::fs::write(path, bytes).expect("writable");
    }

    fn context(&self, packages: &[&str]) -> BaseContext {
        let cache = LocalCache::open(self.path("cache")).expect("a cache");
        let jobs = std::num::NonZeroUsize::new(2).expect("not 0");
        let mut context =
            BaseContext::new(cache, std::sync::Arc::new(Silent), jobs, SystemTime::now());
        let mut settings = DebianSettings::new("tiny");
        settings.mirror = Some(format!("file://{}", self.folder.path().display()));
        settings.keyring = Some(self.path("keys.pub"));
        settings.packages = packages.iter().map(|&name| name.to_owned()).collect();
        context.apt_directory = self.path("no-apt");
        context.debian = Some(settings);
        context
    }
}

async fn locked(archive: &Archive, packages: &[&str]) -> Result<LockedDebian, DebianError> {
    resolve(BaseArchitecture::Amd64, &archive.context(packages)).await
}

async fn names(packs: &[Pack], packages: &[&str]) -> Result<Vec<String>, DebianError> {
    let locked = locked(&Archive::of(packs), packages).await?;
    Ok(locked
        .packages
        .into_iter()
        .map(|package| package.name)
        .collect())
}

fn pack(name: &'static str, fields: &'static str) -> Pack {
    Pack {
        name,
        fields,
        ..Pack::default()
    }
}

fn full_message(error: &DebianError) -> String {
    crate::base::one_line(error)
}

struct Made {
    entries: Vec<(Entry, Vec<u8>)>,
    warnings: Vec<String>,
    layer: LockedLayer,
}

impl Made {
    async fn of(packs: &[Pack]) -> Result<Self, DebianError> {
        let archive = Archive::of(packs);
        let names: Vec<&str> = packs.iter().map(|pack| pack.name).collect();
        let context = archive.context(&names);
        let locked = resolve(BaseArchitecture::Amd64, &context).await?;
        let (recorded, layer, warnings) = make(&locked, &context).await?;
        let LayerContent::Here(Content::File { path, .. }) = &recorded.content else {
            panic!("a file")
        };
        let file = std::fs::File::open(path).expect("readable");
        let mut reader = TarReader::new(flate2::read::MultiGzDecoder::new(file));
        let mut entries = Vec::new();
        while let Some(mut member) = reader.next_member().expect("a strict tar") {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut member, &mut bytes).expect("readable");
            entries.push((member.entry.clone(), bytes));
        }
        Ok(Self {
            entries,
            warnings,
            layer,
        })
    }

    fn find(&self, path: &str) -> Option<&(Entry, Vec<u8>)> {
        let mut found = self
            .entries
            .iter()
            .filter(|(entry, _)| entry.path == path.as_bytes());
        let first = found.next();
        assert!(found.next().is_none(), "`{path}` is there twice");
        first
    }

    fn text(&self, path: &str) -> &str {
        let (_, bytes) = self.find(path).unwrap_or_else(|| panic!("no `{path}`"));
        std::str::from_utf8(bytes).expect("text")
    }

    fn link(&self, path: &str) -> &str {
        match &self
            .find(path)
            .unwrap_or_else(|| panic!("no `{path}`"))
            .0
            .kind
        {
            EntryKind::Symlink(target) => std::str::from_utf8(target).expect("text"),
            other => panic!("`{path}` is {other:?}"),
        }
    }
}

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

#[tokio::test]
async fn packages_make_one_tree_with_merged_usr_and_dpkgs_records() {
    let packs = [
        Pack {
            name: "tool",
            fields: "Depends: lib\nMulti-Arch: foreign\n",
            control: vec![
                ("conffiles", "/etc/tool.conf\n"),
                ("md5sums", "abc  bin/tool\n"),
                (
                    "postinst",
                    "#!/bin/sh\nset -e\nupdate-alternatives --install /usr/bin/do do /bin/tool 5\n",
                ),
                (
                    "triggers",
                    "interest-noawait /usr/share/tool\ninterest named\n",
                ),
            ],
            files: vec![
                ("bin/tool", "#!/bin/sh\n"),
                ("etc/tool.conf", "a=1\n"),
                ("usr/share/tool/x", "x"),
            ],
        },
        Pack {
            name: "lib",
            fields: "Multi-Arch: same\n",
            control: vec![],
            files: vec![
                ("lib/x86_64/libx.so.1", "-> libx.so.1.0"),
                ("lib/x86_64/libx.so.1.0", "elf"),
                ("lib64/ld.so", "-> /lib/x86_64/libx.so.1"),
            ],
        },
    ];
    let made = Made::of(&packs).await.expect("a layer");
    assert_eq!(made.text("usr/bin/tool"), "#!/bin/sh\n");
    assert_eq!(
        (made.link("bin"), made.link("lib"), made.link("lib64")),
        ("usr/bin", "usr/lib", "usr/lib64")
    );
    assert!(made.find("bin/tool").is_none() && made.find("lib32").is_none());
    assert_eq!(made.link("usr/lib/x86_64/libx.so.1"), "libx.so.1.0");
    assert_eq!(
        (made.link("usr/bin/do"), made.link("etc/alternatives/do")),
        ("/etc/alternatives/do", "/bin/tool")
    );
    assert_eq!(
        made.text("var/lib/dpkg/alternatives/do"),
        "auto\n/usr/bin/do\n\n/bin/tool\n5\n\n"
    );

    let status = made.text("var/lib/dpkg/status");
    let paragraphs: Vec<&str> = status.trim_end().split("\n\n").collect();
    assert_eq!(paragraphs.len(), 2);
    assert!(
        paragraphs[0].starts_with("Package: lib\nStatus: install ok installed\n"),
        "{status}"
    );
    // md5sum of "a=1\n"
    assert!(
        paragraphs[1].contains("\nConffiles:\n /etc/tool.conf d5e29449b9e66d5b4bb0d6ce48fbbcb1\n"),
        "{status}"
    );
    assert!(paragraphs[1].ends_with("Description: a package\n of two lines"));
    assert_eq!(
        made.text("var/lib/dpkg/info/tool.list"),
        "/bin\n/bin/tool\n/etc\n/etc/tool.conf\n/usr\n/usr/share\n/usr/share/tool\n/usr/share/tool/x\n"
    );
    assert!(made.find("var/lib/dpkg/info/lib:amd64.list").is_some());
    assert_eq!(
        made.find("var/lib/dpkg/info/tool.postinst")
            .expect("kept")
            .0
            .mode,
        0o755
    );
    assert_eq!(
        made.text("var/lib/dpkg/triggers/File"),
        "/usr/share/tool tool/noawait\n"
    );
    assert_eq!(made.text("var/lib/dpkg/triggers/named"), "tool\n");
    assert_eq!(made.text("var/lib/dpkg/info/format"), "1\n");
    assert!(made.text("etc/passwd").starts_with("root:*:0:0:"));
    assert!(
        made.entries.iter().all(|(entry, _)| entry.mtime == MTIME),
        "no other times than the packages'"
    );
    assert_eq!(made.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_packages_make_the_same_bytes_whatever_the_threads() {
    let packs: Vec<Pack> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| Pack {
            name,
            files: vec![("usr/share/common", "-> x")],
            fields: "Replaces: a, b, c, d\n",
            ..Pack::default()
        })
        .collect();
    let one = Made::of(&packs).await.expect("a layer");
    let archive = Archive::of(&packs);
    let mut context = archive.context(&["d", "c", "b", "a"]);
    context.jobs = std::num::NonZeroUsize::new(7).expect("not 0");
    let locked = resolve(BaseArchitecture::Amd64, &context)
        .await
        .expect("goes together");
    let (_, layer, _) = make(&locked, &context).await.expect("a layer");
    assert_eq!(layer, one.layer);

    // A lock that says otherwise is refused.
    let mut other = locked.clone();
    other.layer = Some(LockedLayer {
        diff_id: Digest::of(b"other"),
        ..layer
    });
    let error = make(&other, &context).await.expect_err("not that layer");
    assert!(matches!(error, DebianError::Different { .. }));
}

#[tokio::test]
async fn who_replaces_files_wins_and_who_does_not_is_named() {
    let both = |fields| {
        [
            Pack {
                name: "a",
                files: vec![("usr/share/f", "old")],
                ..Pack::default()
            },
            Pack {
                name: "b",
                fields,
                files: vec![("usr/share/f", "new")],
                ..Pack::default()
            },
        ]
    };
    let made = Made::of(&both("Replaces: a (<< 2)\n"))
        .await
        .expect("a layer");
    assert_eq!((made.text("usr/share/f"), made.warnings.len()), ("new", 0));
    let made = Made::of(&both("Replaces: a (<< 1)\n"))
        .await
        .expect("a layer");
    assert_eq!(made.text("usr/share/f"), "old");
    assert_eq!(
        made.warnings,
        ["`/usr/share/f` is in packages a and b: kept that of a"]
    );
}

#[tokio::test]
async fn links_among_folders_are_followed_and_circles_refused() {
    let packs = [
        Pack {
            name: "a",
            files: vec![("usr/share/doc/b", "-> a"), ("usr/share/doc/a/x", "x")],
            ..Pack::default()
        },
        Pack {
            name: "b",
            files: vec![("usr/share/doc/b/y", "y")],
            ..Pack::default()
        },
    ];
    let made = Made::of(&packs).await.expect("a layer");
    assert_eq!(made.text("usr/share/doc/a/y"), "y");
    assert!(made.find("usr/share/doc/b/y").is_none());
    let circle = [
        Pack {
            name: "a",
            files: vec![("usr/one", "-> two"), ("usr/two", "-> one")],
            ..Pack::default()
        },
        Pack {
            name: "b",
            files: vec![("usr/one/y", "y")],
            ..Pack::default()
        },
    ];
    let error = Made::of(&circle).await.err().expect("a circle");
    assert!(
        full_message(&error).contains("circle of symbolic links"),
        "{}",
        full_message(&error)
    );
}

#[tokio::test]
async fn devices_and_kinds_that_contradict_each_other_are_refused() {
    let device = [Pack {
        name: "a",
        files: vec![("usr/null", "device")],
        ..Pack::default()
    }];
    let error = Made::of(&device).await.err().expect("a device");
    assert!(
        full_message(&error).contains("package `a` has a device, `usr/null`"),
        "{}",
        full_message(&error)
    );
    let contradiction = [
        Pack {
            name: "a",
            files: vec![("usr/x/y", "file")],
            ..Pack::default()
        },
        Pack {
            name: "b",
            files: vec![("usr/x", "file")],
            ..Pack::default()
        },
    ];
    let error = Made::of(&contradiction)
        .await
        .err()
        .expect("a contradiction");
    assert!(
        full_message(&error).contains("`usr/x` as a file, and package `a`"),
        "{}",
        full_message(&error)
    );
}

#[tokio::test]
async fn a_script_that_is_not_known_is_named_once() {
    let script = "#!/bin/sh\nadduser --system odd\n";
    let packs = [
        Pack {
            name: "odd",
            control: vec![("postinst", script)],
            ..Pack::default()
        },
        Pack {
            name: "plain",
            control: vec![("postinst", "#!/bin/sh\nset -e\nexit 0\n")],
            ..Pack::default()
        },
    ];
    let made = Made::of(&packs).await.expect("a layer");
    let [warning] = made.warnings.as_slice() else {
        panic!("{:?}", made.warnings)
    };
    assert!(
        warning.contains("odd") && !warning.contains("plain"),
        "{warning}"
    );
}

#[tokio::test]
async fn damaged_package_files_are_refused_by_name() {
    for (deb, expected) in [
        (
            b"nonsense that is no archive".to_vec(),
            "does not begin as an `ar` archive",
        ),
        (
            ar(&[("debian-binary", b"3.0\n".to_vec())]),
            "only 2.x is known",
        ),
        (
            ar(&[
                ("debian-binary", b"2.0\n".to_vec()),
                ("control.tar", Vec::new()),
            ]),
            "lacks control.tar or data.tar",
        ),
        (pack("a", "").deb()[..200].to_vec(), "cut off"),
    ] {
        let content = Content::Memory(deb.into());
        let locked = LockedDebian {
            origin: "debian".into(),
            suite: "tiny".into(),
            architecture: "amd64".into(),
            apt_sources: vec![],
            layer: None,
            packages: vec![LockedPackage {
                name: "a".into(),
                version: "1".into(),
                architecture: "amd64".into(),
                suite: "tiny".into(),
                filename: "a.deb".into(),
                size: content.len(),
                sha256: String::new(),
            }],
        };
        let folder = tempfile::tempdir().expect("a directory");
        let cache = LocalCache::open(folder.path()).expect("a cache");
        let error = unpack::make_layer(&locked, &[content], &cache, 1, &|_| {})
            .err()
            .expect("damaged");
        let text = crate::base::one_line(&error);
        assert!(
            text.contains("package `a` cannot be unpacked") && text.contains(expected),
            "{text}"
        );
    }
}
