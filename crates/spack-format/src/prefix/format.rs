//! Format strings over concrete specs, as paths.
//!
//! Source: `Spec.format`, `Spec.format_path`, `SPEC_FORMAT_RE` in `lib/spack/spack/spec.py`,
//! `polite_filename` in `llnl/util/filesystem.py` of Spack.

use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes, VariantValue};

/// Why a format string gives no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A `{` without its `}`, or the other way round.
    #[error("unmatched brace")]
    UnmatchedBrace,
    /// A `/` between braces.
    #[error("a `/` inside of braces")]
    SlashInBraces,
    /// Nothing known by that name.
    #[error(
        "`{{{0}}}` is not known; known are name, version, hash, hash:N, namespace, platform, os, \
         target, architecture, compiler, variants.NAME, and ^DEPENDENCY. before these"
    )]
    UnknownAttribute(String),
    /// The spec has no such variant.
    #[error("there is no variant `{0}`")]
    UnknownVariant(String),
    /// The spec has no such dependency.
    #[error("there is no dependency `{0}`")]
    UnknownDependency(String),
    /// A sigil before an attribute that it does not fit.
    #[error("`{sigil}` does not go with `{attribute}`")]
    Sigil {
        /// The sigil.
        sigil: String,
        /// The attribute.
        attribute: String,
    },
    /// A configuration variable such as `$arch`, which has to be replaced before.
    #[error("`$` stands for a configuration variable, which is not supported here")]
    ConfigVariable,
    /// A component that would lead elsewhere.
    #[error("the path component `{0}` is not allowed")]
    UnsafeComponent(String),
}

/// Replaces every character that is not a letter, a digit or one of `_+.-` by `_`.
#[must_use]
pub fn polite_filename(text: &str) -> String {
    text.chars()
        .map(|it| {
            if it.is_ascii_alphanumeric() || "_+.-".contains(it) {
                it
            } else {
                '_'
            }
        })
        .collect()
}

/// The relative path that `format` gives for `spec`, one component per component of `format`:
/// what attributes hold never adds components. `specs` holds the dependencies.
///
/// # Errors
/// When the format string is wrong or asks for what the spec does not have.
pub fn format_path(
    format: &str,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
) -> Result<String, FormatError> {
    if format.contains('$') {
        return Err(FormatError::ConfigVariable);
    }
    let mut components = Vec::new();
    for component in path_components(format)? {
        let text = polite_filename(&format_component(component, spec, specs)?);
        match text.as_str() {
            "" | "." => {}
            ".." => return Err(FormatError::UnsafeComponent(component.to_owned())),
            _ => components.push(text),
        }
    }
    Ok(components.join("/"))
}

fn path_components(format: &str) -> Result<impl Iterator<Item = &str>, FormatError> {
    let mut inside = false;
    for character in format.chars() {
        match character {
            '{' => inside = true,
            '}' => inside = false,
            // A slash after an opening brace that never closes is found later.
            '/' | '\\' if inside => return Err(FormatError::SlashInBraces),
            _ => {}
        }
    }
    Ok(format.split('/').filter(|it| !it.is_empty() && *it != "."))
}

fn format_component(
    component: &str,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
) -> Result<String, FormatError> {
    let mut out = String::new();
    let mut rest = component;
    while let Some(at) = rest.find(['\\', '{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        if from.starts_with('\\') {
            // The next character as it is; a lone backslash at the end stays.
            let mut characters = after.chars();
            out.push(characters.next().unwrap_or('\\'));
            rest = characters.as_str();
        } else if from.starts_with('{') {
            let (expression, tail) = after.split_once('}').ok_or(FormatError::UnmatchedBrace)?;
            out.push_str(&evaluate(expression, spec, specs)?);
            rest = tail;
        } else {
            return Err(FormatError::UnmatchedBrace);
        }
    }
    out.push_str(rest);
    Ok(out.trim().to_owned())
}

/// `sigil? (^dependency.)? attribute`
fn evaluate(
    expression: &str,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
) -> Result<String, FormatError> {
    let (sigil, rest) = split_sigil(expression);
    let (spec, attribute) = match rest.strip_prefix('^').and_then(|it| it.split_once('.')) {
        None => (spec, rest),
        Some((name, attribute)) => {
            let found = dependency(spec, specs, name);
            (
                found.ok_or_else(|| FormatError::UnknownDependency(name.to_owned()))?,
                attribute,
            )
        }
    };
    let attribute = attribute.to_lowercase();
    let fits = match sigil.trim_start() {
        "@" => matches!(attribute.rsplit('.').next(), Some("version" | "versions")),
        "%" => matches!(attribute.as_str(), "compiler" | "compiler.name"),
        _ => true,
    };
    if !fits {
        return Err(FormatError::Sigil {
            sigil: sigil.to_owned(),
            attribute,
        });
    }
    let value = value_of(&attribute, spec, specs)?;
    Ok(value
        .map(|value| format!("{sigil}{value}"))
        .unwrap_or_default())
}

