//! Whether packages keep to the target that is required of them.

use spack_format::microarchitecture::Microarchitecture;

use super::{BuildError, BuildInput, Locked, World};
use crate::cpu::{CpuFinding, CpuPolicy, CpuScanJob, above, scan_all};

/// The files of the image's packages with instructions above the required target: told, or an error, as the settings say.
/// Each archive is looked into once in its life. Nothing where no target is required.
///
/// # Errors
/// When there are such files and the settings say `cpu = "require"`, or an archive cannot be read.
pub fn check_cpu(
    locked: &Locked<'_>,
    input: &BuildInput<'_>,
    world: &World<'_>,
) -> Result<Vec<CpuFinding>, BuildError> {
    let Some(target) = input
        .target
        .filter(|_| input.cpu.policy != CpuPolicy::Ignore)
    else {
        return Ok(Vec::new());
    };
    let jobs: Vec<CpuScanJob> = locked
        .packages
        .iter()
        .map(|package| CpuScanJob {
            content: package.content.clone(),
            digest: match &package.moved {
                Some(moved) => moved.digest,
                None => package.entry.tarball.digest,
            },
            label: package.entry.package.clone(),
        })
        .collect();
    let records = scan_all(&jobs, world.cache, world.jobs.get(), &*world.reporter)?;
    let named = jobs.iter().map(|job| &*job.label).zip(&records);
    let target = Microarchitecture::from_name(target);
    let findings = above(named, &target, &input.cpu.allowed);
    match input.cpu.policy {
        CpuPolicy::Require if !findings.is_empty() => Err(BuildError::Cpu {
            target: target.name().to_owned(),
            findings,
        }),
        _ => Ok(findings),
    }
}
