//! One plain version: its components and their order.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::VersionError;
use super::number::Number;

/// Names that are greater than every number, in ascending order.
const INFINITY: [&str; 7] = [
    "stable", "nightly", "trunk", "head", "master", "main", "develop",
];

/// A run of letters or digits. The order of the variants is the order of components: other words below numbers, numbers
/// below the names of branches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Component {
    Word(Box<str>),
    Number(Number),
    /// An index into [`INFINITY`], or one beyond it: where the range of `develop` ends.
    Infinity(u8),
}

/// How near to its release a version is. `Final` is a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Alpha,
    Beta,
    Candidate,
    Final,
}

/// The stage and its number; without a number it comes before those with one.
type Prerelease = (Stage, Option<Number>);

/// A plain version such as `1.2.3`, `2024-01-02`, `1.0rc1` or `develop`.
///
/// Separators are part of the text and not of the value: `1-2` equals `1.2`, and `1.02` does.
#[derive(Debug, Clone)]
pub struct StandardVersion {
    text: Box<str>,
    release: Vec<Component>,
    prerelease: Prerelease,
}

/// A component as written, and the separators after it.
struct Segment<'a> {
    text: &'a str,
    is_number: bool,
    separator: &'a str,
}

impl StandardVersion {
    /// Reads a version.
    ///
    /// # Errors
    /// When it is empty or has a character that versions do not have.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        // An equals sign may stand anywhere but in front; it counts for nothing.
        let allowed = |(at, character): (usize, char)| {
            character.is_ascii_alphanumeric()
                || matches!(character, '_' | '.' | '-')
                || (at > 0 && character == '=')
        };
        if let Some((_, character)) = text.char_indices().find(|it| !allowed(*it)) {
            return Err(VersionError::Character {
                text: text.to_owned(),
                character,
            });
        }
        let segments = segments(text);
        let (count, prerelease) = split_prerelease(&segments);
        let release = segments.iter().take(count).map(Segment::component);
        Ok(Self {
            release: release.collect(),
            prerelease,
            text: text.into(),
        })
    }

    /// The version as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a branch or the like: `develop`, `main`, `1.0.head`.
    #[must_use]
    pub fn is_develop(&self) -> bool {
        self.release
            .iter()
            .any(|it| matches!(it, Component::Infinity(_)))
    }

    /// Whether it is an alpha, a beta or a release candidate.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        self.prerelease.0 != Stage::Final
    }

    /// The least version above all that begin with this one: where the range of it ends. It has no text.
    pub(super) fn next(&self) -> Self {
        let mut release = self.release.clone();
        let mut prerelease = self.prerelease.clone();
        if self.is_prerelease() {
            prerelease.1 = Some(match &prerelease.1 {
                Some(number) => number.next(),
                None => Number::Small(0),
            });
        } else {
            match release.last_mut() {
                Some(last) => *last = last.next(),
                None => release.push(Component::Word("A".into())),
            }
        }
        Self {
            text: "".into(),
            release,
            prerelease,
        }
    }

    /// The version as Spack writes it where it ends a range: numbers without leading zeros, the stage's name in full.
    pub(super) fn normalized(&self) -> String {
        let segments = segments(&self.text);
        let (count, (stage, number)) = split_prerelease(&segments);
        let mut out = String::new();
        for segment in segments.iter().take(count) {
            if segment.is_number {
                out.push_str(&Number::from_digits(segment.text).to_string());
            } else {
                out.push_str(segment.text);
            }
            out.push_str(segment.separator);
        }
        out.push_str(match stage {
            Stage::Alpha => "alpha",
            Stage::Beta => "beta",
            Stage::Candidate => "rc",
            Stage::Final => "",
        });
        if let Some(number) = number {
            out.push_str(segments.get(count).map_or("", |it| it.separator));
            out.push_str(&number.to_string());
        }
        out
    }
}

impl Segment<'_> {
    fn component(&self) -> Component {
        if self.is_number {
            return Component::Number(Number::from_digits(self.text));
        }
        match (0..).zip(INFINITY).find(|(_, name)| *name == self.text) {
            Some((index, _)) => Component::Infinity(index),
            None => Component::Word(self.text.into()),
        }
    }

    fn stage(&self) -> Option<Stage> {
        match self.text {
            "alpha" => Some(Stage::Alpha),
            "beta" => Some(Stage::Beta),
            "rc" => Some(Stage::Candidate),
            "final" => Some(Stage::Final),
            _ => None,
        }
    }
}

impl Component {
    fn next(&self) -> Self {
        match self {
            Self::Number(number) => Self::Number(number.next()),
            Self::Infinity(index) => Self::Infinity(index.saturating_add(1)),
            Self::Word(word) => {
                let mut next = next_word(word);
                while INFINITY.contains(&next.as_str()) {
                    next = next_word(&next);
                }
                Self::Word(next.into())
            }
        }
    }
}

