//! `sif`: from images to SIF files, and into them.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use oci_format::Digest;
use serde_json::{Value, json};
use sif_format::deffile::{BuildArguments, BuildPlan, Deffile};
use sif_format::squashfs::Compression;
use spacktainers::deffile::{self, DeffileError, Prepared, Scripts};
use spacktainers::diagnostic::{Diagnostic, Sources};
use spacktainers::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use spacktainers::openpgp::SecretKey;
use spacktainers::project::{Settings, deffile_diagnostic};
use spacktainers::publish::remove_stale;
use spacktainers::sif::inspect::{self, SifOpenError};
use spacktainers::sif::signing::{self, SigningError};
use spacktainers::sif::{SifInput, SifSummary, SifWriteError, SquashfsOptions, write_sif};
use spacktainers::source::{self, ImageSource, LoadedImage, SourceError};
use spacktainers::unpack::unpack_file;

use super::session::{Session, machine, public_keys};
use super::{architecture, block_on};
use crate::args::{ScriptHow, SifArgs, SifCommand, SifCompression, SifHow, SifMakeArgs};
use crate::context::{Context, Failure};
use crate::diagnostics;
use crate::exit::Exit;
use crate::printer::{self, bytes};

pub(super) fn run(args: &SifArgs, context: &Context) -> Result<Exit, Failure> {
    match (&args.command, &args.make) {
        (Some(SifCommand::Inspect { file }), _) => show(file, context),
        (Some(SifCommand::Dump { file, id, output }), _) => dump(file, *id, output.as_deref()),
        (Some(SifCommand::Unpack { file, folder }), _) => unpack(file, folder, context),
        (Some(SifCommand::Verify { file, keys }), _) => verify(file, keys, context),
        (Some(SifCommand::Sign { file, key }), _) => sign(file, key, context),
        (None, Some(make)) => self::make(make, args, context),
        (None, None) => Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("say what to make a SIF file from"),
        )
        .hint("`spacktainers sif SOURCE -o FILE.sif`; see `spacktainers sif --help`")),
    }
}

// --- making -------------------------------------------------------------------------------------------------

/// How file systems are written, as the arguments say.
pub(super) fn options(args: &SifHow, context: &Context) -> Result<SquashfsOptions, Failure> {
    let level = |most: u8, default: u8| match args.level {
        None => Ok(default),
        Some(level) if (1..=most).contains(&level) => Ok(level),
        Some(level) => Err(
            Failure::new(Exit::Usage, anyhow::anyhow!("there is no level {level}"))
                .hint(format!("levels go from 1 to {most}")),
        ),
    };
    let compression = match args.compression {
        SifCompression::Gzip => Compression::Gzip {
            level: level(12, 9)?,
        },
        SifCompression::Zstd => Compression::Zstd {
            level: level(22, 3)?,
        },
    };
    let mut options = SquashfsOptions::new(context.jobs);
    options.compression = compression;
    options.block_size = args.block_size;
    options.devices = args.devices;
    if !args.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&args.block_size) {
        return Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("{} is no block size", args.block_size),
        )
        .hint("block sizes are powers of two from 4096 to 1048576"));
    }
    Ok(options)
}

/// What a file is made from.
pub(super) enum Made {
    Image {
        image: Box<LoadedImage>,
        bootstrap: String,
        from: String,
    },
    Deffile(Box<Prepared>),
}

impl Made {
    /// An image that `source` names, with its transport.
    pub(super) fn of_image(image: LoadedImage, source: &str) -> Self {
        let (bootstrap, from) = source.split_once(':').unwrap_or(("", source));
        Self::Image {
            image: Box::new(image),
            bootstrap: bootstrap.to_owned(),
            from: from.trim_start_matches("//").to_owned(),
        }
    }

    pub(super) fn input(&self) -> Result<SifInput<'_>, SifWriteError> {
        match self {
            Self::Deffile(prepared) => Ok(prepared.input()),
            Self::Image {
                image,
                bootstrap,
                from,
            } => SifInput::of_image(
                &image.layers,
                &image.config,
                image.manifest,
                bootstrap,
                from,
            ),
        }
    }

    fn warnings(&self) -> &[String] {
        match self {
            Self::Deffile(prepared) => &prepared.warnings,
            Self::Image { .. } => &[],
        }
    }
}

fn make(args: &SifMakeArgs, all: &SifArgs, context: &Context) -> Result<Exit, Failure> {
    let options = options(&all.how, context)?;
    let start = Instant::now();
    let scripts = scripts(&all.scripts, context);
    let made = block_on(origin(args, &all.how.insecure, &scripts, context))?;
    for warning in made.warnings() {
        context.reporter.event(Event::Warning(warning.clone()));
    }
    let input = made.input().map_err(write_failure)?;
    let summary = write(&input, &options, &args.output, context)?;
    tell_made(&args.output, input.image, &summary, start, context);
    Ok(Exit::Done)
}

