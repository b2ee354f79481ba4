//! `.spack/binary_distribution`: for which prefixes a tarball was built.
//!
//! YAML in flow style (Spack 1.x) or block style (before), with long lines wrapped. All values
//! are read as text, whatever YAML would take them for.
//!
//! Source: `get_buildinfo_dict` in `lib/spack/spack/binary_distribution.py` of Spack 0.20 to 1.1.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use saphyr_parser::{Event, Parser};

use crate::dag_hash::{DagHash, DagHashError};

/// The path of the file below the prefix.
pub const METADATA_PATH: &str = ".spack/binary_distribution";

/// What a tarball says about the place that it was built for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BinaryDistribution {
    /// The root of the store at build time, padding included.
    pub build_path: String,
    /// The prefix of the Spack that built it. For information.
    pub spack_prefix: Option<String>,
    /// The package's prefix below the root.
    pub relative_prefix: String,
    /// The script that wrapped `#!` lines name.
    pub sbang_install_path: Option<String>,
    /// The prefixes of the package, of its transitive link dependencies and of its direct run
    /// dependencies, at build time. Without externals, except in files of Spack 0.19 and before.
    pub hash_to_prefix: BTreeMap<DagHash, String>,
    /// Text files, below the prefix, that hold a prefix.
    pub relocate_textfiles: Vec<String>,
    /// All binaries, below the prefix, whether they hold a prefix or not.
    pub relocate_binaries: Vec<String>,
    /// Symbolic links, below the prefix, whose absolute target begins with a prefix.
    pub relocate_links: Vec<String>,
    /// Whether a hard-linked file is listed once only.
    pub hardlinks_deduped: bool,
    /// Whether paths within were made relative when it was pushed (an option of old times).
    pub relative_rpaths: bool,
}

/// Why a text is not such a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryDistributionError {
    /// Not YAML.
    #[error("line {line}, column {column}: {message}")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Another shape than a mapping of texts, lists of texts and mappings of texts.
    #[error("line {line}, column {column}: expected {expected}")]
    Shape {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A key that has to be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A key of `hash_to_prefix` that is no hash.
    #[error("hash_to_prefix: {0}")]
    Hash(#[from] DagHashError),
}

impl BinaryDistribution {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is not such a file.
    pub fn parse(text: &str) -> Result<Self, BinaryDistributionError> {
        let mut fields = Reader {
            parser: Parser::new_from_str(text),
        }
        .document()?;
        let mut take = |name: &str| fields.shift_remove(name);
        let required = |name: &'static str, value: Option<Field>| match value {
            Some(Field::Text(text)) => Ok(text),
            _ => Err(BinaryDistributionError::Missing(name)),
        };
        let build_path = required("buildpath", take("buildpath"))?;
        let relative_prefix = required("relative_prefix", take("relative_prefix"))?;
        let mut hash_to_prefix = BTreeMap::new();
        if let Some(Field::Pairs(pairs)) = take("hash_to_prefix") {
            for (hash, prefix) in pairs {
                hash_to_prefix.insert(hash.parse()?, prefix);
            }
        }
        if let Some(Field::Pairs(pairs)) = take("prefix_to_hash") {
            for (prefix, hash) in pairs {
                hash_to_prefix.insert(hash.parse()?, prefix);
            }
        }
        let text = |field| {
            if let Some(Field::Text(text)) = field {
                Some(text)
            } else {
                None
            }
        };
        let list = |field| {
            if let Some(Field::List(list)) = field {
                list
            } else {
                Vec::new()
            }
        };
        let truth =
            |field| matches!(field, Some(Field::Text(text)) if text.eq_ignore_ascii_case("true"));
        Ok(Self {
            build_path,
            relative_prefix,
            spack_prefix: text(take("spackprefix")),
            sbang_install_path: text(take("sbang_install_path")),
            hash_to_prefix,
            relocate_textfiles: list(take("relocate_textfiles")),
            relocate_binaries: list(take("relocate_binaries")),
            relocate_links: list(take("relocate_links")),
            hardlinks_deduped: truth(take("hardlinks_deduped")),
            relative_rpaths: truth(take("relative_rpaths")),
        })
    }

    /// The package's prefix at build time.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!(
            "{}/{}",
            self.build_path.trim_end_matches('/'),
            self.relative_prefix
        )
    }

    /// The recorded prefixes that differ from where the packages are now. If there is none, and
    /// the package itself lies at [`prefix`](Self::prefix), no file needs to be touched as long as
    /// the root and the place of `sbang` are the same too.
    pub fn moved<'a>(
        &'a self,
        prefix_now: impl Fn(&DagHash) -> Option<&'a str>,
    ) -> impl Iterator<Item = (DagHash, &'a str)> {
        self.hash_to_prefix
            .iter()
            .filter_map(move |(hash, recorded)| {
                // What is recorded but not in the image needs no place there.
                let now = prefix_now(hash)?;
                (now != recorded).then_some((*hash, recorded.as_str()))
            })
    }
}

