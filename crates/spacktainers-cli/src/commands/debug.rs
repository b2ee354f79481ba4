//! Symbols that are kept apart, and which targets take what.

use oci_format::Descriptor;
use spacktainers::event::{Event, Reporter as _};
use spacktainers::layer::Compress;
use spacktainers::publish::{Attachment, PublishContext, PublishError, Receipt, Target, attach};

use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, bytes};

/// Brings symbols to where the image will be, before it is there: a run that is killed in between leaves the old image under
/// the tag, and the next one goes on from there. Targets that did not take them get no image: first those that get one, then
/// what the others said.
pub(super) async fn attach_debug(
    debug: Option<&Attachment>,
    subject: &Descriptor,
    targets: Vec<Target>,
    publishing: &PublishContext,
    context: &Context,
) -> (Vec<Target>, Vec<Result<Receipt, PublishError>>) {
    let Some(debug) = debug else {
        return (targets, Vec::new());
    };
    let (mut ready, mut failed) = (Vec::new(), Vec::new());
    for target in targets {
        match attach(&target, subject, debug, publishing).await {
            Ok(attached) => {
                if context.verbosity > printer::Verbosity::Quiet {
                    let (digest, sent) = (attached.descriptor.digest, bytes(attached.bytes_sent));
                    printer::err(&match attached.unchanged {
                        true => format!("{target}: has the debug symbols {digest} already"),
                        false => format!("{target}: debug symbols {digest}, sent {sent}"),
                    });
                }
                ready.push(target);
            }
            Err(PublishError::NoAttachments(_)) => {
                let text = format!(
                    "`{target}` holds nothing beside an image: debug symbols are not there"
                );
                context.reporter.event(Event::Warning(text));
                ready.push(target);
            }
            Err(error) => failed.push(Err(error)),
        }
    }
    (ready, failed)
}

/// Layers in zstd go into OCI images alone: better told before anything is done.
pub(super) fn check_compression(
    compression: Option<Compress>,
    targets: &[Target],
) -> Result<(), Failure> {
    let takes_none = |it: &&Target| matches!(it, Target::DockerArchive { .. });
    match (compression, targets.iter().find(takes_none)) {
        (Some(Compress::Zstd(_)), Some(target)) => {
            let why = PublishError::Zstd(Box::new(target.clone()));
            Err(Failure::new(Exit::Usage, why))
        }
        _ => Ok(()),
    }
}
