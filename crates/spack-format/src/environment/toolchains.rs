//! `toolchains`: names that specs may use after `%`, for compilers and flags that belong together.
//!
//! ```text
//! toolchains:
//!   gcc12:
//!   - {spec: '%c=gcc@12', when: '%c'}         zlib %gcc12   is   zlib %[when='%c'] c=gcc@12 cflags=-O3
//!   - spec: cflags=-O3
//! ```
//!
//! Spack replaces them while it reads a spec, so a lock records what they stand for and never their names.
//!
//! Source: `schema/toolchains.py`, and `_apply_toolchain` and `_parse_toolchain` in `spec_parser.py`, in Spack 1.1.0.

use std::collections::HashMap;

use super::{Environment, ManifestError, ManifestFault};
use crate::concrete::DepTypes;
use crate::spec::{Contradiction, Dependency, Spec};
use crate::yaml::{Mapping, Node};

/// How deep toolchains may be made of toolchains.
const DEPTH: usize = 8;

/// The toolchains of an environment.
#[derive(Debug, Clone, Default)]
pub struct Toolchains {
    specs: HashMap<String, Spec>,
}

impl Toolchains {
    /// Those of an environment. Faulty ones are left out: [`Environment::user_specs`] tells of them.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        Self::read(environment.sections(), &mut Vec::new())
    }

    pub(super) fn read(sections: &Node, faults: &mut Vec<ManifestFault>) -> Self {
        let mut found = Self::default();
        let Some(section) = sections.get("toolchains").and_then(Node::as_mapping) else {
            return found;
        };
        for entry in section.iter() {
            match toolchain(section, &entry.value, 0) {
                Ok(spec) => {
                    found.specs.insert(entry.key.text.clone(), spec);
                }
                Err(message) => faults.push(ManifestFault {
                    span: entry.key.span,
                    error: ManifestError::Toolchain { message },
                }),
            }
        }
        found
    }

    /// Replaces the toolchains that `spec` and its dependencies name by what they stand for.
    ///
    /// # Errors
    /// When what one stands for contradicts the rest.
    pub fn expand(&self, spec: &mut Spec) -> Result<(), Contradiction> {
        if self.specs.is_empty() {
            return Ok(());
        }
        expand(spec, &|name| self.specs.get(name).cloned())
    }

    /// The text of a spec with its toolchains replaced; as it is where it names none, or is no spec.
    pub(super) fn expanded_text(&self, text: &str) -> Result<Option<String>, Contradiction> {
        let names_one = |it: &Dependency| {
            let name = toolchain_name(it);
            name.is_some_and(|name| self.specs.contains_key(name))
        };
        let Ok(mut spec) = Spec::parse(text) else {
            return Ok(None);
        };
        let mut below = spec.dependencies.iter();
        if !below.any(|it| names_one(it) || it.spec.dependencies.iter().any(names_one)) {
            return Ok(None);
        }
        self.expand(&mut spec)?;
        let printed = spec.to_string();
        Ok(Some(match &spec.namespace {
            Some(namespace) => format!("{namespace}.{printed}"),
            None => printed,
        }))
    }
}

/// The name of a dependency that could be a toolchain: `%name` and nothing else.
fn toolchain_name(dependency: &Dependency) -> Option<&str> {
    let name = dependency.spec.name.as_deref()?;
    let is_plain = dependency.direct
        && dependency.virtuals.is_empty()
        && dependency.when.is_none()
        && dependency.deptypes == DepTypes::NONE;
    let bare = Spec {
        name: Some(name.to_owned()),
        ..Spec::default()
    };
    (is_plain && dependency.spec == bare).then_some(name)
}

fn expand(spec: &mut Spec, known: &dyn Fn(&str) -> Option<Spec>) -> Result<(), Contradiction> {
    let mut replaced = Vec::new();
    for mut dependency in std::mem::take(&mut spec.dependencies) {
        match toolchain_name(&dependency).and_then(known) {
            Some(toolchain) => replaced.push((toolchain, dependency.preferred)),
            None => {
                expand(&mut dependency.spec, known)?;
                spec.dependencies.push(dependency);
            }
        }
    }
    for (mut toolchain, preferred) in replaced {
        for dependency in &mut toolchain.dependencies {
            dependency.preferred |= preferred;
        }
        spec.constrain(&toolchain)?;
    }
    Ok(())
}

