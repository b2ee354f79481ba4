//! Jobs that wait for jobs: what follows from what, how long it takes, and how many may be waited for.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::pack::Task;

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// Its tasks, in the order in which they are done. None: it only joins what others wait for.
    pub tasks: Vec<usize>,
    /// Places of the jobs that have to be done before; all of them stand before this one.
    pub after: Vec<usize>,
}

/// Jobs, each behind all that it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobGraph {
    /// The jobs.
    pub jobs: Vec<Job>,
}

impl JobGraph {
    /// Takes out what is waited for anyway, because another job that is waited for does.
    pub fn reduce(&mut self) {
        let words = self.jobs.len().div_ceil(64);
        let mut waits_for: Vec<Vec<u64>> = Vec::with_capacity(self.jobs.len());
        for job in &mut self.jobs {
            let mut mine = vec![0u64; words];
            // The nearest first: what they wait for need not be named.
            job.after.sort_unstable_by_key(|it| Reverse(*it));
            job.after.dedup();
            job.after.retain(|other| {
                let bit = 1u64 << (other % 64);
                if mine[other / 64] & bit != 0 {
                    return false;
                }
                for (word, more) in mine.iter_mut().zip(&waits_for[*other]) {
                    *word |= more;
                }
                mine[other / 64] |= bit;
                true
            });
            job.after.sort_unstable();
            waits_for.push(mine);
        }
    }

    /// Puts jobs without tasks in between, so that none waits for more than `most` (at least 2) others.
    ///
    /// What is done early goes through such a job; what is done late is waited for as before, so that nothing gets later.
    pub fn limit_needs(&mut self, most: usize, overhead: u64, tasks: &[Task]) {
        let most = most.max(2);
        let ends = ends(self, tasks, overhead);
        let mut jobs: Vec<Job> = Vec::with_capacity(self.jobs.len());
        // Where each job is now, and when it ends.
        let mut places: Vec<usize> = Vec::with_capacity(self.jobs.len());
        let mut done: Vec<u64> = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            let mut after: Vec<usize> = job.after.iter().map(|it| places[*it]).collect();
            after.sort_by_key(|it| done[*it]);
            while after.len() > most {
                let take = (after.len() - most + 1).min(most);
                let early: Vec<usize> = after.drain(..take).collect();
                let end = early.iter().map(|it| done[*it]).max().unwrap_or(0);
                let end = end.saturating_add(overhead);
                let place = after.partition_point(|it| done[*it] <= end);
                after.insert(place, jobs.len());
                done.push(end);
                jobs.push(Job {
                    tasks: Vec::new(),
                    after: early,
                });
            }
            after.sort_unstable();
            places.push(jobs.len());
            done.push(ends[index]);
            jobs.push(Job {
                tasks: job.tasks.clone(),
                after,
            });
        }
        self.jobs = jobs;
    }
}

/// Brings jobs into an order in which each stands behind what it waits for, as early as that allows.
pub(super) fn topological(jobs: Vec<Job>) -> JobGraph {
    let mut open: Vec<usize> = jobs.iter().map(|job| job.after.len()).collect();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (index, job) in jobs.iter().enumerate() {
        job.after.iter().for_each(|it| behind[*it].push(index));
    }
    let ready = open.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(|(index, _)| Reverse(index)).collect();
    let mut places = vec![usize::MAX; jobs.len()];
    let mut sorted = Vec::with_capacity(jobs.len());
    while let Some(Reverse(index)) = ready.pop() {
        places[index] = sorted.len();
        let mut after: Vec<usize> = jobs[index].after.iter().map(|it| places[*it]).collect();
        after.sort_unstable();
        sorted.push(Job {
            tasks: jobs[index].tasks.clone(),
            after,
        });
        for other in &behind[index] {
            open[*other] -= 1;
            if open[*other] == 0 {
                ready.push(Reverse(*other));
            }
        }
    }
    JobGraph { jobs: sorted }
}

/// The longest chain of tasks, in seconds.
#[must_use]
pub fn longest_chain(tasks: &[Task]) -> u64 {
    let mut ends = Vec::with_capacity(tasks.len());
    for task in tasks {
        let start = task.after.iter().filter_map(|it| ends.get(*it)).max();
        ends.push(start.copied().unwrap_or(0u64).saturating_add(task.seconds));
    }
    ends.into_iter().max().unwrap_or(0)
}

/// How long a job takes: its start, and its tasks one after the other.
fn length(job: &Job, tasks: &[Task], overhead: u64) -> u64 {
    let seconds = job.tasks.iter().filter_map(|it| tasks.get(*it));
    seconds.fold(overhead, |sum, it| sum.saturating_add(it.seconds))
}

/// When each job ends if there are runners for all.
fn ends(graph: &JobGraph, tasks: &[Task], overhead: u64) -> Vec<u64> {
    let mut ends: Vec<u64> = Vec::with_capacity(graph.jobs.len());
    for job in &graph.jobs {
        let start = job.after.iter().map(|it| ends[*it]).max().unwrap_or(0);
        ends.push(start.saturating_add(length(job, tasks, overhead)));
    }
    ends
}

/// When all is done, in seconds from the start: a job begins when all that it waits for is done and a runner is free; of
/// those that could begin, the one with the longest chain behind it comes first.
#[must_use]
pub fn makespan(graph: &JobGraph, tasks: &[Task], overhead: u64, runners: Option<usize>) -> u64 {
    let Some(runners) = runners else {
        return ends(graph, tasks, overhead).into_iter().max().unwrap_or(0);
    };
    let lengths: Vec<u64> = graph
        .jobs
        .iter()
        .map(|it| length(it, tasks, overhead))
        .collect();
    let mut chain = lengths.clone();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); graph.jobs.len()];
    for (index, job) in graph.jobs.iter().enumerate().rev() {
        for other in &job.after {
            chain[*other] = chain[*other].max(chain[index].saturating_add(lengths[*other]));
            behind[*other].push(index);
        }
    }
    let mut open: Vec<usize> = graph.jobs.iter().map(|it| it.after.len()).collect();
    let mut ready: BinaryHeap<(u64, Reverse<usize>)> = BinaryHeap::new();
    for (index, _) in open.iter().enumerate().filter(|(_, count)| **count == 0) {
        ready.push((chain[index], Reverse(index)));
    }
    let mut busy: BTreeSet<(u64, usize)> = BTreeSet::new();
    let mut now = 0;
    loop {
        while busy.len() < runners.max(1)
            && let Some((_, Reverse(job))) = ready.pop()
        {
            busy.insert((lengths[job].saturating_add(now), job));
        }
        let Some((end, job)) = busy.pop_first() else {
            return now;
        };
        now = end;
        for other in &behind[job] {
            open[*other] -= 1;
            if open[*other] == 0 {
                ready.push((chain[*other], Reverse(*other)));
            }
        }
    }
}
