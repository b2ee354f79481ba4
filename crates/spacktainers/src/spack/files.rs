//! Files that are the old ones or the new ones, never half of one.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::SpackError;

/// Writes a file by way of a temporary name beside it.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), SpackError> {
    let write = || {
        let folder = path.parent().unwrap_or(path);
        let mut file = tempfile::Builder::new()
            .prefix(".spacktainers.")
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        // Temporary files are for their owner alone; a project's files are for all who read it.
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(SpackError::io("write", path))
}
