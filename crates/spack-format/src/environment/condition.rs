//! `when` of definitions and includes: a Python expression over the machine.
//! [Spack: `spec.py`, `eval_conditional`; `platforms/__init__.py`]
//!
//! What is understood: the names `platform`, `os`, `target`, `arch_str` (also as `arch` and `architecture`), texts, lists of
//! texts, `True`, `False`, `==`, `!=`, `in`, `not in`, `and`, `or`, `not`, parentheses, and the text methods `startswith`
//! and `endswith`. What asks for the machine where Spack runs (`hostname`, `env`) has no meaning for an image, and regular
//! expressions (`re`) need Python: both are reported, never guessed.

use std::iter::Peekable;
use std::vec::IntoIter;

use thiserror::Error;

/// Levels of parentheses and `not` that are followed.
const DEEPEST: usize = 32;

/// The machine that an environment is for. Unknown parts make conditions on them undecidable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// `linux`.
    pub platform: Option<String>,
    /// `debian12`.
    pub os: Option<String>,
    /// `x86_64_v3`.
    pub target: Option<String>,
}

/// Why a condition cannot be decided.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// Not an expression that is understood.
    #[error("`{0}` is not understood")]
    Syntax(String),
    /// A name that says nothing about an image.
    #[error("`{0}` depends on the machine where Spack runs")]
    MachineOnly(String),
    /// A name whose value is not known.
    #[error("`{0}` is not known here")]
    Unknown(&'static str),
    /// It ends too early.
    #[error("it ends too early")]
    Unfinished,
    /// Nested too deeply.
    #[error("it is nested too deeply")]
    TooDeep,
}

impl ConditionError {
    /// What to do about it.
    #[must_use]
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Unknown("target") => "set `target` under `[arch.…]` in spacktainers.toml".to_owned(),
            Self::MachineOnly(_) => "a definition must mean the same on every machine: remove the condition".to_owned(),
            _ => "use comparisons of `platform`, `os` and `target` with texts, joined by `and`, `or` and `not`".to_owned(),
        }
    }
}

/// A condition that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Name(String),
    Symbol(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Boolean(bool),
    List(Vec<Value>),
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Boolean(value) => *value,
            Self::List(items) => !items.is_empty(),
        }
    }
}

impl Condition {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it holds something that is none of its tokens.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length =
                if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                    tokens.push(Token::Symbol(symbol));
                    symbol.len()
                } else if matches!(first, '"' | '\'') {
                    let end = rest[1..].find(first).ok_or(ConditionError::Unfinished)?;
                    tokens.push(Token::Text(rest[1..=end].to_owned()));
                    end + 2
                } else {
                    let end = rest
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(rest.len());
                    if end == 0 {
                        return Err(ConditionError::Syntax(first.to_string()));
                    }
                    tokens.push(Token::Name(rest[..end].to_owned()));
                    end
                };
            rest = rest[length..].trim_start();
        }
        Ok(Self { tokens })
    }

    /// Whether it holds on `machine`.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn holds(&self, machine: &Machine) -> Result<bool, ConditionError> {
        let mut reader = Reader {
            tokens: self.tokens.clone().into_iter().peekable(),
            machine,
            depth: 0,
        };
        let value = reader.either()?;
        match reader.tokens.next() {
            None => Ok(value.is_true()),
            Some(token) => Err(unexpected(&token)),
        }
    }
}

const SYMBOLS: [&str; 8] = ["==", "!=", "(", ")", "[", "]", ",", "."];

struct Reader<'a> {
    tokens: Peekable<IntoIter<Token>>,
    machine: &'a Machine,
    depth: usize,
}

