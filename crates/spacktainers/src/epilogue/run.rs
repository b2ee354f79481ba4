//! `RUN`: a command in a sandbox over the image, and what it changed as a layer.
//!
//! It sees the image and the network, as user 0, with the image's variables and the epilogue's arguments. What it changed is
//! remembered by the layers below and the command, so that the same epilogue on the same image runs nothing.

use std::collections::BTreeMap;
use std::io;

use flate2::write::GzEncoder;
use oci_format::{Descriptor, Digest, media_type};

use super::configure::Configuration;
use super::instruction::Command;
use super::{EpilogueContext, EpilogueError, Step};
use crate::image::{LayerContent, RecordedLayer};
use crate::local_cache::LocalCache;
use crate::sandbox::{self, Place, Sandbox};
use crate::source::LoadedLayer;

/// The kind of record by which the compressed form of a layer is found again: from the digest of the plain one.
const COMPRESSED: &str = "layer-gzip-1";

/// Programs are looked for there unless the image says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command over `below`; nothing if it changed nothing.
pub(super) fn run(
    command: &Command,
    step: &Step,
    configuration: &Configuration,
    below: &[LoadedLayer],
    sandbox: &mut Sandbox,
    context: &EpilogueContext<'_>,
) -> Result<Option<RecordedLayer>, EpilogueError> {
    let user = configuration.config.user.as_deref().unwrap_or_default();
    if !matches!(
        user.split(':').next().unwrap_or_default(),
        "" | "0" | "root"
    ) {
        return Err(EpilogueError::Value {
            place: step.place.clone(),
            message: format!(
                "RUN is carried out by root alone, and the image's user is `{user}`: put USER behind it"
            ),
        });
    }
    let mut environment = BTreeMap::from([
        ("HOME".to_owned(), "/root".to_owned()),
        ("PATH".to_owned(), PATH.to_owned()),
    ]);
    environment.extend(configuration.arguments.clone());
    let variables = configuration.config.env.iter();
    environment.extend(variables.filter_map(|it| {
        let (name, value) = it.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    }));
    let directory = configuration.config.working_dir.as_deref().unwrap_or("/");
    let sandboxed = sandbox::Step {
        place: Place::Image(directory.to_owned()),
        environment,
        newest: context.created.0,
        ..sandbox::Step::in_image(&title(&step.text), configuration.words(command))
    };
    let ran = sandbox
        .execute(below, &sandboxed)
        .map_err(|source| EpilogueError::Run {
            place: step.place.clone(),
            source: Box::new(source),
        })?;
    match ran.layer {
        Some(layer) => compressed(&layer, &step.text, context.cache).map(Some),
        None => Ok(None),
    }
}

/// As much of a command as fits on a line of a log.
fn title(text: &str) -> String {
    const LONGEST: usize = 60;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The layer in gzip, as images have it.
fn compressed(
    layer: &LoadedLayer,
    title: &str,
    cache: &LocalCache,
) -> Result<RecordedLayer, EpilogueError> {
    let key = layer.diff_id.hex();
    let known = cache
        .record(COMPRESSED, &key)
        .and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<Digest>().ok())
        .and_then(|digest| Some((digest, cache.blob(&digest)?)));
    let (digest, content) = match known {
        Some(known) => known,
        None => {
            let failed = |source| EpilogueError::Read {
                path: cache.root().to_owned(),
                source,
            };
            let mut gzip = GzEncoder::new(cache.writer()?, flate2::Compression::new(6));
            let mut plain = layer.content.open(0).map_err(failed)?;
            io::copy(&mut plain, &mut gzip).map_err(failed)?;
            let made = gzip.finish().map_err(failed)?.finish()?;
            cache.put_record(COMPRESSED, &key, made.0.to_string().as_bytes())?;
            made
        }
    };
    Ok(RecordedLayer {
        descriptor: Descriptor::new(media_type::LAYER_TAR_GZIP, digest, content.len()),
        diff_id: layer.diff_id,
        content: LayerContent::Here(content),
        origins: Vec::new(),
        title: title.to_owned(),
    })
}
