//! Names of members: one spelling for each, and none that leaves the root.

use std::fmt;

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// It has a `..` component.
    ParentComponent,
    /// It begins with `/`.
    Absolute,
    /// Nothing is left of it.
    Empty,
    /// It has a NUL byte, which no file system can store.
    Nul,
    /// It is longer than the limit.
    TooLong,
    /// It is spelled with `.` components or needless slashes.
    NotNormal,
    /// It ends in `/` and is yet said to be a file: some readers would make a directory.
    FileWithSlash,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ParentComponent => "it has a `..` component",
            Self::Absolute => "it is absolute",
            Self::Empty => "it is empty",
            Self::Nul => "it has a NUL byte",
            Self::TooLong => "it is too long",
            Self::NotNormal => "it has `.` components or needless slashes",
            Self::FileWithSlash => "it ends in `/` and is not a directory",
        })
    }
}

/// The one spelling of a member's name: no `.` components, no doubled, leading or trailing slashes.
///
/// The root itself (`./`) becomes the empty name. `strip_root` takes a leading `/` away instead of
/// refusing the name, as container runtimes do.
///
/// # Errors
/// When the name could lead out of the root or cannot be a file name.
pub fn normalize(name: &[u8], strip_root: bool, limit: usize) -> Result<Vec<u8>, PathFault> {
    if name.is_empty() {
        return Err(PathFault::Empty);
    }
    if name.len() > limit {
        return Err(PathFault::TooLong);
    }
    if name.contains(&0) {
        return Err(PathFault::Nul);
    }
    if name[0] == b'/' && !strip_root {
        return Err(PathFault::Absolute);
    }
    let mut out = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(PathFault::ParentComponent),
            component => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(component);
            }
        }
    }
    Ok(out)
}

/// A name for people: UTF-8 where it is, control characters escaped, so that a hostile name cannot
/// speak to a terminal.
#[must_use]
pub fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(|c| {
                let (escaped, plain) = if c.is_control() {
                    (Some(c.escape_default()), None)
                } else {
                    (None, Some(c))
                };
                escaped.into_iter().flatten().chain(plain)
            })
            .collect()
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_become_one() {
        for name in ["a/b", "./a/b", "a//b/", "./a/./b/."] {
            assert_eq!(
                normalize(name.as_bytes(), false, 4096).as_deref(),
                Ok(&b"a/b"[..]),
                "{name}"
            );
        }
        assert_eq!(normalize(b"./", false, 4096).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        assert_eq!(
            normalize(b"a/../../b", false, 4096),
            Err(PathFault::ParentComponent)
        );
        assert_eq!(
            normalize(b"..", true, 4096),
            Err(PathFault::ParentComponent)
        );
        assert_eq!(
            normalize(b"/etc/passwd", false, 4096),
            Err(PathFault::Absolute)
        );
        assert_eq!(
            normalize(b"/etc/passwd", true, 4096).as_deref(),
            Ok(&b"etc/passwd"[..])
        );
        assert_eq!(normalize(b"a\0b", false, 4096), Err(PathFault::Nul));
        assert_eq!(normalize(b"", false, 4096), Err(PathFault::Empty));
        assert_eq!(normalize(b"abc", false, 2), Err(PathFault::TooLong));
        assert_eq!(
            normalize(b"..a/b..", false, 4096).as_deref(),
            Ok(&b"..a/b.."[..])
        );
    }

    #[test]
    fn control_characters_of_names_are_escaped_for_people() {
        assert_eq!(printable(b"a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(printable("é".as_bytes()), "é");
    }
}
