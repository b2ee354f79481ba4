//! Out of what the mirrors hold.

use serde_json::{Value, json};
use spacktainers::build::{self, ErrorKind, SolveError};
use spacktainers::index::KnownSpecs;
use spacktainers::project::{Definition, Project};
use spacktainers::resolve::from_cache::{BaseLibc, ChosenRoot, Resolution};
use tokio::sync::OnceCell;
use tokio::task::block_in_place;

use crate::commands::lock::write_whole;
use crate::commands::session::Session;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// Solves definitions of one project; the indices are read once, and only if something is to be solved.
pub(super) struct Solver<'a> {
    project: &'a Project,
    session: &'a Session,
    context: &'a Context,
    known: OnceCell<KnownSpecs>,
}

/// What becomes of a solution.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Whether `spack.lock` is written.
    pub(super) is_written: bool,
    /// Whether it is shown what was chosen from what.
    pub(super) is_explained: bool,
    /// Whether the base image that was decided before stays.
    pub(super) keeps_base: bool,
}

impl<'a> Solver<'a> {
    pub(super) fn new(project: &'a Project, session: &'a Session, context: &'a Context) -> Self {
        Self {
            project,
            session,
            context,
            known: OnceCell::new(),
        }
    }

    /// Solves a container of Spack packages.
    pub(super) async fn solve(&self, definition: &Definition, how: How) -> Result<(), Failure> {
        let Some(spack) = definition.as_spack() else {
            return Ok(());
        };
        let world = self.session.world(self.context);
        let known = self
            .known
            .get_or_try_init(|| build::known(&world))
            .await
            .map_err(|error| self.failure(definition, error))?;
        let architecture = definition.architecture;
        let variant = definition.variant.as_deref();
        let settings = self.project.settings.platform(architecture, variant);
        let libc = build::libc(definition, &settings, how.keeps_base, &world).await;
        let (libc, explains) = (libc.as_ref(), how.is_explained);
        let resolution =
            block_in_place(|| build::solve(spack, architecture, &settings, libc, known, explains))
                .map_err(|error| self.failure(definition, error))?;
        if how.is_written {
            let path = definition.spack_lock();
            write_whole(&path, &resolution.lock).map_err(|error| {
                let why =
                    anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()));
                Failure::new(Exit::Fault, why)
            })?;
        }
        self.tell(definition, &resolution, libc, how);
        Ok(())
    }

    fn failure(&self, definition: &Definition, error: SolveError) -> Failure {
        let exit = match error.kind() {
            ErrorKind::Fault => Exit::Fault,
            ErrorKind::Definition => Exit::Usage,
            ErrorKind::Missing => Exit::Missing,
            ErrorKind::Refused => Exit::Refused,
            ErrorKind::Unverified => Exit::Unverified,
        };
        let details = error.details(&self.project.sources);
        let hint = match &error {
            SolveError::Resolve(error) if error.is_missing() => Some(
                "ask for less, or have Spack build what is missing and push it to one of the mirrors",
            ),
            _ => None,
        };
        let title = definition.title();
        let mut failure = if details.is_empty() {
            let why = anyhow::Error::new(error).context(format!("{title} was not solved"));
            Failure::new(exit, why)
        } else {
            let details: String = details.iter().map(|it| format!("\n  {it}")).collect();
            let why = anyhow::anyhow!("{title} was not solved: {error}{details}");
            Failure::new(exit, why)
        };
        failure.hint = hint.map(str::to_owned);
        failure
    }

    fn tell(
        &self,
        definition: &Definition,
        resolution: &Resolution,
        libc: Option<&BaseLibc>,
        how: How,
    ) {
        if self.context.json {
            let roots: Vec<Value> = resolution.roots.iter().map(document).collect();
            let document = json!({
                "event": "solved",
                "container": definition.name,
                "arch": definition.platform_name(),
                "lock": how.is_written.then(|| definition.spack_lock().display().to_string()),
                "libc": libc.map(|it| json!({"base": it.base, "name": it.libc.name, "version": it.libc.version})),
                "roots": roots,
            });
            printer::out(&document.to_string());
        } else if how.is_explained {
            if let Some(BaseLibc { libc, base }) = libc {
                printer::out(&format!("the base image {base} has {libc}"));
            }
            for root in &resolution.roots {
                lines(root).iter().for_each(|line| printer::out(line));
                let excluded = root.excluded.iter();
                for line in excluded.flat_map(|it| it.details(&self.project.sources)) {
                    printer::out(&format!("  not {line}"));
                }
            }
        }
        if self.context.verbosity > printer::Verbosity::Quiet {
            let count = resolution.roots.len();
            let specs = if count == 1 { "spec" } else { "specs" };
            let title = definition.title();
            printer::err(&format!(
                "{title}: {count} {specs} chosen from the build caches"
            ));
        }
    }
}

fn document(root: &ChosenRoot) -> Value {
    let rivals: Vec<Value> = root
        .rivals
        .iter()
        .map(|it| {
            json!({
                "spec": it.title,
                "differs": it.differs.map(|(criterion, _)| criterion),
                "worse": it.differs.map(|(_, is_worse)| is_worse),
            })
        })
        .collect();
    json!({
        "spec": root.text,
        "chosen": root.title,
        "hash": root.hash,
        "considered": root.considered,
        "fitting": root.fitting,
        "rivals": rivals,
    })
}

/// What a root became and why, for people.
fn lines(root: &ChosenRoot) -> Vec<String> {
    let mut lines = vec![format!(
        "`{}` is {}: {} of {} in the caches fit",
        root.text, root.title, root.fitting, root.considered
    )];
    for rival in &root.rivals {
        let why = match rival.differs {
            Some((criterion, true)) => format!("worse in {criterion}"),
            Some((criterion, false)) => {
                format!("better in {criterion}, but does not go together with the other specs")
            }
            None => "as good; the hash decided".to_owned(),
        };
        lines.push(format!("  instead of {}: {why}", rival.title));
    }
    lines
}
