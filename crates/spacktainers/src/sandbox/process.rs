//! A process with all that it starts: its lines as they come, its end when it is time.

use std::io::{self, BufRead, BufReader, PipeReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{SandboxError, Step, Stop};

/// How long nothing is looked at while there is no output.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a line that are told at once; what is longer is told in pieces.
const LONGEST_LINE: u64 = 16 << 10;

/// Runs a command to its end. Nothing is on its standard input; both of its outputs are told line by line.
///
/// The command is one of bubblewrap, so that nothing of it outlives it.
pub(super) fn run(
    mut command: Command,
    step: &Step,
    stop: &Stop,
    tell: &mut dyn FnMut(String),
) -> Result<(), SandboxError> {
    let program = PathBuf::from(command.get_program());
    let started = |source| SandboxError::Start {
        program: program.clone(),
        source,
    };
    let (output, writer) = io::pipe().map_err(started)?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(started)?)
        .stderr(writer);
    let child = command.spawn().map_err(started)?;
    // It holds our copies of the pipe's other end.
    drop(command);
    let mut child = Killed(child);
    let (sender, lines) = mpsc::sync_channel(64);
    // It ends when the last process that could write has ended.
    thread::spawn(move || each_line(output, |line| sender.send(line).is_ok()));
    let begin = Instant::now();
    let mut is_open = true;
    let status = loop {
        if is_open {
            match lines.recv_timeout(PAUSE) {
                Ok(line) => tell(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_open = false,
            }
        } else if let Some(status) = child.0.try_wait().map_err(started)? {
            break status;
        } else {
            thread::sleep(PAUSE / 10);
        }
        if stop.is_stopped() {
            return Err(SandboxError::Stopped(step.title.clone()));
        }
        if let Some(limit) = step.time_limit.filter(|limit| begin.elapsed() > *limit) {
            let title = step.title.clone();
            return Err(SandboxError::TimeOver { title, limit });
        }
    };
    finish(status, step)
}

fn finish(status: ExitStatus, step: &Step) -> Result<(), SandboxError> {
    if status.success() {
        return Ok(());
    }
    Err(SandboxError::Failed {
        title: step.title.clone(),
        status,
    })
}

/// Killed when it goes, if it has not ended: bubblewrap's processes die with it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn each_line(output: PipeReader, mut take: impl FnMut(String) -> bool) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        // Of a progress bar that is drawn over and over, the last state.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or(text);
        if !take(text.to_owned()) {
            return;
        }
    }
}
