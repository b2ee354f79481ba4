//! The index of a build cache, read record by record.
//!
//! An index of a hundred thousand packages has some hundred megabytes. Whoever wants a few facts of each record need not
//! hold more than one of them.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{DatabaseError, format_of};
use crate::concrete::{ConcreteSpec, JsonFault, NodeFormat, read_node};
use crate::dag_hash::DagHash;

/// One record of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedRecord {
    /// The node.
    pub spec: ConcreteSpec,
    /// Whether its binary is in the build cache.
    pub in_build_cache: bool,
}

/// Why reading ended before the end.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<E> {
    /// The text is no index, or cannot be read.
    #[error(transparent)]
    Database(DatabaseError),
    /// Who took the records wants no more.
    #[error(transparent)]
    Taker(E),
}

/// Reads an index from `reader`, which should be buffered, and gives each record to `take`, in the order of the text.
///
/// The version must stand before the records, as Spack writes it.
///
/// # Errors
/// When the text is no index or of a version that is not known, cannot be read, or `take` refuses a record.
pub fn stream<E>(
    reader: impl Read,
    mut take: impl FnMut(StreamedRecord) -> Result<(), E>,
) -> Result<(), StreamError<E>> {
    let mut stopped = None;
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut state = State {
        format: None,
        has_installs: false,
        take: &mut take,
        stopped: &mut stopped,
    };
    let result = Object {
        key: "database",
        inner: DatabaseObject(&mut state),
    }
    .deserialize(&mut json)
    .and_then(|()| json.end());
    let has_installs = state.has_installs;
    match (stopped, result) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(StreamError::Database(fault(&error))),
        (None, Ok(())) if !has_installs => Err(StreamError::Database(DatabaseError::Json(
            JsonFault::at("", "", "there are no `installs`".to_owned()),
        ))),
        (None, Ok(())) => Ok(()),
    }
}

fn fault(error: &serde_json::Error) -> DatabaseError {
    DatabaseError::Json(JsonFault::within("", "", error))
}

struct State<'s, E, F> {
    format: Option<NodeFormat>,
    has_installs: bool,
    take: &'s mut F,
    stopped: &'s mut Option<StreamError<E>>,
}

/// An object of which one member matters.
struct Object<S> {
    key: &'static str,
    inner: S,
}

impl<'de, S: DeserializeSeed<'de, Value = ()>> DeserializeSeed<'de> for Object<S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de, Value = ()>> Visitor<'de> for Object<S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut inner = Some(self.inner);
        while let Some(key) = map.next_key::<String>()? {
            match inner.take_if(|_| key == self.key) {
                Some(seed) => map.next_value_seed(seed)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match inner {
            None => Ok(()),
            Some(_) => Err(serde::de::Error::missing_field(self.key)),
        }
    }
}

struct DatabaseObject<'a, 's, E, F>(&'a mut State<'s, E, F>);

impl<'de, E, F: FnMut(StreamedRecord) -> Result<(), E>> DeserializeSeed<'de>
    for DatabaseObject<'_, '_, E, F>
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, E, F: FnMut(StreamedRecord) -> Result<(), E>> Visitor<'de>
    for DatabaseObject<'_, '_, E, F>
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `version` and `installs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => {
                    let version: String = map.next_value()?;
                    match format_of(&version) {
                        Ok(format) => self.0.format = Some(format),
                        Err(error) => return Err(self.0.stop(StreamError::Database(error))),
                    }
                }
                "installs" => {
                    self.0.has_installs = true;
                    map.next_value_seed(Installs(self.0))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<E, F> State<'_, E, F> {
    /// Remembers why, and gives an error that ends the reading.
    fn stop<D: serde::de::Error>(&mut self, why: StreamError<E>) -> D {
        *self.stopped = Some(why);
        D::custom("stopped")
    }
}

struct Installs<'a, 's, E, F>(&'a mut State<'s, E, F>);

impl<'de, E, F: FnMut(StreamedRecord) -> Result<(), E>> DeserializeSeed<'de>
    for Installs<'_, '_, E, F>
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
struct RecordJson {
    spec: Box<RawValue>,
    #[serde(default)]
    in_buildcache: bool,
}

impl<'de, E, F: FnMut(StreamedRecord) -> Result<(), E>> Visitor<'de> for Installs<'_, '_, E, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of records by hash")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        let Some(format) = state.format else {
            return Err(serde::de::Error::custom(
                "`version` does not stand before `installs`",
            ));
        };
        while let Some(key) = map.next_key::<String>()? {
            let record: RecordJson = map.next_value()?;
            let hash: DagHash = key.parse().map_err(serde::de::Error::custom)?;
            let text = record.spec.get();
            let spec = match read_node(text, &record.spec, format, Some(hash)) {
                Ok(spec) => spec,
                Err(source) => {
                    let error = DatabaseError::Node { key, source };
                    return Err(state.stop(StreamError::Database(error)));
                }
            };
            let record = StreamedRecord {
                spec,
                in_build_cache: record.in_buildcache,
            };
            if let Err(error) = (state.take)(record) {
                return Err(state.stop(StreamError::Taker(error)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;
    use std::convert::Infallible;

    fn index() -> String {
        let specs = test_specs::small();
        let records: Vec<String> = specs
            .iter()
            .map(|it| {
                format!(
                    r#""{}":{{"spec":{},"ref_count":1,"in_buildcache":{}}}"#,
                    it.hash,
                    it.raw,
                    it.name == "app"
                )
            })
            .collect();
        format!(
            r#"{{"database":{{"version":"8","installs":{{{}}}}}}}"#,
            records.join(",")
        )
    }

    #[test]
    fn records_come_as_they_are_in_the_text() {
        let text = index();
        let mut names = Vec::new();
        stream(text.as_bytes(), |record| {
            names.push((record.spec.name.clone(), record.in_build_cache));
            Ok::<_, Infallible>(())
        })
        .expect("an index");
        let whole = crate::database::BuildCacheIndex::parse(&text).expect("an index");
        let expected: Vec<_> = whole
            .records
            .values()
            .map(|it| (it.spec.name.clone(), it.in_build_cache))
            .collect();
        assert_eq!(names, expected);
        assert!(names.contains(&("app".to_owned(), true)));
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for (text, what) in [
            ("[]", "invalid type"),
            ("{}", "missing field"),
            (r#"{"database":{"version":"8"}}"#, "no `installs`"),
            (
                r#"{"database":{"version":"9","installs":{}}}"#,
                "version `9`",
            ),
            (r#"{"database":{"installs":{},"version":"8"}}"#, "before"),
            (
                r#"{"database":{"version":"8","installs":{}}} x"#,
                "trailing",
            ),
            (&index()[..300], "EOF"),
        ] {
            let error = stream(text.as_bytes(), |_| Ok::<_, Infallible>(())).expect_err(text);
            assert!(error.to_string().contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn who_takes_records_may_stop() {
        let mut seen = 0;
        let result = stream(index().as_bytes(), |_| {
            seen += 1;
            Err("enough")
        });
        assert!(matches!(result, Err(StreamError::Taker("enough"))));
        assert_eq!(seen, 1);
    }
}
