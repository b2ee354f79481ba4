//! Work that looks like Spack's, made from a number.

use super::super::*;
use crate::base::BaseArchitecture;

/// A sequence of numbers that looks random and is the same everywhere (splitmix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        it ^ (it >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("a small number")
    }
}

/// Most packages are small and need a few that everybody needs; some take an hour. Containers hold what they are asked
/// for, and all below that.
pub(super) fn work(packages: usize, containers: usize, seed: u64) -> Work {
    let mut numbers = Numbers(seed);
    let architectures = [BaseArchitecture::Amd64, BaseArchitecture::Arm64];
    let mut work = Work::default();
    for index in 0..packages {
        let architecture = architectures[usize::from(index % 4 == 3)];
        let mut after = Vec::new();
        for _ in 0..numbers.below(6) {
            // Half of the dependencies are among the first fifty packages, the others among the last three hundred.
            let other = match numbers.below(2) {
                0 => numbers.below(index.min(50)),
                _ => index.saturating_sub(1 + numbers.below(300)),
            };
            if other < index
                && work
                    .packages
                    .get(other)
                    .is_some_and(|it: &PackageWork| it.architecture == architecture)
            {
                after.push(other);
            }
        }
        after.sort_unstable();
        after.dedup();
        let seconds = match numbers.below(100) {
            0..60 => 20 + numbers.below(100),
            60..90 => 120 + numbers.below(480),
            90..99 => 600 + numbers.below(1200),
            _ => 1800 + numbers.below(3600),
        };
        let digits: String = (0..32)
            .map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[numbers.below(32)]))
            .collect();
        work.packages.push(PackageWork {
            hash: digits.parse().expect("a DAG hash"),
            name: format!("package-{index}"),
            version: format!("1.{index}"),
            architecture,
            after,
            seconds: seconds as u64,
        });
    }
    for index in 0..containers {
        let architecture = architectures[usize::from(index % 5 == 4)];
        let mut held = std::collections::BTreeSet::new();
        let mut open: Vec<usize> = (0..1 + numbers.below(8))
            .map(|_| numbers.below(packages))
            .collect();
        while let Some(it) = open.pop() {
            if work
                .packages
                .get(it)
                .is_some_and(|it| it.architecture == architecture)
                && held.insert(it)
            {
                open.extend(&work.packages[it].after);
            }
        }
        work.containers.push(ContainerWork {
            name: format!("container-{index}"),
            architecture,
            after: held.into_iter().collect(),
            is_solved: true,
            why: "there is no image yet".to_owned(),
            seconds: 180,
        });
    }
    work
}
