//! Symbolic links.
//!
//! Source: `relocate_links` in `lib/spack/spack/relocate.py` of Spack.

use super::PrefixMap;

/// The new target of a symbolic link, if it changes: an absolute one that begins with an old prefix. Relative ones move with
/// the package.
#[must_use]
pub fn relocate(map: &PrefixMap, target: &[u8]) -> Option<Vec<u8>> {
    let (old, new) = map.at_start(target)?;
    Some([new, &target[old.len()..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_targets_below_a_prefix_change() {
        let map = PrefixMap::new([("/s/a", "/n/a"), ("/s", "/n")]).expect("paths");
        assert_eq!(relocate(&map, b"/s/a/lib"), Some(b"/n/a/lib".to_vec()));
        // As Spack has it: the prefix ends anywhere.
        assert_eq!(relocate(&map, b"/str"), Some(b"/ntr".to_vec()));
        assert_eq!(relocate(&map, b"../s/a"), None);
        assert_eq!(relocate(&map, b"/usr/s/a"), None);
    }
}
