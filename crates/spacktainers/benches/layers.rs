//! What layers cost: `cargo bench -p spacktainers --bench layers`.
//!
//! Histories of the containers whose locks are among the fixtures are replayed under our planner and under what others do: bytes
//! that a registry stores before the first change and in all, and bytes that users pull. Sizes are a model, in three worlds.
//! The time is that of all plans.

use std::io::Write as _;
use std::time::{Duration, Instant};

#[path = "../tests/layer_replay/fleet.rs"]
mod fleet;
#[path = "../tests/layer_replay/replay.rs"]
mod replay;
#[path = "../tests/layer_replay/strategies.rs"]
mod strategies;

use replay::Bill;
use strategies::Strategy;

fn main() -> std::io::Result<()> {
    let Some(locks) = fleet::locks() else {
        say("SKIPPED: no locks; name the folder of fixtures by SPACKTAINERS_FIXTURES")?;
        return Ok(());
    };
    let histories = replay::histories(&locks, &[1, 2, 3]);
    say(&format!(
        "{} histories in three worlds; MB",
        histories.len()
    ))?;
    say(
        "budget  strategy                      at first    stored    pulled  by all images      time",
    )?;
    for budget in [10, 20, 40, 100] {
        let mut bills = Vec::new();
        for strategy in Strategy::ALL {
            let start = Instant::now();
            let all: Vec<Bill> = histories
                .iter()
                .flat_map(|history| {
                    [1, 2, 3].map(|salt| replay::replay(history, strategy, budget, salt))
                })
                .collect();
            let mut sum = Bill::default();
            all.iter().for_each(|bill| sum.add(bill));
            say(&line(budget, strategy, &sum, start.elapsed()))?;
            bills.push(all);
        }
        let Some((ours, rivals)) = bills.split_first() else {
            continue;
        };
        // The one history in which something else did best beside ours.
        let beside = rivals.iter().flat_map(|theirs| ours.iter().zip(theirs));
        let worst = beside
            .zip((0..ours.len()).cycle())
            .flat_map(|((ours, theirs), index)| {
                let all = ours.beside(theirs).into_iter();
                all.filter(|(_, _, theirs)| *theirs > 0)
                    .map(move |(what, ours, theirs)| (ours as f64 / theirs as f64, what, index / 3))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((ratio, what, index)) = worst {
            say(&format!(
                "        worst single one: {ratio:.3} of another's, {what}, {}",
                histories[index].name
            ))?;
        }
    }
    Ok(())
}

fn line(budget: usize, strategy: Strategy, bill: &Bill, took: Duration) -> String {
    format!(
        "{budget:6}  {:27} {:10} {:9} {:9} {:14} {:8.1} s",
        strategy.name(),
        bill.first >> 20,
        bill.stored >> 20,
        bill.pulled >> 20,
        bill.pulled_by_all >> 20,
        took.as_secs_f64()
    )
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
