//! Writing `.spack/binary_distribution`.
//!
//! Source: `get_buildinfo_dict`, `_do_create_tarball` in `lib/spack/spack/binary_distribution.py` of Spack 1.1.

use std::fmt::Write as _;

use super::BinaryDistribution;

impl BinaryDistribution {
    /// The text as Spack reads it: YAML in flow style, one field after the other in Spack's order, every text in double
    /// quotes. The same value gives the same text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::from("{");
        let mut text = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                out.push_str(name);
                out.push_str(": ");
                quote(&mut out, value);
                out.push_str(", ");
            }
        };
        text("sbang_install_path", self.sbang_install_path.as_deref());
        text("buildpath", Some(&self.build_path));
        text("spackprefix", self.spack_prefix.as_deref());
        text("relative_prefix", Some(&self.relative_prefix));
        let _ = write!(out, "hardlinks_deduped: {}, ", self.hardlinks_deduped);
        out.push_str("hash_to_prefix: {");
        for (index, (hash, prefix)) in self.hash_to_prefix.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            // A hash of digits alone would be a number.
            quote(&mut out, hash.as_str());
            out.push_str(": ");
            quote(&mut out, prefix);
        }
        out.push('}');
        for (name, list) in [
            ("relocate_binaries", &self.relocate_binaries),
            ("relocate_links", &self.relocate_links),
            ("relocate_textfiles", &self.relocate_textfiles),
        ] {
            let _ = write!(out, ", {name}: [");
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                quote(&mut out, item);
            }
            out.push(']');
        }
        out.push_str("}\n");
        out
    }
}

/// A double-quoted scalar of printable ASCII: YAML 1.1 readers refuse some characters that stand for themselves.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            _ => {
                let number = u32::from(character);
                // Writing to a String does not fail.
                let _ = if number <= 0xffff {
                    write!(out, "\\u{number:04x}")
                } else {
                    write!(out, "\\U{number:08x}")
                };
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let hash = "22222222222222222222222222222222";
        let written = BinaryDistribution {
            build_path: "/opt/s".to_owned(),
            spack_prefix: Some("/opt/spack".to_owned()),
            relative_prefix: "linux-x86_64/a-1-x".to_owned(),
            sbang_install_path: Some("/opt/bin/sbang".to_owned()),
            hash_to_prefix: [(hash.parse().expect("a hash"), "/opt/s/a".to_owned())].into(),
            relocate_textfiles: vec!["a \"b\" \\c: #d".to_owned(), "1.5".to_owned()],
            relocate_binaries: vec!["bin/ü\u{7f}\u{1f600}\n".to_owned()],
            relocate_links: Vec::new(),
            hardlinks_deduped: true,
            relative_rpaths: false,
        };
        let text = written.to_text();
        assert!(text.is_ascii() && text.lines().count() == 1, "{text}");
        assert_eq!(BinaryDistribution::parse(&text), Ok(written));
    }
}
