//! `init`: a new project, or one made from a repository of the kind that Spacktainers descends from.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use spacktainers::project::{DefinitionKind, Project, SETTINGS_FILE};
use spacktainers::seed::{self, Conversion, SeedContainer, SeedFiles};

use super::ci;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Turn the repository in this folder (default: the project's) into a project, where it is: settings and pipelines are
    /// written, definitions stay as they are
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub(crate) from_seed: Option<Option<PathBuf>>,
    /// What the repository keeps as a secret and is none: `AWS_ECR_URL=HOST`, `S3_SINGULARITY_BUCKET=NAME`,
    /// `S3_CONTAINER_ROOT=PATH`; may be given several times
    #[arg(long = "value", value_name = "NAME=VALUE", requires = "from_seed")]
    pub(crate) values: Vec<String>,
    /// Write new settings in place of those that are there
    #[arg(long)]
    pub(crate) force: bool,
}

/// No file that is read is longer.
const LONGEST_FILE: u64 = 8 << 20;

/// What begins a project.
const SETTINGS: &str = "\
# The settings of this project. Every key has a default: an empty file is a good beginning.

# Where packages are looked for, in this order. Only what one of the keys has signed goes into an image.
# [[mirror]]
# name = \"cache\"
# url = \"s3://BUCKET/PREFIX\"          # or a folder, https://…, oci://HOST/NAME
# keys = [\"keys/cache.pub\"]
# push = true                         # what is built goes there

# What lies below the packages, and which processors they are for.
# [arch.amd64]
# base = \"debian\"
# target = \"x86_64_v3\"
#
# [base.debian]
# suite = \"bookworm\"

# Where `spacktainers publish` sends images.
# [publish.production]
# targets = [\"docker://HOST/{name}:{version}\"]

# What `spacktainers ci generate` makes pipelines for.
# [ci]
# image = \"HOST/SPACKTAINERS:TAG\"     # what jobs run in
";

/// A definition that is switched off.
const EXAMPLE: &str = "\
# A container: what `spack env create` takes. The folder's name is the container's, and this one begins with `_`, so it is
# switched off. Rename it, and see `spacktainers list`.
spack:
  specs:
  - zlib
";

pub(super) fn run(args: &InitArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.from_seed {
        None => begin(args, context),
        Some(folder) => {
            let folder = folder.as_deref().unwrap_or(&context.project);
            from_seed(args, folder, context)
        }
    }
}

fn begin(args: &InitArgs, context: &Context) -> Result<Exit, Failure> {
    let folder = &context.project;
    free(folder, args)?;
    let mut files = vec![(SETTINGS_FILE.to_owned(), SETTINGS.to_owned())];
    if !folder.join("container_definitions").is_dir() {
        files.push((
            "container_definitions/amd64/_example/spack.yaml".to_owned(),
            EXAMPLE.to_owned(),
        ));
    }
    let written = ci::put_files(folder, &files)?;
    if context.json {
        printer::out(&json!({"event": "result", "files": written}).to_string());
    }
    tell_files(folder, &written, context);
    Ok(Exit::Done)
}

/// Settings that somebody wrote are not written over.
fn free(folder: &Path, args: &InitArgs) -> Result<(), Failure> {
    let settings = folder.join(SETTINGS_FILE);
    if args.force || !settings.exists() {
        return Ok(());
    }
    let why = anyhow::anyhow!("there is a project already: `{}`", settings.display());
    Err(Failure::new(Exit::Usage, why).hint("add --force to write new settings in its place"))
}

fn tell_files(folder: &Path, written: &[serde_json::Value], context: &Context) {
    if context.verbosity > Verbosity::Quiet {
        for file in written.iter().filter_map(|it| it["path"].as_str()) {
            printer::err(&format!("{}: written", folder.join(file).display()));
        }
    }
}

