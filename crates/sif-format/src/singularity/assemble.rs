//! All that goes over an image and beside it, put together.

use super::definition::given;
use super::existing::{EntryKind, ExistingRoot};
use super::inspect::{self, INSPECT_METADATA_NAME, read_labels};
use super::labels::{self, Labels};
use super::oci_config::OCI_CONFIG_NAME;
use super::root::{Overlay, RootEntry};
use super::{DefinitionParts, OciConfig, SingularityError, apps, base_files};

/// What the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An OCI image: its config gives environment, runscript and labels, and replaces a `/.singularity.d` in it.
    Oci(OciConfig),
    /// A SIF file or a sandbox: its `/.singularity.d` stays, and the definition file adds to it.
    Image,
    /// Something without metadata: packages of a distribution, or nothing.
    Bare,
    /// One of the others over which scripts ran: what [`before_scripts`] says was put into it before, and what the scripts
    /// made of it stays. The config is that of an OCI image.
    Built(Option<OciConfig>),
}

/// What is known of the build and ends up in labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildFacts {
    /// The time that the file gets, Unix seconds.
    pub time: i64,
    /// The architecture, as `GOARCH`.
    pub arch: String,
    /// The variant of the architecture, such as `v8`.
    pub variant: Option<String>,
    /// The version of Apptainer whose behaviour the container has; no label without one.
    pub apptainer_version: Option<String>,
    /// Reference and digest of the image that it was made from.
    pub base: Option<(String, String)>,
    /// Whether the definition file's labels and help replace those of the image.
    pub force: bool,
}

/// Something that the person who builds should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A label of the definition file was left out: the image or the build has it, and `force` is not set.
    LabelKept(String),
    /// The help of the definition file was left out: the image has one, and `force` is not set.
    HelpKept,
}

/// A data object that goes beside the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataObject {
    /// The definition file.
    Definition(String),
    /// A JSON object.
    Json {
        /// Its name.
        name: &'static str,
        /// Its content.
        content: String,
    },
}

impl MetadataObject {
    /// How the object is described in a SIF file.
    #[must_use]
    pub fn new_object(&self) -> crate::sif::NewObject {
        let named = match self {
            Self::Definition(_) => None,
            Self::Json { name, .. } => crate::sif::NewObject::json(name).ok(),
        };
        named.unwrap_or_else(crate::sif::NewObject::definition_file)
    }

    /// The content of the object.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        match self {
            Self::Definition(content) | Self::Json { content, .. } => content.as_bytes(),
        }
    }
}

/// What [`assemble`] has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// What to put over the image, directories before what is in them.
    pub entries: Vec<RootEntry>,
    /// The objects that go in front of the partition, in Apptainer's order.
    pub objects: Vec<MetadataObject>,
    /// What the person who builds should know.
    pub notices: Vec<Notice>,
}

/// Makes all metadata of a container.
///
/// # Errors
/// When a file of the image cannot be read, or when an app has a name that cannot be used.
pub fn assemble(
    source: &Source,
    definition: &DefinitionParts,
    facts: &BuildFacts,
    existing: &dyn ExistingRoot,
) -> Result<Assembled, SingularityError> {
    let mut root = Overlay::over(existing);
    let mut labels = put_base(&mut root, source, definition)?;
    let mut notices = put_help(&mut root, definition, facts.force);

    let added = definition.added_labels.iter();
    labels.extend(added.map(|(key, value)| (key.clone(), value.clone())));
    labels::add_build_labels(&mut labels, facts, definition);
    let kept = labels::add_definition_labels(&mut labels, definition, facts.force);
    notices.extend(kept.into_iter().map(Notice::LabelKept));
    put(&mut root, "labels.json", 0o644, labels::indented(&labels));

    put_definition(&mut root, definition)?;
    put_scripts(&mut root, definition)?;

    // Last: it tells what all of the above has made.
    let metadata = inspect::of_overlay(&root)?;
    let mut objects = vec![
        MetadataObject::Definition(definition.text.clone()),
        MetadataObject::Json {
            name: INSPECT_METADATA_NAME,
            content: metadata,
        },
    ];
    if let Source::Oci(config) | Source::Built(Some(config)) = source
        && let Some(content) = config.object()
    {
        objects.push(MetadataObject::Json {
            name: OCI_CONFIG_NAME,
            content,
        });
    }
    Ok(Assembled {
        entries: root.into_entries(),
        objects,
        notices,
    })
}