/// What stands under a key.
enum Field {
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, (usize, usize)), BinaryDistributionError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, (span.start.line(), span.start.col() + 1))),
            Some(Err(error)) => Err(BinaryDistributionError::Yaml {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                message: error.info().to_owned(),
            }),
            None => Ok((Event::StreamEnd, (1, 1))),
        }
    }

    fn document(mut self) -> Result<IndexMap<String, Field>, BinaryDistributionError> {
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::MappingStart(..) => break,
                _ => return Err(shape(place, "a mapping")),
            }
        }
        let mut fields = IndexMap::new();
        while let Some(key) = self.text_or_end("a key")? {
            let field = self.field()?;
            fields.insert(key, field);
        }
        Ok(fields)
    }

    fn field(&mut self) -> Result<Field, BinaryDistributionError> {
        let (event, place) = self.next()?;
        match event {
            Event::Scalar(text, ..) => Ok(Field::Text(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                while let Some(item) = self.text_or_end("a file name")? {
                    list.push(item);
                }
                Ok(Field::List(list))
            }
            Event::MappingStart(..) => {
                let mut pairs = Vec::new();
                while let Some(key) = self.text_or_end("a key")? {
                    // A key always has a value, be it the empty text.
                    pairs.push((key, self.text_or_end("a path")?.unwrap_or_default()));
                }
                Ok(Field::Pairs(pairs))
            }
            _ => Err(shape(place, "a text, a list or a mapping")),
        }
    }

    /// A text, or `None` at the end of the list or mapping.
    fn text_or_end(
        &mut self,
        expected: &'static str,
    ) -> Result<Option<String>, BinaryDistributionError> {
        let (event, place) = self.next()?;
        match event {
            Event::Scalar(text, ..) => Ok(Some(text.into_owned())),
            Event::SequenceEnd | Event::MappingEnd => Ok(None),
            _ => Err(shape(place, expected)),
        }
    }
}

const fn shape(place: (usize, usize), expected: &'static str) -> BinaryDistributionError {
    BinaryDistributionError::Shape {
        line: place.0,
        column: place.1,
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "{buildpath: /opt/software/__spack_path_placeholder__/__spac,\n  spackprefix: /opt/spack, relative_prefix: linux-x86_64/a-1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,\n  sbang_install_path: /opt/software/bin/sbang, hardlinks_deduped: true, hash_to_prefix: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: /opt/software/__spack_path_placeholder__/__spac/linux-x86_64/a-1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa},\n  relocate_binaries: [bin/a, 'lib/b c.so',\n    lib/1.5], relocate_links: [], relocate_textfiles: []}\n";

    #[test]
    fn flow_style_with_wrapped_lines_is_read() {
        let read = BinaryDistribution::parse(FLOW).expect("read");
        assert_eq!(read.relocate_binaries, ["bin/a", "lib/b c.so", "lib/1.5"]);
        assert!(read.hardlinks_deduped && !read.relative_rpaths);
        let (hash, prefix) = read.hash_to_prefix.first_key_value().expect("one");
        assert_eq!(*prefix, read.prefix());
        assert_eq!(
            read.moved(|_| Some("/elsewhere")).next().map(|it| it.0),
            Some(*hash)
        );
        assert_eq!(read.moved(|_| Some(prefix)).count(), 0);
        assert_eq!(read.moved(|_| None).count(), 0);
    }

    #[test]
    fn old_files_map_prefixes_to_hashes() {
        let text = "buildpath: /s\nrelative_prefix: a\nprefix_to_hash:\n  /s/a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n  /usr: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\nrelocate_links:\n- lib/x\n";
        let read = BinaryDistribution::parse(text).expect("read");
        assert_eq!(
            read.hash_to_prefix.values().collect::<Vec<_>>(),
            ["/s/a", "/usr"]
        );
        assert_eq!(read.relocate_links, ["lib/x"]);
    }

    #[test]
    fn other_shapes_are_refused_with_their_place() {
        use BinaryDistributionError as E;
        assert_eq!(
            BinaryDistribution::parse("{buildpath: /s}"),
            Err(E::Missing("relative_prefix"))
        );
        assert!(matches!(
            BinaryDistribution::parse("[a]"),
            Err(E::Shape { line: 1, .. })
        ));
        assert!(matches!(
            BinaryDistribution::parse("a: 1\nrelocate_links: [[[[a]]]]"),
            Err(E::Shape { line: 2, .. })
        ));
        assert!(matches!(
            BinaryDistribution::parse("{a: [b"),
            Err(E::Yaml { .. })
        ));
        assert!(BinaryDistribution::parse("").is_err());
        let wrong = "{buildpath: /s, relative_prefix: a, hash_to_prefix: {x: /s/a}}";
        assert!(matches!(BinaryDistribution::parse(wrong), Err(E::Hash(_))));
    }
}
