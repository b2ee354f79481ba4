//! What the text of a recipe tells, as far as it decides what may be pushed: whether its binaries may be given to others, and
//! whether a version is a branch.
//!
//! Python decides what a recipe means and is not run here: its text is looked through for two directives,
//! `redistribute(source=False, binary=False, when="…")` and `version("…", branch="…")`. What cannot be read of the first with
//! certainty counts as forbidding. A recipe that hides a directive (behind a name of its own, or in a loop) is not understood.
//!
//! Source: `redistribute` and `version` in `lib/spack/spack/directives.py`, `redistribute_binary` in `package_base.py` of Spack
//! 1.1, and `IntelOneApiPackage` in `build_systems/oneapi.py` of spack-packages.

/// The directive that forbids.
const DIRECTIVE: &str = "redistribute";

/// Classes of this beginning forbid it for all recipes that are of them.
const CLASSES: &str = "IntelOneApi";

/// When a recipe forbids to give its binaries to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restriction {
    /// For all its packages, or nobody can say for which.
    Always,
    /// For those that satisfy this spec.
    When(String),
}

/// What the text of a recipe (`package.py`) forbids.
#[must_use]
pub fn binary_restrictions(recipe: &str) -> Vec<Restriction> {
    let tokens = tokens(recipe);
    let mut found = Vec::new();
    // How far in the body of the class at hand is.
    let mut body = None;
    let mut line = 0;
    for (at, token) in tokens.iter().enumerate() {
        let behind = |count: usize| tokens.get(at + count..).unwrap_or_default();
        match token {
            Token::Line(indent) => {
                line = *indent;
                body = body.or(Some(line));
            }
            Token::Word("class") => {
                // Found out at the next line.
                body = None;
                let is_restricted =
                    |it: &Token| matches!(it, Token::Word(word) if word.starts_with(CLASSES));
                if arguments(behind(2)).iter().any(is_restricted) {
                    found.push(Restriction::Always);
                }
            }
            Token::Word(DIRECTIVE) if matches!(behind(1).first(), Some(Token::Sign('('))) => {
                let is_method = at > 0 && tokens.get(at - 1) == Some(&Token::Word("def"));
                if !is_method {
                    // Further in, `with when(…):`, `if` or `for` decide as well.
                    found.extend(restriction(arguments(behind(1)), body != Some(line)));
                }
            }
            _ => {}
        }
    }
    found
}

/// The branch that a recipe names as the sources of this version; none where it pins a commit as well.
#[must_use]
pub fn version_branch(recipe: &str, version: &str) -> Option<String> {
    let tokens = tokens(recipe);
    let places = tokens.iter().enumerate();
    let mut directives = places.filter(|(_, it)| **it == Token::Word("version"));
    directives.find_map(|(at, _)| {
        let arguments = arguments(tokens.get(at + 1..)?);
        if arguments.first() != Some(&Token::Text(version.to_owned())) {
            return None;
        }
        match (argument(arguments, "branch"), argument(arguments, "commit")) {
            (Some(Token::Text(branch)), None) => Some(branch.clone()),
            _ => None,
        }
    })
}

/// The first token of what an argument of this name is.
fn argument<'a, 't>(arguments: &'a [Token<'t>], name: &str) -> Option<&'a Token<'t>> {
    arguments.windows(3).find_map(|window| match window {
        [Token::Word(word), Token::Sign('='), value] if *word == name => Some(value),
        _ => None,
    })
}

/// What the arguments of one directive forbid.
fn restriction(arguments: &[Token<'_>], is_nested: bool) -> Option<Restriction> {
    // Without names: `redistribute(False, False)`.
    let is_named = arguments.contains(&Token::Sign('='));
    match argument(arguments, "binary") {
        Some(Token::Word("True" | "None")) => return None,
        None if arguments.is_empty() || is_named => return None,
        _ => {}
    }
    match argument(arguments, "when") {
        Some(Token::Text(text)) if !is_nested => Some(Restriction::When(text.clone())),
        _ => Some(Restriction::Always),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'t> {
    /// A line begins, after so many blanks.
    Line(usize),
    /// A name, keyword or number.
    Word(&'t str),
    /// What is in a string literal.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// The tokens between the parentheses that `tokens` begin with.
fn arguments<'a, 't>(tokens: &'a [Token<'t>]) -> &'a [Token<'t>] {
    let mut depth = 0_u32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return tokens.get(1..at).unwrap_or_default();
        }
    }
    // Never closed: all of it.
    tokens.get(1..).unwrap_or_default()
}

