//! Texts into tokens. [Spack: `SpecTokens` in `spec_parser.py`]

use std::ops::Range;

use super::scan;

/// What a token is. Where several would fit, the first of this list is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `^[`, `%[`, `%%[`.
    StartEdge,
    /// `]`, with a virtual assignment or without.
    EndEdge,
    /// `^`, `%`, `%%`, with a virtual assignment or without.
    Dependency,
    /// `@` and versions.
    Version,
    /// `++x`, `~~x`, `--x`.
    PropagatedSwitch,
    /// `+x`, `~x`, `-x`.
    Switch,
    /// `k==v`, `k:==v`.
    PropagatedPair,
    /// `k=v`, `k:=v`.
    Pair,
    /// A path to a spec file.
    FileName,
    /// `namespace.name`.
    QualifiedName,
    /// `name` or `*`.
    Name,
    /// `/hash`.
    Hash,
    /// Blanks.
    Blank,
    /// A character that begins no token.
    Unexpected,
}

/// A token and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
    /// Virtuals and the package that stands for them, in `%c,cxx=gcc`.
    pub(super) assignment: Option<Assignment>,
}

/// The bytes of `c,cxx` and of `gcc` in `%c,cxx=gcc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) virtuals: Range<usize>,
    pub(super) substitute: Range<usize>,
}

impl Token {
    pub(super) const fn plain(kind: TokenKind, range: Range<usize>) -> Self {
        Self {
            kind,
            range,
            assignment: None,
        }
    }

    pub(super) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.range.clone()).unwrap_or_default()
    }
}

/// The token at a position, or `None` at the end.
pub(super) fn token_at(text: &str, at: usize) -> Option<Token> {
    let first = text.get(at..)?.chars().next()?;
    if let Some(token) = edge_token(text, at) {
        return Some(token);
    }
    let (kind, end) = version_token(text, at)
        .or_else(|| variant_token(text, at))
        .or_else(|| name_token(text, at))
        .or_else(|| {
            let end = scan::blanks(text, at);
            (end > at).then_some((TokenKind::Blank, end))
        })
        .unwrap_or((TokenKind::Unexpected, at + first.len_utf8()));
    Some(Token::plain(kind, at..end))
}

fn edge_token(text: &str, at: usize) -> Option<Token> {
    let (kind, sigil) = if let Some(end) = scan::literal(text, at, "]") {
        (TokenKind::EndEdge, end)
    } else {
        let sigil = ["^", "%%", "%"];
        let sigil = sigil.iter().find_map(|it| scan::literal(text, at, it))?;
        match scan::literal(text, sigil, "[") {
            Some(end) => return Some(Token::plain(TokenKind::StartEdge, at..end)),
            None => (TokenKind::Dependency, sigil),
        }
    };
    let assignment = assignment(text, scan::blanks(text, sigil));
    let end = assignment.as_ref().map_or(sigil, |it| it.substitute.end);
    Some(Token {
        kind,
        range: at..end,
        assignment,
    })
}

/// `c,cxx=gcc`.
fn assignment(text: &str, at: usize) -> Option<Assignment> {
    let mut end = scan::identifier(text, at)?;
    while let Some(next) = scan::literal(text, end, ",").and_then(|it| scan::identifier(text, it)) {
        end = next;
    }
    let substitute = scan::literal(text, end, "=")?;
    let substitute_end =
        scan::dotted(text, substitute).or_else(|| scan::identifier(text, substitute))?;
    Some(Assignment {
        virtuals: at..end,
        substitute: substitute..substitute_end,
    })
}

fn version_token(text: &str, at: usize) -> Option<(TokenKind, usize)> {
    let after = scan::literal(text, at, "@")?;
    let git = scan::git_reference(text, after).map(|end| {
        scan::literal(text, end, "=")
            .and_then(|version| scan::version(text, version))
            .unwrap_or(end)
    });
    let end = git.or_else(|| scan::version_list(text, scan::blanks(text, after)))?;
    Some((TokenKind::Version, end))
}

