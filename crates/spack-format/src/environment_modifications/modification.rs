//! Single modifications, and lists of them.
//!
//! Source: `lib/spack/spack/util/environment.py`, `schema/environment.py` in Spack 1.1.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

/// What happens to a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modification {
    /// It gets a value.
    Set {
        /// The variable.
        name: String,
        /// The value.
        value: String,
    },
    /// It is taken away.
    Unset {
        /// The variable.
        name: String,
    },
    /// A path is put before those in its value.
    PrependPath {
        /// The variable.
        name: String,
        /// The path.
        value: String,
        /// What stands between paths.
        separator: char,
    },
    /// A path is put after those in its value.
    AppendPath {
        /// The variable.
        name: String,
        /// The path.
        value: String,
        /// What stands between paths.
        separator: char,
    },
    /// A path is taken out of its value, wherever it stands.
    RemovePath {
        /// The variable.
        name: String,
        /// The path.
        value: String,
    },
    /// Words are put after its value.
    AppendFlags {
        /// The variable.
        name: String,
        /// The words.
        value: String,
    },
    /// Of paths that are equal in its value, the first stays.
    PruneDuplicatePaths {
        /// The variable.
        name: String,
    },
}

/// A configured modification that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModificationError {
    /// Not one of the commands.
    #[error(
        "`{0}` is not known: known are set, unset, prepend_path, append_path, remove_path and \
         append_flags"
    )]
    Command(String),
    /// Not what follows the command.
    #[error("`{0}` needs a mapping of names to values (`unset` a list of names)")]
    Shape(String),
}

/// What stands between paths, mostly.
const COLON: char = ':';

impl Modification {
    /// A path to be put first, between colons.
    #[must_use]
    pub fn prepend_path(name: &str, value: impl Into<String>) -> Self {
        Self::PrependPath {
            name: name.to_owned(),
            value: value.into(),
            separator: COLON,
        }
    }

    /// A value to be set.
    #[must_use]
    pub fn set(name: &str, value: impl Into<String>) -> Self {
        Self::Set {
            name: name.to_owned(),
            value: value.into(),
        }
    }

    /// The modification that a configuration names by `command`, as in `env_vars` or in the
    /// `environment` of an external. `value` is not looked at for `unset`.
    ///
    /// # Errors
    /// When there is no such command.
    pub fn from_command(command: &str, name: &str, value: &str) -> Result<Self, ModificationError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        Ok(match command {
            "set" => Self::Set { name, value },
            "unset" => Self::Unset { name },
            "prepend_path" => Self::PrependPath {
                name,
                value,
                separator: COLON,
            },
            "append_path" => Self::AppendPath {
                name,
                value,
                separator: COLON,
            },
            "remove_path" => Self::RemovePath { name, value },
            "append_flags" => Self::AppendFlags { name, value },
            _ => return Err(ModificationError::Command(command.to_owned())),
        })
    }

    /// The variable.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. }
            | Self::Unset { name }
            | Self::PrependPath { name, .. }
            | Self::AppendPath { name, .. }
            | Self::RemovePath { name, .. }
            | Self::AppendFlags { name, .. }
            | Self::PruneDuplicatePaths { name } => name,
        }
    }

    /// The value, where there is one.
    pub(super) fn value_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Set { value, .. }
            | Self::PrependPath { value, .. }
            | Self::AppendPath { value, .. }
            | Self::RemovePath { value, .. }
            | Self::AppendFlags { value, .. } => Some(value),
            Self::Unset { .. } | Self::PruneDuplicatePaths { .. } => None,
        }
    }

    /// The variable's new value, given its old one.
    fn applied(&self, old: Option<&String>) -> Option<String> {
        let old_paths = |separator: char| {
            let old = old.filter(|old| !old.is_empty());
            old.map(|old| old.split(separator).map(str::to_owned).collect::<Vec<_>>())
                .unwrap_or_default()
        };
        let joined = |paths: Vec<String>, separator: char| {
            Some(paths.join(separator.encode_utf8(&mut [0; 4])))
        };
        match self {
            Self::Set { value, .. } => Some(value.clone()),
            Self::Unset { .. } => None,
            Self::PrependPath {
                value, separator, ..
            } => {
                let mut paths = old_paths(*separator);
                paths.insert(0, normalized(value));
                joined(paths, *separator)
            }
            Self::AppendPath {
                value, separator, ..
            } => {
                let mut paths = old_paths(*separator);
                paths.push(normalized(value));
                joined(paths, *separator)
            }
            Self::RemovePath { value, .. } => {
                let mut paths = old_paths(COLON);
                let removed = normalized(value);
                paths.retain(|path| *path != removed);
                joined(paths.iter().map(|path| normalized(path)).collect(), COLON)
            }
            Self::AppendFlags { value, .. } => match old.filter(|old| !old.is_empty()) {
                Some(old) => Some(format!("{old} {value}")),
                None => Some(value.clone()),
            },
            Self::PruneDuplicatePaths { .. } => {
                old?;
                let mut seen = HashSet::new();
                let paths = old_paths(COLON)
                    .iter()
                    .map(|path| normalized(path))
                    .collect::<Vec<_>>();
                joined(
                    paths
                        .into_iter()
                        .filter(|path| seen.insert(path.clone()))
                        .collect(),
                    COLON,
                )
            }
        }
    }
}