/// A sigil is `%` or `@`, possibly after a blank, or `key=`. (`/` is one as well, but not in paths.)
fn split_sigil(expression: &str) -> (&str, &str) {
    let blank = usize::from(expression.starts_with(' '));
    if expression
        .get(blank..)
        .is_some_and(|it| it.starts_with(['%', '@']))
    {
        return expression.split_at(blank + 1);
    }
    match expression.find('=') {
        Some(at) => expression.split_at(at + 1),
        None => ("", expression),
    }
}

/// The text of an attribute; `None` where the spec has it unset.
fn value_of(
    attribute: &str,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
) -> Result<Option<String>, FormatError> {
    let unknown = || FormatError::UnknownAttribute(attribute.to_owned());
    let parts: Vec<&str> = attribute.split('.').collect();
    let text = match parts.as_slice() {
        ["hash"] => spec.hash.to_string(),
        ["name"] => spec.name.clone(),
        ["version", part @ ..] => version(&spec.version, part).ok_or_else(unknown)?,
        ["versions"] => format!("={}", spec.version),
        ["namespace"] => return Ok(spec.namespace.clone()),
        ["architecture" | "arch"] => spec.arch.to_string(),
        ["architecture" | "arch", "platform"] | ["platform"] => spec.arch.platform.clone(),
        ["architecture" | "arch", "os"] | ["os"] => spec.arch.os.clone(),
        ["architecture" | "arch", "target"]
        | ["target"]
        | ["architecture" | "arch", "target", "name"]
        | ["target", "name"] => spec.arch.target.clone(),
        ["compiler", part @ ..] => return compiler(spec, specs, part).ok_or_else(unknown),
        ["variants", name] => with_sigil(name, variant(spec, name)?),
        ["variants", name, "value"] => variant(spec, name)?.to_string(),
        ["variants", name, "name"] => variant(spec, name).map(|_| (*name).to_owned())?,
        _ => match attribute.strip_prefix("hash:").map(str::parse::<usize>) {
            Some(Ok(length)) => {
                let hash = spec.hash.as_str();
                hash.get(..length).unwrap_or(hash).to_owned()
            }
            _ => return Err(unknown()),
        },
    };
    Ok(Some(text))
}

fn version(version: &str, part: &[&str]) -> Option<String> {
    let replaced = |with: &str| version.replace(['.', '-', '_'], with);
    match part {
        [] | ["string"] => Some(version.to_owned()),
        ["dotted"] => Some(replaced(".")),
        ["dashed"] => Some(replaced("-")),
        ["underscored"] => Some(replaced("_")),
        ["joined"] => Some(replaced("")),
        _ => None,
    }
}

/// The compiler as an attribute: recorded as such before Spack 1.0; since then the node that
/// provides C, else C++, else Fortran. Where there is none, Spack prints `none`.
#[expect(
    clippy::option_option,
    reason = "unknown attribute, against attribute without a value"
)]
fn compiler(spec: &ConcreteSpec, specs: &ConcreteSpecs, part: &[&str]) -> Option<Option<String>> {
    let (name, version) = compiler_of(spec, specs).unzip();
    let none = || "none".to_owned();
    match part {
        [] => Some(Some(match (name, version) {
            (Some(name), Some(version)) => format!("{name}@={version}"),
            _ => none(),
        })),
        ["name"] => Some(Some(name.unwrap_or_else(none))),
        ["version"] => Some(Some(version.unwrap_or_else(none))),
        ["versions"] => Some(Some(
            version.map_or_else(none, |version| format!("={version}")),
        )),
        _ => None,
    }
}

