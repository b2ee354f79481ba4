//! A GnuPG home of our own: it knows the keys of the project's mirrors and no others, and is gone afterwards.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::command::execute_quietly;
use super::{SpackContext, SpackError, absolute};
use crate::project::MirrorSettings;

/// Where homes are made: paths of an agent's sockets may have 107 bytes, which a folder of the user's may exceed.
const SHORT: &str = "/tmp";

/// The home.
pub(super) struct GpgHome {
    folder: tempfile::TempDir,
}

impl GpgHome {
    /// A home that trusts the keys of signed `mirrors`.
    pub(super) async fn new(
        mirrors: &[MirrorSettings],
        context: &SpackContext,
    ) -> Result<Self, SpackError> {
        let folder = tempfile::Builder::new()
            .prefix("spacktainers-gpg-")
            .tempdir_in(SHORT)
            .map_err(SpackError::io("make a folder in", Path::new(SHORT)))?;
        let home = Self { folder };
        let keys: Vec<PathBuf> = mirrors
            .iter()
            .filter(|mirror| mirror.signed)
            .flat_map(|mirror| &mirror.keys)
            .map(|(file, _)| absolute(file))
            .collect::<Result<_, _>>()?;
        if !keys.is_empty() {
            home.import(&keys, &context.environment).await?;
        }
        Ok(home)
    }

    /// Its folder, which is readable by us alone.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes keys in, public or secret ones.
    pub(super) async fn import(
        &self,
        files: &[PathBuf],
        environment: &BTreeMap<String, String>,
    ) -> Result<(), SpackError> {
        let mut line: Vec<OsString> = ["gpg", "--batch", "--quiet", "--no-tty", "--homedir"]
            .map(OsString::from)
            .to_vec();
        line.push(self.folder.path().into());
        line.push("--import".into());
        line.extend(files.iter().map(OsString::from));
        let ended = execute_quietly(&line, environment).await?;
        match ended.is_success {
            true => Ok(()),
            false => Err(SpackError::Failed {
                doing: "taking the keys in with gpg".to_owned(),
                message: ended.message(),
            }),
        }
    }
}
