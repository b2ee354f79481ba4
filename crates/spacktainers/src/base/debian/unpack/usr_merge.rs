//! The merged `/usr`: `/bin`, `/sbin` and `/lib*` are links into it, whatever packages ship there.
//!
//! All releases since Debian 12 and Ubuntu 20.04 are built for this layout; for older ones it is
//! what their installers make. Packages of these releases still ship files as `/bin/bash`, and dpkg keeps
//! calling them so in its lists.

/// Top folders that are links of the same name below `usr`. The first three are always there.
pub(super) const ALIASES: [&str; 6] = ["bin", "sbin", "lib", "lib64", "lib32", "libx32"];
/// How many of [`ALIASES`] every system has.
pub(super) const ALWAYS: usize = 3;

/// Which alias a path is, if it is one itself.
pub(super) fn alias(path: &[u8]) -> Option<usize> {
    ALIASES.iter().position(|alias| alias.as_bytes() == path)
}

/// Where a path really is, and the alias that it was written through.
pub(super) fn real_path(path: &[u8]) -> (Vec<u8>, Option<usize>) {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    match alias(first) {
        Some(index) => ([b"usr/", path].concat(), Some(index)),
        None => (path.to_vec(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_top_folders_are_merged() {
        assert_eq!(real_path(b"bin/bash"), (b"usr/bin/bash".to_vec(), Some(0)));
        assert_eq!(
            real_path(b"lib64/ld-linux-x86-64.so.2").0,
            b"usr/lib64/ld-linux-x86-64.so.2"
        );
        assert_eq!(real_path(b"usr/bin/env"), (b"usr/bin/env".to_vec(), None));
        assert_eq!(real_path(b"library/x"), (b"library/x".to_vec(), None));
        assert_eq!(real_path(b"opt/bin/x"), (b"opt/bin/x".to_vec(), None));
    }
}
