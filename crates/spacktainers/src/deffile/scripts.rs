//! The sections of a definition file that are executed.
//!
//! | section | where | what it can write |
//! |---|---|---|
//! | `%pre` | on the machine | nothing that stays |
//! | `%setup` | on the machine | the image's root, at `$APPTAINER_ROOTFS` |
//! | `%post`, then each `%appinstall` | in the image | the image |
//! | `%test` | in the finished image | `/tmp` and `/var/tmp`, which are forgotten |
//!
//! Apptainer runs the first two with all that whoever builds may do; here they see the machine and cannot change it.
//!
//! Sources: `apptainer/apptainer`, `internal/pkg/build/stage.go` (`runHostScript`, `runPostScript`, `runTestScript`),
//! `internal/pkg/build/metadata.go` (`insertLabelsJSON`); seen with Apptainer 1.4.5: the umask, the search path, what is
//! mounted.

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use oci_format::layer::Entry;
use sif_format::deffile::{Script, Stage};
use sif_format::singularity::apps::install_script;
use sif_format::singularity::{DefinitionParts, EntryContent, RootEntry};

use super::begin::Ready;
use super::files::LayerWriter;
use super::{DeffileError, Prepared, source_of, time};
use crate::base::{self, BaseContext};
use crate::local_cache::LocalCache;
use crate::sandbox::{
    Machine, Place, Ran, SCRIPT_PATH, Sandbox, SandboxError, ScriptFile, Step, Stop,
};
use crate::sif::metadata;
use crate::source::LoadedLayer;

/// How scripts are executed.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// What the machine offers.
    pub machine: Machine,
    /// Whether `%test` is run.
    pub are_tests_run: bool,
    /// Whether scripts are executed again whose results are known.
    pub are_results_forgotten: bool,
    /// `SOURCE_DATE_EPOCH`: later times in the image become this one.
    pub newest: Option<u64>,
}

/// Apptainer builds with this one.
const UMASK: u32 = 0o002;

/// Where the image is, for `%pre` and `%setup`.
const ROOT_VARIABLES: [&str; 2] = ["APPTAINER_ROOTFS", "SINGULARITY_ROOTFS"];

const ENVIRONMENT_VARIABLES: [&str; 2] = ["APPTAINER_ENVIRONMENT", "SINGULARITY_ENVIRONMENT"];
const ENVIRONMENT_FILE: &str = "/.singularity.d/env/91-environment.sh";

const LABELS_VARIABLES: [&str; 2] = ["APPTAINER_LABELS", "SINGULARITY_LABELS"];
const LABELS_FILE: &str = "/.build.labels";

/// Folders of the machine in Apptainer; nothing of them is in the image.
const FORGOTTEN: [&str; 2] = ["/tmp", "/var/tmp"];

/// As the runtime begins: the image's environment, the usual folders that its search path lacks, then the command.
const IN_ENVIRONMENT: &str = r#"for script in /.singularity.d/env/*.sh; do
    if [ -f "$script" ]; then . "$script"; fi
done
for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
    case ":$PATH:" in *":$folder:"*) ;; *) PATH="$PATH:$folder" ;; esac
done
unset script folder
exec "$@""#;

/// Whether something is executed that makes the image.
pub(super) fn runs(stage: &Stage) -> bool {
    stage.setup.has_commands()
        || stage.post.has_commands()
        || stage.apps.iter().any(|app| app.install.has_commands())
}

/// Executes the scripts of one build.
pub(super) struct Executor<'a> {
    scripts: &'a Scripts,
    folder: &'a Path,
    cache: LocalCache,
    /// Away while it works.
    sandbox: Option<Sandbox>,
    stop: Stop,
    has_executed: bool,
}

impl Drop for Executor<'_> {
    fn drop(&mut self) {
        // Whoever waited for the build does so no more.
        self.stop.stop();
    }
}

