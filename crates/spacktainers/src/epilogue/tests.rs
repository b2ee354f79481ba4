//! Texts into instructions, and instructions into images.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use oci_format::config::ImageConfig;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{TarReader, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use oci_format::{Descriptor, Digest, ImageManifest, Platform, media_type};

use super::*;
use crate::assemble::SourceDateEpoch;
use crate::base::BaseArchitecture;
use crate::content::Content;
use crate::event::Silent;
use crate::image::{Image, LayerContent, RecordedLayer};
use crate::local_cache::LocalCache;
use crate::sandbox::Machine;
use crate::source::LoadedLayer;

fn faults(text: &str) -> Vec<(String, String)> {
    let faults = Epilogue::parse(text).expect_err("is wrong");
    let shown = faults
        .into_iter()
        .map(|it| (text[it.place].to_owned(), it.message));
    shown.collect()
}

fn instructions(text: &str) -> Vec<Instruction> {
    let epilogue = Epilogue::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"));
    epilogue
        .steps
        .into_iter()
        .map(|it| it.instruction)
        .collect()
}

fn shell(text: &str) -> Command {
    Command::Shell(text.to_owned())
}

#[test]
fn the_seeds_own_epilogue_is_one_command() {
    let text = "RUN apt-get update \\\n    && apt-get install -y gcc g++ make \\\n    && rm -rf /var/lib/apt/lists/*\n";
    let expected =
        "apt-get update     && apt-get install -y gcc g++ make     && rm -rf /var/lib/apt/lists/*";
    assert_eq!(instructions(text), [Instruction::Run(shell(expected))]);
}

#[test]
fn lines_go_on_over_comments_and_documents_are_kept() {
    let text = "# syntax=docker/dockerfile:1\n\nrun echo a \\\n# a comment\n\n  b\nRUN <<EOF\necho one\necho $two\nEOF\nRUN cat <<-'A' <<B > /x\n\tone\n\tA\ntwo\nB\ncmd [\"a\", \"b\"]\nENTRYPOINT [a, b]\n";
    let expected = [
        Instruction::Run(shell("echo a   b")),
        Instruction::Run(shell("echo one\necho $two\n")),
        Instruction::Run(shell("cat <<-'A' <<B > /x\none\nA\ntwo\nB\n")),
        Instruction::Cmd(Command::Exec(vec!["a".into(), "b".into()])),
        Instruction::Entrypoint(shell("[a, b]")),
    ];
    assert_eq!(instructions(text), expected);
}

