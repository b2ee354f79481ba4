//! Looking for secrets in a stream of bytes.

use std::io::{self, Read};

use memchr::memmem::Finder;

use super::Values;
use super::shapes::{LONGEST, SHAPES};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// Where something secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What it is: a name of a variable or of a shape. Never the secret.
    pub what: String,
    /// Bytes before it.
    pub offset: u64,
}

/// What is looked for, ready to be used on many streams.
pub struct Search {
    values: Vec<(String, Finder<'static>)>,
    shapes: Vec<(usize, Finder<'static>)>,
    overlap: usize,
}

impl Search {
    /// Looks for `values`, and for what has the shape of a secret if `shapes`.
    #[must_use]
    pub fn new(values: &Values, shapes: bool) -> Self {
        let of_values: Vec<(String, Finder<'static>)> = values
            .forms()
            .map(|(name, form)| {
                let finder = Finder::new(form.as_bytes()).into_owned();
                (format!("the value of {name}"), finder)
            })
            .collect();
        let of_shapes = if shapes { &SHAPES[..] } else { &[] };
        let longest = of_values.iter().map(|it| it.1.needle().len()).max();
        let longest = longest.unwrap_or_default();
        Self {
            shapes: of_shapes
                .iter()
                .enumerate()
                .map(|(index, shape)| (index, Finder::new(shape.begins).into_owned()))
                .collect(),
            overlap: longest.max(if shapes { LONGEST } else { 0 }),
            values: of_values,
        }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.shapes.is_empty()
    }

    /// The first sighting of each kind in a text.
    #[must_use]
    pub fn in_bytes(&self, text: &[u8]) -> Vec<Sighting> {
        let mut found = Vec::new();
        self.look(text, 0, text.len(), &mut found);
        found
    }

    /// The first sighting of each kind in a stream, which is read to its end in bounded memory.
    ///
    /// # Errors
    /// When reading fails.
    pub fn in_stream(&self, mut stream: impl Read) -> io::Result<Vec<Sighting>> {
        let mut found = Vec::new();
        let mut buffer = Vec::with_capacity(CHUNK + self.overlap);
        let mut base = 0_u64;
        loop {
            let before = buffer.len();
            let read = stream
                .by_ref()
                .take(CHUNK as u64)
                .read_to_end(&mut buffer)?;
            if read == 0 {
                // What was kept for matches that go on was not looked at as a beginning.
                self.look(&buffer, base, before, &mut found);
                return Ok(found);
            }
            // A match that begins within the overlap at the end is found with the next bytes.
            let complete = buffer.len().saturating_sub(self.overlap);
            self.look(&buffer, base, complete, &mut found);
            buffer.drain(..complete);
            base += complete as u64;
        }
    }

    /// Matches that begin before `until`.
    fn look(&self, text: &[u8], base: u64, until: usize, found: &mut Vec<Sighting>) {
        let mut see = |what: &str, at: usize| {
            if !found.iter().any(|it| it.what == what) {
                found.push(Sighting {
                    what: what.to_owned(),
                    offset: base + at as u64,
                });
            }
        };
        for (what, finder) in &self.values {
            if let Some(at) = finder.find(text).filter(|at| *at < until) {
                see(what, at);
            }
        }
        for (index, finder) in &self.shapes {
            let Some(shape) = SHAPES.get(*index) else {
                continue;
            };
            let mut starts = finder.find_iter(text).take_while(|at| *at < until);
            let matches = |at: &usize| {
                let rest = text.get(*at..).unwrap_or_default();
                let is_whole_word = at
                    .checked_sub(1)
                    .and_then(|before| text.get(before))
                    .is_none_or(|it| !it.is_ascii_alphanumeric());
                is_whole_word && shape.matches(rest).is_some()
            };
            if let Some(at) = starts.find(matches) {
                see(shape.name, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made here, so that no text of this project looks like a secret.
    fn key() -> String {
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgabcdefghijklmno\n";
        let (begin, end) = ("-----BEGIN ", "-----END ");
        format!("{begin}EC PRIVATE KEY-----\n{line}{line}{end}EC PRIVATE KEY-----\n")
    }

    #[test]
    fn shapes_are_seen_and_what_only_looks_alike_is_not() {
        let search = Search::new(&Values::default(), true);
        let what = |text: &str| -> Vec<String> {
            let found = search.in_bytes(text.as_bytes());
            found.into_iter().map(|it| it.what).collect()
        };
        assert_eq!(what(&key()), ["a private key"]);
        assert_eq!(what(&key().replace("PRIVATE", "PUBLIC")), [""; 0]);
        let begin = "-----BEGIN ";
        assert_eq!(what(&format!("{begin}PRIVATE KEY-----\n")), [""; 0]);
        assert_eq!(
            what(&format!("id=AKIA{}", "A1".repeat(8))),
            ["an AWS access key"]
        );
        assert_eq!(what(&format!("xAKIA{}", "A1".repeat(8))), [""; 0]);
        assert_eq!(
            what(&format!("ghp_{}", "a1".repeat(18))),
            ["a GitHub token"]
        );
        assert_eq!(what("ghp_short"), [""; 0]);
    }

    #[test]
    fn nothing_is_missed_between_two_reads() {
        let mut values = Values::default();
        values.add("TOKEN", "0123456789abcdef");
        let search = Search::new(&values, true);
        for before in [
            0,
            CHUNK - 1,
            CHUNK - 8,
            CHUNK,
            2 * CHUNK - 15,
            2 * CHUNK + 5,
        ] {
            let text = format!("{}0123456789abcdef{}", " ".repeat(before), key());
            let found = search
                .in_stream(text.as_bytes())
                .expect("memory can be read");
            let found: Vec<(&str, u64)> = found.iter().map(|it| (&*it.what, it.offset)).collect();
            let before = before as u64;
            assert!(
                found.contains(&("the value of TOKEN", before)),
                "{before}: {found:?}"
            );
            // Letters stand right before the key: its dashes begin a word all the same.
            assert_eq!(found.len(), 1, "{found:?}");
            let text = text.replace("def-", "def\n-");
            let found = search
                .in_stream(text.as_bytes())
                .expect("memory can be read");
            assert!(
                found
                    .iter()
                    .any(|it| it.what == "a private key" && it.offset == before + 17),
                "{before}: {found:?}"
            );
        }
    }
}