/// Name and version of the compiler that Spack would name for `spec`.
pub(crate) fn compiler_of(spec: &ConcreteSpec, specs: &ConcreteSpecs) -> Option<(String, String)> {
    if let Some(compiler) = &spec.compiler {
        return Some((compiler.name.clone(), compiler.version.clone()));
    }
    if let Some(annotations) = &spec.annotations
        && annotations.original_specfile_version < 5
    {
        let (name, version) = annotations.compiler.as_deref()?.split_once('@')?;
        return Some((name.to_owned(), version.trim_start_matches('=').to_owned()));
    }
    let edge = ["c", "cxx", "fortran"].into_iter().find_map(|language| {
        spec.edges
            .iter()
            .find(|edge| edge.virtuals.iter().any(|it| it == language))
    })?;
    let node = specs.get(&edge.hash)?;
    Some((node.name.clone(), node.version.clone()))
}

/// A dependency by its name or by the name of a virtual package that it stands for: among the
/// link and run closure and the spec's own build dependencies.
fn dependency<'a>(
    spec: &ConcreteSpec,
    specs: &'a ConcreteSpecs,
    name: &str,
) -> Option<&'a ConcreteSpec> {
    let closure = specs.topological([spec.hash], DepTypes::RUNTIME);
    let direct = spec.edges.iter();
    let edges = direct.chain(closure.into_iter().skip(1).flat_map(|node| {
        node.edges
            .iter()
            .filter(|edge| edge.deptypes.intersects(DepTypes::RUNTIME))
    }));
    edges
        .filter(|edge| edge.name == name || edge.virtuals.iter().any(|it| it == name))
        .find_map(|edge| specs.get(&edge.hash))
}

fn variant<'a>(spec: &'a ConcreteSpec, name: &str) -> Result<&'a VariantValue, FormatError> {
    spec.variants
        .get(name)
        .ok_or_else(|| FormatError::UnknownVariant(name.to_owned()))
}

fn with_sigil(name: &str, value: &VariantValue) -> String {
    match value {
        VariantValue::Bool(true) => format!("+{name}"),
        VariantValue::Bool(false) => format!("~{name}"),
        VariantValue::Single(_) | VariantValue::Multi(_) => format!("{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    fn formatted(format: &str) -> Result<String, FormatError> {
        let specs = test_specs::small();
        format_path(format, test_specs::named(&specs, "app"), &specs)
    }

    #[test]
    fn attributes_are_filled_in_and_cleaned() {
        let cases = [
            (
                "{architecture}/{compiler.name}-{compiler.version}/{name}",
                "linux-debian12-x86_64_v3/gcc-12.2.0/app",
            ),
            (
                "{ARCHITECTURE.platform}-{target}/{name}-{version}-{hash:7}",
                "linux-x86_64_v3/app-2.0-aaaaaaa",
            ),
            ("{name}{@version}{hash:3}", "app_2.0aaa"),
            ("{variants.shared}{variants.api}", "+sharedapi_v1_v2"),
            ("{variants.api.value}/{^lib.version}", "v1_v2/1.5"),
            (
                "{^zapi.name}/./{namespace=namespace}//x",
                "lib/namespace_builtin/x",
            ),
            (r"x\y/{version.joined}", "xy/20"),
            ("{os}{ os=os}", "debian12_os_debian12"),
        ];
        for (format, expected) in cases {
            assert_eq!(formatted(format).as_deref(), Ok(expected), "{format}");
        }
    }

    #[test]
    fn wrong_format_strings_say_what_is_wrong() {
        let cases = [
            ("{name", FormatError::UnmatchedBrace),
            ("name}", FormatError::UnmatchedBrace),
            ("{a/b}", FormatError::SlashInBraces),
            ("{nam}", FormatError::UnknownAttribute("nam".to_owned())),
            (
                "{hash:x}",
                FormatError::UnknownAttribute("hash:x".to_owned()),
            ),
            (
                "{variants.no}",
                FormatError::UnknownVariant("no".to_owned()),
            ),
            (
                "{^no.name}",
                FormatError::UnknownDependency("no".to_owned()),
            ),
            ("$arch/{name}", FormatError::ConfigVariable),
            ("../{name}", FormatError::UnsafeComponent("..".to_owned())),
        ];
        for (format, expected) in cases {
            assert_eq!(formatted(format), Err(expected), "{format}");
        }
        assert!(matches!(
            formatted("{@name}"),
            Err(FormatError::Sigil { .. })
        ));
    }

    #[test]
    fn a_node_without_a_compiler_says_none() {
        let specs = test_specs::small();
        let spec = test_specs::named(&specs, "libc");
        let path = format_path(
            "{compiler.name}-{compiler.version}/{compiler}",
            spec,
            &specs,
        );
        assert_eq!(path.as_deref(), Ok("none-none/none"));
    }
}