/// Writes the file and tells how it goes.
pub(super) fn write(
    input: &SifInput<'_>,
    options: &SquashfsOptions,
    output: &Path,
    context: &Context,
) -> Result<SifSummary, Failure> {
    let task = TaskId::next();
    let reporter = context.reporter.clone();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Write,
        label: output.display().to_string(),
        total: None,
    });
    let watch = |bytes| reporter.event(Event::Advanced { task, bytes });
    let summary = write_whole(output, |file| {
        let (_, summary) = write_sif(input, options, &watch, BufWriter::new(file))?;
        Ok(summary)
    });
    let outcome = match &summary {
        Ok(_) => Outcome::Done,
        Err(failure) => Outcome::Failed(failure.error.to_string()),
    };
    context.reporter.event(Event::Finished { task, outcome });
    let summary = summary?;
    for warning in &summary.warnings {
        context.reporter.event(Event::Warning(warning.clone()));
    }
    Ok(summary)
}

async fn origin(
    args: &SifMakeArgs,
    insecure: &[String],
    scripts: &Scripts,
    context: &Context,
) -> Result<Made, Failure> {
    let is_deffile = Path::new(&args.source)
        .extension()
        .is_some_and(|it| it == "def");
    if is_deffile && Path::new(&args.source).is_file() {
        return of_deffile(args, insecure, scripts, context)
            .await
            .map(|it| Made::Deffile(Box::new(it)));
    }
    if !args.source.contains(':') {
        let image = super::run::build_image(&args.source, context).await?;
        return Ok(Made::Image {
            image: Box::new(image),
            from: args.source.clone(),
            bootstrap: "spacktainers".to_owned(),
        });
    }
    let source = ImageSource::parse(&args.source).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .hint("a container of the project is named without a transport")
    })?;
    let session = Session::new(&Settings::default(), insecure, context).await?;
    let architecture = architecture(context)?.unwrap_or_else(super::run::host_architecture);
    let mut base = session.base_to_run(architecture);
    base.folder = PathBuf::new();
    let image = source::load(&source, architecture, &base)
        .await
        .map_err(load_failure)?;
    Ok(Made::of_image(image, &args.source))
}

/// How it ends when an image cannot be had.
pub(super) fn load_failure(error: SourceError) -> Failure {
    let exit = match error.is_verification() {
        true => Exit::Unverified,
        false => Exit::Refused,
    };
    Failure::new(exit, error)
}

async fn of_deffile(
    args: &SifMakeArgs,
    insecure: &[String],
    scripts: &Scripts,
    context: &Context,
) -> Result<Prepared, Failure> {
    let path = Path::new(&args.source);
    let mut arguments = BuildArguments::new();
    for text in &args.build_args {
        arguments
            .insert_text(text)
            .map_err(|error| Failure::new(Exit::Usage, error))?;
    }
    let plan = plan(path, path, &arguments, context)?;
    let session = Session::new(&Settings::default(), insecure, context).await?;
    let mut base = session.base().clone();
    base.folder = PathBuf::new();
    base.sif_keys = public_keys(args.keys.iter().map(|it| &**it))?;
    let architecture = architecture(context)?.unwrap_or_else(super::run::host_architecture);
    deffile::prepare(&plan, Path::new(""), architecture, &base, scripts)
        .await
        .map_err(|error| deffile_failure(error, path, context))
}

/// How scripts are executed: with what the machine offers, and with its proxies.
pub(super) fn scripts(how: &ScriptHow, context: &Context) -> Scripts {
    Scripts {
        machine: machine(),
        are_tests_run: !how.no_test,
        are_results_forgotten: how.no_cache,
        newest: Some(context.created.0).filter(|it| *it > 0),
    }
}

/// Reads a definition file; its faults are shown.
pub(super) fn plan(
    path: &Path,
    shown: &Path,
    arguments: &BuildArguments,
    context: &Context,
) -> Result<BuildPlan, Failure> {
    let bytes = read(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let why = anyhow::Error::new(error).context(format!("`{}` is not text", path.display()));
        Failure::new(Exit::Usage, why)
    })?;
    let mut sources = Sources::default();
    let source = sources.add(shown, &*text);
    let resolution = Deffile::parse(&text).resolve(arguments);
    let colours = printer::has_colours();
    for fault in &resolution.faults {
        if fault.is_error() || context.verbosity > printer::Verbosity::Quiet {
            let told = deffile_diagnostic(fault, source);
            printer::err(&diagnostics::render(&told, &sources, colours));
            printer::err("");
        }
    }
    resolution.plan.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            anyhow::anyhow!("nothing can be built from `{}`", shown.display()),
        )
    })
}

