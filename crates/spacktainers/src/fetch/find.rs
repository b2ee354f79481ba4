//! Where a package is.

use futures::{StreamExt, stream};
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};

use super::entry::{Found, Missing, SignatureState, label};
use super::error::{FindError, FindFault};
use super::{BuildCache, CacheEntry, Context, oci, v2, v3};
use crate::event::Event;
use crate::openpgp::Reservation;

/// Looks for `spec` in `mirrors`, in their order. `specs` holds its dependencies: layout 2 names
/// packages by their compilers, too.
///
/// # Errors
/// When a mirror fails, or what it has is not to be trusted. Later mirrors are not asked then.
pub async fn find(
    mirrors: &[BuildCache],
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
    context: &Context<'_>,
) -> Result<Found, FindError> {
    let mut missing = Missing {
        package: label(spec),
        hash: spec.hash,
        asked: Vec::new(),
        offline: Vec::new(),
    };
    for (index, mirror) in mirrors.iter().enumerate() {
        match find_in(mirror, spec, specs, context).await {
            Ok(Some(mut entry)) => {
                entry.mirror = index;
                report_reservations(&entry, context);
                return Ok(Found::Here(Box::new(entry)));
            }
            Ok(None) if mirror.is_offline() => {
                missing.offline.push(mirror.url.clone());
            }
            Ok(None) => missing.asked.push(mirror.url.clone()),
            Err(reason) => {
                return Err(FindError {
                    package: missing.package,
                    mirror: mirror.url.clone(),
                    reason,
                });
            }
        }
    }
    Ok(Found::Nowhere(missing))
}

/// Looks for all of `wanted`, many at a time; the results are in the order of `wanted`.
pub async fn find_all<'a>(
    mirrors: &[BuildCache],
    wanted: impl IntoIterator<Item = &'a ConcreteSpec>,
    specs: &ConcreteSpecs,
    context: &Context<'_>,
) -> Vec<Result<Found, FindError>> {
    stream::iter(wanted)
        .map(|spec| find(mirrors, spec, specs, context))
        .buffered(context.jobs.get())
        .collect()
        .await
}

async fn find_in(
    mirror: &BuildCache,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
    context: &Context<'_>,
) -> Result<Option<CacheEntry>, FindFault> {
    if let Some(entry) = oci::find(mirror, spec, context).await? {
        return Ok(Some(entry));
    }
    if let Some(entry) = v3::find(mirror, spec, context).await? {
        return Ok(Some(entry));
    }
    v2::find(mirror, spec, specs, context).await
}

fn report_reservations(entry: &CacheEntry, context: &Context<'_>) {
    let SignatureState::Signed {
        fingerprint,
        reservations,
    } = &entry.signature
    else {
        return;
    };
    for reservation in reservations {
        let package = &entry.package;
        let warning = match reservation {
            Reservation::KeyExpired => {
                format!("{package} is signed by {fingerprint}, a key that has expired since")
            }
            Reservation::KeyRetired => {
                format!("{package} is signed by {fingerprint}, a key that was replaced since")
            }
            Reservation::FromTheFuture => {
                format!("{package} was signed in the future: is this machine's clock right?")
            }
        };
        context.reporter.event(Event::Warning(warning));
    }
}
