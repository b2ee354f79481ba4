//! Relations between packages: `Depends: a (>= 1.0), b | c`.
//!
//! Source: Debian policy 7.1; `deb-control(5)`.

use std::cmp::Ordering;
use std::fmt;

use super::version::DebVersion;

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and the obsolete `<`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and the obsolete `>`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }
}

/// One package that is named in a relation, with the version that it must have.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The package's name, without an architecture.
    pub(super) name: String,
    /// What follows the colon: `any`, `native` or an architecture.
    pub(super) qualifier: Option<String>,
    /// The version asked for.
    pub(super) version: Option<(Operator, DebVersion)>,
}

impl Relation {
    /// Whether this version of the named package is meant.
    #[must_use]
    pub(super) fn accepts(&self, version: &DebVersion) -> bool {
        self.version
            .as_ref()
            .is_none_or(|(operator, wanted)| operator.accepts(version.compare(wanted)))
    }

    /// Whether a package is meant that only *provides* the name: with a version where one is asked for.
    #[must_use]
    pub(super) fn accepts_provided(&self, version: Option<&DebVersion>) -> bool {
        self.version.is_none() || version.is_some_and(|version| self.accepts(version))
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match &self.version {
            Some((operator, version)) => write!(f, " ({} {version})", operator.text()),
            None => Ok(()),
        }
    }
}

/// Alternatives of which one suffices.
pub(super) type OneOf = Vec<Relation>;

/// Reads a relation field. Parts that are no relation are left out: one odd package must not make a
/// whole archive unusable, and dpkg would not have let it in.
#[must_use]
pub(super) fn parse_relations(field: &str) -> Vec<OneOf> {
    field
        .split(',')
        .map(|group| {
            group
                .split('|')
                .filter_map(parse_relation)
                .collect::<OneOf>()
        })
        .filter(|group| !group.is_empty())
        .collect()
}

/// Reads `name[:qualifier] [(operator version)]`; architecture and profile lists, which only source
/// packages have, are ignored.
fn parse_relation(text: &str) -> Option<Relation> {
    let text = text.trim();
    let end = text
        .find([' ', '\t', '\n', '(', '[', '<'])
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let (name, qualifier) = match name.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
        None => (name, None),
    };
    if name.is_empty() {
        return None;
    }
    let version = match rest.trim_start().strip_prefix('(') {
        Some(inner) => {
            let inner = inner.split(')').next()?.trim();
            let end = inner
                .find(|c: char| !matches!(c, '<' | '>' | '='))
                .unwrap_or(inner.len());
            let (operator, version) = inner.split_at(end);
            let operator = match operator {
                "<<" => Operator::Earlier,
                "<=" | "<" => Operator::EarlierOrEqual,
                "=" => Operator::Equal,
                "" if version.starts_with(|c: char| c.is_ascii_digit()) => Operator::Equal,
                ">=" | ">" => Operator::LaterOrEqual,
                ">>" => Operator::Later,
                _ => return None,
            };
            // A version has no blanks and begins with a letter or digit: deb-version(7).
            let version = version.trim();
            if version.contains(char::is_whitespace)
                || !version.starts_with(|c: char| c.is_ascii_alphanumeric())
            {
                return None;
            }
            Some((operator, DebVersion::new(version)))
        }
        None => None,
    };
    Some(Relation {
        name: name.to_owned(),
        qualifier,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_relation_is_read() {
        let groups = parse_relations(
            "libc6 (>= 2.36),  debconf (>= 0.5) | debconf-2.0,\n perl:any, x(=1), y (<< 2~) [amd64]",
        );
        let texts: Vec<String> = groups
            .iter()
            .map(|group| {
                group
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" | ")
            })
            .collect();
        assert_eq!(
            texts,
            [
                "libc6 (>= 2.36)",
                "debconf (>= 0.5) | debconf-2.0",
                "perl:any",
                "x (= 1)",
                "y (<< 2~)"
            ]
        );
    }

    #[test]
    fn what_is_no_relation_is_left_out() {
        assert!(parse_relations(" , |, (>= 1), a (~~ 1)").is_empty());
    }

    #[test]
    fn a_provided_name_without_version_meets_no_versioned_relation() {
        let relation = &parse_relations("mta (>= 1)")[0][0];
        assert!(!relation.accepts_provided(None));
        assert!(relation.accepts_provided(Some(&DebVersion::new("1.1"))));
        assert!(parse_relations("mta")[0][0].accepts_provided(None));
    }
}
