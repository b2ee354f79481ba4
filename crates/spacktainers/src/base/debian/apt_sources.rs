//! What a machine's own apt is configured to use, read as apt reads it.
//!
//! ```text
//! deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://host/debian bookworm main contrib
//!
//! Types: deb
//! URIs: http://host/debian
//! Suites: bookworm bookworm-updates
//! Components: main
//! Signed-By: /usr/share/keyrings/x.gpg
//! ```
//!
//! Source: sources.list(5), apt.conf(5). Entries that do not make sense are passed over: they are the
//! machine's, not ours to complain about.

use std::path::PathBuf;

use super::control::{Paragraph, Paragraphs};

/// One archive that apt takes binary packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AptSource {
    /// The archive's root, without a final slash.
    pub(super) uri: String,
    /// `bookworm`, `bookworm-security`
    pub(super) suite: String,
    /// `main`, …
    pub(super) components: Vec<String>,
    /// Architectures that it is limited to; empty: all.
    pub(super) architectures: Vec<String>,
    /// Keys that must have signed it.
    pub(super) signed_by: Option<SignedBy>,
}

/// Keys of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignedBy {
    /// Keyring files.
    Files(Vec<PathBuf>),
    /// An armoured key in the entry itself.
    Inline(String),
}

/// Reads a file of one-line entries, `sources.list`.
#[must_use]
pub(super) fn parse_one_line(text: &str) -> Vec<AptSource> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<AptSource> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.starts_with([' ', '\t']).then(|| rest.trim_start())?;
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let option = |name: &str| {
        options.split_whitespace().find_map(|option| {
            let (key, value) = option.split_once('=')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    Some(AptSource {
        uri: uri.trim_end_matches('/').to_owned(),
        suite: suite.to_owned(),
        components: words.map(str::to_owned).collect(),
        architectures: option("arch")
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        signed_by: option("signed-by").and_then(|list| signed_by(list, ',')),
    })
}

/// Reads a file of paragraphs, `*.sources`. Reading stops at what is no paragraph.
#[must_use]
pub(super) fn parse_paragraphs(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    let mut reader = Paragraphs::with_comments(text.as_bytes());
    let mut paragraph = Paragraph::default();
    while let Ok(true) = reader.next_into(&mut paragraph) {
        let words = |name: &str| -> Vec<String> {
            let value = paragraph.get(name).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let is_off = paragraph.get("Enabled").is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "off")
        });
        if is_off || !words("Types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("URIs") {
            for suite in words("Suites") {
                sources.push(AptSource {
                    uri: uri.trim_end_matches('/').to_owned(),
                    suite,
                    components: words("Components"),
                    architectures: words("Architectures"),
                    signed_by: paragraph
                        .get("Signed-By")
                        .and_then(|value| signed_by(value, ' ')),
                });
            }
        }
    }
    sources
}

/// Fingerprints, which may stand here too, name keys of files that we were not told of: no limit then.
fn signed_by(value: &str, separator: char) -> Option<SignedBy> {
    if value.contains("BEGIN PGP PUBLIC KEY") {
        // In a paragraph every line is indented by one, and an empty one is a dot.
        let lines = value.lines().map(|line| {
            let line = line.strip_prefix(' ').unwrap_or(line);
            if line.trim() == "." { "" } else { line }
        });
        return Some(SignedBy::Inline(lines.collect::<Vec<_>>().join("\n")));
    }
    let files: Vec<PathBuf> = value
        .split(|c: char| c == separator || c.is_whitespace())
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    (!files.is_empty()).then_some(SignedBy::Files(files))
}

/// Proxies of apt's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AptProxies {
    /// For `http://`.
    pub(super) http: Option<String>,
    /// For `https://`.
    pub(super) https: Option<String>,
}