fn from_seed(args: &InitArgs, folder: &Path, context: &Context) -> Result<Exit, Failure> {
    free(folder, args)?;
    let values = values(&args.values)?;
    let project = load(folder)?;
    let enabled = project.definitions.iter().filter(|it| it.enabled);
    let containers: Vec<SeedContainer> = enabled
        .map(|it| SeedContainer {
            name: it.name.clone(),
            architecture: it.architecture.as_str().to_owned(),
            is_deffile: matches!(it.kind, DefinitionKind::Deffile(_)),
        })
        .collect();
    if containers.is_empty() {
        let why = anyhow::anyhow!(
            "`{}` has no containers in `container_definitions/`",
            folder.display()
        );
        return Err(Failure::new(Exit::Usage, why));
    }
    let conversion = seed::convert(&seed::read(&seed_files(folder)?, containers), &values);
    let settings = [(SETTINGS_FILE.to_owned(), conversion.settings.clone())];
    let mut written = ci::put_files(folder, &settings)?;
    let project = load(folder)?;
    for system in &conversion.systems {
        written.extend(ci::put_files(folder, &ci::committed(&project, *system)?)?);
    }
    tell(&conversion, folder, &written, context);
    Ok(Exit::Done)
}

fn load(folder: &Path) -> Result<Project, Failure> {
    Project::load(folder).map_err(|error| Failure::new(Exit::Usage, error))
}

fn values(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => {
            let why = anyhow::anyhow!("`{text}` has no value");
            Err(Failure::new(Exit::Usage, why).hint("write NAME=VALUE"))
        }
    };
    texts.iter().map(pair).collect()
}

/// The files that say what a repository does.
fn seed_files(folder: &Path) -> Result<SeedFiles, Failure> {
    let names = [
        "README.md",
        "spack.yaml",
        ".gitlab-ci.yml",
        "builder/Dockerfile",
        "runtime/Dockerfile",
    ];
    let mut paths: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let workflows = ".github/workflows";
    for entry in fs::read_dir(folder.join(workflows))
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Some(name) = entry.file_name().to_str() {
            paths.push(format!("{workflows}/{name}"));
        }
    }
    let mut files = SeedFiles::new();
    for path in paths {
        let file = folder.join(&path);
        let read =
            fs::metadata(&file).and_then(|it| match it.len() > LONGEST_FILE || !it.is_file() {
                true => Err(io::Error::from(io::ErrorKind::NotFound)),
                false => fs::read_to_string(&file),
            });
        match read {
            Ok(text) => {
                files.insert(path, text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let why =
                    anyhow::Error::new(error).context(format!("cannot read `{}`", file.display()));
                return Err(Failure::new(Exit::Usage, why));
            }
        }
    }
    Ok(files)
}

fn tell(conversion: &Conversion, folder: &Path, written: &[serde_json::Value], context: &Context) {
    if context.json {
        let jobs = conversion.jobs.iter().map(
            |it| json!({"file": it.file, "theirs": it.theirs, "ours": it.ours, "why": it.why}),
        );
        let differences = conversion
            .differences
            .iter()
            .map(|it| json!({"what": it.what, "why": it.why, "open": it.is_open}));
        let document = json!({
            "event": "result",
            "files": written,
            "jobs": jobs.collect::<Vec<_>>(),
            "differences": differences.collect::<Vec<_>>(),
            "replaced": conversion.replaced,
        });
        printer::out(&document.to_string());
    } else {
        printer::out("jobs, and what does the same now:");
        for it in &conversion.jobs {
            let ours = it.ours.as_deref().unwrap_or("nothing");
            printer::out(&format!("  {} → {ours}: {}", it.theirs, it.why));
        }
        printer::out("differences:");
        for it in &conversion.differences {
            let mark = if it.is_open { "to do: " } else { "" };
            printer::out(&format!("  {mark}{}: {}", it.what, it.why));
        }
        if !conversion.replaced.is_empty() {
            printer::out("take these away, or both will run:");
            conversion
                .replaced
                .iter()
                .for_each(|it| printer::out(&format!("  {it}")));
        }
    }
    tell_files(folder, written, context);
}
