//! `verify --same A B`: whether two images hold the same files, whatever they are packed in.

use std::path::{Path, PathBuf};

use serde_json::json;
use spacktainers::project::Settings;
use spacktainers::sif::same::{Difference, Listing};
use spacktainers::source::{self, ImageSource};

use super::session::Session;
use super::{architecture, block_on};
use crate::args::VerifyArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// Differences that are told; the count tells the rest.
const TOLD: usize = 50;

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit, Failure> {
    if let [target, image] = args.cpu.as_slice() {
        return super::verify_cpu::run(target, image, context);
    }
    if let Some(image) = &args.image {
        return super::verify_trust::run(image, args, context);
    }
    let [one, two] = args.same.as_slice() else {
        return Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("--same takes two images"),
        ));
    };
    let (first, second) = (listing(one, context)?, listing(two, context)?);
    let differences = first.differences(&second);
    if context.json {
        let told: Vec<String> = differences.iter().map(Difference::to_string).collect();
        let document = json!({
            "event": "result",
            "same": differences.is_empty(),
            "names": first.len(),
            "differences": told,
        });
        printer::out(&document.to_string());
    }
    if differences.is_empty() {
        if context.verbosity > printer::Verbosity::Quiet {
            printer::err(&format!(
                "`{one}` and `{two}` hold the same files: {} names",
                first.len()
            ));
        }
        return Ok(Exit::Done);
    }
    for difference in differences.iter().take(TOLD) {
        printer::err(&difference.to_string());
    }
    let count = differences.len();
    Err(Failure::new(
        Exit::Unverified,
        anyhow::anyhow!("`{one}` and `{two}` differ in {count} names"),
    ))
}

/// A file is a SIF file or a squashfs; everything else is named with its transport.
fn listing(text: &str, context: &Context) -> Result<Listing, Failure> {
    let path = text
        .strip_prefix("sif:")
        .or_else(|| text.strip_prefix("squashfs:"))
        .unwrap_or(text);
    if Path::new(path).is_file() {
        return Listing::of_file(Path::new(path))
            .map_err(|error| Failure::new(Exit::Unverified, error));
    }
    let source = ImageSource::parse(text).map_err(|error| {
        Failure::new(Exit::Usage, error).hint("a SIF file is named by its path")
    })?;
    let image = block_on(async {
        let session = Session::new(&Settings::default(), &[], context).await?;
        let mut base = session.base().clone();
        base.folder = PathBuf::new();
        let architecture = architecture(context)?.unwrap_or_else(super::run::host_architecture);
        source::load(&source, architecture, &base)
            .await
            .map_err(|error| {
                let exit = if error.is_verification() {
                    Exit::Unverified
                } else {
                    Exit::Refused
                };
                Failure::new(exit, error)
            })
    })?;
    Listing::of_layers(&image.layers, &|_| {}).map_err(|error| {
        let exit = if error.is_verification() {
            Exit::Unverified
        } else {
            Exit::Fault
        };
        Failure::new(exit, error)
    })
}