fn variant_token(text: &str, at: usize) -> Option<(TokenKind, usize)> {
    let name_after = |sigil: &str| {
        let after = scan::literal(text, at, sigil)?;
        scan::name(text, scan::blanks(text, after))
    };
    if let Some(end) = ["++", "~~", "--"].iter().find_map(|it| name_after(it)) {
        return Some((TokenKind::PropagatedSwitch, end));
    }
    if let Some(end) = ["~", "+", "-"].iter().find_map(|it| name_after(it)) {
        return Some((TokenKind::Switch, end));
    }
    let key = scan::name(text, at)?;
    let key = scan::literal(text, key, ":").unwrap_or(key);
    let value_after = |sign: &str| {
        let after = scan::literal(text, key, sign)?;
        scan::value(text, after)
    };
    if let Some(end) = value_after("==") {
        return Some((TokenKind::PropagatedPair, end));
    }
    value_after("=").map(|end| (TokenKind::Pair, end))
}

fn name_token(text: &str, at: usize) -> Option<(TokenKind, usize)> {
    if let Some(end) = scan::file_name(text, at) {
        return Some((TokenKind::FileName, end));
    }
    if let Some(end) = scan::dotted(text, at) {
        return Some((TokenKind::QualifiedName, end));
    }
    if let Some(end) = scan::identifier(text, at).or_else(|| scan::literal(text, at, "*")) {
        return Some((TokenKind::Name, end));
    }
    let end = scan::literal(text, at, "/").and_then(|it| scan::hash(text, it))?;
    Some((TokenKind::Hash, end))
}

#[cfg(test)]
mod tests {
    use super::TokenKind as Kind;
    use super::*;

    fn tokens(text: &str) -> Vec<(Kind, &str)> {
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(token) = token_at(text, at) {
            at = token.range.end;
            out.push((token.kind, token.text(text)));
        }
        out
    }

    #[test]
    fn texts_fall_into_spacks_tokens() {
        let cases: [(&str, &[(Kind, &str)]); 14] = [
            (
                "ns.a@1.2:+b",
                &[
                    (Kind::QualifiedName, "ns.a"),
                    (Kind::Version, "@1.2:"),
                    (Kind::Switch, "+b"),
                ],
            ),
            ("a-b", &[(Kind::Name, "a-b")]),
            (
                "@1:target=x",
                &[(Kind::Version, "@1:"), (Kind::Pair, "target=x")],
            ),
            (
                "@1:a-b=c",
                &[
                    // A word ends before the dash too, so that what follows can be a variant.
                    (Kind::Version, "@1:a-"),
                    (Kind::Pair, "b=c"),
                ],
            ),
            (
                "@1.-",
                &[
                    (Kind::Version, "@1"),
                    (Kind::Unexpected, "."),
                    (Kind::Unexpected, "-"),
                ],
            ),
            ("@ 1 , 2", &[(Kind::Version, "@ 1 , 2")]),
            ("@git.a/b=1.2", &[(Kind::Version, "@git.a/b=1.2")]),
            ("a==b", &[(Kind::PropagatedPair, "a==b")]),
            ("a:=b,c", &[(Kind::Pair, "a:=b,c")]),
            ("~~a", &[(Kind::PropagatedSwitch, "~~a")]),
            (
                "%[when=+x] c=gcc",
                &[
                    (Kind::StartEdge, "%["),
                    (Kind::Pair, "when=+x"),
                    (Kind::EndEdge, "] c=gcc"),
                ],
            ),
            (
                "k='a\\'b' c",
                &[
                    (Kind::Pair, "k='a\\'b'"),
                    (Kind::Blank, " "),
                    (Kind::Name, "c"),
                ],
            ),
            ("./a.json", &[(Kind::FileName, "./a.json")]),
            ("/abc", &[(Kind::Hash, "/abc")]),
        ];
        for (text, expected) in cases {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }
}