pub(super) fn deffile_failure(error: DeffileError, path: &Path, context: &Context) -> Failure {
    if let Some(span) = error.span()
        && let Ok(text) = fs::read_to_string(path)
        && !context.json
    {
        // What stands there has been understood, so the text is the one that it was read from.
        let mut sources = Sources::default();
        let source = sources.add(path, text);
        let place = spack_format::yaml::Span::from_range(source, span.range());
        let told = Diagnostic::error(place, error.to_string()).label("here");
        printer::err(&diagnostics::render(
            &told,
            &sources,
            printer::has_colours(),
        ));
    }
    let exit = match &error {
        error if error.is_definition() => Exit::Usage,
        error if error.is_verification() => Exit::Unverified,
        error if error.is_refusal() => Exit::Refused,
        _ => Exit::Fault,
    };
    let hint = error.hint();
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

/// Writes a file under a temporary name, and gives it its own when it is whole.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<SifSummary, SifWriteError>,
) -> Result<SifSummary, Failure> {
    let fault = |error: io::Error| {
        let why = anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()));
        Failure::new(Exit::Refused, why)
    };
    let folder = path
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    remove_stale(folder, SystemTime::now());
    let mut file = tempfile::Builder::new()
        .prefix(".spacktainers-")
        .permissions(fs::Permissions::from_mode(0o777))
        .tempfile_in(folder)
        .map_err(fault)?;
    let summary = write(file.as_file_mut()).map_err(write_failure)?;
    file.as_file().sync_data().map_err(fault)?;
    file.persist(path).map_err(|error| fault(error.error))?;
    Ok(summary)
}

pub(super) fn write_failure(error: SifWriteError) -> Failure {
    let exit = match &error {
        error if error.is_full() => Exit::Refused,
        error if error.is_verification() => Exit::Unverified,
        SifWriteError::Metadata(_) => Exit::Usage,
        _ => Exit::Fault,
    };
    let is_full = error.is_full();
    let failure = Failure::new(exit, error);
    if is_full {
        failure.hint("no space left: free some, or write to another file system")
    } else {
        failure
    }
}

pub(super) fn tell_made(
    output: &Path,
    image: Option<Digest>,
    summary: &SifSummary,
    start: Instant,
    context: &Context,
) {
    if context.json {
        let document = json!({
            "event": "result",
            "file": output.display().to_string(),
            "size": summary.size,
            "image": image.map(|it| it.to_string()),
            "tree": summary.tree.to_string(),
            "entries": summary.entries,
            "seconds": start.elapsed().as_secs_f64(),
        });
        printer::out(&document.to_string());
    }
    if context.verbosity > printer::Verbosity::Quiet {
        printer::err(&format!(
            "{}: {}, {} entries, tree {}; {:.1} s",
            output.display(),
            bytes(summary.size),
            summary.entries,
            summary.tree,
            start.elapsed().as_secs_f64()
        ));
    }
}

// --- looking into ------------------------------------------------------------------------------------------

fn open(file: &Path) -> Result<inspect::OpenSif, Failure> {
    inspect::open(file).map_err(|error| {
        let exit = match &error {
            SifOpenError::Open { .. } => Exit::Usage,
            SifOpenError::Sif { .. } => Exit::Unverified,
        };
        Failure::new(exit, error)
    })
}

fn show(file: &Path, context: &Context) -> Result<Exit, Failure> {
    let mut sif = open(file)?;
    let header = sif.header();
    let (arch, created) = (header.arch.to_string(), header.created);
    let objects: Vec<Value> = sif
        .descriptors()
        .map(|object| {
            json!({
                "id": object.id,
                "type": object.data_type.to_string(),
                "name": object.name(),
                "offset": object.offset,
                "size": object.size,
            })
        })
        .collect();
    let record = inspect::record(&mut sif);
    let metadata = inspect::metadata(&mut sif);
    if context.json {
        let document = json!({
            "event": "result",
            "file": file.display().to_string(),
            "arch": arch,
            "created": created,
            "objects": objects,
            "record": record,
            "metadata": metadata,
        });
        printer::out(&document.to_string());
        return Ok(Exit::Done);
    }
    printer::out(&format!("{}: SIF file for {arch}", file.display()));
    if let Some(record) = &record {
        if let Some(image) = &record.image {
            printer::out(&format!("made from the image {image}"));
        }
        printer::out(&format!("tree {}", record.tree));
    }
    printer::out("ID  SIZE        TYPE                 NAME");
    for object in sif.descriptors() {
        let kind = object.data_type.to_string();
        printer::out(&format!(
            "{:<2}  {:<10}  {kind:<19}  {}",
            object.id,
            bytes(object.size),
            object.name()
        ));
    }
    let labels = metadata
        .as_ref()
        .and_then(|it| it.pointer("/data/attributes/labels"))
        .and_then(Value::as_object);
    for (name, value) in labels.into_iter().flatten() {
        printer::out(&format!("{name}: {}", value.as_str().unwrap_or_default()));
    }
    Ok(Exit::Done)
}