/// The next word of the letters `A` to `Z`, `a` to `z`.
fn next_word(word: &str) -> String {
    let mut next = word.to_owned();
    match next.pop() {
        Some('Z') => next.push('a'),
        Some(last) if last != 'z' => next.push(char::from_u32(last as u32 + 1).unwrap_or('z')),
        Some(last) => next.extend([last, 'A']),
        None => next.push('A'),
    }
    next
}

fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.find(|it: char| it.is_ascii_alphanumeric());
        let Some(first) = start.and_then(|start| rest.get(start..)) else {
            return out;
        };
        let is_number = first.starts_with(|it: char| it.is_ascii_digit());
        let (text, after) = split_run(first, |it| {
            it.is_ascii_alphanumeric() && it.is_ascii_digit() == is_number
        });
        let (separator, after) = split_run(after, |it| matches!(it, '_' | '.' | '-'));
        out.push(Segment {
            text,
            is_number,
            separator,
        });
        rest = after;
    }
}

fn split_run(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|it| !belongs(it)).unwrap_or(text.len()))
}

/// How many segments are the release, and what the others say.
fn split_prerelease(segments: &[Segment<'_>]) -> (usize, Prerelease) {
    let count = segments.len();
    match segments {
        [_, .., word, number] if number.is_number && word.stage().is_some() => {
            let stage = word.stage().unwrap_or(Stage::Final);
            (count - 2, (stage, Some(Number::from_digits(number.text))))
        }
        [_, .., word] if word.stage().is_some() => {
            (count - 1, (word.stage().unwrap_or(Stage::Final), None))
        }
        _ => (count, (Stage::Final, None)),
    }
}

impl PartialEq for StandardVersion {
    fn eq(&self, other: &Self) -> bool {
        self.release == other.release && self.prerelease == other.prerelease
    }
}

impl Eq for StandardVersion {}

impl Hash for StandardVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.release.hash(state);
        self.prerelease.hash(state);
    }
}

impl Ord for StandardVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.release, &self.prerelease).cmp(&(&other.release, &other.prerelease))
    }
}

impl PartialOrd for StandardVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for StandardVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> StandardVersion {
        StandardVersion::parse(text).expect(text)
    }

    /// The order that real Spack 1.1.0 gives these.
    #[test]
    fn versions_are_ordered_as_spack_orders_them() {
        let sorted = "foo v1.0 1. 1.a 1.0alpha 1.0-alpha1 1.0beta2 1.0rc1 1.0-rc2 1.0 1.0a 1.0b1 1.0p1 1.0.1 \
                      1.0.develop 1.2 9 10 2024-01-02 stable nightly trunk head master main develop";
        let versions: Vec<_> = sorted.split_whitespace().map(version).collect();
        for pair in versions.windows(2) {
            assert!(pair[0] < pair[1], "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn separators_and_leading_zeros_do_not_count() {
        for same in ["1-2", "1_2", "1.02", "1..2"] {
            assert_eq!(version("1.2"), version(same), "{same}");
        }
        assert_ne!(version("1.2"), version("1.20"));
        assert_eq!(version("1.2").to_string(), "1.2");
        assert_eq!(version("01-2").to_string(), "01-2");
        assert_eq!(version("01-2").normalized(), "1-2");
        assert_eq!(version("1.0-rc_2").normalized(), "1.0-rc_2");
    }

    #[test]
    fn a_stage_needs_something_before_it() {
        assert!(!version("rc1").is_prerelease());
        assert!(version("1rc").is_prerelease());
        assert!(version("1rc") < version("1rc1"));
        assert!(!version("1.0pre1").is_prerelease());
        assert_eq!(version("1.0final"), version("1.0"));
    }

    #[test]
    fn the_next_version_is_above_all_that_begin_alike() {
        for (text, inside, outside) in [
            ("1.2", "1.2.develop", "1.3"),
            ("1.0a", "1.0a.9", "1.0b"),
            ("1.0z", "1.0z9", "1.0za"),
            ("1.0rc1", "1.0rc1", "1.0rc2"),
            ("develop", "develop.1", "develop.develop.develop"),
        ] {
            let end = version(text).next();
            assert!(version(inside) < end, "{inside} in {text}");
            if text != "develop" {
                assert!(version(outside) >= end, "{outside} not in {text}");
            }
        }
        // `mastes` comes before `master` would, and `master` is no word of the alphabet.
        assert!(version("masteq").next() < version("master"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        assert_eq!(StandardVersion::parse(" "), Err(VersionError::Empty));
        for text in ["1:2", "=1", "1,2", "1 2", "é"] {
            assert!(
                matches!(
                    StandardVersion::parse(text),
                    Err(VersionError::Character { .. })
                ),
                "{text}"
            );
        }
    }
}