/// What scripts find when they run while the image is built (`%setup`, `%post`): the files of every container, what the
/// image's config says, and the apps. The rest comes when they are done: [`assemble`] with [`Source::Built`].
///
/// # Errors
/// As [`assemble`].
pub fn before_scripts(
    source: &Source,
    definition: &DefinitionParts,
    existing: &dyn ExistingRoot,
) -> Result<Vec<RootEntry>, SingularityError> {
    let mut root = Overlay::over(existing);
    let labels = put_base(&mut root, source, definition)?;
    put(&mut root, "labels.json", 0o644, labels::indented(&labels));
    Ok(root.into_entries())
}

/// Puts what does not wait for scripts. Gives the labels of the image.
fn put_base(
    root: &mut Overlay<'_>,
    source: &Source,
    definition: &DefinitionParts,
) -> Result<Labels, SingularityError> {
    let own_labels = |root: &Overlay<'_>| match root.text(".singularity.d/labels.json")? {
        Some(json) => read_labels(&json),
        None => Ok(Labels::new()),
    };
    let labels = match source {
        Source::Built(_) => return own_labels(root),
        Source::Image => {
            base_files::put(root, false);
            own_labels(root)?
        }
        Source::Oci(config) => {
            base_files::put(root, true);
            put(root, "runscript", 0o755, config.runscript());
            put(
                root,
                "env/10-docker2singularity.sh",
                0o755,
                config.environment_script(),
            );
            config.labels.clone()
        }
        Source::Bare => {
            base_files::put(root, true);
            Labels::new()
        }
    };
    apps::put(root, &definition.apps)?;
    Ok(labels)
}

/// Puts a file below `.singularity.d`.
fn put(root: &mut Overlay<'_>, name: &str, mode: u32, content: impl Into<Vec<u8>>) {
    root.put(RootEntry::file(
        &format!(".singularity.d/{name}"),
        mode,
        content,
    ));
}

fn put_help(root: &mut Overlay<'_>, definition: &DefinitionParts, force: bool) -> Vec<Notice> {
    let Some(help) = given(definition.help.as_ref()) else {
        return Vec::new();
    };
    if !force && root.kind(".singularity.d/runscript.help").is_some() {
        return vec![Notice::HelpKept];
    }
    put(root, "runscript.help", 0o644, format!("{help}\n"));
    Vec::new()
}

/// Puts the definition file; one that the image has goes to `bootstrap_history`.
fn put_definition(
    root: &mut Overlay<'_>,
    definition: &DefinitionParts,
) -> Result<(), SingularityError> {
    if root.kind(".singularity.d/Singularity") == Some(EntryKind::File) {
        let before = root.text(".singularity.d/Singularity")?.unwrap_or_default();
        let count = root.names(".singularity.d/bootstrap_history")?.len();
        put(
            root,
            &format!("bootstrap_history/Apptainer{count}"),
            0o644,
            before,
        );
    }
    put(root, "Singularity", 0o644, definition.text.as_bytes());
    Ok(())
}

fn put_scripts(
    root: &mut Overlay<'_>,
    definition: &DefinitionParts,
) -> Result<(), SingularityError> {
    if let Some(text) = given(definition.environment.as_ref()) {
        // An image may have one already: the new one is appended and so wins.
        let before = root.text(".singularity.d/env/90-environment.sh")?;
        let before = before.unwrap_or_else(|| base_files::ENVIRONMENT.to_owned());
        put(
            root,
            "env/90-environment.sh",
            0o755,
            format!("{before}\n{text}\n"),
        );
    }
    let scripts = [
        ("startscript", &definition.startscript),
        ("runscript", &definition.runscript),
        ("test", &definition.test),
    ];
    for (name, script) in scripts {
        if let Some(script) = script.as_ref().filter(|script| !script.text.is_empty()) {
            put(root, name, 0o755, script.file_text());
        }
    }
    Ok(())
}

/// The definition that stands for a pull, with nothing but where the image came from: `docker` and `host/repository:tag`.
#[must_use]
pub fn definition_of_pull(bootstrap: &str, from: &str) -> DefinitionParts {
    let header = [("bootstrap", bootstrap), ("from", from)];
    DefinitionParts {
        text: format!("bootstrap: {bootstrap}\nfrom: {from}\n\n"),
        header: header
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect(),
        ..DefinitionParts::default()
    }
}
