//! "Did you mean …?"

/// Names longer than this are not compared: the table grows with the product of the lengths.
const LONGEST: usize = 64;

/// The candidate that `name` is most likely a misspelling of, if any is near enough: at most one slip per three
/// letters, where a slip is a letter too many, too few, another, or two swapped. `_` and `-` count as the same.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normal(name)?;
    let allowed = (name.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let Some(letters) = normal(candidate) else {
            continue;
        };
        let slips = distance(&name, &letters);
        if slips <= allowed && slips < letters.len() && best.is_none_or(|(least, _)| slips < least)
        {
            best = Some((slips, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn normal(name: &str) -> Option<Vec<char>> {
    (name.len() <= LONGEST && !name.is_empty()).then(|| {
        name.chars()
            .map(|c| {
                if c == '_' {
                    '-'
                } else {
                    c.to_ascii_lowercase()
                }
            })
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
    fn a_slip_of_the_pen_is_recognized_and_another_word_is_not() {
        let keys = ["specs", "packages", "concretizer", "view", "install_tree"];
        assert_eq!(nearest("spec", keys), Some("specs"));
        assert_eq!(nearest("pakcages", keys), Some("packages"));
        assert_eq!(nearest("install-tree", keys), Some("install_tree"));
        assert_eq!(nearest("veiw", keys), Some("view"));
        assert_eq!(nearest("mirror_list", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest("x", keys), None);
    }
}
