//! How much memory a build takes: the sum over all its processes, looked at twice a second.
//!
//! The kernel's own account of a process that has ended is of the largest one among its children, not of their sum, and
//! the sum is what two builds side by side have to share. Pages that processes have in common are counted for each.
//!
//! Source: proc_pid_status(5): `PPid` and `VmRSS`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(500);

/// The most memory of a tree of processes.
#[derive(Debug, Default)]
pub(super) struct Meter {
    peak: AtomicU64,
}

impl Meter {
    /// Looks again and again; `pid` is a file that names the root of the tree. Never ends: whoever waits for something
    /// else stops it.
    pub(super) async fn watch(&self, pid: &Path) -> Infallible {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let named = fs::read_to_string(pid).ok();
            if let Some(root) = named.and_then(|text| text.trim().parse().ok())
                && let Ok(Some(bytes)) = tokio::task::spawn_blocking(move || memory(root)).await
            {
                self.peak.fetch_max(bytes, Ordering::Relaxed);
            }
        }
    }

    /// The most that was seen.
    pub(super) fn peak(&self) -> Option<u64> {
        Some(self.peak.load(Ordering::Relaxed)).filter(|it| *it > 0)
    }
}

/// Bytes that `root` and all below it have in memory now.
fn memory(root: u32) -> Option<u64> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut resident: HashMap<u32, u64> = HashMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|it| it.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        if let Some((parent, bytes)) = parse(&status) {
            children.entry(parent).or_default().push(pid);
            resident.insert(pid, bytes);
        }
    }
    resident.get(&root)?;
    let mut sum: u64 = 0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        // Taken out, so that none is counted twice.
        sum = sum.saturating_add(resident.remove(&pid).unwrap_or_default());
        open.extend(children.remove(&pid).unwrap_or_default());
    }
    Some(sum)
}

/// Parent, and bytes in memory: a process that has ended and was not waited for has none.
fn parse(status: &str) -> Option<(u32, u64)> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let parent = u32::try_from(field("PPid:")?).ok()?;
    Some((
        parent,
        field("VmRSS:").unwrap_or_default().saturating_mul(1024),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_a_process_is_read() {
        let status = "Name:\tsh\nState:\tS (sleeping)\nPid:\t17\nPPid:\t4\nVmRSS:\t     567 kB\n";
        assert_eq!(parse(status), Some((4, 567 << 10)));
        assert_eq!(parse("PPid:\t4\n"), Some((4, 0)));
        assert_eq!(parse("VmRSS:\t4 kB\n"), None);
    }

    #[tokio::test]
    async fn the_memory_of_children_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        // The text is held by a child of the shell that is watched.
        let script = format!(
            "echo $$ > {}; (text=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 3; echo ${{#text}}); true",
            pid.display()
        );
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell");
        let meter = Meter::default();
        tokio::select! {
            ended = child.wait() => { ended.expect("it ends"); }
            never = meter.watch(&pid) => match never {},
        }
        let peak = meter.peak().expect("it was seen");
        assert!(peak > 60_000_000, "{peak}");
    }
}
