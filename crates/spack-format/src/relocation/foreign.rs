//! Old prefixes that are still there after relocation.
//!
//! A new prefix may have an old one in it (`/opt` → `/opt/software`): such a place is not foreign. Files pass by in pieces.

use super::PrefixMap;

/// Old prefixes that stayed in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Where the first of them begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// How many places there are.
    pub count: u64,
}

/// Looks for old prefixes in a file that comes in pieces.
pub struct ForeignScanner<'m> {
    map: &'m PrefixMap,
    /// Bytes that a place may need before or behind it.
    margin: usize,
    held: Vec<u8>,
    /// Where in the file `held` begins.
    offset: u64,
    /// How many bytes of `held` were looked at, and are kept for what comes behind them.
    done: usize,
    found: Option<Foreign>,
}

impl<'m> ForeignScanner<'m> {
    /// A file from its beginning.
    #[must_use]
    pub fn new(map: &'m PrefixMap) -> Self {
        let longest = map.within().map(|(new, _)| new.len()).max().unwrap_or(0);
        Self {
            map,
            margin: longest.max(map.longest()),
            held: Vec::new(),
            offset: 0,
            done: 0,
            found: None,
        }
    }

    /// Looks at the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        // A large piece is looked at where it lies; only its seams are copied.
        if self.held.is_empty() {
            let last = piece.len().saturating_sub(self.margin);
            self.look(piece, 0, last);
            self.keep(piece, last);
            return;
        }
        let seam = piece.len().min(2 * self.margin);
        let mut held = std::mem::take(&mut self.held);
        let before = held.len();
        held.extend_from_slice(&piece[..seam]);
        if seam == piece.len() {
            let last = held.len().saturating_sub(self.margin).max(self.done);
            self.look(&held, self.done, last);
            self.keep(&held, last);
            return;
        }
        self.look(&held, self.done, before + self.margin);
        self.offset += before as u64;
        let last = piece.len() - self.margin;
        self.look(piece, self.margin, last.max(self.margin));
        self.keep(piece, last.max(self.margin));
    }

    /// What was found in the whole file.
    #[must_use]
    pub fn finish(mut self) -> Option<Foreign> {
        let held = std::mem::take(&mut self.held);
        self.look(&held, self.done, held.len());
        self.found
    }

    /// Looks for places that begin from `from` to before `to`.
    fn look(&mut self, bytes: &[u8], from: usize, to: usize) {
        let mut places = self.map.find(bytes);
        places.skip_to(from);
        for (position, _, _) in places {
            if position >= to {
                break;
            }
            let is_new = self.map.within().any(|(new, at)| {
                position
                    .checked_sub(at)
                    .and_then(|start| bytes.get(start..))
                    .is_some_and(|rest| rest.starts_with(new))
            });
            if is_new {
                continue;
            }
            let offset = self.offset + position as u64;
            self.found.get_or_insert(Foreign { offset, count: 0 }).count += 1;
        }
    }

    /// Keeps what the places from `done` on may need, of bytes that begin at `self.offset`.
    fn keep(&mut self, bytes: &[u8], done: usize) {
        let start = done.saturating_sub(self.margin);
        self.held = bytes.get(start..).unwrap_or_default().to_vec();
        self.offset += start as u64;
        self.done = done - start;
    }
}

/// The old prefixes in `bytes`, if there are any.
#[must_use]
pub fn scan(map: &PrefixMap, bytes: &[u8]) -> Option<Foreign> {
    let mut scanner = ForeignScanner::new(map);
    scanner.look(bytes, 0, bytes.len());
    scanner.found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn old_prefixes_count_unless_they_are_part_of_new_ones() {
        let map = PrefixMap::new([("/s", "/n/s"), ("/opt", "/opt/software")]).expect("paths");
        assert_eq!(scan(&map, b"/n/s/lib:/opt/software/x"), None);
        let found = scan(&map, b"/n/s /x/s /opt/soft /s");
        let expected = Foreign {
            offset: 7,
            count: 4,
        };
        assert_eq!(found, Some(expected));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same(
            text in "[ab/]{0,80}",
            old in "/[ab]{1,3}",
            new in "/[ab/]{1,8}[ab]",
            sizes in prop::collection::vec(1usize..40, 1..6),
        ) {
            let map = PrefixMap::new([(old, new)]);
            prop_assume!(map.is_ok());
            let map = map.expect("checked");
            let mut scanner = ForeignScanner::new(&map);
            let mut rest = text.as_bytes();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, more) = rest.split_at((*size).min(rest.len()));
                scanner.push(piece);
                rest = more;
            }
            prop_assert_eq!(scanner.finish(), scan(&map, text.as_bytes()));
        }
    }
}
