//! One node of a spec: a name and what is asked of the package. [Spack: `SpecNodeParser` in `spec_parser.py`,
//! `Spec._add_flag` in `spec.py`]

use std::borrow::Cow;

use super::parse::{Parser, fault};
use super::quote::unquote;
use super::token::TokenKind;
use super::{Spec, SpecError, SpecFault, TargetSet, Variant, VariantSet, flag};
use crate::version::VersionList;

/// Keys that are no variants, or that recipes may not use for variants: dependencies do not inherit them.
const RESERVED: [&str; 13] = [
    "arch",
    "architecture",
    "branch",
    "commit",
    "dev_path",
    "namespace",
    "operating_system",
    "os",
    "patches",
    "platform",
    "ref",
    "tag",
    "target",
];

/// A key and its value, as written.
struct Setting<'t> {
    name: &'t str,
    value: Cow<'t, str>,
    propagate: bool,
    exact: bool,
}

impl Parser<'_> {
    /// Reads a node; it may be empty.
    pub(super) fn node(&mut self) -> Result<Spec, SpecFault> {
        let mut spec = Spec::default();
        if self.accept(TokenKind::Name)? {
            let name = self.taken();
            spec.name = (name != "*").then(|| name.to_owned());
        } else if self.accept(TokenKind::QualifiedName)? {
            if let Some((namespace, name)) = self.taken().rsplit_once('.') {
                spec.name = Some(name.to_owned());
                spec.namespace = Some(namespace.to_owned());
            }
        } else if self.accept(TokenKind::FileName)? {
            return self.fault_here(SpecError::SpecFile);
        }
        let mut has_version = false;
        loop {
            if self.accept(TokenKind::Version)? {
                if has_version {
                    return self.fault_here(SpecError::SecondVersion);
                }
                has_version = true;
                spec.versions = self.versions()?;
            } else if self.accept(TokenKind::Switch)? {
                self.switch(&mut spec, 1)?;
            } else if self.accept(TokenKind::PropagatedSwitch)? {
                self.switch(&mut spec, 2)?;
            } else if self.accept(TokenKind::Pair)? {
                self.pair(&mut spec, "=", false)?;
            } else if self.accept(TokenKind::PropagatedPair)? {
                self.pair(&mut spec, "==", true)?;
            } else if spec.hash.is_none() && self.accept(TokenKind::Hash)? {
                spec.hash = self.taken().get(1..).map(str::to_owned);
            } else {
                return Ok(spec);
            }
        }
    }

    fn versions(&self) -> Result<VersionList, SpecFault> {
        let text = self.taken().get(1..).unwrap_or_default();
        VersionList::parse(text).map_err(|error| {
            let range = self.current.range.clone();
            fault(range, SpecError::Version(error))
        })
    }

    /// `+x` and its like; the sigil has `length` bytes.
    fn switch(&self, spec: &mut Spec, length: usize) -> Result<(), SpecFault> {
        let text = self.taken();
        let name = text.get(length..).unwrap_or_default().trim();
        let propagate = length == 2;
        if propagate && RESERVED.contains(&name) {
            let name = name.to_owned();
            return self.fault_here(SpecError::Propagation { name });
        }
        let has_value = ["arch", "architecture", "platform", "os", "operating_system"];
        let has_value = has_value.contains(&name) || ["target", "namespace"].contains(&name);
        if has_value || flag::kind_of(name).is_some() {
            let name = name.to_owned();
            return self.fault_here(SpecError::Switched { name });
        }
        let value = VariantSet::Bool(text.starts_with('+'));
        self.add_variant(spec, name, Variant { value, propagate })
    }

    /// `k=v` and its like.
    fn pair(&self, spec: &mut Spec, sign: &str, propagate: bool) -> Result<(), SpecFault> {
        let Some((key, value)) = self.taken().split_once(sign) else {
            return Ok(());
        };
        let setting = Setting {
            name: key.strip_suffix(':').unwrap_or(key),
            value: unquote(value),
            propagate,
            exact: key.ends_with(':'),
        };
        self.set(spec, &setting)
    }

    fn set(&self, spec: &mut Spec, setting: &Setting<'_>) -> Result<(), SpecFault> {
        let Setting { name, value, .. } = setting;
        if setting.propagate && RESERVED.contains(name) {
            let name = (*name).to_owned();
            return self.fault_here(SpecError::Propagation { name });
        }
        match *name {
            "arch" | "architecture" => {
                let parts: Vec<&str> = value.split('-').collect();
                match parts.as_slice() {
                    [platform, os, target] => {
                        self.set_architecture(spec, Some(platform), Some(os), Some(target))
                    }
                    // Platform and system are then set to nothing, for which they may not be set either.
                    _ => {
                        let set = &spec.architecture;
                        if set.platform.is_some() || set.os.is_some() {
                            return self.fault_here(SpecError::SecondArchitecture);
                        }
                        self.set_architecture(spec, None, None, Some(value))
                    }
                }
            }
            "platform" => self.set_architecture(spec, Some(value), None, None),
            "os" | "operating_system" => self.set_architecture(spec, None, Some(value), None),
            "target" => self.set_architecture(spec, None, None, Some(value)),
            "namespace" => {
                spec.namespace = Some(value.clone().into_owned());
                Ok(())
            }
            _ => {
                if let Some(kind) = flag::kind_of(name) {
                    let flags = flag::split(value, setting.propagate);
                    if !flags.is_empty() {
                        spec.flags.entry(kind).or_default().extend(flags);
                    }
                    return Ok(());
                }
                let Some(values) = VariantSet::parse(value, setting.exact) else {
                    return self.fault_here(SpecError::Star);
                };
                let variant = Variant {
                    value: values,
                    propagate: setting.propagate,
                };
                self.add_variant(spec, name, variant)
            }
        }
    }

    fn set_architecture(
        &self,
        spec: &mut Spec,
        platform: Option<&str>,
        os: Option<&str>,
        target: Option<&str>,
    ) -> Result<(), SpecFault> {
        let set = &mut spec.architecture;
        // Python's word for nothing says nothing here, too. [Spack: `ArchSpec.__init__`]
        let said = |it: &&str| !it.is_empty() && *it != "None";
        if let Some(platform) = platform.filter(said) {
            self.set_once("platform", &mut set.platform, platform.to_owned())?;
        }
        if let Some(os) = os.filter(said) {
            self.set_once("os", &mut set.os, os.to_owned())?;
        }
        if let Some(target) = target.filter(said) {
            self.set_once("target", &mut set.target, TargetSet::new(target))?;
        }
        Ok(())
    }

    fn set_once<T>(&self, name: &str, place: &mut Option<T>, value: T) -> Result<(), SpecFault> {
        if place.is_some() {
            let name = name.to_owned();
            return self.fault_here(SpecError::Twice { name });
        }
        *place = Some(value);
        Ok(())
    }

    fn add_variant(&self, spec: &mut Spec, name: &str, new: Variant) -> Result<(), SpecFault> {
        if spec.variants.contains_key(name) {
            let name = name.to_owned();
            return self.fault_here(SpecError::Twice { name });
        }
        spec.variants.insert(name.to_owned(), new);
        Ok(())
    }
}