impl AptProxies {
    /// Takes over what a file of apt's configuration says: `Acquire::http::Proxy "…";` or the same in
    /// nested blocks. The last one wins, as for apt.
    pub(super) fn read(&mut self, text: &str) {
        let mut scope: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => scope.push(std::mem::take(&mut words).join("::")),
                Token::Close => {
                    scope.pop();
                    words.clear();
                }
                Token::End => {
                    if let [name, value] = words.as_slice() {
                        let name = [scope.join("::"), name.clone()]
                            .join("::")
                            .to_ascii_lowercase();
                        let value = match value.as_str() {
                            "" | "DIRECT" => None,
                            value => Some(value.to_owned()),
                        };
                        match name.trim_start_matches(':') {
                            "acquire::http::proxy" => self.http = value,
                            "acquire::https::proxy" => self.https = value,
                            _ => {}
                        }
                    }
                    words.clear();
                }
            }
        }
    }
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// Words, braces and semicolons of apt's configuration; `//` and `#` comments and `/* */` left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = |rest: &str, end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
        let used = if rest.starts_with("/*") {
            skip(rest, "*/")
        } else if rest.starts_with("//") || first == '#' {
            skip(rest, "\n")
        } else {
            match first {
                '{' => out.push(Token::Open),
                '}' => out.push(Token::Close),
                ';' => out.push(Token::End),
                '"' => {
                    let inner = &rest[1..];
                    let end = inner.find('"').unwrap_or(inner.len());
                    out.push(Token::Word(inner[..end].to_owned()));
                    rest = inner.get(end + 1..).unwrap_or_default();
                    continue;
                }
                c if c.is_whitespace() => {}
                _ => {
                    let end = rest
                        .find(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"'))
                        .unwrap_or(rest.len());
                    out.push(Token::Word(rest[..end].to_owned()));
                    rest = &rest[end..];
                    continue;
                }
            }
            first.len_utf8()
        };
        rest = &rest[used..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_sources_mean_the_same() {
        let line = parse_one_line(
            "# x\ndeb-src http://h/debian bookworm main\n\
             deb [arch=amd64,arm64 signed-by=/k.gpg] http://h/debian/ bookworm main contrib # y\n",
        );
        let paragraph = parse_paragraphs(
            "# x\nTypes: deb deb-src\nURIs: http://h/debian/\nSuites: bookworm\n\
             Components: main contrib\nArchitectures: amd64 arm64\nSigned-By: /k.gpg\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off/\nSuites: x\n",
        );
        assert_eq!(line, paragraph);
        assert_eq!(line[0].uri, "http://h/debian");
        assert_eq!(
            line[0].signed_by,
            Some(SignedBy::Files(vec!["/k.gpg".into()]))
        );
    }

    #[test]
    fn a_key_may_stand_in_the_entry() {
        let sources = parse_paragraphs(
            "Types: deb\nURIs: http://h\nSuites: s t\nComponents: main\nSigned-By:\n \
             -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n",
        );
        assert_eq!(sources.len(), 2);
        let Some(SignedBy::Inline(key)) = &sources[0].signed_by else {
            panic!("a key")
        };
        assert!(key.contains("BLOCK-----\n\nabc\n-----END"), "{key}");
    }

    #[test]
    fn proxies_are_found_in_both_notations() {
        let mut proxies = AptProxies::default();
        proxies.read(
            "// c\nAcquire::http::Proxy \"http://a:1/\";\n/* x { */ APT { Foo { \"a\"; }; };",
        );
        assert_eq!(proxies.http.as_deref(), Some("http://a:1/"));
        proxies.read("Acquire { http { Proxy \"http://b:2\"; }; https::Proxy \"http://c:3\"; };");
        assert_eq!(proxies.http.as_deref(), Some("http://b:2"));
        assert_eq!(proxies.https.as_deref(), Some("http://c:3"));
        proxies.read("Acquire::http::Proxy \"DIRECT\";");
        assert_eq!(proxies.http, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-zé \\[\\]{};\"/*#=:\n-]{0,80}") {
            let _ = parse_one_line(&text);
            let _ = parse_paragraphs(&text);
            AptProxies::default().read(&text);
        }
    }
}
