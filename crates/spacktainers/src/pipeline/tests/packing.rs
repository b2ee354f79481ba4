//! Few jobs, in order, and hardly later than the longest chain.

use std::time::Instant;

use proptest::prelude::*;

use super::super::*;
use super::made::work;

const UNLIMITED: Limits = Limits {
    overhead: 60,
    jobs: 1000,
    needs: Some(50),
    longest: 6 * 3600,
    runners: None,
};

/// What holds of the jobs of any tasks.
pub(super) fn check(graph: &JobGraph, tasks: &[Task], limits: &Limits) {
    let mut job_of = vec![None; tasks.len()];
    for (index, job) in graph.jobs.iter().enumerate() {
        assert!(
            job.after.iter().all(|it| *it < index),
            "a job waits for what comes before it"
        );
        assert!(limits.needs.is_none_or(|most| job.after.len() <= most));
        for task in &job.tasks {
            assert_eq!(
                job_of[*task].replace(index),
                None,
                "each task is in one job"
            );
            assert_eq!(tasks[*task].kind, tasks[job.tasks[0]].kind);
        }
    }
    assert!(graph.jobs.len() <= limits.jobs, "{} jobs", graph.jobs.len());
    // All that a job waits for, at once or in the end.
    let mut waits_for: Vec<std::collections::HashSet<usize>> = Vec::new();
    for job in &graph.jobs {
        let mut all = std::collections::HashSet::new();
        for other in &job.after {
            all.insert(*other);
            all.extend(&waits_for[*other]);
        }
        waits_for.push(all);
    }
    for (index, task) in tasks.iter().enumerate() {
        let job = job_of[index].expect("each task is in a job");
        for other in &task.after {
            let before = job_of[*other].expect("a job");
            let place = |task| graph.jobs[job].tasks.iter().position(|it| *it == task);
            let is_earlier = before == job && place(*other) < place(index);
            assert!(
                is_earlier || waits_for[job].contains(&before),
                "{other} is not done before {index}"
            );
        }
    }
}

/// How much later than the bound the end is, in percent.
fn later(graph: &JobGraph, tasks: &[Task], limits: &Limits) -> u64 {
    let end = makespan(graph, tasks, limits.overhead, limits.runners);
    let bound = bound(tasks, limits);
    assert!(end >= bound);
    (end - bound) * 100 / bound
}

#[test]
fn three_thousand_packages_are_packed_within_all_limits() {
    for seed in 0..4 {
        let tasks = work(3000, 120, seed).tasks();
        for (needs, jobs) in [(Some(50), 1000), (None, 700), (None, 1000)] {
            let limits = Limits {
                needs,
                jobs,
                ..UNLIMITED
            };
            let start = Instant::now();
            let graph = pack(&tasks, &limits);
            let took = start.elapsed();
            check(&graph, &tasks, &limits);
            let later = later(&graph, &tasks, &limits);
            assert!(later <= 15, "{later} % later than the bound");
            // Of the 2 s that there are for a pipeline. Without optimization everything takes many times as long.
            let most = if cfg!(debug_assertions) { 20.0 } else { 2.0 };
            assert!(took.as_secs_f64() < most, "{took:?}");
        }
    }
}

#[test]
fn few_runners_are_kept_busy() {
    let tasks = work(3000, 120, 7).tasks();
    for runners in [8, 32] {
        let limits = Limits {
            runners: Some(runners),
            jobs: 1000,
            ..UNLIMITED
        };
        let graph = pack(&tasks, &limits);
        check(&graph, &tasks, &limits);
        let later = later(&graph, &tasks, &limits);
        assert!(
            later <= 15,
            "{runners} runners: {later} % later than the bound"
        );
    }
}

#[test]
fn a_chain_is_one_job_and_what_is_not_related_stays_apart() {
    let task = |seconds, after: &[usize]| Task {
        seconds,
        after: after.to_vec(),
        ..Task::default()
    };
    let chain: Vec<Task> = (0..20usize)
        .map(|it| task(600, &it.checked_sub(1).into_iter().collect::<Vec<_>>()))
        .collect();
    let graph = pack(&chain, &UNLIMITED);
    assert_eq!(graph.jobs.len(), 1);
    let apart: Vec<Task> = (0..4).map(|_| task(600, &[])).collect();
    assert_eq!(pack(&apart, &UNLIMITED).jobs.len(), 4);
    assert_eq!(pack(&[], &UNLIMITED).jobs, []);
}

#[test]
fn what_waits_for_many_waits_for_joins_that_cost_nothing() {
    let mut tasks: Vec<Task> = (0..120)
        .map(|it| Task {
            seconds: 600 + it * 60,
            ..Task::default()
        })
        .collect();
    tasks.push(Task {
        seconds: 60,
        after: (0..120).collect(),
        ..Task::default()
    });
    let limits = Limits {
        longest: 1,
        ..UNLIMITED
    };
    let graph = pack(&tasks, &limits);
    check(&graph, &tasks, &limits);
    assert!(graph.jobs.iter().any(|it| it.tasks.is_empty()));
    assert_eq!(
        makespan(&graph, &tasks, 60, None),
        600 + 119 * 60 + 60 + 120
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn order_and_limits_hold_whatever_there_is_to_do(
        packages in 0usize..300,
        containers in 0usize..60,
        seed in any::<u64>(),
        jobs in 4usize..80,
        needs in prop::option::of(2usize..6),
        overhead in 0u64..300,
        runners in prop::option::of(1usize..9),
    ) {
        let tasks = work(packages, containers, seed).tasks();
        let limits = Limits { overhead, jobs, needs, longest: 7200, runners };
        check(&pack(&tasks, &limits), &tasks, &limits);
    }
}
