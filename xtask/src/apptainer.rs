//! Apptainer for tests: from Debian's newest suite, in a root file system of its own below `target/`.
//!
//! Debian's stable suite has none. The program runs with that root as its own, and with the folder where tests exchange
//! files at the same path inside and outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tool::{root, run, say, which};

/// The suite that has it.
const SUITE: &str = "sid";

/// Runs its arguments below the other root. Apptainer refuses to make its own mounts where the root of a process is not
/// that of its mount namespace, hence `pivot_root` and not `chroot`.
const RUNNER: &str = r#"#!/bin/bash
set -e
here=$(dirname "$(readlink -f "$0")")
export ROOTFS=$here/rootfs SHARE=$here/share WHERE=$PWD
exec unshare --mount --propagation private bash -c '
set -e
mount --bind "$ROOTFS" "$ROOTFS"
for it in proc sys dev dev/pts; do mount --bind /$it "$ROOTFS/$it"; done
mkdir -p "$SHARE" "$ROOTFS$SHARE" "$ROOTFS/.old"
mount --bind "$SHARE" "$ROOTFS$SHARE"
cd "$ROOTFS"
pivot_root . .old
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
umount -l /.old
cd "$SHARE"
case "$WHERE/" in "$SHARE"/*) cd "$WHERE" ;; esac
exec apptainer "$@"' _ "$@"
"#;

/// The command and the folder that it shares with tests; none where it cannot be had.
pub(crate) fn install() -> Option<(PathBuf, PathBuf)> {
    let folder = root().join("target/test-tools/apptainer");
    let (runner, share) = (folder.join("run"), folder.join("share"));
    if !runner.is_file()
        && let Err(error) = make(&folder)
    {
        say(&format!(
            "{error:#}: tests that need Apptainer will be SKIPPED"
        ));
        return None;
    }
    Some((runner, share))
}

fn make(folder: &std::path::Path) -> Result<()> {
    let mmdebstrap =
        which("mmdebstrap").context("cannot install Apptainer: there is no mmdebstrap")?;
    let rootfs = folder.join("rootfs");
    if rootfs.exists() {
        // Left by a run that was cut off.
        fs::remove_dir_all(&rootfs)?;
    }
    fs::create_dir_all(folder.join("share"))?;
    run(Command::new(mmdebstrap)
        .args([
            "--quiet",
            "--variant=minbase",
            "--aptopt=Acquire::Check-Valid-Until \"false\"",
        ])
        .arg("--include=apptainer,squashfs-tools,squashfuse,mount")
        .arg(SUITE)
        .arg(&rootfs))
    .context("cannot install Apptainer")?;
    // Apptainer binds them into containers.
    for file in ["etc/hosts", "etc/resolv.conf"] {
        let path = rootfs.join(file);
        if !path.exists() {
            fs::write(path, "")?;
        }
    }
    let runner = folder.join("run");
    fs::write(folder.join("run.new"), RUNNER)?;
    fs::set_permissions(folder.join("run.new"), fs::Permissions::from_mode(0o755))?;
    fs::rename(folder.join("run.new"), runner)?;
    Ok(())
}
