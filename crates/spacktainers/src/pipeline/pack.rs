//! Many small tasks into few jobs: as few as let the whole end about when the longest chain of tasks ends.
//!
//! A job costs time before its first command, and a pipeline may have only so many. So tasks share jobs, one after the
//! other, wherever that delays nothing that matters:
//!
//! ```text
//! tasks, earliest first ──► the job that can take one more ──► or a new one
//!                             │ its jobs before must not wait for it (no circle)
//!                             │ with this task it still ends before what waits for it has to begin
//! ```
//!
//! What *has to begin when* follows from a target for the end of it all: the longest chain and a few percent. A target
//! that asks for more jobs than there may be is given up for a later one.
//!
//! Plans that take hours end within 15 % of the bound. Where the longest chain is some tens of minutes, of packages that
//! take hardly longer than a job takes to start, the starts of a few jobs behind each other come on top of that.

use std::collections::VecDeque;

use super::graph::{Job, JobGraph, longest_chain, makespan, topological};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Task {
    /// How long it takes.
    pub seconds: u64,
    /// Places of the tasks that have to be done before; all of them stand before this one.
    pub after: Vec<usize>,
    /// What it runs on: tasks of different kinds never share a job.
    pub kind: usize,
    /// Nothing comes after it, and it has a job of its own: publishing.
    pub is_last: bool,
}

/// What the system allows, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Seconds that each job costs besides its tasks.
    pub overhead: u64,
    /// The most jobs.
    pub jobs: usize,
    /// The most jobs that one job may wait for.
    pub needs: Option<usize>,
    /// The longest that a job of several tasks may take, in seconds.
    pub longest: u64,
    /// Runners that work at the same time; none: as many as there are jobs.
    pub runners: Option<usize>,
}

/// How much later than the longest chain the end may be, in percent: what is tried, in this order. The first ones leave
/// room for what merging saves; the last ones are for pipelines that may have but few jobs.
const LATER: &[u64] = &[
    10, 6, 12, 3, 14, 30, 60, 120, 250, 500, 1_000, 3_000, 10_000,
];

/// By how many percent a plan may miss the bound without another one being tried.
const GOOD: u64 = 15;

/// No plan of these tasks is done earlier: the longest chain of tasks, or all tasks shared out among the runners, and the
/// start of one job.
#[must_use]
pub fn bound(tasks: &[Task], limits: &Limits) -> u64 {
    let work = tasks
        .iter()
        .fold(0u64, |sum, it| sum.saturating_add(it.seconds));
    let shared = limits.runners.map_or(0, |runners| {
        work.div_ceil(u64::try_from(runners.max(1)).unwrap_or(u64::MAX))
    });
    longest_chain(tasks)
        .max(shared)
        .saturating_add(limits.overhead)
}

/// The jobs for `tasks`.
#[must_use]
pub fn pack(tasks: &[Task], limits: &Limits) -> JobGraph {
    let bound = bound(tasks, limits);
    let longest = longest_chain(tasks).saturating_add(limits.overhead);
    let mut best: Option<(u64, JobGraph)> = None;
    let mut is_good = |mut graph: JobGraph| {
        graph.reduce();
        if let Some(most) = limits.needs {
            graph.limit_needs(most, limits.overhead, tasks);
        }
        if graph.jobs.len() > limits.jobs {
            return false;
        }
        let end = makespan(&graph, tasks, limits.overhead, limits.runners);
        if best.as_ref().is_none_or(|(before, _)| end < *before) {
            best = Some((end, graph));
        }
        end <= bound.saturating_add(bound / 100 * GOOD)
    };
    LATER.iter().any(|percent| {
        let target = longest.saturating_add(longest.saturating_mul(*percent) / 100);
        is_good(Packer::new(tasks, limits, target).run())
    });
    best.map_or_else(|| one_after_the_other(tasks), |(_, graph)| graph)
}

/// What always fits: one job of each kind for all that is built, one for all that comes last.
fn one_after_the_other(tasks: &[Task]) -> JobGraph {
    let mut jobs: Vec<Job> = Vec::new();
    let mut places: Vec<(usize, bool)> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let place = (task.kind, task.is_last);
        match places.iter().position(|it| *it == place) {
            Some(job) => jobs[job].tasks.push(index),
            None => {
                let builds = places.iter().position(|it| *it == (task.kind, false));
                let after = builds.filter(|_| task.is_last).into_iter().collect();
                places.push(place);
                jobs.push(Job {
                    tasks: vec![index],
                    after,
                });
            }
        }
    }
    JobGraph { jobs }
}

