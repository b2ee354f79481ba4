//! What git prints, read. Pure.

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Its path below the project's folder.
    pub path: String,
    /// Whether it is not there any more.
    pub is_gone: bool,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name: 40 or 64 hexadecimal digits.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// When, as a day: `2026-11-26`.
    pub day: String,
    /// The first line of its message.
    pub subject: String,
}

impl Commit {
    /// The first digits of its name, as people write it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..10).unwrap_or(&self.id)
    }
}

/// Lines that differ, counted from 1 in the newer file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hunk {
    /// The first line; where lines were only taken out, the one before them, or 0.
    pub line: usize,
    /// How many there are; none where lines were only taken out.
    pub count: usize,
}

/// How `git log` has to print commits: fields behind each other, each ended by a zero byte.
pub(super) const COMMIT_FORMAT: &str = "--format=%H%x00%an%x00%as%x00%s%x00";

/// `--name-status -z` without renames: `M`, `A`, `D` or `T`, then the path, each ended by a zero byte.
pub(super) fn changes(bytes: &[u8]) -> Vec<Change> {
    let mut fields = paths(bytes);
    let mut changes = Vec::new();
    while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
        let is_gone = status.starts_with('D');
        changes.push(Change { path, is_gone });
    }
    changes
}

/// Texts that are each ended by a zero byte.
pub(super) fn paths(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    let fields = bytes.split(|byte| *byte == 0).filter(|it| !it.is_empty());
    fields.map(|it| String::from_utf8_lossy(it).into_owned())
}

/// What [`COMMIT_FORMAT`] asks for.
pub(super) fn commits(bytes: &[u8]) -> Vec<Commit> {
    let text = String::from_utf8_lossy(bytes);
    let fields: Vec<&str> = text.split('\0').collect();
    let commits = fields.chunks_exact(4).map(|it| Commit {
        id: it[0].trim().to_owned(),
        author: it[1].to_owned(),
        day: it[2].to_owned(),
        subject: it[3].to_owned(),
    });
    commits.collect()
}

/// The heads of hunks: `@@ -3,2 +4,0 @@`.
pub(super) fn hunks(bytes: &[u8]) -> Vec<Hunk> {
    let text = String::from_utf8_lossy(bytes);
    let heads = text.lines().filter_map(|line| line.strip_prefix("@@ -"));
    let newer = heads.filter_map(|head| Some(head.split_once(" +")?.1.split_once(" @@")?.0));
    newer
        .filter_map(|range| {
            let (line, count) = range.split_once(',').unwrap_or((range, "1"));
            Some(Hunk {
                line: line.parse().ok()?,
                count: count.parse().ok()?,
            })
        })
        .collect()
}

/// The commit of `git blame --porcelain` for one line. Lines that are not committed have a name of zeros.
pub(super) fn blamed(bytes: &[u8]) -> Option<Commit> {
    let text = String::from_utf8_lossy(bytes);
    let id = text.split_whitespace().next()?;
    if id.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    Some(Commit {
        id: id.to_owned(),
        author: field("author").unwrap_or_default().to_owned(),
        day: field("author-time")
            .and_then(|it| it.parse().ok())
            .map(day)
            .unwrap_or_default(),
        subject: field("summary").unwrap_or_default().to_owned(),
    })
}

/// The day of a time in seconds since 1970, in UTC, after Howard Hinnant's `civil_from_days`.
fn day(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400).saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era.saturating_mul(400) + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_prints_is_read() {
        let gone = |path: &str, is_gone| Change {
            path: path.to_owned(),
            is_gone,
        };
        assert_eq!(
            changes(b"M\0a b\0D\0c\0"),
            [gone("a b", false), gone("c", true)]
        );
        assert_eq!(changes(b""), []);
        let hunk = |line, count| Hunk { line, count };
        assert_eq!(
            hunks(b"--- a\n@@ -3,2 +4,0 @@ x\n@@ -9 +7 @@\n@@ bad\n"),
            [hunk(4, 0), hunk(7, 1)]
        );
        assert_eq!(commits(b"ab\0N\x00d\0s\0\ncd\0M\0e\0t\0")[1].id, "cd");
        assert_eq!(
            blamed(b"0000000000 1 1 1\nauthor Not Committed Yet\n"),
            None
        );
        let text = b"abcdef012345 1 1 1\nauthor A B\nauthor-time 951782400\nsummary did it\n";
        let commit = blamed(text).expect("a commit");
        assert_eq!(
            (commit.short(), &*commit.day, &*commit.subject),
            ("abcdef0123", "2000-02-29", "did it")
        );
    }
}
