//! Roots lengthened at build time, so that any shorter root fits later.
//!
//! Source: `add_padding` in `lib/spack/spack/util/path.py` of Spack.

/// The name of the directories that fill up a padded root. The last may be cut.
pub const PADDING: &str = "__spack_path_placeholder__";

/// Longer than any path that a kernel takes, so a larger length is a mistake.
const LONGEST: usize = 4096;

/// Why a root cannot be padded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// The only character that could be added is a slash, which paths lose again.
    #[error(
        "`{root}` cannot be padded by exactly one character: set `padded_length` to {} or less, \
         or to {} or more", .length - 1, .length + 1
    )]
    OneCharacter {
        /// The root.
        root: String,
        /// The length asked for.
        length: usize,
    },
    /// More than any path can have.
    #[error("`padded_length: {0}` is more than the {LONGEST} characters that a path can have")]
    TooLong(usize),
}

/// `root` with directories appended up to exactly `length` characters; a root that is as long or
/// longer stays as it is, as with Spack.
///
/// # Errors
/// When there is exactly one character to fill, or `length` is beyond any path.
pub fn pad_root(root: &str, length: usize) -> Result<String, PaddingError> {
    if length > LONGEST {
        return Err(PaddingError::TooLong(length));
    }
    let missing = length.saturating_sub(root.chars().count());
    if missing == 0 {
        return Ok(root.to_owned());
    }
    let Some(filler) = missing.checked_sub(1).filter(|filler| *filler > 0) else {
        return Err(PaddingError::OneCharacter {
            root: root.to_owned(),
            length,
        });
    };
    let mut out = format!("{root}/");
    out.extend(PADDING.chars().chain(['/']).cycle().take(filler));
    if out.ends_with('/') {
        out.pop();
        out.push('_');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_filled_to_exactly_the_length() {
        assert_eq!(
            pad_root("/s", 40).as_deref(),
            Ok("/s/__spack_path_placeholder__/__spack_pa")
        );
        // The filler would end in a slash here.
        assert_eq!(
            pad_root("/s", 30).as_deref(),
            Ok("/s/__spack_path_placeholder___")
        );
        for length in 4..200 {
            let padded = pad_root("/s", length).expect("padded");
            assert_eq!(padded.len(), length);
            assert!(!padded.ends_with('/') && !padded.contains("//"), "{padded}");
        }
    }

    #[test]
    fn one_character_cannot_be_filled_and_long_roots_stay() {
        assert!(matches!(
            pad_root("/s", 3),
            Err(PaddingError::OneCharacter { .. })
        ));
        assert_eq!(pad_root("/s", 2).as_deref(), Ok("/s"));
        assert_eq!(pad_root("/software", 2).as_deref(), Ok("/software"));
        assert!(pad_root("/s", usize::MAX).is_err());
    }
}
