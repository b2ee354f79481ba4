//! Old prefixes and new ones, and finding the old ones in bytes.

use memchr::memmem::Finder;

/// No path that Linux takes is longer (`PATH_MAX`); a bound on what is held back between two pieces of a file.
const LONGEST_PREFIX: usize = 4096;

/// Prefixes that begin with this many equal bytes are looked for in one search.
const COMMON: usize = 6;

/// Why prefixes cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixMapError {
    /// A prefix that is not an absolute path: replacing it would change anything.
    #[error("the prefix `{0}` is not an absolute path below `/`")]
    NotAbsolute(String),
    /// A prefix that no file system can have.
    #[error("a prefix has {0} bytes, more than the 4,096 that paths may have")]
    TooLong(usize),
    /// A prefix with a NUL or line break in it.
    #[error("the prefix `{0}` has a control character in it")]
    Control(String),
}

/// Old prefixes in order, each with what takes its place. At each position of a file the first one that fits wins.
#[derive(Debug, Clone)]
pub struct PrefixMap {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What to search for: each begins one or more of the old prefixes, and each old prefix begins with one of them.
    stems: Vec<Finder<'static>>,
    longest: usize,
    /// Old prefixes in new ones: the pair of the new one, and where in it the old one begins.
    within: Vec<(usize, usize)>,
}

impl PrefixMap {
    /// Takes pairs of an old and a new prefix. Pairs that change nothing are left out; of several pairs with the same old
    /// prefix the place of the first and the value of the last counts, as in a Python `dict`.
    ///
    /// # Errors
    /// When a prefix is not an absolute path, or the root directory itself.
    pub fn new<O, N>(pairs: impl IntoIterator<Item = (O, N)>) -> Result<Self, PrefixMapError>
    where
        O: Into<String>,
        N: Into<String>,
    {
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (old, new) in pairs {
            let (old, new) = (check(old.into())?, check(new.into())?);
            match all.iter_mut().find(|(known, _)| *known == old) {
                Some((_, value)) => *value = new,
                None => all.push((old, new)),
            }
        }
        all.retain(|(old, new)| old != new);
        Ok(Self {
            stems: stems(all.iter().map(|(old, _)| old.as_slice())),
            longest: all.iter().map(|(old, _)| old.len()).max().unwrap_or(0),
            within: within(&all),
            pairs: all,
        })
    }

    /// The map of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            pairs: Vec::new(),
            stems: Vec::new(),
            longest: 0,
            within: Vec::new(),
        }
    }

    /// Whether nothing moves: no file is touched then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Old and new prefixes, in order.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.pairs
            .iter()
            .map(|(old, new)| (old.as_slice(), new.as_slice()))
    }

    /// Bytes of the longest old prefix.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Old prefixes in new ones: the new one, and where in it the old one begins.
    pub(super) fn within(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.within
            .iter()
            .filter_map(|(pair, at)| Some((self.pairs.get(*pair)?.1.as_slice(), *at)))
    }

    /// The first pair whose old prefix `bytes` begin with.
    #[must_use]
    pub fn at_start(&self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        self.pairs().find(|(old, _)| bytes.starts_with(old))
    }

    /// Whether one of the old prefixes is in `bytes`.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.find(bytes).next().is_some()
    }

    /// Every position of `bytes` at which an old prefix begins, in order, with the first pair that fits there. Matches may
    /// overlap: whoever replaces one says so with [`Found::skip_to`].
    #[must_use]
    pub fn find<'m, 'b>(&'m self, bytes: &'b [u8]) -> Found<'m, 'b> {
        Found {
            map: self,
            bytes,
            from: 0,
            next: vec![Next::Unknown; self.stems.len()],
        }
    }
}

fn check(prefix: String) -> Result<Vec<u8>, PrefixMapError> {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() || !trimmed.starts_with('/') {
        return Err(PrefixMapError::NotAbsolute(prefix));
    }
    if trimmed.len() > LONGEST_PREFIX {
        return Err(PrefixMapError::TooLong(trimmed.len()));
    }
    if trimmed.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(PrefixMapError::Control(trimmed.escape_debug().to_string()));
    }
    Ok(trimmed.as_bytes().to_vec())
}

