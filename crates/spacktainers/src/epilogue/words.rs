//! Words of an instruction: quotes, escapes, and what `$NAME` stands for.
//!
//! Source: Docker's "Dockerfile reference", "Environment replacement"; quotes and escapes are those of a shell.

use std::ops::Range;

use super::EpilogueFault;

/// What is wrong in a word: bytes of the line that it is on.
pub(super) type WordFault = (Range<usize>, String);

/// Words are separated by blanks that are in no quotes; each as written, with its place.
pub(super) fn split(text: &str, from: usize) -> Result<Vec<(Range<usize>, &str)>, WordFault> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote: Option<(char, usize)> = None;
    let mut characters = text.char_indices().skip_while(|(at, _)| *at < from);
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some((open, _)), it) if it == open => quote = None,
            (Some(('\'', _)), _) => {}
            (_, '\\') => {
                start.get_or_insert(at);
                characters.next();
            }
            (Some(_), _) => {}
            (None, '"' | '\'') => {
                start.get_or_insert(at);
                quote = Some((character, at));
            }
            (None, it) if it.is_whitespace() => {
                if let Some(start) = start.take() {
                    words.push((start..at, &text[start..at]));
                }
            }
            (None, _) => {
                start.get_or_insert(at);
            }
        }
    }
    if let Some((open, at)) = quote {
        return Err((at..at + 1, format!("the {open} is not closed")));
    }
    if let Some(start) = start {
        words.push((start..text.len(), &text[start..]));
    }
    Ok(words)
}

/// A word with its quotes taken off and its variables filled in. `value` knows the variables.
pub(super) fn expand(
    word: &str,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<String, WordFault> {
    Expansion {
        word,
        at: 0,
        value,
        depth: 0,
        keeps_quotes: false,
    }
    .run(None)
}

/// A here-document's text with its variables filled in: quotes are text in it, and a backslash makes the next character
/// one.
pub(super) fn expand_document(
    text: &str,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<String, WordFault> {
    Expansion {
        word: text,
        at: 0,
        value,
        depth: 0,
        keeps_quotes: true,
    }
    .run(None)
}

/// Values within values, `${A:-${B:-…}}`.
const DEEPEST: usize = 16;

struct Expansion<'a> {
    word: &'a str,
    at: usize,
    value: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
    keeps_quotes: bool,
}

impl Expansion<'_> {
    fn peek(&self) -> Option<char> {
        self.word.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// Up to `end`, which is taken, or up to the end of the word.
    fn run(&mut self, end: Option<char>) -> Result<String, WordFault> {
        let mut out = String::new();
        let mut in_double = false;
        loop {
            let at = self.at;
            let Some(character) = self.next() else {
                return match end {
                    Some(end) => Err((at.saturating_sub(1)..at, format!("a `{end}` is missing"))),
                    None => Ok(out),
                };
            };
            match character {
                it if Some(it) == end && !in_double => return Ok(out),
                '"' | '\'' if self.keeps_quotes => out.push(character),
                '"' => in_double = !in_double,
                '\'' if !in_double => loop {
                    match self.next() {
                        Some('\'') => break,
                        Some(it) => out.push(it),
                        None => return Err((at..at + 1, "the ' is not closed".to_owned())),
                    }
                },
                '\\' => match self.next() {
                    // In double quotes a backslash escapes what means something there, and else stays.
                    Some(it) if in_double && !matches!(it, '"' | '$' | '\\') => {
                        out.push('\\');
                        out.push(it);
                    }
                    Some(it) => out.push(it),
                    None => out.push('\\'),
                },
                '$' => out.push_str(&self.variable(at)?),
                it => out.push(it),
            }
        }
    }

    fn variable(&mut self, start: usize) -> Result<String, WordFault> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match name.is_empty() {
                true => "$".to_owned(),
                false => (self.value)(&name).unwrap_or_default(),
            });
        }
        self.next();
        let name = self.name();
        if name.is_empty() {
            return Err((start..self.at, "a name must follow `${`".to_owned()));
        }
        let known = (self.value)(&name);
        let refuse = |it: &Self| {
            let end = it.word[it.at..]
                .find('}')
                .map_or(it.word.len(), |end| it.at + end + 1);
            let written = &it.word[start..end];
            (
                start..end,
                format!(
                    "`{written}` is not understood: use ${{NAME}}, ${{NAME:-else}} or ${{NAME:+then}}"
                ),
            )
        };
        let counts_empty = match self.next() {
            Some('}') => return Ok(known.unwrap_or_default()),
            Some(':') => false,
            Some('-' | '+' | '?') => {
                self.at -= 1;
                true
            }
            _ => return Err(refuse(self)),
        };
        let known = known.filter(|it| counts_empty || !it.is_empty());
        let operator = self.next();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err((start..self.at, "too many values within values".to_owned()));
        }
        let word = match operator {
            Some('-' | '+' | '?') => self.run(Some('}'))?,
            _ => return Err(refuse(self)),
        };
        self.depth -= 1;
        match (operator, known) {
            (Some('-'), known) => Ok(known.unwrap_or(word)),
            (Some('+'), known) => Ok(known.map(|_| word).unwrap_or_default()),
            (_, Some(known)) => Ok(known),
            (_, None) => Err((start..self.at, format!("{name}: {word}"))),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(it) = self.peek() {
            if !(it.is_ascii_alphanumeric() || it == '_') || name.is_empty() && it.is_ascii_digit()
            {
                break;
            }
            name.push(it);
            self.at += 1;
        }
        name
    }
}

/// A fault of a word that begins at `at` on its line.
pub(super) fn fault(
    line: &super::lines::Line,
    at: usize,
    (range, message): WordFault,
) -> EpilogueFault {
    EpilogueFault::new(line.place(at + range.start..at + range.end), message)
}