fn dump(file: &Path, id: u32, output: Option<&Path>) -> Result<Exit, Failure> {
    let mut sif = open(file)?;
    let mut object = sif.object(id).map_err(|error| {
        Failure::new(Exit::Usage, error).hint(format!(
            "`spacktainers sif inspect {}` lists the objects",
            file.display()
        ))
    })?;
    let copied = match output {
        Some(path) => File::create(path).and_then(|mut out| io::copy(&mut object, &mut out)),
        None => io::copy(&mut object, &mut io::stdout().lock()),
    };
    match copied {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Fault, error))
        }
        _ => Ok(Exit::Done),
    }
}

/// The folder appears when it is whole.
fn unpack(file: &Path, folder: &Path, context: &Context) -> Result<Exit, Failure> {
    let fault = |error: io::Error| {
        let why = anyhow::Error::new(error).context(format!("cannot write `{}`", folder.display()));
        Failure::new(Exit::Fault, why)
    };
    if fs::read_dir(folder).is_ok_and(|mut it| it.next().is_some()) {
        return Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("`{}` is not empty", folder.display()),
        )
        .hint("name a folder that does not exist yet"));
    }
    let above = folder
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".spacktainers-")
        .tempdir_in(above)
        .map_err(fault)?;
    let root = temporary.path().join("root");
    let unpacked = unpack_file(file, &root, super::run::is_root())
        .map_err(|error| Failure::new(Exit::Unverified, error))?;
    let _ = fs::remove_dir(folder);
    fs::rename(&root, folder).map_err(fault)?;
    if unpacked.devices_skipped > 0 && context.verbosity > printer::Verbosity::Quiet {
        printer::err(&format!(
            "{} device nodes were left out",
            unpacked.devices_skipped
        ));
    }
    Ok(Exit::Done)
}

fn signing_failure(error: SigningError) -> Failure {
    let exit = match &error {
        SigningError::Key(_) | SigningError::Fingerprint(_) => Exit::Usage,
        SigningError::Sif(_) | SigningError::Signature(_) => Exit::Unverified,
        SigningError::Io(_) => Exit::Fault,
    };
    Failure::new(exit, error)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::new(
            Exit::Usage,
            anyhow::Error::new(error).context(format!("cannot read `{}`", path.display())),
        )
    })
}

fn sign(file: &Path, key: &Path, context: &Context) -> Result<Exit, Failure> {
    let text = String::from_utf8(read(key)?).map_err(|error| Failure::new(Exit::Usage, error))?;
    let key = SecretKey::parse(&text).map_err(|error| Failure::new(Exit::Usage, error))?;
    signing::sign(file, &key, SystemTime::now()).map_err(signing_failure)?;
    if context.verbosity > printer::Verbosity::Quiet {
        printer::err(&format!("signed {}", file.display()));
    }
    Ok(Exit::Done)
}

fn verify(file: &Path, keys: &[PathBuf], context: &Context) -> Result<Exit, Failure> {
    let keys = public_keys(keys.iter().map(|it| &**it))?;
    // A file that is no SIF file should be told as that.
    drop(open(file)?);
    let reports = signing::verify(file, &keys, SystemTime::now()).map_err(signing_failure)?;
    let good = reports.iter().any(signing::SignatureReport::is_good);
    let told: Vec<Value> = reports
        .iter()
        .map(|report| match &report.outcome {
            Ok(by) => json!({"signature": report.id, "group": report.group, "signed_by": by.fingerprint, "intact": by.verdict.group_is_intact()}),
            Err(why) => json!({"signature": report.id, "group": report.group, "intact": false, "reason": why.to_string()}),
        })
        .collect();
    if context.json {
        printer::out(&json!({"event": "result", "file": file.display().to_string(), "verified": good, "signatures": told}).to_string());
    }
    for report in &reports {
        let text = match &report.outcome {
            Ok(by) if by.verdict.group_is_intact() => {
                format!("signature {} by {}: good", report.id, by.fingerprint)
            }
            Ok(by) => format!(
                "signature {} by {}: what it signs has changed since",
                report.id, by.fingerprint
            ),
            Err(why) => format!("signature {}: {why}", report.id),
        };
        printer::err(&text);
    }
    if good {
        return Ok(Exit::Done);
    }
    let why = if reports.is_empty() {
        "is not signed"
    } else {
        "has no good signature by one of the keys"
    };
    Err(Failure::new(
        Exit::Unverified,
        anyhow::anyhow!("`{}` {why}", file.display()),
    ))
}
