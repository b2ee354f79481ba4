//! "Did you mean …?"

/// Names longer than this are not compared: the table grows with the product of the lengths.
const LONGEST: usize = 32;

/// The candidate that `name` is most likely a misspelling of: at most one slip per three letters, where a slip is a
/// letter too many, too few, another, or two swapped. Case does not count.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = letters(name)?;
    let allowed = (name.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = letters(candidate)?;
            let slips = distance(&name, &other);
            (slips <= allowed && slips < other.len()).then_some((slips, candidate))
        })
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

fn letters(name: &str) -> Option<Vec<char>> {
    (1..=LONGEST).contains(&name.len()).then(|| {
        name.chars()
            .map(|letter| letter.to_ascii_lowercase())
            .collect()
    })
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized_and_another_word_is_not() {
        let names = ["post", "pre", "runscript", "startscript", "environment"];
        assert_eq!(nearest("psot", names), Some("post"));
        assert_eq!(nearest("RunScripts", names), Some("runscript"));
        assert_eq!(nearest("enviroment", names), Some("environment"));
        assert_eq!(nearest("packages", names), None);
        assert_eq!(nearest("", names), None);
    }
}
