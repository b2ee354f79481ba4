//! `lock`: from a definition to `spack.lock`, if there is none, and to `container.lock`.

use std::path::Path;

use serde_json::json;
use spack_format::spec::SatisfiesIn;
use spacktainers::build::{self, Container, LockState, Locked, Sharing};
use spacktainers::lock::LockError;
use spacktainers::project::{Definition, DefinitionKind, Project};

use super::session::{Session, build_failure, container_failure};
use super::solve::{self, Wish};
use super::{architecture, block_on, sound_project};
use crate::args::LockArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(args: &LockArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let containers: Vec<&Definition> = selected
        .into_iter()
        .filter(|it| matches!(it.kind, DefinitionKind::Spack(_)))
        .collect();
    if args.check {
        return check(&project, &containers, context);
    }
    block_on(async {
        let session = Session::new(&project.settings, &[], context).await?;
        let wish = Wish::of(args);
        let (containers, mut worst) =
            solve::locks(&project, containers, wish, &session, context).await?;
        if args.solve_only {
            return Ok(worst);
        }
        for definition in containers {
            match lock_one(&project, definition, args, &session, context).await {
                Ok(()) => {}
                Err(failure) => {
                    let failure = failure.about(&definition.title());
                    super::report(&failure, context.json);
                    worst = worst.max(failure.exit);
                }
            }
        }
        Ok(worst)
    })
}

async fn lock_one(
    project: &Project,
    definition: &Definition,
    args: &LockArgs,
    session: &Session,
    context: &Context,
) -> Result<(), Failure> {
    let container = Container::load(project, definition).map_err(container_failure)?;
    if let (LockState::Current(..), false) = (&container.lock_state, args.update_base) {
        told(definition, "unchanged", context);
        return Ok(());
    }
    let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
    let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
    let world = session.world(context);
    let sharing = Sharing::of(project, definition, world.cache);
    let input = container.input(&satisfies, &sharing, !args.update_base);
    let locked = build::lock(&input, &container.spack_lock, &world)
        .await
        .map_err(build_failure)?;
    let written = write_lock(&container, &locked)?;
    told(
        definition,
        if written { "locked" } else { "unchanged" },
        context,
    );
    Ok(())
}

/// Writes `container.lock` if it differs from what is there; says whether it did.
pub(super) fn write_lock(container: &Container<'_>, locked: &Locked<'_>) -> Result<bool, Failure> {
    let path = container.definition.container_lock();
    if std::fs::read_to_string(&path).is_ok_and(|text| text == locked.text) {
        return Ok(false);
    }
    write_whole(&path, &locked.text).map_err(|error| {
        let why = anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()));
        Failure::new(Exit::Fault, why)
    })?;
    Ok(true)
}

/// Writes a file by way of a temporary name: it is the old one or the new one, never half of one.
pub(super) fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new()
        .prefix(".spacktainers.lock.")
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are for their owner alone; a lock is for everybody who reads the project.
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn told(definition: &Definition, what: &str, context: &Context) {
    if context.json {
        let document = json!({
            "event": "result",
            "container": definition.name,
            "arch": definition.platform_name(),
            "lock": definition.container_lock().display().to_string(),
            "state": what,
        });
        printer::out(&document.to_string());
    }
    if context.verbosity > printer::Verbosity::Quiet {
        printer::err(&format!("{}: {what}", definition.title()));
    }
}

/// `--check`: nothing is written, and what is not locked is an error.
fn check(
    project: &Project,
    containers: &[&Definition],
    context: &Context,
) -> Result<Exit, Failure> {
    let mut worst = Exit::Done;
    for definition in containers {
        let container = Container::load(project, definition).map_err(container_failure)?;
        told(definition, &container.lock_state.to_string(), context);
        if !matches!(container.lock_state, LockState::Current(..)) {
            worst = Exit::Usage;
        }
        if let LockState::Unreadable(LockError::Malformed {
            span: Some(span), ..
        }) = &container.lock_state
        {
            printer::err(&format!(
                "  at byte {} of {}",
                span.start,
                definition.container_lock().display()
            ));
        }
    }
    Ok(worst)
}
