//! Tokens into specs. [Spack: `SpecParser` in `spec_parser.py`]

use std::ops::Range;

use super::display::node_name;
use super::token::{Token, TokenKind, token_at};
use super::{Contradiction, Dependency, Spec, SpecError, SpecFault};
use crate::concrete::DepTypes;

/// The longest text that is read. Specs that people write have some hundred bytes.
const LIMIT: usize = 16 * 1024;
/// How deep conditions of edges may be nested.
const DEPTH: usize = 8;

/// Reads several specs, separated by blanks.
///
/// # Errors
/// When something in the text is none.
pub fn parse_specs(text: &str) -> Result<Vec<Spec>, SpecFault> {
    let mut parser = Parser::new(text, 0)?;
    let mut specs = Vec::new();
    while let Some(next) = parser.next.clone() {
        specs.push(parser.spec()?);
        if parser.next.as_ref() == Some(&next) {
            // A bracket that closes nothing.
            let character = next.text(text).chars().next().unwrap_or_default();
            return Err(fault(next.range, SpecError::Unexpected { character }));
        }
    }
    Ok(specs)
}

/// Reads one spec; `depth` counts the conditions around it.
pub(super) fn parse_one(text: &str, depth: usize) -> Result<Spec, SpecFault> {
    let mut parser = Parser::new(text, depth)?;
    if parser.next.is_none() {
        return Err(fault(0..text.len(), SpecError::NoSpec));
    }
    let spec = parser.spec()?;
    match &parser.next {
        Some(more) => Err(fault(more.range.clone(), SpecError::SeveralSpecs)),
        None => Ok(spec),
    }
}

pub(super) const fn fault(range: Range<usize>, error: SpecError) -> SpecFault {
    SpecFault { range, error }
}

/// A stream of tokens with one to look at. Tokens are found when they are reached, so a fault in the text only counts
/// once everything before it made sense.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) depth: usize,
    at: usize,
    /// The token just taken.
    pub(super) current: Token,
    /// The one to come.
    pub(super) next: Option<Token>,
    /// The one after it, if a token was put before those of the text.
    pushed: Option<Option<Token>>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, depth: usize) -> Result<Self, SpecFault> {
        if text.len() > LIMIT {
            let length = text.len();
            return Err(fault(
                0..length,
                SpecError::TooLong {
                    length,
                    limit: LIMIT,
                },
            ));
        }
        if depth > DEPTH {
            return Err(fault(0..text.len(), SpecError::TooDeep));
        }
        let mut parser = Self {
            text,
            depth,
            at: 0,
            current: Token::plain(TokenKind::Blank, 0..0),
            next: None,
            pushed: None,
        };
        parser.next = parser.read()?;
        Ok(parser)
    }

    fn read(&mut self) -> Result<Option<Token>, SpecFault> {
        while let Some(token) = token_at(self.text, self.at) {
            self.at = token.range.end;
            match token.kind {
                TokenKind::Blank => {}
                TokenKind::Unexpected => {
                    let character = token.text(self.text).chars().next().unwrap_or_default();
                    return Err(fault(token.range, SpecError::Unexpected { character }));
                }
                _ => return Ok(Some(token)),
            }
        }
        Ok(None)
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn accept(&mut self, kind: TokenKind) -> Result<bool, SpecFault> {
        if !self.expects(kind) {
            return Ok(false);
        }
        let following = match self.pushed.take() {
            Some(token) => token,
            None => self.read()?,
        };
        if let Some(token) = std::mem::replace(&mut self.next, following) {
            self.current = token;
        }
        Ok(true)
    }

    pub(super) fn expects(&self, kind: TokenKind) -> bool {
        self.next.as_ref().is_some_and(|it| it.kind == kind)
    }

    /// The text of the token just taken.
    pub(super) fn taken(&self) -> &'t str {
        self.current.text(self.text)
    }

    pub(super) fn fault_here<T>(&self, error: SpecError) -> Result<T, SpecFault> {
        Err(fault(self.current.range.clone(), error))
    }

    /// The virtuals that the token just taken assigns; the package that stands for them becomes the next token.
    pub(super) fn take_assignment(&mut self) -> Vec<String> {
        let Some(assignment) = self.current.assignment.take() else {
            return Vec::new();
        };
        let text = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        let kind = if text(assignment.substitute.clone()).contains('.') {
            TokenKind::QualifiedName
        } else {
            TokenKind::Name
        };
        let virtuals = text(assignment.virtuals).split(',').map(str::to_owned);
        let virtuals = virtuals.collect();
        let substitute = Token::plain(kind, assignment.substitute);
        self.pushed = Some(self.next.replace(substitute));
        virtuals
    }

    /// One spec with its dependencies. `^x` hangs on the root, `%x` on the node just before it that is not itself a `%`.
    fn spec(&mut self) -> Result<Spec, SpecFault> {
        let mut root = self.node()?;
        let mut current = Current::Root;
        while let Some(mut dependency) = self.dependency()? {
            if !dependency.direct {
                // A dependency that is merged into an earlier one takes what is said of its own to oblivion, in Spack
                // as here.
                let spec = dependency.spec.clone();
                current = match self.added(root.add_dependency(dependency))? {
                    Some(index) => Current::Dependency(index),
                    None => Current::Merged(Box::new(spec)),
                };
                continue;
            }
            let spec = &mut dependency.spec;
            if let Some(name) = &mut spec.name {
                *name = node_name(name).to_owned();
            }
            let parent = match &mut current {
                Current::Root => Some(&mut root),
                Current::Dependency(index) => {
                    root.dependencies.get_mut(*index).map(|it| &mut it.spec)
                }
                Current::Merged(spec) => Some(&mut **spec),
            };
            if let Some(parent) = parent {
                self.added(parent.add_dependency(dependency))?;
            }
        }
        root.sort_dependencies();
        for dependency in &mut root.dependencies {
            dependency.spec.sort_dependencies();
        }
        Ok(root)
    }

    fn added(
        &self,
        added: Result<Option<usize>, Contradiction>,
    ) -> Result<Option<usize>, SpecFault> {
        added.or_else(|reason| self.fault_here(SpecError::Dependency(reason)))
    }

    /// A dependency with its sigil, if one comes.
    fn dependency(&mut self) -> Result<Option<Dependency>, SpecFault> {
        let brackets = self.accept(TokenKind::StartEdge)?;
        if !brackets && !self.accept(TokenKind::Dependency)? {
            return Ok(None);
        }
        let sigil = self.taken();
        let mut dependency = Dependency {
            spec: Spec::default(),
            direct: sigil.starts_with('%'),
            preferred: sigil.starts_with("%%"),
            deptypes: DepTypes::NONE,
            virtuals: Vec::new(),
            when: None,
        };
        if brackets {
            self.edge_attributes(&mut dependency)?;
        } else {
            let virtuals = self.take_assignment();
            if virtuals.is_empty() && dependency.direct && self.next.is_none() {
                return self.fault_here(SpecError::NoDependency);
            }
            dependency.add_virtuals(&virtuals);
        }
        dependency.spec = self.node()?;
        Ok(Some(dependency))
    }
}

/// What the next `%` hangs on.
enum Current {
    Root,
    /// A dependency of the root, by its place.
    Dependency(usize),
    /// A dependency that was merged into an earlier one.
    Merged(Box<Spec>),
}