#[test]
fn faults_have_their_place_and_are_told_at_once() {
    let text = "FROM debian\nCPY a b\nRUN --mount=type=cache,target=/x make\nCOPY --from=x a b\nENV A=1 B\nCOPY only\nLABEL \"a=b\nEXPOSE\nRUN <<EOF\necho\n";
    let expected = [
        ("FROM", "no FROM"),
        ("CPY", "no instruction `CPY`"),
        ("--mount=type=cache,target=/x", "BuildKit's"),
        ("--from=x", "one stage"),
        ("B", "not NAME=value"),
        ("only", "a source and a destination"),
        ("\"", "not closed"),
        ("EXPOSE", "needs an argument"),
        ("<<EOF", "does not end"),
    ];
    let found = faults(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((place, message), (at, words)) in found.iter().zip(expected) {
        assert_eq!(place, at);
        assert!(
            message.contains(words),
            "{message:?} should speak of {words}"
        );
    }
    // The place is right behind a continuation, too.
    assert_eq!(
        faults("COPY --chown=1 \\\n  --nonsense a b")[0].0,
        "--nonsense"
    );
}

#[test]
fn words_are_those_of_a_shell() {
    let value = |name: &str| match name {
        "A" => Some("a".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (word, expected) in [
        ("$A-$B-${A}b", "a--ab"),
        ("'$A'", "$A"),
        ("\"$A b\"", "a b"),
        ("\\$A", "$A"),
        ("\"\\$A \\n \\\"\"", "$A \\n \""),
        ("${B:-x$A}", "xa"),
        ("${EMPTY:-x}${EMPTY-y}", "x"),
        ("${A:+set}${B:+unset}", "set"),
        ("${A:-${B:-c}}", "a"),
        ("$", "$"),
        ("a'b c'd", "ab cd"),
    ] {
        assert_eq!(
            words::expand(word, &value).as_deref(),
            Ok(expected),
            "{word}"
        );
    }
    for word in ["${A", "${}", "${A%x}", "${B:?must be}", "'a"] {
        assert!(words::expand(word, &value).is_err(), "{word}");
    }
}

/// A folder to copy from, an image of one layer, and a cache.
struct Stage {
    folder: tempfile::TempDir,
    cache: LocalCache,
    image: Image,
    below: Vec<LoadedLayer>,
}

const CREATED: u64 = 1_700_000_000;

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = LocalCache::open(folder.path().join("cache")).unwrap();
        let mut tar = TarWriter::new(Vec::new());
        let passwd = b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n";
        let group = b"root:x:0:\nstaff:x:50:\n";
        for entry in [
            Entry::directory("etc", 0o755, 0),
            Entry::directory("usr", 0o755, 0),
            Entry::directory("usr/lib", 0o755, 0),
            Entry::symlink("lib", "usr/lib", 0),
            Entry::symlink("srv", "/var/../usr/lib", 0),
        ] {
            tar.append_bytes(&entry, b"").unwrap();
        }
        for (name, bytes) in [("etc/passwd", &passwd[..]), ("etc/group", &group[..])] {
            let entry = Entry::file(name, 0o644, 0, bytes.len() as u64);
            tar.append_bytes(&entry, bytes).unwrap();
        }
        let bytes = tar.finish().unwrap();
        let digest = Digest::of(&bytes);
        let content = Content::Memory(bytes.into());
        let below = vec![LoadedLayer {
            diff_id: digest,
            digest: Some(digest),
            content: content.clone(),
        }];
        let layer = RecordedLayer {
            descriptor: Descriptor::new(media_type::LAYER_TAR, digest, content.len()),
            diff_id: digest,
            content: LayerContent::Here(content),
            origins: Vec::new(),
            title: "base".to_owned(),
        };
        let platform = Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            variant: None,
        };
        let mut config = ImageConfig::new(&platform);
        config.config.env = vec!["PATH=/usr/bin".to_owned()];
        config.config.cmd = Some(vec!["sh".to_owned()]);
        config.rootfs.diff_ids = vec![digest];
        let config = config.to_json();
        let config_descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
        let manifest =
            ImageManifest::new(config_descriptor.clone(), vec![layer.descriptor.clone()]);
        let manifest = manifest.to_json();
        let image = Image {
            config,
            config_descriptor,
            manifest_descriptor: Descriptor::of(media_type::IMAGE_MANIFEST, &manifest),
            manifest,
            layers: vec![layer],
        };
        let stage = Self {
            folder,
            cache,
            image,
            below,
        };
        fs::create_dir(stage.context()).unwrap();
        stage
    }

    fn context(&self) -> std::path::PathBuf {
        self.folder.path().join("definition")
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn try_apply(&self, text: &str) -> Result<Image, EpilogueError> {
        let epilogue = Epilogue::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"));
        let context = self.context();
        let context = EpilogueContext {
            folder: &context,
            architecture: BaseArchitecture::Amd64,
            cache: &self.cache,
            created: SourceDateEpoch(CREATED),
            machine: &Machine::new(&[], false),
            reporter: Arc::new(Silent),
        };
        apply(&self.image, &self.below, &epilogue, &context)
    }

    fn apply(&self, text: &str) -> (Image, ImageConfig) {
        let image = self.try_apply(text).unwrap();
        let config = ImageConfig::parse(&image.config).unwrap();
        assert_eq!(config.rootfs.diff_ids.len(), image.layers.len());
        let added = config.history.iter().filter(|it| !it.empty_layer).count();
        assert_eq!(added + 1, image.layers.len());
        (image, config)
    }
}

/// The members of a layer: name, mode, owner, and what they hold.
fn members(layer: &RecordedLayer) -> Vec<(String, u32, (u64, u64), String)> {
    let LayerContent::Here(content) = &layer.content else {
        panic!("is here");
    };
    let mut tar = TarReader::new(Decoder::new(content.open(0).unwrap(), 1 << 30).unwrap());
    let mut found = Vec::new();
    while let Some(mut member) = tar.next_member().unwrap() {
        let entry = member.entry.clone();
        let mut text = String::new();
        member.read_to_string(&mut text).unwrap();
        if let EntryKind::Symlink(target) = &entry.kind {
            text = format!("-> {}", String::from_utf8_lossy(target));
        }
        if entry.kind == EntryKind::Directory {
            text = "/".to_owned();
        }
        assert_eq!(entry.mtime, CREATED);
        let name = String::from_utf8(entry.path).unwrap();
        found.push((name, entry.mode, (entry.uid, entry.gid), text));
    }
    found
}

fn names(layer: &RecordedLayer) -> Vec<String> {
    members(layer).into_iter().map(|it| it.0).collect()
}

#[test]
fn metadata_is_set_without_a_layer() {
    let stage = Stage::new();
    let text = "ARG VERSION=1.0 TARGETARCH\nENV A=\"x y\" B=${VERSION} PATH=/opt/bin:$PATH\nENV C some $A\n\
        LABEL org.opencontainers.image.vendor='us' arch=$TARGETARCH\nUSER web\nEXPOSE 80 8000-8001/udp\nVOLUME /data\n\
        SHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT exec it\nSTOPSIGNAL SIGINT\n";
    let (image, config) = stage.apply(text);
    assert_eq!(image.layers.len(), 1);
    let config = config.config;
    assert_eq!(
        config.env,
        ["PATH=/opt/bin:/usr/bin", "A=x y", "B=1.0", "C=some x y"]
    );
    assert_eq!(config.labels["arch"], "amd64");
    assert_eq!(config.user.as_deref(), Some("web"));
    let ports: Vec<&String> = config.exposed_ports.keys().collect();
    assert_eq!(ports, ["80/tcp", "8000/udp", "8001/udp"]);
    assert!(config.volumes.contains_key("/data"));
    let expected = ["/bin/bash", "-c", "exec it"].map(str::to_owned);
    assert_eq!(config.entrypoint.as_deref(), Some(&expected[..]));
    assert_eq!(
        config.cmd, None,
        "the base's command is not for this program"
    );
    let manifest = ImageManifest::parse(&image.manifest).unwrap();
    assert_eq!(
        manifest.annotations["org.opencontainers.image.vendor"],
        "us"
    );
    let (_, kept) = stage.apply("CMD [\"run\"]\nENTRYPOINT [\"x\"]\n");
    assert_eq!(kept.config.cmd, Some(vec!["run".to_owned()]));
}

#[test]
fn files_go_where_docker_puts_them() {
    let stage = Stage::new();
    stage.write("files/run.sh", "#!/bin/sh\n", 0o755);
    stage.write("files/deep/data.txt", "data", 0o640);
    symlink("run.sh", stage.context().join("files/link")).unwrap();
    let (image, config) = stage.apply(
        "WORKDIR /job\nCOPY files/run.sh tool\nCOPY files /opt/app\nCOPY files/*.sh /lib/\n\
         COPY --chown=web:staff --chmod=600 files/deep/data.txt /srv/\nCOPY files/run.sh /lib\n",
    );
    let layers = &image.layers[1..];
    assert_eq!(config.config.working_dir.as_deref(), Some("/job"));
    assert_eq!(names(&layers[0]), ["job"]);
    assert_eq!(names(&layers[1]), ["job/tool"]);
    let root = (0, 0);
    let expected = [
        ("opt", 0o755, root, "/"),
        ("opt/app", 0o755, root, "/"),
        ("opt/app/deep", 0o755, root, "/"),
        ("opt/app/deep/data.txt", 0o640, root, "data"),
        ("opt/app/link", 0o777, root, "-> run.sh"),
        ("opt/app/run.sh", 0o755, root, "#!/bin/sh\n"),
    ];
    let found = members(&layers[2]);
    let found: Vec<_> = found
        .iter()
        .map(|(name, mode, owner, text)| (name.as_str(), *mode, *owner, text.as_str()))
        .collect();
    assert_eq!(found, expected);
    // Links of the image are followed: /lib is /usr/lib.
    assert_eq!(names(&layers[3]), ["usr/lib/run.sh"]);
    let owned = (
        "usr/lib/data.txt".to_owned(),
        0o600,
        (33, 50),
        "data".to_owned(),
    );
    assert_eq!(members(&layers[4]), [owned]);
    assert_eq!(
        names(&layers[5]),
        ["usr/lib/run.sh"],
        "into a folder that is there"
    );
    let (again, _) = stage.apply("COPY files /opt/app\n");
    let (same, _) = stage.apply("COPY files /opt/app\n");
    assert_eq!(again.manifest, same.manifest);
}

#[test]
fn add_unpacks_archives() {
    let stage = Stage::new();
    let mut tar = TarWriter::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    tar.append_bytes(&Entry::directory("bin", 0o755, CREATED), b"")
        .unwrap();
    tar.append_bytes(&Entry::file("bin/a", 0o755, CREATED, 1), b"a")
        .unwrap();
    let bytes = tar.finish().unwrap().finish().unwrap();
    fs::write(stage.context().join("a.tar.gz"), bytes).unwrap();
    stage.write("plain.gz", "no gzip at all", 0o644);
    let (image, _) = stage.apply("ADD a.tar.gz plain.gz /opt/\nCOPY a.tar.gz /\n");
    let expected = ["opt", "opt/bin", "opt/bin/a", "opt/plain.gz"];
    assert_eq!(names(&image.layers[1]), expected);
    let LayerContent::Here(_) = &image.layers[2].content else {
        panic!("is here");
    };
}

#[test]
fn what_cannot_be_copied_is_told() {
    let stage = Stage::new();
    stage.write("a", "a", 0o644);
    stage.write("b", "b", 0o644);
    symlink("/etc/passwd", stage.context().join("out")).unwrap();
    let told = |text: &str| stage.try_apply(text).unwrap_err().to_string();
    assert_eq!(told("COPY none /x"), "there is no `none` to be copied");
    assert!(told("COPY ../cache /x").contains("outside"));
    assert!(told("COPY out /x").contains("outside"));
    assert!(told("COPY a b /x").contains("end it with `/`"));
    assert!(told("COPY --chown=nobody a /x").contains("no user `nobody`"));
    assert!(told("RUN make").contains("there is no bubblewrap"));
    assert!(told("USER web\nRUN make").contains("put USER behind it"));
    assert!(told("ENV A=\"${B:?must be set}\"").contains("must be set"));
}

#[test]
fn the_digest_follows_what_is_copied() {
    let stage = Stage::new();
    let digest = |text: &str| {
        let epilogue = Epilogue::parse(text).unwrap();
        files_digest(&epilogue, &stage.context()).unwrap()
    };
    stage.write("files/a", "a", 0o644);
    assert_eq!(digest("ENV A=b"), None);
    let before = digest("COPY files /x");
    assert_eq!(digest("COPY files /x"), before);
    stage.write("elsewhere", "x", 0o644);
    assert_eq!(digest("COPY files /x"), before);
    let of_all = digest("ARG F=files\nCOPY $F /x");
    stage.write("elsewhere", "y", 0o644);
    assert_ne!(digest("ARG F=files\nCOPY $F /x"), of_all);
    stage.write("files/a", "a", 0o755);
    let mode = digest("COPY files /x");
    assert_ne!(mode, before);
    stage.write("files/a", "b", 0o755);
    assert_ne!(digest("COPY files /x"), mode);
    let missing = files_digest(
        &Epilogue::parse("COPY none /x").unwrap(),
        Path::new(&stage.context()),
    );
    assert!(missing.is_err());
}

#[test]
fn here_documents_become_files() {
    let stage = Stage::new();
    stage.write("plain", "copied", 0o600);
    let text = "ENV A=filled\nCOPY <<EOF /etc/one\n'$A' \"${B:-else}\" \\$A\nEOF\n\
        COPY --chmod=755 --chown=7 plain <<-'two' <<three /opt/\n\tas $A is\ntwo\nthird\nthree\n";
    let (image, _) = stage.apply(text);
    let one = ("etc/one", 0o644, (0, 0), "'filled' \"else\" $A\n");
    let of = |layer: &RecordedLayer| -> Vec<(String, u32, (u64, u64), String)> {
        let files = members(layer).into_iter().filter(|it| it.3 != "/");
        files.collect()
    };
    assert_eq!(
        of(&image.layers[1]),
        [(one.0.to_owned(), one.1, one.2, one.3.to_owned())]
    );
    let expected = [
        ("opt/plain", "copied"),
        ("opt/two", "as $A is\n"),
        ("opt/three", "third\n"),
    ];
    let expected = expected.map(|(name, text)| (name.to_owned(), 0o755, (7, 7), text.to_owned()));
    assert_eq!(of(&image.layers[2]), expected);

    let error = stage
        .try_apply("COPY <<a <<b /opt/file\na\nb\n")
        .unwrap_err();
    assert!(matches!(error, EpilogueError::NotAFolder { .. }), "{error}");
}