/// What a toolchain stands for: a spec, or specs with conditions.
fn toolchain(section: &Mapping, node: &Node, depth: usize) -> Result<Spec, String> {
    if depth > DEPTH {
        return Err("it is made of itself".to_owned());
    }
    let mut whole = Spec::default();
    let parts = match node.as_sequence() {
        Some(parts) => parts,
        None => std::slice::from_ref(node),
    };
    for part in parts {
        // Texts that are no specs are faults of their own.
        let text = part.as_str().or_else(|| part.get("spec")?.as_str());
        let Some(mut spec) = text.and_then(|text| Spec::parse(text).ok()) else {
            continue;
        };
        if let Some(deep) = spec.dependencies.iter().find(|it| !it.direct) {
            return Err(format!(
                "it may only name direct dependencies (`%`), and names `^{}`",
                deep.spec
            ));
        }
        let mut nested = Ok(());
        let known = |name: &str| {
            section
                .get(name)
                .map(|node| toolchain(section, node, depth + 1))
        };
        let mut inner = HashMap::new();
        for name in spec.dependencies.iter().filter_map(toolchain_name) {
            match known(name) {
                Some(Ok(spec)) => {
                    inner.insert(name.to_owned(), spec);
                }
                Some(Err(message)) => nested = Err(message),
                None => {}
            }
        }
        nested?;
        let told = |contradiction: Contradiction| contradiction.to_string();
        expand(&mut spec, &|name| inner.get(name).cloned()).map_err(told)?;
        let when = part.get("when").and_then(Node::as_str);
        if let Some(when) = when.and_then(|text| Spec::parse(text).ok()) {
            for dependency in &mut spec.dependencies {
                match &mut dependency.when {
                    Some(own) => own.constrain(&when).map_err(told)?,
                    own @ None => *own = Some(Box::new(when.clone())),
                }
            }
        }
        whole.constrain(&spec).map_err(told)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use crate::environment::{Environment, Expansion, Machine, Manifest};
    use crate::yaml::SourceId;

    fn expansion(specs: &str, toolchains: &str) -> Expansion {
        let text = format!("spack:\n  specs: [{specs}]\n  toolchains:\n{toolchains}");
        let manifest = Manifest::parse(&text, SourceId(0));
        assert_eq!(manifest.faults, [], "{text}");
        Environment::new(&manifest, []).user_specs(&Machine::default())
    }

    fn texts(specs: &str, toolchains: &str) -> Vec<String> {
        let found = expansion(specs, toolchains);
        assert_eq!(found.faults, []);
        found.specs.into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn names_after_a_percent_are_replaced_by_what_they_stand_for() {
        let toolchains = "    \
    one: '%c,cxx=gcc@12'
    two:
    - {spec: '%c=clang', when: '%c'}
    - {spec: cflags=-O3}
    both:
    - {spec: '%two'}
    - {spec: '%fortran=gcc'}
";
        for (asked, expected) in [
            ("zlib%one", "zlib %c,cxx=gcc@12"),
            ("zlib@1+pic %one", "zlib@1+pic %c,cxx=gcc@12"),
            ("zlib %two", "zlib cflags=-O3 %[when='%c'] c=llvm"),
            ("hdf5 ^zlib %one", "hdf5 ^zlib %c,cxx=gcc@12"),
            ("lab.zlib %%one", "lab.zlib %%c,cxx=gcc@12"),
            (
                "zlib %both",
                "zlib cflags=-O3 %fortran=gcc %[when='%c'] c=llvm",
            ),
            // Only a plain name is one.
            ("zlib %c=one", "zlib %c=one"),
            ("zlib ^one", "zlib ^one"),
        ] {
            let found = texts(&format!("'{asked}'"), toolchains);
            let same = |text: &str| crate::spec::canonical(text).expect("a spec");
            assert_eq!(found.len(), 1);
            assert_eq!(same(&found[0]), same(expected), "{asked}: {}", found[0]);
        }
        assert_eq!(texts("zlib+pic", toolchains), ["zlib+pic"], "as written");
    }

    #[test]
    fn in_a_matrix_they_are_excluded_by_what_they_stand_for() {
        let toolchains = "    one: '%c=gcc@12'\n    two: '%c=clang'\n";
        let matrix = "{matrix: [[zlib, bzip2], ['%one', '%two']], exclude: ['zlib %c=clang']}";
        assert_eq!(
            texts(matrix, toolchains),
            ["zlib %c=gcc@12", "bzip2 %c=gcc@12", "bzip2 %c=clang"]
        );
    }

    #[test]
    fn what_cannot_be_one_is_told_with_its_place() {
        for (toolchains, words) in [
            ("    one: '^gcc'\n", "direct dependencies"),
            ("    one: '%two'\n    two: '%one'\n", "made of itself"),
            (
                "    one: [{spec: '%gcc@12'}, {spec: '%gcc@13'}]\n",
                "no version is both",
            ),
        ] {
            let found = expansion("zlib", toolchains);
            let fault = found.faults.first().expect("a fault");
            assert!(
                fault.error.to_string().contains(words),
                "{toolchains}: {fault:?}"
            );
        }
        let clash = expansion("'zlib %gcc@13 %one'", "    one: '%gcc@12'\n");
        let fault = clash.faults.first().expect("a fault");
        assert!(
            fault.error.to_string().contains("no version is both"),
            "{fault:?}"
        );
    }
}
