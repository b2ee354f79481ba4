//! Quoting words for a POSIX shell.
//!
//! Source: POSIX.1-2024, Shell Command Language, 2.2 "Quoting"; `apptainer/apptainer`,
//! `internal/pkg/util/shell/escape.go` for the form in OCI runscripts.

/// `text` in single quotes: nothing in it means anything to the shell.
pub(crate) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}

/// The words in double quotes, with all escaped that means something there, separated by spaces.
pub(crate) fn double_quoted_words(words: &[String]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| format!("\"{}\"", escaped(word)))
        .collect();
    quoted.join(" ")
}

/// `text` for the inside of double quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '"' | '`' | '$') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Whether the shell takes `name` as the name of a variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut characters = name.bytes();
    characters
        .next()
        .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && characters.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_mean_themselves() {
        assert_eq!(single_quoted("it's $HOME"), r#"'it'"'"'s $HOME'"#);
        let words = ["a b".to_owned(), "\"`$\\'".to_owned()];
        assert_eq!(double_quoted_words(&words), r#""a b" "\"\`\$\\'""#);
    }

    #[test]
    fn variable_names_are_ascii_words() {
        for good in ["A", "_", "a1_B"] {
            assert!(is_variable_name(good), "{good}");
        }
        for bad in ["", "1A", "A-B", "A.B", "Ä", "A B"] {
            assert!(!is_variable_name(bad), "{bad}");
        }
    }
}
