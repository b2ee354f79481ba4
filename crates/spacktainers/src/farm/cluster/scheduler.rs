//! What is asked of a scheduler: little enough that another one is one file.

use std::path::PathBuf;

use async_trait::async_trait;

/// What a scheduler puts up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most tasks of one array; 1: it has no arrays.
    pub array: usize,
    /// The most tasks of this user that it takes at a time, running ones included; none: nobody says.
    pub queued: Option<usize>,
    /// Seconds that a task may run.
    pub seconds: Option<u64>,
    /// Processors of its largest node.
    pub cores: Option<usize>,
    /// Bytes of memory of its largest node.
    pub memory: Option<u64>,
    /// Whether tasks can wait for others in its queue. Otherwise they are submitted when those are over.
    pub has_dependencies: bool,
}

/// Tasks that are submitted together: each does one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// A name that no other submission has.
    pub name: String,
    /// The program and its arguments, to which `--batch N --job ID` is added.
    pub command: Vec<String>,
    /// The batches: the first task does the first one.
    pub batches: Vec<usize>,
    /// Tasks that have to be over before, however they end.
    pub after: Vec<Task>,
    /// Processors of each.
    pub cores: usize,
    /// Bytes of memory of each.
    pub memory: u64,
    /// Seconds that each may run; none: as the scheduler likes.
    pub seconds: Option<u64>,
    /// A folder for what tasks print, and for scripts.
    pub folder: PathBuf,
}

/// One task that was submitted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// The job, as the scheduler calls it.
    pub job: String,
    /// Which task of its array; none: it is no array.
    pub index: Option<usize>,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}_{index}", self.job),
            None => f.write_str(&self.job),
        }
    }
}

/// What a scheduler says of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which.
    pub task: Task,
    /// Where it is on its way.
    pub phase: Phase,
    /// The scheduler's own word for that: `PENDING`, `NODE_FAIL`.
    pub state: String,
    /// Why it waits or ended, in the scheduler's words; empty: no reason.
    pub reason: String,
    /// Where it runs; empty: nowhere yet.
    pub node: String,
}

/// Where a task is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It will run.
    Waiting,
    /// It runs.
    Running,
    /// It ended as it should.
    Done,
    /// It ended otherwise.
    Broken,
}

/// Why a scheduler did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// One of its programs cannot be started.
    #[error("cannot run `{program}`")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It takes no more tasks now.
    #[error("{scheduler} takes no more jobs now: {message}")]
    Full {
        /// Which.
        scheduler: &'static str,
        /// What it said.
        message: String,
    },
    /// It refused.
    #[error("{scheduler} refuses: {message}")]
    Refused {
        /// Which.
        scheduler: &'static str,
        /// What it said.
        message: String,
    },
}

/// A scheduler of jobs.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// What it puts up with.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn limits(&self) -> Result<Limits, SchedulerError>;

    /// How many tasks of this user it has now.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn queued(&self) -> Result<usize, SchedulerError>;

    /// Submits tasks and says how their job is called.
    ///
    /// # Errors
    /// When it refuses; [`SchedulerError::Full`] if it will not for ever.
    async fn submit(&self, submission: &Submission) -> Result<String, SchedulerError>;

    /// The job of the submission of this name, whose answer nobody heard.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn find(&self, name: &str) -> Result<Option<String>, SchedulerError>;

    /// What is known of these tasks. Those that it has forgotten are left out.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn tasks(&self, tasks: &[Task]) -> Result<Vec<TaskStatus>, SchedulerError>;

    /// Ends these jobs, whatever they do.
    ///
    /// # Errors
    /// When it refuses.
    async fn cancel(&self, jobs: &[String]) -> Result<(), SchedulerError>;
}
