//! What holds of every plan, and what plans are for.

use proptest::prelude::*;

use super::*;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";

fn hash(number: usize) -> DagHash {
    let mut hash = [b'a'; 32];
    hash[30] = LETTERS[number / 32 % 32];
    hash[31] = LETTERS[number % 32];
    let text = std::str::from_utf8(&hash).expect("letters");
    text.parse().expect("a DAG hash")
}

/// A package that nothing but itself changes.
fn package(number: usize, size: u64) -> PlanPackage {
    PlanPackage {
        hash: hash(number),
        name: format!("package-{number}"),
        size,
        used_by: BTreeSet::new(),
        causes: vec![number],
    }
}

fn planned_for(
    packages: &[PlanPackage],
    budget: usize,
    previous: &[Vec<DagHash>],
    elsewhere: &[Vec<DagHash>],
) -> Plan {
    plan(&PlanInput {
        packages,
        rates: &[10; 1024],
        budget,
        previous,
        elsewhere,
    })
}

fn layers(plan: &Plan) -> Vec<Vec<DagHash>> {
    plan.layers.iter().map(|it| it.packages.clone()).collect()
}

fn sets(plan: &Plan) -> BTreeSet<BTreeSet<DagHash>> {
    let groups = layers(plan).into_iter();
    groups.map(|group| group.into_iter().collect()).collect()
}

fn generated() -> impl Strategy<Value = Vec<PlanPackage>> {
    let one = (
        0u64..1_000_000,
        prop::collection::btree_set(0usize..5, 0..4),
        prop::collection::vec(0usize..60, 0..6),
    );
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let packages = all.into_iter().enumerate();
        packages
            .map(|(number, (size, used_by, below))| {
                let mut package = package(number, size);
                package.used_by = used_by;
                package.causes.extend(below);
                package
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_package_is_in_exactly_one_of_at_most_budget_layers(
        packages in generated(),
        budget in 0usize..70,
        cut in prop::collection::vec(0usize..60, 0..60),
    ) {
        // Any grouping may have been there before, with packages that are gone, too.
        let mut previous: Vec<Vec<DagHash>> = vec![Vec::new(); 8];
        for (number, group) in cut.iter().enumerate() {
            previous[group % 8].push(hash(number));
        }
        let plan = planned_for(&packages, budget, &previous, &[vec![hash(0), hash(1)], vec![]]);
        prop_assert!(plan.layers.len() <= budget.max(1));
        prop_assert!(plan.layers.iter().all(|layer| !layer.packages.is_empty()));
        let groups = layers(&plan);
        let again = PlanInput { packages: &packages, rates: &[10; 1024], budget, previous: &groups, elsewhere: &[] };
        prop_assert_eq!(stay(&again).map(|it| layers(&it)), Some(groups));
        let size: u64 = plan.layers.iter().map(|it| it.size).sum();
        prop_assert_eq!(size, packages.iter().map(|it| it.size).sum::<u64>());
    }

    #[test]
    fn the_groups_do_not_depend_on_the_order_of_the_packages(packages in generated()) {
        let reversed: Vec<_> = packages.iter().rev().cloned().collect();
        prop_assert_eq!(
            sets(&planned_for(&packages, 20, &[], &[])),
            sets(&planned_for(&reversed, 20, &[], &[]))
        );
    }

    #[test]
    fn a_plan_stays_when_nothing_changes(packages in generated()) {
        let first = planned_for(&packages, 20, &[], &[]);
        let again = planned_for(&packages, 20, &layers(&first), &[]);
        prop_assert_eq!(again.pulled(), 0);
        prop_assert_eq!(layers(&again), layers(&first));
    }
}

#[test]
fn each_package_is_a_layer_while_there_is_room() {
    let packages: Vec<_> = (0..30).map(|number| package(number, 1000)).collect();
    let plan = planned_for(&packages, 30, &[], &[]);
    assert_eq!(plan.layers.len(), 30);
    assert!(plan.layers.iter().all(|layer| layer.why == Why::Alone));
    let order: Vec<DagHash> = layers(&plan).into_iter().flatten().collect();
    assert_eq!(order, packages.iter().map(|it| it.hash).collect::<Vec<_>>());
}

#[test]
fn a_new_version_of_one_small_package_changes_one_layer() {
    let mut packages: Vec<_> = (0..200)
        .map(|number| package(number, if number < 50 { 1_000_000 } else { 100 }))
        .collect();
    let before = planned_for(&packages, 50, &[], &[]);
    packages[120].hash = hash(900);
    let after = planned_for(&packages, 50, &layers(&before), &[]);
    let changed: Vec<_> = after
        .layers
        .iter()
        .filter(|it| it.why != Why::Kept)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(after.pulled() < 100_000);
}

#[test]
fn what_many_containers_share_does_not_share_a_layer_with_what_few_do() {
    let mut packages: Vec<_> = (0..30).map(|number| package(number, 1000)).collect();
    for shared in &mut packages[..10] {
        shared.used_by = [1, 2].into();
    }
    // All of them change rarely, beside the one that they are there for.
    packages.push(package(30, 1));
    let mut rates = [1; 31];
    rates[30] = 10_000;
    let plan = plan(&PlanInput {
        packages: &packages,
        rates: &rates,
        budget: 4,
        previous: &[],
        elsewhere: &[],
    });
    for layer in &plan.layers {
        let is_shared = (0..10).any(|number| layer.packages.contains(&hash(number)));
        assert_eq!(layer.shared, if is_shared { 2 } else { 0 }, "{layer:?}");
    }
}

#[test]
fn what_changes_together_is_together() {
    // Two stacks: what lies below changes everything above.
    let packages: Vec<_> = (0..20)
        .map(|number| {
            let mut package = package(number, 1000);
            let stack = number / 10 * 10;
            package.causes = (stack..=number).collect();
            package
        })
        .collect();
    let plan = planned_for(&packages, 2, &[], &[]);
    let tops: Vec<BTreeSet<bool>> = layers(&plan)
        .iter()
        .map(|layer| layer.iter().map(|it| *it >= hash(10)).collect())
        .collect();
    assert!(tops.iter().all(|stacks| stacks.len() == 1), "{plan:?}");
}

#[test]
fn a_layer_that_another_container_has_is_taken_over() {
    let packages: Vec<_> = (0..6)
        .map(|number| {
            let mut package = package(number, 1000);
            package.used_by = [3].into();
            package
        })
        .collect();
    let theirs = vec![vec![hash(4), hash(1), hash(5)], vec![hash(0), hash(9)]];
    let plan = planned_for(&packages, 4, &[], &theirs);
    let taken: Vec<_> = plan
        .layers
        .iter()
        .filter(|it| it.why == Why::Elsewhere(0))
        .collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].packages, [hash(1), hash(4), hash(5)]);
}