/// Python's tokens as far as it takes to skip comments and texts. Lines within parentheses are no lines.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut depth) = (text, 0_u32);
    let mut is_start = true;
    while let Some(first) = rest.chars().next() {
        if is_start && depth == 0 {
            let line = rest.trim_start_matches([' ', '\t']);
            if !line.starts_with(['\n', '\r', '#']) {
                tokens.push(Token::Line(rest.len() - line.len()));
            }
        }
        is_start = first == '\n';
        match first {
            '#' => {
                rest = rest.find('\n').and_then(|at| rest.get(at..)).unwrap_or("");
                continue;
            }
            '"' | '\'' => {
                let (text, after) = literal(rest, first);
                tokens.push(Token::Text(text));
                rest = after;
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_word = |it: char| it.is_alphanumeric() || it == '_';
        if is_word(first) {
            let end = rest.find(|it| !is_word(it)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            tokens.push(Token::Word(word));
            rest = after;
            continue;
        }
        if !first.is_whitespace() {
            tokens.push(Token::Sign(first));
        }
        rest = rest.get(first.len_utf8()..).unwrap_or("");
    }
    tokens
}

/// The string literal that `text` begins with, and what is behind it.
fn literal(text: &str, quote: char) -> (String, &str) {
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let end = if text.starts_with(&triple) {
        triple
    } else {
        quote.to_string()
    };
    let mut rest = text.get(end.len()..).unwrap_or("");
    let mut value = String::new();
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(end.as_str()) {
            return (value, after);
        }
        if first == '\n' && end.len() == 1 {
            // Never closed, which Python would refuse.
            return (value, rest);
        }
        rest = rest.get(first.len_utf8()..).unwrap_or("");
        match (first, rest.chars().next()) {
            ('\\', Some(escaped)) => {
                value.push(escaped);
                rest = rest.get(escaped.len_utf8()..).unwrap_or("");
            }
            _ => value.push(first),
        }
    }
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(body: &str) -> String {
        format!(
            "# redistribute(binary=False)\nfrom x import redistribute, *\n\n\n\
             class Namd(MakefilePackage, CudaPackage):\n    \"\"\"It says\n    redistribute(binary=False) here\"\"\"\n\n\
             {body}\n"
        )
    }

    #[test]
    fn directives_are_found_where_they_are_code() {
        let always = vec![Restriction::Always];
        let when = |text: &str| vec![Restriction::When(text.to_owned())];
        let cases = [
            ("    homepage = 'redistribute(binary=False)'", vec![]),
            (
                "    redistribute(source=False, binary=False)",
                always.clone(),
            ),
            (
                "    redistribute(binary=False, when=\"@2:  +x\")",
                when("@2:  +x"),
            ),
            (
                "    redistribute(\n        source=False,\n  # why\n        binary=False,\n        when='@1',\n    )",
                when("@1"),
            ),
            ("    redistribute(source=False)", vec![]),
            ("    redistribute(source=False, binary=True)", vec![]),
            ("    redistribute(False, False)", always.clone()),
            ("    redistribute(binary=False, when=SOME)", always.clone()),
            ("    redistribute(binary=flag)", always.clone()),
            (
                "    with when(\"@3\"):\n        redistribute(binary=False, when=\"+x\")",
                always.clone(),
            ),
            (
                "    def redistribute(self, binary=False):\n        pass",
                vec![],
            ),
            (
                "    redistribute(binary=False, when=\"@1\")\n    redistribute(binary=False)",
                [when("@1"), always.clone()].concat(),
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(binary_restrictions(&recipe(body)), expected, "{body}");
        }
        let intel = "class Mkl(IntelOneApiLibraryPackage):\n    pass\n";
        assert_eq!(binary_restrictions(intel), always);
    }

    #[test]
    fn versions_are_branches_where_no_commit_pins_them() {
        let text = recipe(
            "    version('9.9-dev', branch=\"next\", submodules=True)\n    version(\n        \"2.1\",\n        \
             branch=\"b\",\n        commit=\"c\",\n    )\n    version(\"2.0\", sha256=\"0\")\n",
        );
        assert_eq!(version_branch(&text, "9.9-dev").as_deref(), Some("next"));
        for version in ["2.1", "2.0", "9.9"] {
            assert_eq!(version_branch(&text, version), None, "{version}");
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        for text in [
            "",
            "redistribute(",
            "class",
            "class X",
            "redistribute(\"",
            "''' \\",
            "redistribute(binary=",
            ")))redistribute",
        ] {
            let _ = (binary_restrictions(text), version_branch(text, "1"));
        }
    }
}