/// A job that is being filled.
struct Open {
    tasks: Vec<usize>,
    kind: usize,
    is_last: bool,
    /// When it can begin, and how long it takes with its start.
    start: u64,
    length: u64,
    /// When it has to be done.
    latest: u64,
    before: Vec<usize>,
    behind: Vec<usize>,
    /// One bit for each job that it waits for, at once or in the end.
    waits_for: Vec<u64>,
}

impl Open {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    fn waits_for(&self, job: usize) -> bool {
        let word = self.waits_for.get(job / 64);
        word.is_some_and(|word| word & (1 << (job % 64)) != 0)
    }
}

struct Packer<'a> {
    tasks: &'a [Task],
    limits: &'a Limits,
    /// Jobs that others may still take.
    jobs: Vec<Open>,
    /// Tasks that need each task, the most urgent first.
    behind: Vec<Vec<usize>>,
    /// The job of each task.
    job_of: Vec<usize>,
    /// When each task has to begin.
    begin: Vec<u64>,
    target: u64,
}

impl<'a> Packer<'a> {
    fn new(tasks: &'a [Task], limits: &'a Limits, target: u64) -> Self {
        let begin = begin(tasks, limits, target);
        let mut behind = vec![Vec::new(); tasks.len()];
        for (index, task) in tasks.iter().enumerate() {
            task.after.iter().for_each(|it| behind[*it].push(index));
        }
        behind
            .iter_mut()
            .for_each(|all| all.sort_by_key(|it| begin[*it]));
        Self {
            tasks,
            limits,
            target,
            begin,
            behind,
            jobs: Vec::new(),
            job_of: vec![usize::MAX; tasks.len()],
        }
    }

    fn run(mut self) -> JobGraph {
        for task in by_start(self.tasks) {
            self.place(task);
        }
        let jobs = self.jobs.iter().map(|job| Job {
            tasks: job.tasks.clone(),
            after: job.before.clone(),
        });
        topological(jobs.collect())
    }

    fn place(&mut self, task: usize) {
        let mut before: Vec<usize> = self.tasks[task]
            .after
            .iter()
            .map(|it| self.job_of[*it])
            .collect();
        before.sort_unstable();
        before.dedup();
        let job = self.chosen(task, &before);
        let job = job.unwrap_or_else(|| self.open(task));
        self.add(task, job, &before);
    }

    /// The job that takes it; none: a new one.
    fn chosen(&self, task: usize, before: &[usize]) -> Option<usize> {
        let it = &self.tasks[task];
        if it.is_last {
            return None;
        }
        let ends = |job: usize| self.end_with(task, job, before);
        let fits = |job: &usize| {
            let open = &self.jobs[*job];
            let length = open.length.saturating_add(it.seconds);
            ends(*job) <= self.latest_with(task, *job) && length <= self.limits.longest
        };
        let possible = |job: &usize| {
            let open = &self.jobs[*job];
            open.kind == it.kind
                && !open.is_last
                && !before.iter().any(|other| self.jobs[*other].waits_for(*job))
        };
        let at_once = before.iter().copied().filter(possible);
        at_once
            .filter(fits)
            .min_by_key(|job| ends(*job))
            .or_else(|| {
                let all = (0..self.jobs.len()).filter(possible).filter(fits);
                all.min_by_key(|job| ends(*job))
            })
    }

    /// When a job would end that has this task as well.
    fn end_with(&self, task: usize, job: usize, before: &[usize]) -> u64 {
        let open = &self.jobs[job];
        let others = before.iter().filter(|it| **it != job);
        let start = others.map(|it| self.jobs[*it].end()).max().unwrap_or(0);
        start
            .max(open.start)
            .saturating_add(open.length)
            .saturating_add(self.tasks[task].seconds)
    }

    fn open(&mut self, task: usize) -> usize {
        self.jobs.push(Open {
            tasks: Vec::new(),
            kind: self.tasks[task].kind,
            is_last: self.tasks[task].is_last,
            start: 0,
            length: self.limits.overhead,
            latest: u64::MAX,
            before: Vec::new(),
            behind: Vec::new(),
            waits_for: Vec::new(),
        });
        self.jobs.len() - 1
    }

    /// When a job would have to be done that has this task as well.
    fn latest_with(&self, task: usize, job: usize) -> u64 {
        let tasks = self.jobs[job].tasks.iter().copied().chain([task]);
        let open = tasks.map(|it| self.begin_behind(it, task)).min();
        open.unwrap_or(self.target).min(self.begin_of_jobs(job))
    }

