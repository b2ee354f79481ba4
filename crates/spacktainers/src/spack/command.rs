//! One run of a program: watched, bounded in what is kept of its words, and killed when we are.
//!
//! A build is a tree of processes, and all of them have to end when the run does, even when we are killed without a
//! chance to say so. So each run is a process group of its own, in which a shell waits for the end of a pipe whose
//! other end is ours alone: whatever becomes of us, the pipe is closed then, and the shell kills its group.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Spack, SpackError};
use crate::event::{Event, Outcome, TaskId, TaskKind};

/// The shell that starts the program and stays to kill its group.
const GUARD: &str =
    "exec 3<&0 </dev/null; { cat <&3; kill -KILL 0; } >/dev/null 2>&1 & exec 3<&-; exec \"$@\"";

/// Lines that are kept of what a program says.
const KEPT_LINES: usize = 200;

/// Bytes that are kept of a line.
const LONGEST_LINE: usize = 4096;

/// Lines of an error message.
const MESSAGE_LINES: usize = 30;

/// Who is run, and so what it may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// Spack itself, speaking to mirrors.
    Mirrors,
    /// What lies in sources: it hears of no secrets, and has a home of its own.
    Nothing,
}

/// One run of Spack.
pub(crate) struct Run {
    /// What it does, for people: `solving NAME`.
    pub(crate) doing: String,
    /// The scope of configuration.
    pub(crate) scope: PathBuf,
    /// The environment, if there is one.
    pub(crate) environment: Option<PathBuf>,
    /// Command and arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Who is run.
    pub(crate) trusted: Trusted,
}

impl Spack {
    /// Runs Spack and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end well.
    pub(crate) async fn run(&self, run: &Run) -> Result<(), SpackError> {
        let line = self.command_line(run);
        let variables = self.variables(run.trusted)?;
        self.run_line(&run.doing, &line, &variables).await
    }

