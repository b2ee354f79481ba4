//! Text files: prefixes are replaced wherever a path begins, and the file becomes longer or shorter.
//!
//! Spack replaces by one regular expression over bytes,
//!
//! ```text
//! (?<![\w\-_/])([\w\-_]*?)(PREFIX|PREFIX|…)([\w\-_/]*)
//! ```
//!
//! which says: what stands directly before the prefix is a run of word characters and `-`, possibly empty, that has no `/`
//! before it. So `-I/old`, `=/old` and `x/old` are replaced and `/mnt/old` and `file:///old` are not. The run of word
//! characters, `-` and `/` after the prefix belongs to the match, so a second prefix in that run is not seen. The state that
//! this takes fits in three fields, and files pass by in pieces.
//!
//! Source: `utf8_paths_to_single_binary_regex` and `TextFilePrefixReplacer` in `lib/spack/spack/relocate_text.py` of Spack.

use super::PrefixMap;

/// Replaces prefixes in a text that comes in pieces.
pub struct TextReplacer<'m> {
    map: &'m PrefixMap,
    rule: Rule,
    /// The end of what came so far, which may be the beginning of a prefix.
    held: Vec<u8>,
    /// Whether a prefix may begin where `held` begins.
    is_allowed: bool,
    /// Whether the run after a match is still going on where `held` begins.
    in_tail: bool,
    changes: u64,
}

/// Which occurrences are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Those that Spack replaces.
    AsSpack,
    /// All of them, also behind a `/`: `file:///old`.
    Everywhere,
}

impl<'m> TextReplacer<'m> {
    /// A text from its beginning.
    #[must_use]
    pub fn new(map: &'m PrefixMap, rule: Rule) -> Self {
        Self {
            map,
            rule,
            held: Vec::new(),
            is_allowed: true,
            in_tail: false,
            changes: 0,
        }
    }

    /// Takes the next piece, and gives what is certain to `out`.
    pub fn push<E>(
        &mut self,
        piece: &[u8],
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.held.is_empty() {
            let done = self.replace(piece, false, out)?;
            self.held.extend_from_slice(&piece[done..]);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let done = self.replace(&bytes, false, out)?;
        bytes.drain(..done);
        self.held = bytes;
        Ok(())
    }

    /// Gives the rest to `out`. The answer is how many prefixes were replaced in all.
    pub fn finish<E>(mut self, out: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<u64, E> {
        let bytes = std::mem::take(&mut self.held);
        self.replace(&bytes, true, out)?;
        Ok(self.changes)
    }

    /// Replaces in `bytes`, but for what might go on after them; how many of them are done with is the answer.
    fn replace<E>(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut from = 0;
        if self.in_tail {
            from = tail(bytes);
            self.in_tail = from == bytes.len();
        }
        let start = from;
        let mut given = 0;
        let mut found = self.map.find(bytes);
        found.skip_to(from);
        // A shorter prefix must not win because the end of a longer one has not come yet.
        let last = if is_end {
            bytes.len()
        } else {
            (bytes.len() + 1).saturating_sub(self.map.longest().max(1))
        };
        while let Some((position, old, new)) = found.next() {
            if position >= last {
                break;
            }
            if self.rule == Rule::AsSpack && !self.may_begin(bytes, start, from, position) {
                continue;
            }
            out(&bytes[given..position])?;
            out(new)?;
            self.changes += 1;
            given = position + old.len();
            from = given
                + match self.rule {
                    Rule::AsSpack => tail(&bytes[given..]),
                    Rule::Everywhere => 0,
                };
            found.skip_to(from);
            if from == bytes.len() && self.rule == Rule::AsSpack && !is_end {
                self.in_tail = true;
            }
        }
        let done = last.max(from).min(bytes.len());
        if done > 0 {
            self.is_allowed = self.may_begin(bytes, start, from.min(done), done);
        }
        out(&bytes[given..done])?;
        Ok(done)
    }

    /// Whether a prefix at `position` is the beginning of a path. Nothing before `from` matters: a match ends there, or the
    /// piece begins.
    fn may_begin(&self, bytes: &[u8], start: usize, from: usize, position: usize) -> bool {
        let before = &bytes[from..position];
        match before.iter().rposition(|byte| !is_word(*byte)) {
            Some(at) => before[at] != b'/',
            // The run reaches back to a match, after which it cannot have gone on, or to the piece before.
            None if from > start => true,
            None if start > 0 => true,
            None => self.is_allowed,
        }
    }
}

/// The new text, or nothing where it stays as it is.
#[must_use]
pub fn relocate(map: &PrefixMap, text: &[u8], rule: Rule) -> Option<Vec<u8>> {
    let mut new = Vec::with_capacity(text.len());
    let mut replacer = TextReplacer::new(map, rule);
    let mut out = |piece: &[u8]| -> Result<(), std::convert::Infallible> {
        new.extend_from_slice(piece);
        Ok(())
    };
    let Ok(()) = replacer.push(text, &mut out);
    let Ok(changes) = replacer.finish(&mut out);
    (changes > 0).then_some(new)
}

/// `[\w\-_]` of a regular expression over bytes.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Bytes of the run of word characters, `-` and `/` that `bytes` begin with.
fn tail(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !is_word(*byte) && *byte != b'/')
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The regular expression of Spack, step by step as a backtracking engine takes it.
    fn as_regex(map: &PrefixMap, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        'next: while at < text.len() {
            let blocked = at > 0 && (is_word(text[at - 1]) || text[at - 1] == b'/');
            if !blocked {
                let mut group = at;
                loop {
                    if let Some((old, new)) = map.at_start(&text[group..]) {
                        out.extend_from_slice(&text[at..group]);
                        out.extend_from_slice(new);
                        let after = group + old.len();
                        let end = after + tail(&text[after..]);
                        out.extend_from_slice(&text[after..end]);
                        at = end;
                        continue 'next;
                    }
                    if group < text.len() && is_word(text[group]) {
                        group += 1;
                    } else {
                        break;
                    }
                }
            }
            out.push(text[at]);
            at += 1;
        }
        out
    }

