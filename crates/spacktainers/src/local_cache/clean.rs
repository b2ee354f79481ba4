//! Removing what killed processes left behind.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::lock::{self, Locked};

/// How long a download that nobody holds may wait to be continued.
///
/// Long enough for a build that failed on Friday to be continued on Monday.
const PARTIAL_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The name prefix of files whose digest is not known while they are written: nobody can continue
/// them, so they are of no use once their process is gone.
pub(super) const TEMPORARY_PREFIX: &str = "tmp-";

/// Removes temporaries that no living process holds, and old downloads that nobody continued.
///
/// Faults are passed over: the directory may be read-only, and another process may clean as well.
pub(super) fn remove_stale(partials: &Path) {
    let Ok(entries) = fs::read_dir(partials) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_temporary = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(TEMPORARY_PREFIX.as_bytes());
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            // A clock that ran backwards makes a file look new, never old.
            .is_ok_and(|modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .unwrap_or_default()
                    > PARTIAL_KEPT
            });
        if !is_temporary && !is_old {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&path) else {
            continue;
        };
        match lock::lock(file, &path) {
            // The lock is held until after the removal, so that nobody begins to write a file that
            // is about to go: see `Locked::Gone`.
            Ok(Locked::Ours(_held)) => drop(fs::remove_file(&path)),
            // Where there are no locks only age tells.
            Ok(Locked::Unsupported) if is_old => drop(fs::remove_file(&path)),
            _ => {}
        }
    }
}
