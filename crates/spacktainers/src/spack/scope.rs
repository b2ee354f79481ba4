//! Our scope of Spack's configuration, given with `-C`: it wins over the environment, so it says only what is ours to
//! say. Files are JSON, which is YAML.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::{Spack, SpackError, absolute};
use crate::build::InstallRoot;
use crate::mirror::Location;
use crate::project::MirrorSettings;

/// Seconds to wait for the database of a store that others use: a build takes longer than Spack's own minute.
const DATABASE_PATIENCE: u32 = 3600;

/// Where packages lie in Spack's eyes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Store<'a> {
    /// In a store that is always empty, so that nothing of this machine gets into a solution.
    Empty,
    /// Where the settings say.
    At(&'a InstallRoot),
    /// Where the environment says.
    AsTheEnvironmentSays,
}

/// The files of a scope, by section.
#[derive(Debug, Clone)]
pub(crate) struct ScopeFiles {
    sections: Vec<(&'static str, Json)>,
}

impl ScopeFiles {
    /// A section, made if it is not there.
    pub(crate) fn section(&mut self, name: &'static str) -> &mut Json {
        let at = match self.sections.iter().position(|(known, _)| *known == name) {
            Some(at) => at,
            None => {
                self.sections.push((name, json!({})));
                self.sections.len() - 1
            }
        };
        &mut self.sections[at].1
    }

    /// Leaves a section out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.sections.retain(|(known, _)| *known != name);
    }

    /// Its text, for comparing.
    pub(crate) fn text(&self) -> String {
        let sections: Map<String, Json> = self
            .sections
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        Json::Object(sections).to_string()
    }

    /// Writes them into `folder`, which is made.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), SpackError> {
        fs::create_dir_all(folder).map_err(SpackError::io("make the folder", folder))?;
        for (name, value) in &self.sections {
            let file = folder.join(format!("{name}.yaml"));
            let text = json!({ *name: value }).to_string();
            fs::write(&file, text).map_err(SpackError::io("write", &file))?;
        }
        Ok(())
    }
}

impl Spack {
    /// A scope with this store.
    pub(crate) fn scope(&self, store: Store<'_>) -> Result<ScopeFiles, SpackError> {
        let mut config = json!({
            "build_stage": [self.folder("stage")?],
            "source_cache": self.folder("sources")?,
            "db_lock_timeout": DATABASE_PATIENCE,
        });
        let tree = match store {
            // Spack pads the root itself.
            Store::At(install) => {
                let is_padded = install.store != install.root;
                let length = if is_padded { install.store.len() } else { 0 };
                Some(json!({"root": install.root, "padded_length": length}))
            }
            Store::Empty => Some(json!({"root": self.folder("empty-store")?, "padded_length": 0})),
            Store::AsTheEnvironmentSays => None,
        };
        if let Some(tree) = tree {
            config["install_tree"] = tree;
        }
        let repositories: Map<String, Json> = self
            .repositories
            .iter()
            .map(|(name, folder, _)| (name.clone(), json!(folder)))
            .collect();
        let mirrors = self
            .mirrors()
            .iter()
            .filter(|mirror| !self.context().is_offline || mirror.location.is_local())
            .map(|mirror| Ok((mirror.name.clone(), mirror_json(mirror)?)))
            .collect::<Result<Map<String, Json>, SpackError>>()?;
        let mut sections = vec![("config", config)];
        for (name, section) in [("repos", repositories), ("mirrors", mirrors)] {
            if !section.is_empty() {
                sections.push((name, Json::Object(section)));
            }
        }
        Ok(ScopeFiles { sections })
    }
}

impl Spack {
    /// Mirrors of sources, by name.
    pub(crate) fn source_mirrors(&self) -> Result<Vec<(String, Json)>, SpackError> {
        let mirrors = self.source_mirrors.iter();
        let reachable = mirrors.filter(|it| !self.context().is_offline || it.location.is_local());
        reachable
            .map(|mirror| {
                let mut json = place_json(&mirror.location)?;
                json["source"] = json!(true);
                json["binary"] = json!(false);
                Ok((mirror.name.clone(), json))
            })
            .collect()
    }
}

/// A mirror of the project as one of Spack's: of binaries alone, as sources are the definition's business.
pub(crate) fn mirror_json(mirror: &MirrorSettings) -> Result<Json, SpackError> {
    let mut json = place_json(&mirror.location)?;
    json["source"] = json!(false);
    json["binary"] = json!(true);
    json["signed"] = json!(mirror.signed);
    Ok(json)
}

/// Where a mirror is.
fn place_json(location: &Location) -> Result<Json, SpackError> {
    let url = match location {
        Location::Folder(folder) => format!("file://{}", absolute(folder)?.display()),
        other => other.to_string(),
    };
    let mut json = json!({ "url": url });
    if let Location::S3 {
        endpoint: Some(endpoint),
        ..
    } = location
    {
        json["endpoint_url"] = json!(endpoint);
    }
    Ok(json)
}