    /// When the first task has to begin that needs this one and has no job yet, `but` left out.
    fn begin_behind(&self, task: usize, but: usize) -> u64 {
        let mut open = self.behind[task]
            .iter()
            .filter(|it| self.job_of[**it] == usize::MAX);
        let first = open.find(|it| **it != but);
        first.map_or(self.target, |it| self.begin[*it])
    }

    /// When the first of the jobs has to begin that wait for this one.
    fn begin_of_jobs(&self, job: usize) -> u64 {
        let behind = self.jobs[job].behind.iter().map(|it| &self.jobs[*it]);
        let begin = behind.map(|it| it.latest.saturating_sub(it.length)).min();
        begin.unwrap_or(self.target)
    }

    fn add(&mut self, task: usize, job: usize, before: &[usize]) {
        self.job_of[task] = job;
        let seconds = self.tasks[task].seconds;
        for other in before.iter().filter(|it| **it != job) {
            if !self.jobs[job].before.contains(other) {
                self.jobs[job].before.push(*other);
                self.jobs[*other].behind.push(job);
            }
        }
        let open = &mut self.jobs[job];
        open.tasks.push(task);
        open.length = open.length.saturating_add(seconds);
        self.forward(job);
        self.backward(job);
    }

    /// Starts, and what is waited for, of a job and all behind it.
    fn forward(&mut self, job: usize) {
        let mut open = VecDeque::from([(job, true)]);
        while let Some((job, has_grown)) = open.pop_front() {
            let mut start = 0;
            let mut waits_for = std::mem::take(&mut self.jobs[job].waits_for);
            let before: u32 = waits_for.iter().map(|word| word.count_ones()).sum();
            for other in &self.jobs[job].before {
                let it = &self.jobs[*other];
                start = start.max(it.end());
                let words = it.waits_for.len().max(other / 64 + 1);
                if waits_for.len() < words {
                    waits_for.resize(words, 0);
                }
                for (word, more) in waits_for.iter_mut().zip(&it.waits_for) {
                    *word |= more;
                }
                waits_for[other / 64] |= 1 << (other % 64);
            }
            let after: u32 = waits_for.iter().map(|word| word.count_ones()).sum();
            let it = &mut self.jobs[job];
            let has_changed = has_grown || it.start != start || before != after;
            it.start = start;
            it.waits_for = waits_for;
            if has_changed {
                open.extend(it.behind.iter().map(|it| (*it, false)));
            }
        }
    }

    /// When a job, and all that it waits for, have to be done.
    fn backward(&mut self, job: usize) {
        let mut open = VecDeque::from([(job, true)]);
        while let Some((job, has_grown)) = open.pop_front() {
            let tasks = self.jobs[job].tasks.iter();
            let behind = tasks.map(|it| self.begin_behind(*it, usize::MAX)).min();
            let latest = behind.unwrap_or(self.target).min(self.begin_of_jobs(job));
            if has_grown || self.jobs[job].latest != latest {
                self.jobs[job].latest = latest;
                open.extend(self.jobs[job].before.iter().map(|it| (*it, false)));
            }
        }
    }
}

/// Tasks by when they could begin if nothing else mattered: each behind all that it needs.
fn by_start(tasks: &[Task]) -> Vec<usize> {
    let mut start = vec![0u64; tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        let ends = task
            .after
            .iter()
            .map(|it| start[*it].saturating_add(tasks[*it].seconds));
        start[index] = ends.max().unwrap_or(0);
    }
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    // What comes last is placed last. The place decides between equals: it is behind what a task needs.
    order.sort_by_key(|it| (tasks[*it].is_last, start[*it], *it));
    order
}

/// When each task has to begin for the whole to end by `target`. On the way from one task to the next a new job may have
/// to start; what the target leaves besides the longest chain is shared out among the steps of that chain.
fn begin(tasks: &[Task], limits: &Limits, target: u64) -> Vec<u64> {
    // For each task the longest chain that begins with it, in seconds, and its steps.
    let mut chains: Vec<(u64, u64)> = tasks.iter().map(|it| (it.seconds, 1)).collect();
    for (index, task) in tasks.iter().enumerate().rev() {
        let (seconds, steps) = chains[index];
        for other in &task.after {
            let with = (seconds.saturating_add(tasks[*other].seconds), steps + 1);
            chains[*other] = chains[*other].max(with);
        }
    }
    let (longest, steps) = chains.iter().copied().max().unwrap_or((0, 1));
    let left = target.saturating_sub(longest);
    let step = (left / (steps + 1)).min(limits.overhead);
    let needs = |(seconds, steps): &(u64, u64)| seconds.saturating_add(step.saturating_mul(*steps));
    chains
        .iter()
        .map(|it| target.saturating_sub(needs(it)))
        .collect()
}
