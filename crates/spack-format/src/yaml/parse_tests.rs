//! Texts that were hard to read, and what they are.

use super::*;
#[test]
fn explore() {
    use std::io::Write;
    for text in [
        "a: @4",
        "a: %b",
        "a: [b",
        "a:\n\tb: 1",
        "a: 'x",
        "a: b: c",
        "a:\n  b: 1\n c: 2",
        "a: *x",
        "a:: 1\nb+: x\nc-: [1]",
        "a: &x {b: 1}\nc: {<<: *x, d: 2}",
        "- 🤷 x # a\n- \"q\"\n- 'it''s'\n",
        "a: 1\na: 2",
        "---\na: 1\n---\nb: 2",
        "a: &x [*x]",
        "a: !!str 1",
        "a: !foo 1",
        "? [a]\n: b",
        "a:\nb:\n",
        "a: ~fltk",
        "a: `x",
        "a:b",
        "",
        "# c\n",
        "\u{feff}a: 1",
        "a: |\n  x\n  y\nb: 1",
        "a\n b: c",
        "spec: [a, b\nx: 1",
    ] {
        let p = parse(text, SourceId(0));
        let _ = writeln!(
            std::io::stderr(),
            "{text:?}\n   {:?}\n   {:?}",
            p.root,
            p.faults
        );
    }
}