impl Reader<'_> {
    fn either(&mut self) -> Result<Value, ConditionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ConditionError::TooDeep);
        }
        let mut value = self.both()?;
        while self.take_name("or") {
            let right = self.both()?;
            value = if value.is_true() { value } else { right };
        }
        self.depth -= 1;
        Ok(value)
    }

    fn both(&mut self) -> Result<Value, ConditionError> {
        let mut value = self.negation()?;
        while self.take_name("and") {
            let right = self.negation()?;
            value = if value.is_true() { right } else { value };
        }
        Ok(value)
    }

    fn negation(&mut self) -> Result<Value, ConditionError> {
        let mut negated = false;
        let mut any = false;
        while self.take_name("not") {
            negated = !negated;
            any = true;
        }
        let value = self.comparison()?;
        Ok(if any {
            Value::Boolean(value.is_true() != negated)
        } else {
            value
        })
    }

    fn comparison(&mut self) -> Result<Value, ConditionError> {
        let left = self.operand()?;
        let result = if self.take_symbol("==") {
            left == self.operand()?
        } else if self.take_symbol("!=") {
            left != self.operand()?
        } else if self.take_name("in") {
            contains(&self.operand()?, &left)?
        } else if self.take_name("not") {
            if !self.take_name("in") {
                return Err(ConditionError::Syntax("not".to_owned()));
            }
            !contains(&self.operand()?, &left)?
        } else {
            return Ok(left);
        };
        Ok(Value::Boolean(result))
    }

    fn operand(&mut self) -> Result<Value, ConditionError> {
        let mut value = match self.tokens.next().ok_or(ConditionError::Unfinished)? {
            Token::Text(text) => Value::Text(text),
            Token::Name(name) => self.name(&name)?,
            Token::Symbol("(") => {
                let value = self.either()?;
                self.expect(")")?;
                value
            }
            Token::Symbol("[") => self.list()?,
            token @ Token::Symbol(_) => return Err(unexpected(&token)),
        };
        while self.take_symbol(".") {
            value = self.method(&value)?;
        }
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, ConditionError> {
        let mut items = Vec::new();
        while !self.take_symbol("]") {
            items.push(self.either()?);
            if !self.take_symbol(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Value::List(items))
    }

    fn method(&mut self, value: &Value) -> Result<Value, ConditionError> {
        let name = match self.tokens.next().ok_or(ConditionError::Unfinished)? {
            Token::Name(name) => name,
            token => return Err(unexpected(&token)),
        };
        self.expect("(")?;
        let argument = self.either()?;
        self.expect(")")?;
        match (name.as_str(), value, &argument) {
            ("startswith", Value::Text(text), Value::Text(start)) => {
                Ok(Value::Boolean(text.starts_with(start)))
            }
            ("endswith", Value::Text(text), Value::Text(end)) => {
                Ok(Value::Boolean(text.ends_with(end)))
            }
            _ => Err(ConditionError::Syntax(name)),
        }
    }

    fn name(&self, name: &str) -> Result<Value, ConditionError> {
        let known =
            |value: &Option<String>, name| value.clone().ok_or(ConditionError::Unknown(name));
        let machine = self.machine;
        match name {
            "True" => Ok(Value::Boolean(true)),
            "False" => Ok(Value::Boolean(false)),
            "platform" => known(&machine.platform, "platform").map(Value::Text),
            "os" => known(&machine.os, "os").map(Value::Text),
            "target" => known(&machine.target, "target").map(Value::Text),
            "arch_str" | "arch" | "architecture" => {
                let platform = known(&machine.platform, "platform")?;
                let os = known(&machine.os, "os")?;
                let target = known(&machine.target, "target")?;
                Ok(Value::Text(format!("{platform}-{os}-{target}")))
            }
            "hostname" | "env" => Err(ConditionError::MachineOnly(name.to_owned())),
            _ => Err(ConditionError::Syntax(name.to_owned())),
        }
    }

    fn take_name(&mut self, name: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token, Token::Name(found) if found == name))
            .is_some()
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token, Token::Symbol(found) if *found == symbol))
            .is_some()
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), ConditionError> {
        match self.tokens.next() {
            Some(Token::Symbol(found)) if found == symbol => Ok(()),
            Some(token) => Err(unexpected(&token)),
            None => Err(ConditionError::Unfinished),
        }
    }
}

fn contains(whole: &Value, part: &Value) -> Result<bool, ConditionError> {
    match (whole, part) {
        (Value::List(items), part) => Ok(items.contains(part)),
        (Value::Text(text), Value::Text(part)) => Ok(text.contains(part.as_str())),
        _ => Err(ConditionError::Syntax("in".to_owned())),
    }
}

fn unexpected(token: &Token) -> ConditionError {
    ConditionError::Syntax(match token {
        Token::Text(text) | Token::Name(text) => text.clone(),
        Token::Symbol(symbol) => (*symbol).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> Result<bool, ConditionError> {
        let machine = Machine {
            platform: Some("linux".to_owned()),
            os: None,
            target: Some("x86_64_v3".to_owned()),
        };
        Condition::parse(text)?.holds(&machine)
    }

    #[test]
    fn comparisons_of_the_machine_are_decided() {
        for text in [
            "True",
            "platform == 'linux'",
            "platform != \"darwin\" and target == 'x86_64_v3'",
            "not platform == 'darwin'",
            "target in ['x86_64', 'x86_64_v3',]",
            "'x86' in target",
            "target not in ('arm')",
            "(platform == 'darwin' or target.startswith('x86_64')) and True",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
        for text in [
            "False",
            "platform == 'darwin'",
            "not True",
            "target.endswith('v4')",
            "''",
        ] {
            assert_eq!(holds(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_decided_is_said() {
        assert_eq!(
            holds("os == 'debian12'"),
            Err(ConditionError::Unknown("os"))
        );
        assert_eq!(
            holds("env.get('X') == '1'"),
            Err(ConditionError::MachineOnly("env".to_owned()))
        );
        assert_eq!(
            holds("re.search('x', target)"),
            Err(ConditionError::Syntax("re".to_owned()))
        );
        assert_eq!(holds("platform =="), Err(ConditionError::Unfinished));
        assert_eq!(
            holds("platform = 'linux'"),
            Err(ConditionError::Syntax("=".to_owned()))
        );
        assert_eq!(holds("'linux"), Err(ConditionError::Unfinished));
        assert_eq!(holds(&"(".repeat(1000)), Err(ConditionError::TooDeep));
        assert_eq!(holds(""), Err(ConditionError::Unfinished));
    }
}
