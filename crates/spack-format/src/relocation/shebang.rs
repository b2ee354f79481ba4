//! `#!` lines that became too long for the kernel.
//!
//! Spack looks at every executable file after it has installed a package. A first line of more than [`LIMIT`] bytes goes to
//! the second line, and the first one names `sbang`, which reads the second.
//!
//! Source: `filter_shebang` in `lib/spack/spack/hooks/sbang.py` of Spack.

/// Bytes of a first line, its end included, that Linux takes (before 5.1; 255 since).
pub const LIMIT: usize = 127;

/// Longer lines are nobody's interpreter.
pub const LONGEST: usize = 4096;

/// What takes the place of the first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Bytes of the old file that are replaced, from its beginning.
    pub replaced: usize,
    /// What stands there now: two lines.
    pub lines: Vec<u8>,
}

/// The beginning of an executable file if its first line is too long. `first` is its beginning, [`LONGEST`] bytes or all of
/// it; `sbang` is where that program lies.
#[must_use]
pub fn wrap(first: &[u8], sbang: &str) -> Option<Wrapped> {
    if !first.starts_with(b"#!") {
        return None;
    }
    let first = &first[..first.len().min(LONGEST)];
    let line = match memchr::memchr(b'\n', first) {
        Some(at) => &first[..=at],
        None if first.len() == LONGEST => return None,
        None => first,
    };
    let new = format!("#!/bin/sh {sbang}\n");
    if line.len() <= LIMIT || line == new.as_bytes() {
        return None;
    }
    let interpreter = interpreter(line)?;
    let mut lines = new.into_bytes();
    if interpreter.ends_with(b"/lua") || interpreter.ends_with(b"/luajit") {
        lines.extend_from_slice(b"--!");
        lines.extend_from_slice(&line[2..]);
    } else if interpreter.ends_with(b"/node") {
        lines.extend_from_slice(b"//!");
        lines.extend_from_slice(&line[2..]);
    } else if interpreter.ends_with(b"/php") {
        lines.extend_from_slice(b"<?php ");
        lines.extend_from_slice(line);
        lines.extend_from_slice(b" ?>");
    } else {
        lines.extend_from_slice(line);
    }
    Some(Wrapped {
        replaced: line.len(),
        lines,
    })
}

/// The interpreter of a `#!` line, if it names one.
fn interpreter(line: &[u8]) -> Option<&[u8]> {
    let rest = &line[2..];
    let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let rest = &rest[start..];
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | 0 | b'\n'))
        .unwrap_or(rest.len());
    (end > 0).then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(line: &str) -> Option<String> {
        let text = format!("{line}body\n");
        let it = wrap(text.as_bytes(), "/s/bin/sbang")?;
        let new = [&it.lines, &text.as_bytes()[it.replaced..]].concat();
        Some(String::from_utf8(new).expect("text"))
    }

    #[test]
    fn long_lines_go_behind_sbang_as_the_language_takes_them() {
        let long = "/x".repeat(70);
        for (name, first, last) in [
            ("perl -w", "#!", ""),
            ("lua", "--!", ""),
            ("luajit", "--!", ""),
            ("node", "//!", ""),
        ] {
            let line = format!("#!{long}/{name}\n");
            let expected = format!("#!/bin/sh /s/bin/sbang\n{first}{long}/{name}\n{last}body\n");
            assert_eq!(wrapped(&line), Some(expected));
        }
        let php = wrapped(&format!("#! {long}/php\n")).expect("long");
        assert!(php.contains(&format!("\n<?php #! {long}/php\n ?>body")));
    }

    #[test]
    fn other_beginnings_stay() {
        let limit = format!("#!/{}\n", "x".repeat(LIMIT - 4));
        assert_eq!(limit.len(), LIMIT);
        for line in [limit.as_str(), "#!/bin/sh\n", "no script\n", "#!"] {
            assert_eq!(wrapped(line), None);
        }
        let blank = format!("#!{}\n", " ".repeat(200));
        assert_eq!(wrapped(&blank), None);
        let endless = format!("#!/{}", "x".repeat(5000));
        assert_eq!(wrap(endless.as_bytes(), "/s/bin/sbang"), None);
    }
}
