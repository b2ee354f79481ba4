//! `sif`: from images to SIF files, and into them.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use sif_format::squashfs::Compression;
use spacktainers::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use spacktainers::openpgp::{PublicKeys, SecretKey};
use spacktainers::project::Settings;
use spacktainers::sif::inspect::{self, SifOpenError};
use spacktainers::sif::signing::{self, SigningError};
use spacktainers::sif::{SifInput, SifSummary, SifWriteError, SquashfsOptions, write_sif};
use spacktainers::source::{self, ImageSource, LoadedImage};

use super::session::Session;
use super::{architecture, block_on};
use crate::args::{SifArgs, SifCommand, SifCompression, SifMakeArgs};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, bytes};

pub(super) fn run(args: &SifArgs, context: &Context) -> Result<Exit, Failure> {
    match (&args.command, &args.make) {
        (Some(SifCommand::Inspect { file }), _) => show(file, context),
        (Some(SifCommand::Dump { file, id, output }), _) => dump(file, *id, output.as_deref()),
        (Some(SifCommand::Verify { file, keys }), _) => verify(file, keys, context),
        (Some(SifCommand::Sign { file, key }), _) => sign(file, key, context),
        (None, Some(make)) => self::make(make, context),
        (None, None) => Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("say what to make a SIF file from"),
        )
        .hint("`spacktainers sif SOURCE -o FILE.sif`; see `spacktainers sif --help`")),
    }
}

// --- making -------------------------------------------------------------------------------------------------

/// How file systems are written, as the arguments say.
fn options(args: &SifMakeArgs, context: &Context) -> Result<SquashfsOptions, Failure> {
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
            level: level(12, 9)?.into(),
        },
        SifCompression::Zstd => Compression::Zstd {
            level: level(22, 3)?.into(),
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

/// An image, and how `bootstrap:` and `from:` call it.
struct Origin {
    image: LoadedImage,
    bootstrap: String,
    from: String,
}

fn make(args: &SifMakeArgs, context: &Context) -> Result<Exit, Failure> {
    let options = options(args, context)?;
    let start = Instant::now();
    let origin = block_on(origin(args, context))?;
    let input = SifInput::of_image(
        &origin.image.layers,
        &origin.image.config,
        origin.image.manifest,
        &origin.bootstrap,
        &origin.from,
    )
    .map_err(write_failure)?;
    let task = TaskId::next();
    let reporter = context.reporter.clone();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Write,
        label: args.output.display().to_string(),
        total: None,
    });
    let watch = |bytes| reporter.event(Event::Advanced { task, bytes });
    let summary = write_whole(&args.output, |file| {
        let (_, summary) = write_sif(&input, &options, &watch, BufWriter::new(file))?;
        Ok(summary)
    });
    let outcome = match &summary {
        Ok(_) => Outcome::Done,
        Err(failure) => Outcome::Failed(failure.error.to_string()),
    };
    context.reporter.event(Event::Finished { task, outcome });
    let summary = summary?;
    tell_made(args, &origin, &summary, start, context);
    Ok(Exit::Done)
}

async fn origin(args: &SifMakeArgs, context: &Context) -> Result<Origin, Failure> {
    if !args.source.contains(':') {
        let built = super::run::build_image(&args.source, context).await?;
        return Ok(Origin {
            from: args.source.clone(),
            bootstrap: "spacktainers".to_owned(),
            image: built,
        });
    }
    let source = ImageSource::parse(&args.source).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .hint("a container of the project is named without a transport")
    })?;
    let session = Session::new(&Settings::default(), &args.insecure, context).await?;
    let mut base = session.base().clone();
    base.folder = PathBuf::new();
    let architecture = architecture(context)?.unwrap_or_else(super::run::host_architecture);
    let image = source::load(&source, architecture, &base)
        .await
        .map_err(|error| {
            let exit = if error.is_verification() {
                Exit::Unverified
            } else {
                Exit::Refused
            };
            Failure::new(exit, error)
        })?;
    let (bootstrap, from) = args.source.split_once(':').unwrap_or(("", &args.source));
    Ok(Origin {
        image,
        bootstrap: bootstrap.to_owned(),
        from: from.trim_start_matches("//").to_owned(),
    })
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

fn write_failure(error: SifWriteError) -> Failure {
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

fn tell_made(
    args: &SifMakeArgs,
    origin: &Origin,
    summary: &SifSummary,
    start: Instant,
    context: &Context,
) {
    for warning in &summary.warnings {
        context.reporter.event(Event::Warning(warning.clone()));
    }
    if context.json {
        let document = json!({
            "event": "result",
            "file": args.output.display().to_string(),
            "size": summary.size,
            "image": origin.image.manifest.map(|it| it.to_string()),
            "tree": summary.tree.to_string(),
            "entries": summary.entries,
            "seconds": start.elapsed().as_secs_f64(),
        });
        printer::out(&document.to_string());
    }
    if context.verbosity > printer::Verbosity::Quiet {
        printer::err(&format!(
            "{}: {}, {} entries, tree {}; {:.1} s",
            args.output.display(),
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
    let mut all = Vec::new();
    for key in keys {
        all.extend(read(key)?);
        all.push(b'\n');
    }
    let keys = PublicKeys::parse(&all).map_err(|error| Failure::new(Exit::Usage, error))?;
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
