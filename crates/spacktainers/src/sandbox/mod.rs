//! Commands executed over an image, without a daemon and without root, and what they changed as one layer.
//!
//! ```text
//! layers ─► workspace ─► mount_points ─► snapshot ─► command ─► process ─► mount_points ─► snapshot ─► difference ─► layer
//!           unpacked in    places for     headers     bwrap's    output,     removed         headers    new, changed,  a tar in the
//!           a folder of    what is        before      arguments  limits                      after      deleted        local cache
//!           the cache      mounted                      └ pretend: owners that one user cannot set
//!           └─────────────────────── memory: nothing of it happens if the result is known ───────────────────────────┘
//! ```
//!
//! Start at [`Sandbox`]: it runs [`Step`]s. A root file system is unpacked when the first step has to be executed, and kept for the
//! next one, which only adds the layers that came in between.
//!
//! # What a command sees
//!
//! It is user 0 in namespaces of its own, but for the network, which is the machine's. [`Place::Image`]: the image is its root, with
//! fresh `/proc` and `/dev`, `/sys` read-only, and copies of the machine's `/etc/resolv.conf` and `/etc/hosts`, which it may
//! change and which are forgotten, as are the places that were made to mount them on. [`Place::Host`]: the machine's file
//! system, read-only, without `/run` (sockets of daemons are there), and the image's root below [`Step::root_variables`], which alone
//! can be written.
//!
//! Its environment is what the step says; nothing of the caller's. When it ends, or the time is over, or somebody stops it, or
//! the program is killed, all of its processes end.
//!
//! # Owners
//!
//! Run by root, owners are as commands set them. Run by anybody else, all files belong to the caller: what layers say of owners
//! is kept aside and used for what has the same path and kind afterwards, and setting other owners (`chown`, `setuid` and
//! such) is answered with success and does nothing ([`pretend`]), which is what package managers need. New files then belong to
//! root.
//!
//! Privileges are those that Docker gives to containers, without the one to make device nodes; without root they reach as far as
//! the caller's own files.
//!
//! # The layer
//!
//! Sorted and deterministic: the same changes give the same bytes. Times are cut to [`Step::newest`]. A directory that took the
//! place of another one is opaque. Sockets are left out.

mod command;
mod difference;
mod error;
mod layer;
mod machine;
mod memory;
mod mount_points;
mod pretend;
mod process;
mod snapshot;
#[cfg(test)]
mod tests;
mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::local_cache::LocalCache;
use crate::sif;
use crate::source::LoadedLayer;

pub use error::SandboxError;
pub use machine::Machine;

pub(crate) use command::{CAPABILITIES, KERNEL_SETTINGS};

use machine::Owners;
use workspace::Workspace;

/// Where a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the image; the working directory, as seen there.
    Image(String),
    /// On the machine, which it cannot change; the working directory. Results are not remembered, as they depend on the machine.
    Host(PathBuf),
}

/// A script, there while it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFile {
    /// Where it is in the image, such as `/.post.script`. On the machine its place is chosen; see [`Step::command`].
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Something to be executed.
#[derive(Debug, Clone)]
pub struct Step {
    /// For people: `%post`.
    pub title: String,
    /// Where.
    pub place: Place,
    /// Program and arguments. [`SCRIPT_PATH`] in an argument stands for where the script is.
    pub command: Vec<String>,
    /// A script that the command wants.
    pub script: Option<ScriptFile>,
    /// All of its environment.
    pub environment: BTreeMap<String, String>,
    /// On the machine: variables that name the image's root.
    pub root_variables: Vec<String>,
    /// Permissions that new files do not have.
    pub umask: u32,
    /// Folders of the image, such as `/tmp`, that begin empty and are forgotten.
    pub forgotten: Vec<String>,
    /// Files of the image that are handed back instead of being part of the result.
    pub handed_back: Vec<String>,
    /// Times in the result that are later become this one.
    pub newest: u64,
    /// When it is stopped.
    pub time_limit: Option<Duration>,
}

/// What stands for the script's place in [`Step::command`].
pub const SCRIPT_PATH: &str = "{script}";

impl Step {
    /// A command in the image, as `RUN` of a Dockerfile would have it: in `/`, with a usual search path and nothing else.
    #[must_use]
    pub fn in_image(title: &str, command: Vec<String>) -> Self {
        let environment = [
            ("HOME", "/root"),
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
        ];
        Self {
            title: title.to_owned(),
            place: Place::Image("/".to_owned()),
            command,
            script: None,
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            root_variables: Vec::new(),
            umask: 0o022,
            forgotten: Vec::new(),
            handed_back: Vec::new(),
            newest: u64::MAX,
            time_limit: None,
        }
    }
}

