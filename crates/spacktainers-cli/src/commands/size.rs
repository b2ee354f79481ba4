//! `--size-report`: how large an image is, what made it so, and what was spared.

use std::path::{Path, PathBuf};

use serde_json::json;
use spacktainers::build::{Container, Limits, Locked, SizeReport};
use spacktainers::image::RecordedLayer;
use spacktainers::local_cache::LocalCache;

use super::lock::write_whole;
use super::session::build_failure;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// What of sizes is told.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SizeHow {
    /// Tell how large the image is and what was left out of packages, by cause: `-` for standard output; a file that ends in
    /// `.json` gets JSON. `{name}` and `{arch}` are filled in
    #[arg(long = "size-report", value_name = "FILE")]
    pub(crate) report: Option<String>,
}

/// What is needed to say how large one container's image is.
pub(super) struct Sizes<'a> {
    pub(super) how: &'a SizeHow,
    pub(super) locked: &'a Locked<'a>,
    pub(super) container: &'a Container<'a>,
    pub(super) cache: &'a LocalCache,
    pub(super) context: &'a Context,
}

impl Sizes<'_> {
    /// How large the image with these layers is, where somebody wants to know or a limit says how large it may be. That it is
    /// larger is an error; what was asked for is told all the same.
    pub(super) fn check(&self, layers: &[RecordedLayer]) -> Result<Option<SizeReport>, Failure> {
        let limits = &self.container.spack.limits;
        if *limits == Limits::default() && self.how.report.is_none() {
            return Ok(None);
        }
        let report = SizeReport::of(self.locked, layers, self.cache);
        match report.check(limits, self.container.lock_state.lock()) {
            Ok(()) => Ok(Some(report)),
            Err(error) => {
                self.tell(&report)?;
                Err(build_failure(error))
            }
        }
    }

    /// Writes the report where it is wanted.
    pub(super) fn tell(&self, report: &SizeReport) -> Result<(), Failure> {
        let Some(place) = &self.how.report else {
            return Ok(());
        };
        let definition = self.container.definition;
        let document = json!({
            "event": "size",
            "container": definition.name,
            "arch": definition.architecture.as_str(),
            "size": report,
        });
        if place == "-" {
            match self.context.json {
                true => printer::out(&document.to_string()),
                false => printer::out(&format!("{}\n{}", definition.title(), report.to_text())),
            }
            return Ok(());
        }
        let path = place
            .replace("{name}", &definition.name)
            .replace("{arch}", definition.architecture.as_str());
        let path = PathBuf::from(path);
        let is_json = path.extension().is_some_and(|it| it == "json");
        let text = match is_json {
            true => format!("{document:#}\n"),
            false => format!("{}\n{}", definition.title(), report.to_text()),
        };
        let path = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new(".").join(path),
            _ => path,
        };
        write_whole(&path, &text).map_err(|error| {
            let why = format!("cannot write the size report `{}`", path.display());
            Failure::new(Exit::Fault, anyhow::Error::new(error).context(why))
        })
    }
}
