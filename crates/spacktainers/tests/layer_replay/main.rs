//! The layer planner against what others do, over the locks of real environments and what may happen to them.
//!
//! The whole table, with more histories, is printed by `cargo bench -p spacktainers --bench layers`.

use std::io::Write as _;

mod fleet;
mod replay;
mod strategies;

use replay::Bill;
use strategies::Strategy;

/// Of a single history, which may be odd, ours may cost a hundredth more than the best of all others; never of all together.
const ODD: u64 = 100;

#[test]
fn nothing_else_stores_or_pulls_less() {
    let Some(locks) = fleet::locks() else {
        let why = "SKIPPED: no locks; name the folder of fixtures by SPACKTAINERS_FIXTURES";
        let _ = writeln!(std::io::stderr(), "{why}");
        return;
    };
    // The change that the locks really hold, and one of each kind; the bench has the others.
    let mut histories = replay::histories(&locks, &[1]);
    histories
        .retain(|history| history.name.starts_with("hpc") || history.name.starts_with("mixed"));
    for budget in [10, 40, 100] {
        let mut sums = [Bill::default(); Strategy::ALL.len()];
        for history in &histories {
            let bills = Strategy::ALL.map(|strategy| replay::replay(history, strategy, budget, 1));
            for (sum, bill) in sums.iter_mut().zip(&bills) {
                sum.add(bill);
            }
            for (rival, bill) in Strategy::ALL.iter().zip(&bills).skip(1) {
                for (what, ours, theirs) in bills[0].beside(bill) {
                    assert!(
                        ours <= theirs + theirs / ODD,
                        "{}, budget {budget}: {what}: {} {theirs}, ours {ours}",
                        history.name,
                        rival.name(),
                    );
                }
            }
        }
        for (rival, sum) in Strategy::ALL.iter().zip(&sums).skip(1) {
            for (what, ours, theirs) in sums[0].beside(sum) {
                let name = rival.name();
                assert!(
                    ours <= theirs,
                    "all histories, budget {budget}: {what}: {name} {theirs}, ours {ours}"
                );
            }
        }
    }
}
