//! The canonical text of a spec. [Spack: `DEFAULT_FORMAT`, `Spec._format_dependencies` in `spec.py`]

use std::fmt;

use super::quote::quote_if_needed;
use super::{Dependency, Spec};

/// Names that Spack prints instead of those that packages have had since it knows compilers as packages. Only for
/// direct dependencies; [`node_name`] maps back. [Spack: `aliases.py`]
const LEGACY_COMPILERS: [(&str, &str); 5] = [
    ("clang", "llvm"),
    ("oneapi", "intel-oneapi-compilers"),
    ("rocmcc", "llvm-amdgpu"),
    ("intel", "intel-oneapi-compilers-classic"),
    ("arm", "acfl"),
];

/// The package that a name after `%` means: `clang` means `llvm`.
pub(super) fn node_name(written: &str) -> &str {
    let known = LEGACY_COMPILERS.iter().find(|(old, _)| *old == written);
    known.map_or(written, |(_, new)| new)
}

fn legacy_name(name: &str) -> &str {
    let known = LEGACY_COMPILERS.iter().find(|(_, new)| *new == name);
    known.map_or(name, |(old, _)| old)
}

impl Spec {
    /// One node without its dependencies; `name` stands for its own name.
    fn node_text(&self, name: Option<&str>) -> String {
        let node = NodeText { spec: self, name };
        node.to_string().trim().to_owned()
    }
}

struct NodeText<'a> {
    spec: &'a Spec,
    name: Option<&'a str>,
}

impl fmt::Display for NodeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.spec;
        f.write_str(self.name.unwrap_or_default())?;
        if !spec.versions.is_any() {
            write!(f, "@{}", spec.versions)?;
        }
        for (kind, flags) in &spec.flags {
            for (propagate, sign) in [(false, "="), (true, "==")] {
                let flags = flags.iter().filter(|it| it.propagate == propagate);
                let texts: Vec<&str> = flags.map(|it| it.text.as_str()).collect();
                if !texts.is_empty() {
                    write!(f, " {kind}{sign}{}", quote_if_needed(&texts.join(" ")))?;
                }
            }
        }
        // So that nothing sticks to the last flag; two blanks may come of it.
        if spec.flags.values().any(|flags| !flags.is_empty()) {
            f.write_str(" ")?;
        }
        for (name, variant) in spec.variants.iter().filter(|(_, it)| it.is_bool()) {
            variant.write(name, f)?;
        }
        for (name, variant) in spec.variants.iter().filter(|(_, it)| !it.is_bool()) {
            f.write_str(" ")?;
            variant.write(name, f)?;
        }
        if let (None, Some(namespace)) = (self.name, &spec.namespace) {
            write!(f, " namespace={namespace}")?;
        }
        write!(f, "{}", spec.architecture)?;
        match &spec.hash {
            Some(hash) => write!(f, "/{hash}"),
            None => Ok(()),
        }
    }
}

impl Dependency {
    fn text(&self) -> String {
        let name = self.spec.name.as_deref();
        let name = name.map(|name| if self.direct { legacy_name(name) } else { name });
        let node = self.spec.node_text(name);
        let sigil = match (self.direct, self.preferred) {
            (false, _) => "^",
            (true, false) => "%",
            (true, true) => "%%",
        };
        let mut out = sigil.to_owned();
        let when = self.when.as_ref().map(|when| format!("when='{when}'"));
        let deptypes: Vec<&str> = self.deptypes.names().collect();
        let deptypes = (!deptypes.is_empty()).then(|| format!("deptypes={}", deptypes.join(",")));
        let attributes: Vec<String> = when.into_iter().chain(deptypes).collect();
        if !attributes.is_empty() {
            out.push_str(&format!("[{}] ", attributes.join(" ")));
        }
        if self.needs_star(&node) {
            out.push('*');
        }
        if !self.virtuals.is_empty() {
            out.push_str(&self.virtuals.join(","));
            out.push('=');
        }
        out.push_str(&node);
        out
    }

    /// Whether a `*` has to say that the dependency has no name.
    fn needs_star(&self, node: &str) -> bool {
        let spec = &self.spec;
        if spec.name.is_some() {
            return false;
        }
        if !self.virtuals.is_empty() {
            return true;
        }
        if node.starts_with('@') {
            return false;
        }
        !spec.flags.is_empty()
            || !spec.variants.values().any(|it| it.is_bool())
            || !spec.architecture.is_any()
    }
}

/// Direct dependencies first, then each other one with its own.
fn dependency_texts(spec: &Spec, out: &mut Vec<String>) {
    let (direct, others): (Vec<_>, Vec<_>) = spec.dependencies.iter().partition(|it| it.direct);
    out.extend(direct.into_iter().map(Dependency::text));
    for dependency in others {
        out.push(dependency.text());
        dependency_texts(&dependency.spec, out);
    }
}

/// As Spack prints it: parsing the text again gives the same spec, but for the namespace of a named one.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![self.node_text(self.name.as_deref())];
        dependency_texts(self, &mut parts);
        f.write_str(parts.join(" ").trim())
    }
}