#[test]
fn nobody_pulls_a_large_layer_again_for_a_small_gain() {
    let mut packages: Vec<_> = (0..6).map(|number| package(number, 1_000_000)).collect();
    // A small one that changes all the time shares a layer with a large one: the split would save little.
    packages[5].size = 10;
    let previous = vec![
        vec![hash(0), hash(5)],
        vec![hash(1)],
        vec![hash(2)],
        vec![hash(3)],
        vec![hash(4)],
    ];
    let stays = plan(&PlanInput {
        packages: &packages,
        rates: &[10, 10, 10, 10, 10, 1],
        budget: 6,
        previous: &previous,
        elsewhere: &[],
    });
    assert_eq!(stays.pulled(), 0);
    // One that changes all the time makes it worth while.
    let moves = plan(&PlanInput {
        packages: &packages,
        rates: &[1, 1, 1, 1, 1, 100],
        budget: 6,
        previous: &previous,
        elsewhere: &[],
    });
    assert_eq!(moves.layers.len(), 6);
}

#[test]
fn hostile_numbers_are_only_large() {
    let mut packages: Vec<_> = (0..8).map(|number| package(number, u64::MAX)).collect();
    packages[3].used_by = [usize::MAX].into();
    packages[4].causes = vec![usize::MAX, 9999];
    packages[6].hash = packages[5].hash;
    let plan = plan(&PlanInput {
        packages: &packages,
        rates: &[u32::MAX, 0],
        budget: 3,
        previous: &[vec![hash(1), hash(1)]],
        elsewhere: &[vec![hash(700)]],
    });
    assert_eq!(plan.layers.len(), 3);
}
