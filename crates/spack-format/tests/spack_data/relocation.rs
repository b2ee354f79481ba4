//! What Spack 1.1.0 itself made of random texts, binaries and scripts.
//!
//! `data/relocation-spack-1.1.jsonl` holds its answers: `TextFilePrefixReplacer` and `BinaryFilePrefixReplacer` of
//! `spack.relocate_text` and `filter_shebang` of `spack.hooks.sbang`, with `/opt/x/bin/sbang`. Bytes are written as the
//! characters of Latin-1.

use serde_json::Value;
use spack_format::relocation::c_string::{self, CStringError, Strictness};
use spack_format::relocation::{PrefixMap, shebang, text};

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    text.chars()
        .map(|it| u8::try_from(u32::from(it)).expect("Latin-1"))
        .collect()
}

fn map(case: &Value) -> PrefixMap {
    let pairs = case["map"].as_array().expect("pairs").iter();
    let text = |it: &Value| it.as_str().expect("a text").to_owned();
    PrefixMap::new(pairs.map(|pair| (text(&pair[0]), text(&pair[1])))).expect("prefixes")
}

#[test]
fn texts_strings_and_scripts_become_what_spack_makes_of_them() {
    let cases = include_str!("../data/relocation-spack-1.1.jsonl");
    let mut seen = [0; 4];
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let before = bytes(&case["before"]);
        let expected = case.get("after").map(bytes);
        match case["rule"].as_str() {
            Some("text") => {
                let after = text::relocate(&map(&case), &before, text::Rule::AsSpack);
                assert_eq!(Some(after.unwrap_or(before)), expected, "{case}");
                seen[0] += 1;
            }
            Some("string") => match c_string::relocate(&map(&case), &before, Strictness::Refuse) {
                Ok(after) => {
                    assert_eq!(Some(after.unwrap_or(before)), expected, "{case}");
                    seen[1] += 1;
                }
                Err(error) => {
                    let kind = match error {
                        CStringError::CannotGrow { .. } => "grow",
                        CStringError::CannotShrink { .. } => "shrink",
                    };
                    assert_eq!(case["error"].as_str(), Some(kind), "{case}");
                    seen[2] += 1;
                }
            },
            Some("shebang") => {
                let after = match shebang::wrap(&before, "/opt/x/bin/sbang") {
                    Some(new) => [&new.lines, &before[new.replaced..]].concat(),
                    None => before,
                };
                assert_eq!(Some(after), expected, "{case}");
                seen[3] += 1;
            }
            other => panic!("no such rule: {other:?}"),
        }
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}
