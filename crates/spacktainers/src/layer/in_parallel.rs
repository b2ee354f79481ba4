//! Work on many things at once, with answers in their order.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `work` on all of `jobs`, at most `parallel` at a time; answers are in the order of the jobs. The largest by `size`
/// comes first: whoever begins the largest last waits for it alone at the end.
pub(crate) fn in_parallel<J: Sync, A: Send>(
    jobs: &[J],
    parallel: usize,
    size: impl Fn(&J) -> u64,
    work: impl Fn(&J) -> A + Sync,
) -> Vec<A> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|index| Reverse(size(&jobs[*index])));
    let next = AtomicUsize::new(0);
    let answers = Mutex::new((0..jobs.len()).map(|_| None).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = work(&jobs[*index]);
                    answers.lock().unwrap_or_else(PoisonError::into_inner)[*index] = Some(answer);
                }
            });
        }
    });
    answers
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .flatten()
        .collect()
}
