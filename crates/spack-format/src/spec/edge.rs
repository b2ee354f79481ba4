//! Attributes of an edge: what stands in `%[...]`. [Spack: `EdgeAttributeParser` in `spec_parser.py`]

use super::parse::{Parser, fault, parse_one};
use super::token::TokenKind;
use super::{Dependency, Spec, SpecError, SpecFault};
use crate::concrete::DepTypes;

impl Parser<'_> {
    /// Reads up to the closing bracket and the assignment of virtuals that may follow it.
    ///
    /// Of an attribute that is given twice the last counts, and only that one must make sense.
    pub(super) fn edge_attributes(&mut self, edge: &mut Dependency) -> Result<(), SpecFault> {
        let (mut deptypes, mut when) = (None, None);
        while self.accept(TokenKind::Pair)? {
            let Some((name, value)) = self.taken().split_once('=') else {
                continue;
            };
            let start = self.current.range.start + name.len() + 1;
            let value_trimmed = value.trim_start_matches(['\'', '"', ' ']);
            let start = start + (value.len() - value_trimmed.len());
            let value = value_trimmed.trim_end_matches(['\'', '"', ' ']);
            match name.strip_suffix(':').unwrap_or(name) {
                "virtuals" => edge.virtuals = value.split(',').map(str::to_owned).collect(),
                "deptypes" => deptypes = Some((start, value)),
                "when" => when = Some((start, value)),
                _ => return self.fault_here(SpecError::EdgeAttribute),
            }
        }
        if !self.accept(TokenKind::EndEdge)? {
            let end = self.text.len();
            let range = self.next.as_ref().map_or(end..end, |it| it.range.clone());
            return Err(fault(range, SpecError::EdgeAttribute));
        }
        if let Some((start, text)) = deptypes {
            edge.deptypes = read_deptypes(text, start)?;
        }
        if let Some((start, text)) = when {
            // Spack splits all values at commas and, here, reads what stands before the first.
            let text = text.split(',').next().unwrap_or_default();
            let condition = parse_one(text, self.depth + 1).map_err(|inner| {
                let range = start + inner.range.start..start + inner.range.end;
                fault(range, inner.error)
            })?;
            edge.when = (condition != Spec::default()).then(|| Box::new(condition));
        }
        let virtuals = self.take_assignment();
        edge.add_virtuals(&virtuals);
        Ok(())
    }
}

/// Names of deptypes with commas between; `start` is the place of the first.
fn read_deptypes(text: &str, start: usize) -> Result<DepTypes, SpecFault> {
    let mut deptypes = DepTypes::NONE;
    let mut at = start;
    for word in text.split(',') {
        let Some(bit) = DepTypes::from_name(word) else {
            let word = word.to_owned();
            return Err(fault(at..at + word.len(), SpecError::DepType { word }));
        };
        deptypes = deptypes | bit;
        at += word.len() + 1;
    }
    Ok(deptypes)
}
