//! What a recipe declares of licences: `license("Apache-2.0", when="@2:")`. Pure.
//!
//! Recipes are Python, and are read here without running them: calls of `license` with plain texts for arguments count,
//! which is what all of Spack's own recipes have. What is computed is passed over.
//!
//! Source: `lib/spack/spack/directives.py` (`license`) in Spack: `license(license_identifier, checked_by=None, when=None)`.

/// One declaration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Declared {
    /// The licence: mostly an SPDX expression.
    pub licence: String,
    /// For which specs it holds; nothing: for all.
    pub when: Option<String>,
}

/// Characters of a declaration that are looked at: nobody writes longer ones.
const LONGEST: usize = 4096;

/// All declarations of a recipe, in order.
#[must_use]
pub fn declared_licences(recipe: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    let mut rest = recipe;
    let mut at_line = true;
    while let Some(line) = rest.split_inclusive('\n').next() {
        let begins = line.trim_start();
        if at_line && let Some(call) = begins.strip_prefix("license(") {
            let offset = rest.len() - rest.trim_start_matches([' ', '\t']).len() + "license(".len();
            let text = rest.get(offset..).unwrap_or(call);
            let end = text
                .char_indices()
                .nth(LONGEST)
                .map_or(text.len(), |it| it.0);
            found.extend(declaration(text.get(..end).unwrap_or_default()));
        }
        at_line = line.ends_with('\n');
        rest = rest.get(line.len()..).unwrap_or_default();
    }
    found
}

/// The arguments of one call, up to its closing bracket.
fn declaration(text: &str) -> Option<Declared> {
    let mut tokens = Tokens { text };
    let mut licence = None;
    let mut when = None;
    let mut position = 0;
    loop {
        match tokens.next()? {
            Token::Text(value) => {
                match position {
                    0 => licence = Some(value),
                    2 => when = Some(value),
                    _ => {}
                }
                position += 1;
            }
            Token::Name(name) => {
                let is_keyword = tokens.is_followed_by('=');
                if !is_keyword {
                    // `None`, or something computed.
                    position += 1;
                    continue;
                }
                let Token::Text(value) = tokens.next()? else {
                    continue;
                };
                match name {
                    "when" => when = Some(value),
                    "license_identifier" => licence = Some(value),
                    _ => {}
                }
            }
            Token::End => {
                return licence.map(|licence| Declared { licence, when });
            }
        }
    }
}

enum Token<'t> {
    Text(String),
    Name(&'t str),
    End,
}

struct Tokens<'t> {
    text: &'t str,
}

impl<'t> Tokens<'t> {
    fn skip(&mut self) {
        loop {
            self.text = self.text.trim_start_matches([' ', '\t', '\n', '\r', ',']);
            if !self.text.starts_with('#') {
                return;
            }
            self.text = self.text.split_once('\n').map_or("", |it| it.1);
        }
    }

    fn is_followed_by(&mut self, sign: char) -> bool {
        let rest = self.text.trim_start();
        match rest.strip_prefix(sign) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    /// Nothing: something that is not understood, or the end of the text.
    fn next(&mut self) -> Option<Token<'t>> {
        self.skip();
        let first = self.text.chars().next()?;
        match first {
            ')' => Some(Token::End),
            '"' | '\'' => {
                let mut value = self.text_of(first)?;
                // Texts side by side are one text.
                loop {
                    let rest = self.text.trim_start();
                    let Some(quote) = rest.chars().next().filter(|it| matches!(it, '"' | '\''))
                    else {
                        return Some(Token::Text(value));
                    };
                    self.text = rest;
                    value.push_str(&self.text_of(quote)?);
                }
            }
            it if it.is_ascii_alphabetic() || it == '_' => {
                let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
                let end = self.text.find(|it| !is_name(it)).unwrap_or(self.text.len());
                let (name, rest) = self.text.split_at(end);
                self.text = rest;
                Some(Token::Name(name))
            }
            _ => None,
        }
    }

    fn text_of(&mut self, quote: char) -> Option<String> {
        let rest = self.text.get(1..)?;
        let end = rest.find(quote)?;
        let value = rest.get(..end)?;
        // Neither escapes nor longer quotes occur in licences and specs.
        if value.contains(['\\', '\n']) || value.is_empty() {
            return None;
        }
        self.text = rest.get(end + 1..)?;
        Some(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(recipe: &str) -> Vec<(String, Option<String>)> {
        let found = declared_licences(recipe).into_iter();
        found.map(|it| (it.licence, it.when)).collect()
    }

    #[test]
    fn declarations_are_read_as_recipes_write_them() {
        let recipe = "class It(Package):\n    license(\"Zlib\")\n    license('MIT', when=\"@:1\", checked_by=\"me\")\n    \
            license(\n        \"Apache-2.0 WITH \"\n        \"LLVM-exception\",  # both\n        checked_by='x',\n        when='@2:',\n    )\n    \
            license(COMPUTED)\n    license(\"A\", None, \"+x\")\n    # license(\"No\")\n    x = license(\"No\")\n    license(\"Open";
        let expected = [
            ("Zlib", None),
            ("MIT", Some("@:1")),
            ("Apache-2.0 WITH LLVM-exception", Some("@2:")),
            ("A", Some("+x")),
        ];
        let expected =
            expected.map(|(licence, when)| (licence.to_owned(), when.map(str::to_owned)));
        assert_eq!(of(recipe), expected);
        assert_eq!(of("license("), []);
        assert_eq!(of("license(\"\\\"\")"), []);
    }
}