    /// Runs a command line that has Spack in it, somewhere, with these variables and no others, and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end well.
    pub(crate) async fn run_line(
        &self,
        doing: &str,
        line: &[OsString],
        variables: &BTreeMap<String, String>,
    ) -> Result<(), SpackError> {
        let reporter = &*self.context().reporter;
        let task = TaskId::next();
        reporter.event(Event::Started {
            task,
            kind: TaskKind::Other,
            label: doing.to_owned(),
            total: None,
        });
        let ended = execute(line, variables, &mut |line| {
            reporter.event(Event::Output {
                task,
                text: line.to_owned(),
            });
        })
        .await;
        let result = ended.and_then(|ended| match ended.is_success {
            true => Ok(()),
            false => Err(SpackError::Failed {
                doing: doing.to_owned(),
                message: ended.message(),
            }),
        });
        let outcome = match &result {
            Ok(()) => Outcome::Done,
            Err(SpackError::Failed { message, .. }) => {
                Outcome::Failed(message.lines().next().unwrap_or_default().to_owned())
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
        reporter.event(Event::Finished { task, outcome });
        result
    }

    /// Program and arguments of a run.
    pub(crate) fn command_line(&self, run: &Run) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec![self.executable.clone().into()];
        line.extend(["--color", "never", "-C"].map(OsString::from));
        line.push(run.scope.clone().into());
        if let Some(environment) = &run.environment {
            line.push("-e".into());
            line.push(environment.into());
        }
        line.extend(run.arguments.iter().cloned());
        line
    }

    /// The variables of a run: ours without what would let other configuration in.
    pub(crate) fn variables(
        &self,
        trusted: Trusted,
    ) -> Result<BTreeMap<String, String>, SpackError> {
        let mut variables: BTreeMap<String, String> = self
            .context()
            .environment
            .iter()
            .filter(|(name, _)| !name.starts_with("SPACK_") || *name == "SPACK_PYTHON")
            .filter(|(name, _)| !name.starts_with("PYTHON"))
            .filter(|(name, value)| trusted == Trusted::Mirrors || !super::is_secret(name, value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut set = |name: &str, value: &Path| {
            variables.insert(name.to_owned(), value.display().to_string());
        };
        set("SPACK_USER_CACHE_PATH", &self.folder("user")?);
        set("SPACK_GNUPGHOME", self.keys.folder());
        if let Some(python) = &self.python {
            set("SPACK_PYTHON", python);
        }
        if trusted == Trusted::Nothing {
            set("HOME", &self.folder("home")?);
        }
        variables.insert("SPACK_DISABLE_LOCAL_CONFIG".to_owned(), "1".to_owned());
        Ok(variables)
    }
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) is_success: bool,
    /// How, for people.
    status: String,
    stdout: Tail,
    stderr: Tail,
}

impl Ended {
    /// The last lines that it wrote to standard output.
    pub(super) fn stdout(&self) -> String {
        self.stdout.text(KEPT_LINES)
    }

    /// The part of its words that says why it failed: from the first `Error:` on, else the last lines.
    pub(super) fn message(&self) -> String {
        let error = [&self.stderr, &self.stdout]
            .into_iter()
            .find_map(|tail| tail.error(MESSAGE_LINES));
        let message = error.unwrap_or_else(|| match self.stderr.lines.is_empty() {
            true => self.stdout.text(MESSAGE_LINES),
            false => self.stderr.text(MESSAGE_LINES),
        });
        match message.is_empty() {
            true => self.status.clone(),
            false => message,
        }
    }
}

/// The last lines of a text.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
}

impl Tail {
    fn push(&mut self, line: String) {
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn text(&self, last: usize) -> String {
        let skipped = self.lines.len().saturating_sub(last);
        let lines: Vec<&str> = self
            .lines
            .iter()
            .skip(skipped)
            .map(String::as_str)
            .collect();
        lines.join("\n")
    }

    fn error(&self, most: usize) -> Option<String> {
        let at = self
            .lines
            .iter()
            .position(|line| line.contains("Error: "))?;
        let lines: Vec<&str> = self
            .lines
            .iter()
            .skip(at)
            .take(most)
            .map(|line| line.strip_prefix("==> Error: ").unwrap_or(line))
            .collect();
        Some(lines.join("\n"))
    }
}

/// Runs a program with these variables and no others; `told` hears each line it writes.
pub(super) async fn execute(
    line: &[OsString],
    variables: &BTreeMap<String, String>,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Ended, SpackError> {
    let program = || {
        let name = line.first().map(|it| it.to_string_lossy().into_owned());
        name.unwrap_or_default()
    };
    let start = |source| SpackError::Start {
        program: program(),
        source,
    };
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args([OsStr::new("-c"), OsStr::new(GUARD), OsStr::new("sh")])
        .args(line)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .map_err(start)?;
    // As long as this is open, the group lives.
    let leash = child.stdin.take();
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<(bool, String)>(64);
    let collect = async {
        while let Some((is_error, line)) = receiver.recv().await {
            told(&line);
            if is_error { &mut stderr } else { &mut stdout }.push(line);
        }
    };
    let wait = async {
        let status = child.wait().await;
        // Whoever is left in the group holds the pipes open.
        drop(leash);
        status
    };
    let (status, (), (), ()) = tokio::join!(
        wait,
        lines(out, false, sender.clone()),
        lines(err, true, sender),
        collect
    );
    let status = status.map_err(start)?;
    Ok(Ended {
        is_success: status.success(),
        status: status.to_string(),
        stdout,
        stderr,
    })
}

/// Sends each line of `source`, cut to a length that can be kept.
async fn lines(
    source: Option<impl AsyncRead + Unpin>,
    is_error: bool,
    sender: tokio::sync::mpsc::Sender<(bool, String)>,
) {
    let Some(mut source) = source else { return };
    let mut line: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 8192];
    loop {
        let read = source.read(&mut buffer).await.unwrap_or(0);
        let chunk = buffer.get(..read).unwrap_or_default();
        for byte in chunk {
            if *byte == b'\n' {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send((is_error, text)).await.is_err() {
                    return;
                }
            } else if line.len() < LONGEST_LINE {
                line.push(*byte);
            }
        }
        if read == 0 {
            break;
        }
    }
    if !line.is_empty() {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let _ = sender.send((is_error, text)).await;
    }
}

/// The same for a helper such as git, whose words nobody needs to hear.
pub(super) async fn execute_quietly(
    line: &[OsString],
    variables: &BTreeMap<String, String>,
) -> Result<Ended, SpackError> {
    execute(line, variables, &mut |_| {}).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn variables() -> BTreeMap<String, String> {
        BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").expect("a PATH"))])
    }

    fn shell(script: &str) -> Vec<OsString> {
        ["sh", "-c", script].map(OsString::from).to_vec()
    }

    #[tokio::test]
    async fn words_and_status_are_kept() {
        let mut heard = Vec::new();
        let line = shell("echo one; echo '==> Error: no such thing' >&2; echo more >&2; exit 3");
        let ended = execute(&line, &variables(), &mut |line| heard.push(line.to_owned()))
            .await
            .expect("it runs");
        assert!(!ended.is_success);
        assert_eq!(ended.message(), "no such thing\nmore");
        assert_eq!(ended.stdout(), "one");
        heard.sort();
        assert_eq!(heard, ["==> Error: no such thing", "more", "one"]);
        let silent = execute_quietly(&shell("exit 4"), &variables())
            .await
            .expect("it runs");
        assert!(silent.message().contains('4'), "{}", silent.message());
    }

    #[tokio::test]
    async fn endless_words_take_no_endless_memory() {
        let line = shell("head -c 3000000 /dev/zero | tr '\\0' x; yes | head -n 10000");
        let ended = execute_quietly(&line, &variables()).await.expect("it runs");
        assert_eq!(ended.stdout.lines.len(), KEPT_LINES);
        assert!(
            ended
                .stdout
                .lines
                .iter()
                .all(|line| line.len() <= LONGEST_LINE)
        );
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_ends_with_it() {
        let line = shell("sleep 1000 & echo $!");
        let ended = tokio::time::timeout(
            Duration::from_secs(20),
            execute_quietly(&line, &variables()),
        )
        .await
        .expect("it does not wait for the one left behind")
        .expect("it runs");
        gone(ended.stdout().trim()).await;
    }

    #[tokio::test]
    async fn whoever_stops_waiting_stops_the_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pid");
        let line = shell(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
        let variables = variables();
        let run = execute_quietly(&line, &variables);
        assert!(
            tokio::time::timeout(Duration::from_millis(500), run)
                .await
                .is_err()
        );
        let pid = std::fs::read_to_string(&file).expect("it was started");
        gone(pid.trim()).await;
    }

    async fn gone(pid: &str) {
        let alive = || {
            // A zombie that nobody has waited for yet is as good as gone.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
            (state != 'Z').then_some(state)
        };
        for _ in 0..100 {
            if alive().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{pid} still runs");
    }
}
