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

mod solving;
mod trusting;
mod unpacking;

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
                    .all(|(entry, _)| entry.path != path.as_bytes()[..at])
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