impl<'a> Executor<'a> {
    pub(super) fn new(scripts: &'a Scripts, folder: &'a Path, context: &BaseContext) -> Self {
        let stop = Stop::default();
        let mut sandbox = Sandbox::new(
            scripts.machine.clone(),
            context.cache.clone(),
            context.reporter.clone(),
            stop.clone(),
        );
        if scripts.are_results_forgotten {
            sandbox.forget();
        }
        Self {
            scripts,
            folder,
            cache: context.cache.clone(),
            sandbox: Some(sandbox),
            stop,
            has_executed: false,
        }
    }

    /// What the person who builds should know.
    pub(super) fn warnings(&self) -> Option<String> {
        let is_told = self.has_executed && !self.scripts.machine.keeps_owners();
        is_told.then(|| {
            "scripts were executed without root: files that they give to other users belong to root in the image".to_owned()
        })
    }

    /// `%pre`, with an empty root.
    pub(super) async fn pre(
        &mut self,
        stage: &Stage,
        warnings: &mut Vec<String>,
    ) -> Result<(), DeffileError> {
        if !stage.pre.has_commands() {
            return Ok(());
        }
        let step = self.on_machine("%pre", &stage.pre, 0)?;
        if self.execute(&[], step).await?.layer.is_some() {
            warnings.push(
                "what %pre wrote to $APPTAINER_ROOTFS is not in the image: %setup is for that"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Apptainer's metadata as scripts find it, as a layer.
    pub(super) async fn put_metadata(
        &mut self,
        definition: &DefinitionParts,
        ready: &mut Ready,
    ) -> Result<(), DeffileError> {
        let (layers, source) = (ready.layers.clone(), source_of(ready)?);
        let (definition, cache) = (definition.clone(), self.cache.clone());
        let time = time(ready.config.as_ref());
        let layer = base::blocking(move || {
            let entries = metadata::before_scripts(&layers, &source, &definition)?;
            layer_of(&entries, time, &cache)
        })
        .await?;
        ready.layers.push(layer);
        ready.built = Some(IndexMap::new());
        Ok(())
    }

    /// `%setup`.
    pub(super) async fn setup(
        &mut self,
        stage: &Stage,
        ready: &mut Ready,
    ) -> Result<(), DeffileError> {
        if !stage.setup.has_commands() {
            return Ok(());
        }
        // Always the same time: what follows is then known if the files are the same.
        let step = self.on_machine("%setup", &stage.setup, time(ready.config.as_ref()))?;
        let ran = self.execute(&ready.layers, step).await?;
        ready.layers.extend(ran.layer);
        Ok(())
    }

    /// `%post` and the apps' `%appinstall`, which are one script.
    pub(super) async fn post(
        &mut self,
        stage: &Stage,
        ready: &mut Ready,
    ) -> Result<(), DeffileError> {
        let installs = stage.apps.iter().any(|app| app.install.has_commands());
        if !stage.post.has_commands() && !installs {
            return Ok(());
        }
        let mut text = stage.post.text.clone();
        for app in &stage.apps {
            text += &install_script(&app.name, &app.install.text)?;
        }
        let mut step = self.in_image("%post", command(&stage.post, "%post")?);
        step.script = Some(ScriptFile {
            path: "/.post.script".to_owned(),
            text,
        });
        let variables = [
            (ENVIRONMENT_VARIABLES, ENVIRONMENT_FILE),
            (LABELS_VARIABLES, LABELS_FILE),
        ];
        for (names, file) in variables {
            for name in names {
                step.environment.insert(name.to_owned(), file.to_owned());
            }
        }
        step.handed_back = vec![LABELS_FILE.to_owned()];
        let ran = self.execute(&ready.layers, step).await?;
        ready.layers.extend(ran.layer);
        if let (Some(text), Some(labels)) = (ran.handed_back.get(LABELS_FILE), &mut ready.built) {
            labels.extend(labels_of(&String::from_utf8_lossy(text)));
        }
        Ok(())
    }

    /// Whether the stage has a test that is to be run.
    pub(super) fn tests(&self, stage: &Stage) -> bool {
        self.scripts.are_tests_run && stage.test.has_commands()
    }

    /// `%test`, on the image as it will be.
    pub(super) async fn test(&mut self, prepared: Prepared) -> Result<(), DeffileError> {
        let cache = self.cache.clone();
        let layers = base::blocking(move || {
            let input = prepared.input();
            let over = layer_of(&metadata::finished(&input)?, input.time, &cache)?;
            Ok::<_, DeffileError>([input.layers, &[over]].concat())
        })
        .await?;
        let step = self.in_image("%test", vec!["/.singularity.d/test".to_owned()]);
        self.work(move |sandbox| sandbox.check(&layers, &step))
            .await
    }

    fn on_machine(&self, title: &str, script: &Script, newest: u64) -> Result<Step, DeffileError> {
        let folder = match self.folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => self.folder,
        };
        let folder: PathBuf = fs::canonicalize(folder).map_err(|source| DeffileError::Read {
            path: folder.to_owned(),
            source,
        })?;
        let mut step = Step::in_image(title, command(script, title)?);
        step.place = Place::Host(folder);
        step.root_variables = ROOT_VARIABLES.map(str::to_owned).to_vec();
        for name in ENVIRONMENT_VARIABLES {
            let value = ENVIRONMENT_FILE.to_owned();
            step.environment.insert(name.to_owned(), value);
        }
        step.script = Some(ScriptFile {
            path: String::new(),
            text: script.text.clone(),
        });
        step.umask = UMASK;
        step.newest = self.scripts.newest.unwrap_or(newest);
        Ok(step)
    }

    fn in_image(&self, title: &str, command: Vec<String>) -> Step {
        let shell = ["/bin/sh", "-c", IN_ENVIRONMENT, "sh"].map(str::to_owned);
        let mut step = Step::in_image(title, [shell.to_vec(), command].concat());
        step.environment.insert("LANG".to_owned(), "C".to_owned());
        if let Some(newest) = self.scripts.newest {
            step.newest = newest;
            let name = "SOURCE_DATE_EPOCH".to_owned();
            step.environment.insert(name, newest.to_string());
        }
        step.umask = UMASK;
        step.forgotten = FORGOTTEN.map(str::to_owned).to_vec();
        step
    }

    async fn execute(&mut self, layers: &[LoadedLayer], step: Step) -> Result<Ran, DeffileError> {
        let layers = layers.to_vec();
        self.work(move |sandbox| sandbox.execute(&layers, &step))
            .await
    }

    /// Beside the asynchronous work.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Sandbox) -> Result<T, SandboxError> + Send + 'static,
    ) -> Result<T, DeffileError> {
        self.has_executed = true;
        let Some(mut sandbox) = self.sandbox.take() else {
            return Err(SandboxError::Stopped("the build".to_owned()).into());
        };
        let (sandbox, result) = base::blocking(move || {
            let result = work(&mut sandbox);
            Ok::<_, SandboxError>((sandbox, result))
        })
        .await?;
        self.sandbox = Some(sandbox);
        Ok(result?)
    }
}

fn command(script: &Script, title: &str) -> Result<Vec<String>, DeffileError> {
    script
        .command(SCRIPT_PATH)
        .ok_or_else(|| DeffileError::NoCommand(title.to_owned()))
}

/// What goes over an image, as a layer.
fn layer_of(
    entries: &[RootEntry],
    time: u64,
    cache: &LocalCache,
) -> Result<LoadedLayer, DeffileError> {
    let mut out = LayerWriter::new(cache)?;
    for entry in entries {
        let path = entry.path.as_str();
        match &entry.content {
            EntryContent::Directory => {
                out.append(&Entry::directory(path, entry.mode, time), std::io::empty())?;
            }
            EntryContent::File(text) => {
                let file = Entry::file(path, entry.mode, time, text.len() as u64);
                out.append(&file, text.as_slice())?;
            }
            EntryContent::Symlink(target) => {
                out.append(
                    &Entry::symlink(path, target.as_str(), time),
                    std::io::empty(),
                )?;
            }
        }
    }
    out.finish()
}

/// Lines of a name and a value, as in `%labels`.
fn labels_of(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_lines_of_a_name_and_a_value() {
        let labels: Vec<_> = labels_of("a.b  c d \n\n# no\nlone\n").collect();
        let expected = [("a.b", "c d"), ("lone", "")];
        assert_eq!(labels, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