/// What came of a step.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// What it changed; nothing if it changed nothing.
    pub layer: Option<LoadedLayer>,
    /// The files of [`Step::handed_back`] that were there, by path.
    pub handed_back: BTreeMap<String, Vec<u8>>,
    /// Whether the result was known and nothing was executed.
    pub is_remembered: bool,
}

/// Ends what runs, from anywhere.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Executes steps over images.
pub struct Sandbox {
    machine: Machine,
    cache: LocalCache,
    reporter: Arc<dyn Reporter>,
    stop: Stop,
    workspace: Option<Workspace>,
    /// Whether results that are known are used.
    is_remembering: bool,
}

impl Sandbox {
    /// A sandbox that has done nothing yet.
    #[must_use]
    pub fn new(
        machine: Machine,
        cache: LocalCache,
        reporter: Arc<dyn Reporter>,
        stop: Stop,
    ) -> Self {
        Self {
            machine,
            cache,
            reporter,
            stop,
            workspace: None,
            is_remembering: true,
        }
    }

    /// Executes everything again, whatever is known. New results are remembered.
    pub fn forget(&mut self) {
        self.is_remembering = false;
    }

    /// Executes a step over `layers`, lowest first, unless the result is known.
    ///
    /// # Errors
    /// When there is no bubblewrap, a layer cannot be unpacked, the step fails, is stopped or takes too long, or the result cannot be
    /// stored.
    pub fn execute(&mut self, layers: &[LoadedLayer], step: &Step) -> Result<Ran, SandboxError> {
        let owners = self.machine.owners();
        let key = memory::key(layers, step, owners);
        if self.is_remembering
            && let Some(key) = &key
            && let Some(known) = memory::recall(&self.cache, key)
        {
            self.tell(TaskId::next(), step, Outcome::Reused);
            return Ok(known);
        }
        let ran = self.run(layers, step, true)?;
        if let Some(key) = &key {
            memory::remember(&self.cache, key, &ran)?;
        }
        Ok(ran)
    }

    /// Executes a step over `layers` that can change nothing: a test. Only the folders of [`Step::forgotten`] can be written.
    ///
    /// # Errors
    /// As [`Sandbox::execute`].
    pub fn check(&mut self, layers: &[LoadedLayer], step: &Step) -> Result<(), SandboxError> {
        self.run(layers, step, false).map(drop)
    }

    fn run(
        &mut self,
        layers: &[LoadedLayer],
        step: &Step,
        is_writable: bool,
    ) -> Result<Ran, SandboxError> {
        let task = TaskId::next();
        self.reporter.event(Event::Started {
            task,
            kind: TaskKind::Execute,
            label: step.title.clone(),
            total: None,
        });
        let result = self.run_watched(layers, step, is_writable, task);
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        if result.is_err() {
            // What a failed step has left there is nothing to go on from.
            self.workspace = None;
        }
        self.reporter.event(Event::Finished { task, outcome });
        result
    }

    fn run_watched(
        &mut self,
        layers: &[LoadedLayer],
        step: &Step,
        is_writable: bool,
        task: TaskId,
    ) -> Result<Ran, SandboxError> {
        let bubblewrap = self.machine.bubblewrap()?;
        let owners = self.machine.owners();
        let mut workspace = match self.workspace.take() {
            Some(workspace) => workspace,
            None => Workspace::create(self.cache.root())?,
        };
        workspace.bring(layers, owners)?;
        let mut mounted = mount_points::MountPoints::new(workspace.root());
        let program = command::command(
            &command::Input {
                bubblewrap,
                machine: &self.machine,
                workspace: &workspace,
                step,
                is_writable,
            },
            &mut mounted,
        )?;
        let mut before = snapshot::take(workspace.root())?;
        for path in mounted.made() {
            before.remove(&path);
        }
        process::run(program, step, &self.stop, &mut |text| {
            self.reporter.event(Event::Output { task, text });
        })?;
        let restored = mounted.remove()?;
        let mut ran = Ran::default();
        if is_writable {
            ran.handed_back = workspace.hand_back(&step.handed_back)?;
            let after = snapshot::take(workspace.root())?;
            let changes = difference::between(&before, &after, &restored);
            if !changes.is_empty() {
                let known = match owners {
                    Owners::Kept => None,
                    Owners::Pretended => Some(sif::merged_tree(layers)?),
                };
                let layer = layer::write(&layer::Input {
                    root: workspace.root(),
                    after: &after,
                    changes: &changes,
                    known: known.as_ref(),
                    newest: step.newest,
                    cache: &self.cache,
                })?;
                workspace.holds(&layer);
                ran.layer = Some(layer);
            }
        }
        self.workspace = Some(workspace);
        Ok(ran)
    }

    fn tell(&self, task: TaskId, step: &Step, outcome: Outcome) {
        self.reporter.event(Event::Started {
            task,
            kind: TaskKind::Execute,
            label: step.title.clone(),
            total: None,
        });
        self.reporter.event(Event::Finished { task, outcome });
    }
}