/// Found out once for a map, and not for each of the files that it is for.
fn within(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<(usize, usize)> {
    let mut within = Vec::new();
    for (old, _) in pairs {
        let finder = Finder::new(old);
        for (pair, (_, new)) in pairs.iter().enumerate() {
            within.extend(finder.find_iter(new).map(|at| (pair, at)));
        }
    }
    within
}

/// A shortest list of beginnings: one pass over a file for most packages, as all their prefixes lie below one root.
fn stems<'a>(prefixes: impl Iterator<Item = &'a [u8]>) -> Vec<Finder<'static>> {
    let mut stems: Vec<&[u8]> = Vec::new();
    for prefix in prefixes {
        let shared = |stem: &[u8]| {
            let equal = stem.iter().zip(prefix).take_while(|(a, b)| a == b).count();
            // A prefix that is shorter than the minimum may stand for those that begin with it.
            (equal >= COMMON.min(prefix.len()).min(stem.len())).then_some(equal)
        };
        match stems
            .iter_mut()
            .find_map(|stem| shared(stem).map(|equal| (stem, equal)))
        {
            Some((stem, equal)) => *stem = &stem[..equal],
            None => stems.push(prefix),
        }
    }
    stems
        .into_iter()
        .map(|stem| Finder::new(stem).into_owned())
        .collect()
}

/// Where a stem is next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Unknown,
    At(usize),
    Nowhere,
}

/// The places of old prefixes in some bytes; see [`PrefixMap::find`].
pub struct Found<'m, 'b> {
    map: &'m PrefixMap,
    bytes: &'b [u8],
    from: usize,
    next: Vec<Next>,
}

impl Found<'_, '_> {
    /// Goes on at `position`, if that is further on.
    pub fn skip_to(&mut self, position: usize) {
        self.from = self.from.max(position);
    }

    /// The nearest stem.
    fn candidate(&mut self) -> Option<usize> {
        let mut nearest: Option<usize> = None;
        for (stem, next) in self.map.stems.iter().zip(&mut self.next) {
            let is_known = match *next {
                Next::Nowhere => continue,
                Next::At(position) => position >= self.from,
                Next::Unknown => false,
            };
            if !is_known {
                let rest = self.bytes.get(self.from..).unwrap_or_default();
                *next = match stem.find(rest) {
                    Some(position) => Next::At(self.from + position),
                    None => Next::Nowhere,
                };
            }
            if let Next::At(position) = *next {
                nearest = Some(nearest.map_or(position, |it| it.min(position)));
            }
        }
        nearest
    }
}

impl<'m> Iterator for Found<'m, '_> {
    type Item = (usize, &'m [u8], &'m [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let position = self.candidate()?;
            self.from = position + 1;
            if let Some((old, new)) = self.map.at_start(&self.bytes[position..]) {
                return Some((position, old, new));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions(map: &PrefixMap, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        map.find(bytes)
            .map(|(position, old, _)| (position, old.to_vec()))
            .collect()
    }

    #[test]
    fn the_first_that_fits_wins_and_pairs_that_change_nothing_are_dropped() {
        let map = PrefixMap::new([
            ("/s/a", "/n/a"),
            ("/s/same", "/s/same"),
            ("/s", "/n"),
            ("/s/a", "/n/b"),
        ])
        .expect("paths");
        assert_eq!(map.pairs().len(), 2);
        assert_eq!(map.at_start(b"/s/ab"), Some((&b"/s/a"[..], &b"/n/b"[..])));
        assert_eq!(map.at_start(b"/s/same"), Some((&b"/s"[..], &b"/n"[..])));
        assert_eq!(
            positions(&map, b"x/s/a:/s"),
            [(1, b"/s/a".to_vec()), (6, b"/s".to_vec())]
        );
    }

    #[test]
    fn what_is_no_absolute_path_is_refused() {
        for wrong in ["", "/", "//", "opt", "/a\0b", "/a\nb"] {
            assert!(PrefixMap::new([(wrong, "/x")]).is_err(), "{wrong:?}");
            assert!(PrefixMap::new([("/x", wrong)]).is_err(), "{wrong:?}");
        }
        assert!(PrefixMap::new([(format!("/{}", "x".repeat(5000)), "/x")]).is_err());
    }

    proptest! {
        #[test]
        fn all_places_are_found(
            prefixes in prop::collection::vec("/[ab/]{1,8}", 1..6),
            text in "[ab/]{0,60}",
        ) {
            let map = PrefixMap::new(prefixes.iter().map(|it| (it.as_str(), "/new")));
            prop_assume!(map.is_ok());
            let map = map.expect("checked");
            let expected: Vec<_> = (0..text.len())
                .filter_map(|at| Some((at, map.at_start(&text.as_bytes()[at..])?.0.to_vec())))
                .collect();
            prop_assert_eq!(positions(&map, text.as_bytes()), expected);
        }
    }
}
