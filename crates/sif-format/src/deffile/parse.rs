//! A definition file as it was written: stages, headers, sections.
//!
//! Source: Apptainer's `pkg/build/types/parser/deffile.go`.

use super::fault::Faults;
use super::header::{self, HeaderEntry};
use super::lines::lines;
use super::section::{self, Section};
use super::span::Origin;
use super::template::{self, Template};
use super::{DeffileError, Fault, MAX_SIZE, SectionKind, Span};

/// What begins a stage, in any case, at the very beginning of a line.
const BOOTSTRAP: &str = "bootstrap:";
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A definition file as it was written, with all that is wrong with it before templates are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deffile {
    /// The text.
    pub(super) text: String,
    /// The stages in order. Text before the first `Bootstrap:` is one as well, unless it only holds comments.
    pub stages: Vec<WrittenStage>,
    /// What is wrong, in the order of the text.
    pub faults: Vec<Fault>,
}

/// A stage as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenStage {
    /// From `Bootstrap:` up to the next stage.
    pub span: Span,
    /// The header in order.
    pub header: Vec<HeaderEntry>,
    /// The sections in order, without those that are none.
    pub sections: Vec<Section>,
    /// The templates in order.
    pub templates: Vec<Template>,
}

impl Deffile {
    /// Reads a text. Whatever it is, something is returned; [`Deffile::faults`] says what is wrong.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut faults = Faults::default();
        let mut stages = Vec::new();
        if text.len() > MAX_SIZE {
            faults.push(
                Span::default(),
                DeffileError::TooLarge {
                    size: text.len(),
                    limit: MAX_SIZE,
                },
            );
        } else {
            let start = if text.starts_with(BYTE_ORDER_MARK) {
                let end = BYTE_ORDER_MARK.len();
                faults.push(Span::new(0, end), DeffileError::ByteOrderMark);
                end
            } else {
                0
            };
            if let Some(at) = text.find("\r\n") {
                faults.push(Span::new(at, at + 1), DeffileError::CarriageReturns);
            }
            stages = parse_stages(text, start, &mut faults);
            if stages.is_empty() && !faults.error {
                faults.push(Span::default(), DeffileError::Empty);
            }
        }
        Self {
            text: text.to_owned(),
            stages,
            faults: faults.finish(text),
        }
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// When they are no text; the span is the first byte that is wrong.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        std::str::from_utf8(bytes)
            .map(Self::parse)
            .map_err(|error| {
                let at = error.valid_up_to();
                Fault {
                    span: Span::new(at, at + 1),
                    error: DeffileError::NotUtf8,
                }
            })
    }

    /// The text as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn parse_stages(text: &str, start: usize, faults: &mut Faults) -> Vec<WrittenStage> {
    let mut starts: Vec<usize> = lines(text, start..text.len())
        .filter(|line| begins_stage(line.text))
        .map(|line| line.start)
        .collect();
    let has_bootstrap = !starts.is_empty();
    if starts.first() != Some(&start) {
        starts.insert(0, start);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mut stages = Vec::new();
    for (start, end) in starts.iter().copied().zip(ends) {
        let part = text.get(start..end).unwrap_or_default();
        let origin = Origin::verbatim(start, part.len());
        let (header, sections, header_end) = parse_stage(part, &origin, faults);
        if is_empty(&header, &sections) {
            continue;
        }
        if header::entry(&header, "bootstrap").is_none() {
            let first = match (header.first(), sections.first()) {
                (Some(entry), _) => entry.key_span.to(entry.value_span),
                (None, Some(section)) => section.name_span,
                (None, None) => Span::new(start, start),
            };
            let before_first = has_bootstrap && !begins_stage(part);
            faults.push(first, DeffileError::MissingBootstrap { before_first });
        }
        section::check_repeated(&sections, faults);
        stages.push(WrittenStage {
            span: Span::new(start, end),
            header,
            sections,
            templates: template::find(part, header_end, start, faults),
        });
    }
    stages
}

fn begins_stage(line: &str) -> bool {
    line.get(..BOOTSTRAP.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(BOOTSTRAP))
}

/// Reads the text of one stage: its header, its sections, and where the header ends.
pub(super) fn parse_stage(
    text: &str,
    origin: &Origin,
    faults: &mut Faults,
) -> (Vec<HeaderEntry>, Vec<Section>, usize) {
    let firsts: Vec<_> = lines(text, 0..text.len())
        .filter(|line| line.begins_section())
        .collect();
    let header_end = firsts.first().map_or(text.len(), |line| line.start);
    let header = header::parse(text, 0..header_end, origin, faults);
    let ends = firsts
        .iter()
        .skip(1)
        .map(|line| line.start)
        .chain([text.len()]);
    let sections = firsts
        .iter()
        .zip(ends)
        .filter_map(|(first, end)| section::parse(text, first, end, origin, faults))
        .collect();
    (header, sections, header_end)
}

/// Whether Apptainer would pass over the stage: comments only, or sections without a line.
fn is_empty(header: &[HeaderEntry], sections: &[Section]) -> bool {
    header.is_empty()
        && sections.iter().all(|section| match section.kind {
            SectionKind::Files => false,
            SectionKind::Labels => section.entries().next().is_none(),
            kind => {
                !kind.is_of_app()
                    && section.text.is_empty()
                    && section.arguments.as_deref().unwrap_or_default().is_empty()
            }
        })
}
