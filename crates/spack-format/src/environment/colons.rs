//! Texts that lose the colon at their end.
//!
//! Spack takes a text that ends with a colon and has no `@` for a key that replaces what lower scopes say, wherever it stands:
//! the spec `zlib target=x86_64_v3:` in a list is then `zlib target=x86_64_v3`. What Spack reads is what counts, so it is read
//! like this here too; and because nobody means it, there is a warning.
//!
//! Source: `construct_yaml_str` in `lib/spack/spack/util/spack_yaml.py` in Spack 1.1.0.

use super::{ManifestError, ManifestFault};
use crate::yaml::{Node, ScalarKind, Value};

/// Takes the colons from all values below `node`, whose nesting the parser has bounded.
pub(super) fn strip(node: &mut Node, faults: &mut Vec<ManifestFault>) {
    match &mut node.value {
        Value::Mapping(mapping) => {
            for entry in &mut mapping.entries {
                strip(&mut entry.value, faults);
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|it| strip(it, faults)),
        Value::Scalar(scalar) => {
            if scalar.kind != ScalarKind::String || scalar.text.contains('@') {
                return;
            }
            if let Some(rest) = scalar.text.strip_suffix(':') {
                let rest = rest.to_owned();
                faults.push(ManifestFault {
                    span: node.span,
                    error: ManifestError::LostColon {
                        text: std::mem::replace(&mut scalar.text, rest),
                    },
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::environment::{Environment, Machine, Manifest};
    use crate::yaml::SourceId;

    #[test]
    fn colons_are_lost_unless_a_version_is_named() {
        let text = "spack:\n  specs: ['z target=x86_64_v3:', 'z@1 target=x86_64_v3:', 'z target=:x86_64_v3', z]\n";
        let manifest = Manifest::parse(text, SourceId(0));
        let [fault] = manifest.faults.as_slice() else {
            panic!("one warning: {:?}", manifest.faults)
        };
        assert!(fault.error.to_string().contains("`z target=x86_64_v3:`"));
        assert_eq!(fault.span.start, 17);
        let found = Environment::new(&manifest, []).user_specs(&Machine::default());
        let texts: Vec<&str> = found.specs.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "z target=x86_64_v3",
                "z@1 target=x86_64_v3:",
                "z target=:x86_64_v3",
                "z"
            ]
        );
    }
}
