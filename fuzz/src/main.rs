//! Every parser against every input.
//!
//! One program for all of them, as linking takes longer than fuzzing: `FUZZ_TARGET` names the parser, and the arguments are
//! libFuzzer's own. `cargo xtask fuzz` builds it and runs all targets; `FUZZ_TARGET=list` prints their names.
#![no_main]

mod images;
mod product;
mod spack;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// A parser by name.
type Target = (&'static str, fn(&[u8]));

fn targets() -> impl Iterator<Item = &'static Target> {
    spack::TARGETS
        .iter()
        .chain(images::TARGETS)
        .chain(product::TARGETS)
}

fn chosen() -> fn(&[u8]) {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        if name == "list" {
            for (name, _) in targets() {
                println!("{name}");
            }
            std::process::exit(0);
        }
        match targets().find(|(known, _)| *known == name) {
            Some((_, run)) => *run,
            None => {
                eprintln!("FUZZ_TARGET names no target: `{name}`; FUZZ_TARGET=list lists them");
                std::process::exit(2);
            }
        }
    })
}

fuzz_target!(init: { chosen(); }, |data: &[u8]| { chosen()(data); });

/// Runs a parser of texts on what is text.
fn text(data: &[u8], run: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(data) {
        run(text);
    }
}