/// Modifications, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modifications {
    items: Vec<Modification>,
}

impl Modifications {
    /// No modification.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The modifications of a JSON mapping such as the `environment` of an external:
    /// `{"set": {NAME: VALUE}, "unset": [NAME], "prepend_path": {NAME: PATH}, ...}`.
    ///
    /// # Errors
    /// When a command is not known, or what follows it is of another shape.
    pub fn from_json(section: &Map<String, Value>) -> Result<Self, ModificationError> {
        let mut items = Vec::new();
        for (command, variables) in section {
            let shape = || ModificationError::Shape(command.clone());
            match variables {
                Value::Array(names) => {
                    for name in names {
                        let name = name.as_str().ok_or_else(shape)?;
                        items.push(Modification::from_command(command, name, "")?);
                    }
                }
                Value::Object(variables) => {
                    for (name, value) in variables {
                        let text = match value {
                            Value::String(text) => text.clone(),
                            Value::Number(number) => number.to_string(),
                            Value::Bool(true) => "True".to_owned(),
                            Value::Bool(false) => "False".to_owned(),
                            _ => return Err(shape()),
                        };
                        items.push(Modification::from_command(command, name, &text)?);
                    }
                }
                _ => return Err(shape()),
            }
        }
        Ok(Self { items })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Modification> {
        self.items.iter()
    }

    /// Adds one.
    pub fn push(&mut self, modification: Modification) {
        self.items.push(modification);
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Modification> {
        self.items.iter_mut()
    }

    /// Adds the removal of duplicates for every variable that is modified so far.
    pub(super) fn prune_duplicate_paths(&mut self) {
        let mut seen = HashSet::new();
        let names: Vec<String> = self
            .items
            .iter()
            .map(|item| item.name().to_owned())
            .filter(|name| seen.insert(name.clone()))
            .collect();
        self.items.extend(
            names
                .into_iter()
                .map(|name| Modification::PruneDuplicatePaths { name }),
        );
    }

    /// The environment that comes of `environment`, sorted by name.
    ///
    /// As in a shell made by Spack, `MANPATH` ends with a colon, which stands for the directories
    /// that the system searches by itself.
    #[must_use]
    pub fn apply(&self, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut out = environment.clone();
        for modification in &self.items {
            let name = modification.name();
            match modification.applied(out.get(name)) {
                Some(value) => out.insert(name.to_owned(), value),
                None => out.remove(name),
            };
        }
        if let Some(manpath) = out.get_mut("MANPATH").filter(|it| !it.ends_with(COLON)) {
            manpath.push(COLON);
        }
        out
    }
}

impl Extend<Modification> for Modifications {
    fn extend<T: IntoIterator<Item = Modification>>(&mut self, items: T) {
        self.items.extend(items);
    }
}

impl FromIterator<Modification> for Modifications {
    fn from_iter<T: IntoIterator<Item = Modification>>(items: T) -> Self {
        Self {
            items: items.into_iter().collect(),
        }
    }
}

impl IntoIterator for Modifications {
    type Item = Modification;
    type IntoIter = std::vec::IntoIter<Modification>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// A path as Python's `os.path.normpath` gives it.
pub(super) fn normalized(path: &str) -> String {
    // POSIX leaves two leading slashes, and only two, to the system.
    let root = match path.bytes().take_while(|byte| *byte == b'/').count() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", None) if !root.is_empty() => {}
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    match format!("{root}{}", parts.join("/")) {
        empty if empty.is_empty() => ".".to_owned(),
        path => path,
    }
}
