//! `cache install`: the packages of a lock, into an install tree.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::{LayoutGeneration, Projections};
use spack_format::spec::SatisfiesIn;
use spacktainers::build::Supply;
use spacktainers::fetch::BuildCache;
use spacktainers::install_tree::lay::{LaidDown, LayError, Laying, lay_down, layout};

use super::super::{architecture, block_on, session, sound_project};
use super::args::InstallArgs;
use super::named;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

/// The lock's name in its folder.
const LOCK: &str = "spack.lock";

pub(super) fn run(args: &InstallArgs, context: &Context) -> Result<Exit, Failure> {
    let lock = read(&lock_file(args, context)?)?;
    let settings = named::settings(context)?;
    let mirrors = named::all(&args.mirrors, &settings, |_| true, "at all")?;
    let cache = context.local_cache()?;
    let generation = LayoutGeneration::of_lockfile_version(lock.version);
    let projections = Projections::default_of(generation);
    let layout = layout(&args.tree, args.padded_length, projections, None).map_err(failure)?;
    let laid = block_on(async {
        let access = session::access(&settings, &[], context);
        let mut connected = Vec::new();
        for mirror in &mirrors {
            let trust = mirror.trust(&args.trust)?;
            let cache = BuildCache::connect(&*mirror.name, &mirror.location, trust, &access).await;
            connected.push(cache.map_err(|error| Failure::new(Exit::Refused, error))?);
        }
        let satisfies = SatisfiesIn::new(&lock.specs);
        let roots = lock.all_root_hashes();
        let laying = Laying {
            specs: &lock.specs,
            explicit: &roots.iter().copied().collect::<HashSet<DagHash>>(),
            wanted: &roots,
            layout: &layout,
            satisfies: &|spec, constraint| satisfies.satisfies(spec, constraint),
            mount: None,
        };
        let supply = Supply {
            cache: &cache,
            reporter: context.reporter.clone(),
            jobs: context.jobs,
            now: std::time::SystemTime::now(),
            mirrors: &connected,
        };
        lay_down(&laying, &supply).await.map_err(failure)
    })?;
    told(&laid, layout.root(), context);
    Ok(Exit::Done)
}

/// The lock that the argument means.
fn lock_file(args: &InstallArgs, context: &Context) -> Result<PathBuf, Failure> {
    let path = Path::new(&args.lock);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let inside = path.join(LOCK);
    if inside.is_file() {
        return Ok(inside);
    }
    if args.lock.contains('/') {
        let error = anyhow::anyhow!("there is no `{LOCK}` in `{}`", args.lock);
        return Err(Failure::new(Exit::Usage, error));
    }
    let project = sound_project(context)?;
    let selected = project
        .select(std::slice::from_ref(&args.lock), architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    match selected.as_slice() {
        [one] => Ok(one.spack_lock()),
        several => {
            let error = anyhow::anyhow!(
                "`{}` is the name of {} containers",
                args.lock,
                several.len()
            );
            Err(Failure::new(Exit::Usage, error).hint("say which with --arch, or name its folder"))
        }
    }
}

fn read(path: &Path) -> Result<SpackLockfile, Failure> {
    let about = |error: anyhow::Error| {
        let what = format!("cannot use the lock `{}`", path.display());
        Failure::new(Exit::Usage, error.context(what))
    };
    let text = std::fs::read_to_string(path).map_err(|error| about(error.into()))?;
    SpackLockfile::parse(&text).map_err(|error| about(error.into()))
}

fn failure(error: LayError) -> Failure {
    let (exit, hint) = (session::exit_of(error.kind()), error.hint());
    let mut failure = Failure::new(exit, error);
    failure.hint = hint;
    failure
}

fn told(laid: &LaidDown, root: &str, context: &Context) {
    if context.json {
        let packages: Vec<_> = laid
            .laid
            .iter()
            .map(|(hash, prefix)| json!({"hash": hash.as_str(), "prefix": prefix}))
            .collect();
        let document = json!({
            "event": "result",
            "tree": root,
            "packages": packages,
            "present": laid.present,
        });
        printer::out(&document.to_string());
    } else if context.verbosity > Verbosity::Quiet {
        printer::err(&format!(
            "{root}: {} packages laid down, {} were there",
            laid.laid.len(),
            laid.present
        ));
    }
}
