//! Which packages share a layer. Pure.
//!
//! While there are no more packages than layers, each package is a layer of its own: its archive as the cache has it,
//! shared with every image that has the same package. Beyond that, the largest and the most shared stay alone, and the
//! rest is packed into a fifth of the budget. Which of these layers a package goes to depends on its *name* alone, so
//! that a new version changes one of them and a new package does not move the others.

use std::collections::BTreeMap;

use spack_format::dag_hash::DagHash;

/// What the plan looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInput {
    /// Which package.
    pub hash: DagHash,
    /// Its name.
    pub name: String,
    /// Bytes of its archive.
    pub size: u64,
    /// How many containers of the project have this very package; at least 1.
    pub shared: u64,
}

/// One layer in this many is for packages that share one.
const PACKED_PART: usize = 5;

/// Groups `packages`, given dependencies first, into at most `budget` layers. Each group is in the order given, and groups
/// are in the order of their first members. A budget of 0 counts as 1.
#[must_use]
pub fn plan(packages: &[PlanInput], budget: usize) -> Vec<Vec<DagHash>> {
    let budget = budget.max(1);
    if packages.len() <= budget {
        return packages.iter().map(|package| vec![package.hash]).collect();
    }
    let packed_layers = (budget / PACKED_PART).max(1);
    let alone = budget - packed_layers;
    let mut by_weight: Vec<usize> = (0..packages.len()).collect();
    // Bytes that stay where they are in everybody's registry and cache as long as the package is the same. The hash
    // decides between equals, so that the order in which packages come does not.
    by_weight.sort_by_key(|index| {
        let package = &packages[*index];
        (
            std::cmp::Reverse(package.size.saturating_mul(package.shared.max(1))),
            package.hash,
        )
    });
    let mut place: Vec<Option<usize>> = vec![None; packages.len()];
    for index in &by_weight[alone..] {
        place[*index] = Some(bucket(&packages[*index].name, packed_layers));
    }
    let mut groups: Vec<Vec<DagHash>> = Vec::new();
    let mut group_of_bucket: BTreeMap<usize, usize> = BTreeMap::new();
    for (package, place) in packages.iter().zip(place) {
        match place {
            None => groups.push(vec![package.hash]),
            Some(bucket) => {
                let group = *group_of_bucket.entry(bucket).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[group].push(package.hash);
            }
        }
    }
    groups
}

/// A number below `buckets` that depends on `name` alone: 64-bit FNV-1a, which will never change, unlike the standard
/// library's hasher.
fn bucket(name: &str, buckets: usize) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % buckets as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";

    fn package(number: usize, size: u64) -> PlanInput {
        let mut hash = [b'a'; 32];
        hash[30] = LETTERS[number / 32 % 32];
        hash[31] = LETTERS[number % 32];
        let hash = std::str::from_utf8(&hash)
            .expect("letters")
            .parse()
            .expect("a DAG hash");
        PlanInput {
            hash,
            name: format!("package-{number}"),
            size,
            shared: 1,
        }
    }

    proptest! {
        #[test]
        fn every_package_is_in_exactly_one_of_at_most_budget_layers(
            sizes in prop::collection::vec(0u64..1_000_000, 0..300),
            budget in 1usize..128,
        ) {
            let packages: Vec<_> = sizes.iter().enumerate().map(|(n, size)| package(n, *size)).collect();
            let groups = plan(&packages, budget);
            prop_assert!(groups.len() <= budget);
            prop_assert!(groups.iter().all(|group| !group.is_empty()));
            let all: Vec<_> = groups.iter().flatten().copied().collect();
            prop_assert_eq!(all.len(), packages.len());
            prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), packages.len());
        }

        #[test]
        fn the_groups_do_not_depend_on_the_order_of_the_packages(
            sizes in prop::collection::vec(0u64..1000, 40..80),
        ) {
            let packages: Vec<_> = sizes.iter().enumerate().map(|(n, size)| package(n, *size)).collect();
            let reversed: Vec<_> = packages.iter().rev().cloned().collect();
            let sets = |groups: Vec<Vec<DagHash>>| -> BTreeSet<BTreeSet<DagHash>> {
                groups.into_iter().map(|group| group.into_iter().collect()).collect()
            };
            prop_assert_eq!(sets(plan(&packages, 20)), sets(plan(&reversed, 20)));
        }
    }

    #[test]
    fn a_new_version_of_one_small_package_changes_one_layer() {
        let mut packages: Vec<_> = (0..200)
            .map(|n| package(n, if n < 50 { 1_000_000 + n as u64 } else { 100 }))
            .collect();
        let before: BTreeSet<Vec<DagHash>> = plan(&packages, 50).into_iter().collect();
        packages[120].hash = package(900, 0).hash;
        let after: BTreeSet<Vec<DagHash>> = plan(&packages, 50).into_iter().collect();
        assert_eq!(before.difference(&after).count(), 1);
    }

    #[test]
    fn what_many_containers_share_stays_alone_before_what_is_larger() {
        let mut packages: Vec<_> = (0..30).map(|n| package(n, 1000)).collect();
        packages[7].size = 900;
        packages[7].shared = 10;
        let groups = plan(&packages, 10);
        assert!(groups.contains(&vec![packages[7].hash]));
    }
}