    fn in_pieces(map: &PrefixMap, text: &[u8], size: usize) -> Vec<u8> {
        let mut new = Vec::new();
        let mut replacer = TextReplacer::new(map, Rule::AsSpack);
        let mut out = |piece: &[u8]| -> Result<(), ()> {
            new.extend_from_slice(piece);
            Ok(())
        };
        for piece in text.chunks(size.max(1)) {
            replacer.push(piece, &mut out).expect("memory");
        }
        replacer.finish(&mut out).expect("memory");
        new
    }

    #[test]
    fn the_cases_of_the_facts_sheet() {
        let map = PrefixMap::new([("/old", "/newer")]).expect("paths");
        let cases = [
            ("-I/old/include", "-I/newer/include"),
            ("a=/old;/old", "a=/newer;/newer"),
            ("x/old", "x/newer"),
            ("/foo/old", "/foo/old"),
            ("/oldtra", "/newertra"),
            ("/old/x/old", "/newer/x/old"),
            ("file:///old", "file:///old"),
            (":/old", ":/newer"),
        ];
        for (text, expected) in cases {
            let new = relocate(&map, text.as_bytes(), Rule::AsSpack);
            let new = new.unwrap_or_else(|| text.as_bytes().to_vec());
            assert_eq!(String::from_utf8_lossy(&new), expected);
        }
        let new = relocate(&map, b"file:///old", Rule::Everywhere);
        assert_eq!(new.as_deref(), Some(&b"file:///newer"[..]));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_what_the_regular_expression_gives(
            text in "[a:/s]{0,60}",
            prefixes in prop::collection::vec("/[as/]{1,6}", 1..5),
            size in 1usize..20,
        ) {
            let pairs = prefixes.iter().enumerate().map(|(n, it)| (it.as_str(), format!("/n{n}")));
            let map = PrefixMap::new(pairs);
            prop_assume!(map.is_ok());
            let map = map.expect("checked");
            let expected = as_regex(&map, text.as_bytes());
            prop_assert_eq!(in_pieces(&map, text.as_bytes(), size), expected.clone());
            let whole = relocate(&map, text.as_bytes(), Rule::AsSpack);
            prop_assert_eq!(whole.unwrap_or_else(|| text.into_bytes()), expected);
        }
    }
}
