//! Programs that gcc and Go make, beside what binutils' `strip` makes of them; and files that are none.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Where programs lie that have a build ID: it does not matter.
const PATH: &[u8] = b"opt/a";

const SOURCE: &str = "#include <stdio.h>
int answer(int x) { return x * 2; }
static int hidden(int x) { return answer(x) + 1; }
int main(void) { printf(\"%d\\n\", hidden(20) + 1); return 0; }
";

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    }
}

/// The source compiled with `args` as `name`; nothing where a program is missing.
fn made(name: &str, args: &[&str]) -> Option<Made> {
    let made = Made {
        folder: tempfile::tempdir().expect("a folder"),
    };
    let source = made.put("a.c", SOURCE.as_bytes());
    let mut compiler = Command::new("gcc");
    compiler.args(["-g", "-o"]).arg(made.path(name)).args(args);
    run(compiler.arg(source)).map(|_| made)
}

/// What a program printed; nothing where it is not installed.
fn run(command: &mut Command) -> Option<String> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let program = command.get_program().to_string_lossy().into_owned();
            let _ = writeln!(std::io::stderr(), "SKIPPED: {program}: {error}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    assert_eq!(text, "", "{command:?} complains");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn stripped(data: &[u8], symbols: Symbols) -> (Vec<u8>, Option<DebugFile>) {
    match strip(data, symbols, PATH) {
        Outcome::Stripped { bytes, debug } => (bytes, debug),
        other => panic!("{other:?}"),
    }
}

/// Names of sections, as readelf tells them.
fn sections(file: &Path) -> Option<Vec<String>> {
    let told = run(Command::new("readelf").args(["-SW"]).arg(file))?;
    let names = told.lines().filter_map(|line| {
        let name = line.split_once("] ")?.1.split_whitespace().next()?;
        name.starts_with('.').then(|| name.to_owned())
    });
    Some(names.collect())
}

/// Kind, place and content of every segment.
fn segments(data: &[u8]) -> Vec<(u32, usize, &[u8])> {
    let elf = Elf::read(data).expect("sound").expect("a program");
    let kind = |index: usize| {
        let at = elf.segments_at + index * read::SEGMENT;
        read::u32_at(data, at).expect("in the table")
    };
    let all = elf.segments.iter().enumerate();
    all.map(|(index, it)| {
        (
            kind(index),
            it.offset,
            &data[it.offset..it.offset + it.size],
        )
    })
    .collect()
}

#[test]
fn programs_lose_what_strip_takes_and_run() {
    for (name, args) in [
        ("dynamic", &["-O1"][..]),
        ("static", &["-static"]),
        ("fixed", &["-no-pie", "-Wl,--emit-relocs"]),
        ("squeezed", &["-gz=zlib"]),
        ("library.so", &["-shared", "-fPIC"]),
    ] {
        let Some(made) = made(name, args) else { return };
        let before = made.bytes(name);
        let (after, debug) = stripped(&before, Symbols::Drop);
        assert_eq!(debug, None);
        let file = made.put("after", &after);
        // All of both tables, and whatever else readelf can tell; it complains about what does not fit.
        let Some(_) = run(Command::new("readelf").args(["-aW"]).arg(&file)) else {
            return;
        };
        let reference = made.path("reference");
        let mut peer = Command::new("strip");
        let Some(_) = run(peer.arg("-o").arg(&reference).arg(made.path(name))) else {
            return;
        };
        assert_eq!(sections(&file), sections(&reference), "{name}");
        // `strip` shortens the names of sections as well, which are a few hundred bytes.
        let peer = fs::metadata(&reference).expect("a file").len();
        assert!(
            after.len() as u64 <= peer + 1024,
            "{name}: {} of {peer}",
            after.len()
        );
        for ((old, new), number) in segments(&before).into_iter().zip(segments(&after)).zip(0..) {
            let (mut was, mut is) = (old.2.to_vec(), new.2.to_vec());
            if old.1 == 0 && was.len() >= read::HEADER {
                // The header is loaded, too, and says where the table of sections is.
                for part in [40..48, 60..64] {
                    was[part.clone()].fill(0);
                    is[part].fill(0);
                }
            }
            assert_eq!(
                (old.0, old.1, was),
                (new.0, new.1, is),
                "{name}: segment {number}"
            );
        }
        if !name.ends_with(".so") {
            assert_eq!(
                run(&mut Command::new(&file)).as_deref(),
                Some("42\n"),
                "{name}"
            );
        }
        assert_eq!(
            strip(&after, Symbols::Drop, PATH),
            Outcome::Nothing,
            "once is enough"
        );
    }
}

#[test]
fn gdb_finds_separated_symbols() {
    for (name, args) in [
        ("dynamic", &[][..]),
        ("fixed", &["-no-pie"]),
        ("static", &["-static"]),
    ] {
        let Some(made) = made(name, args) else { return };
        let Outcome::Stripped { bytes, debug } = strip(&made.bytes(name), Symbols::Separate, PATH)
        else {
            // Not every gcc asks its linker for build IDs.
            return;
        };
        let debug = debug.expect("asked for");
        assert!(
            debug.path.starts_with("usr/lib/debug/.build-id/"),
            "{}",
            debug.path
        );
        let program = made.put("program", &bytes);
        let file = made.put(&debug.path, &debug.bytes);
        let Some(_) = run(Command::new("readelf").args(["-SWsn"]).arg(&file)) else {
            return;
        };
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-iex"])
            .arg(format!(
                "set debug-file-directory {}",
                made.path(DEBUG_FOLDER).display()
            ))
            .args(["-ex", "info line hidden", "-ex", "info scope hidden"])
            .arg(&program);
        let Some(told) = run(&mut gdb) else { return };
        assert!(told.contains("Line 3 of"), "{name}: {told}");
        assert!(told.contains("Symbol x is"), "{name}: {told}");
        // And in the running program.
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-iex"])
            .arg(format!(
                "set debug-file-directory {}",
                made.path(DEBUG_FOLDER).display()
            ))
            .args(["-ex", "break hidden", "-ex", "run", "-ex", "print x"])
            .arg(&program);
        if let Ok(output) = gdb.output() {
            let told = String::from_utf8_lossy(&output.stdout);
            // Where processes must not be traced, gdb says so; the symbols were found all the same.
            assert!(
                told.contains("a.c, line 3") || told.contains("a.c:3"),
                "{name}: {told}"
            );
        }
    }
}

#[test]
fn what_is_no_ordinary_program_keeps_its_symbols() {
    let Some(made) = made("a", &[]) else { return };
    let program = made.bytes("a");
    let with = |at: usize, byte: u8| {
        let mut changed = program.clone();
        changed[at] = byte;
        strip(&changed, Symbols::Drop, PATH)
    };
    assert_eq!(
        with(18, 190),
        Outcome::Kept(KeptBecause::Foreign),
        "a GPU's"
    );
    assert_eq!(with(4, 1), Outcome::Kept(KeptBecause::Foreign), "32 bits");
    assert_eq!(
        with(5, 2),
        Outcome::Kept(KeptBecause::Foreign),
        "big endian"
    );
    assert_eq!(with(16, 1), Outcome::Nothing, "an object file");
    assert_eq!(with(16, 4), Outcome::Nothing, "a core");
    // Nothing of the format depends on the processor.
    assert!(matches!(with(18, 183), Outcome::Stripped { .. }), "AArch64");
    let appended = [&program[..], b"PK archive"].concat();
    assert_eq!(
        strip(&appended, Symbols::Drop, PATH),
        Outcome::Kept(KeptBecause::Appended)
    );
    assert_eq!(strip(&program, Symbols::Keep, PATH), Outcome::Nothing);
    assert_eq!(strip(b"!<arch>\n", Symbols::Drop, PATH), Outcome::Nothing);
    assert_eq!(strip(b"", Symbols::Drop, PATH), Outcome::Nothing);
    if let Some(debug) = stripped_debug(&program) {
        let outcome = strip(&debug, Symbols::Drop, PATH);
        assert_eq!(outcome, Outcome::Kept(KeptBecause::DebugFile));
    }
}

fn stripped_debug(program: &[u8]) -> Option<Vec<u8>> {
    match strip(program, Symbols::Separate, PATH) {
        Outcome::Stripped { debug, .. } => debug.map(|it| it.bytes),
        _ => None,
    }
}

#[test]
fn programs_without_a_build_id_name_the_file_with_their_symbols() {
    let Some(made) = made("a", &["-Wl,--build-id=none"]) else {
        return;
    };
    let program = made.bytes("a");
    // Where it lies counts: the debugger looks for the same path below its own folder.
    let place = made.path("opt/a");
    let path = place.to_str().expect("text").trim_start_matches('/');
    let Outcome::Stripped { bytes, debug } = strip(&program, Symbols::Separate, path.as_bytes())
    else {
        panic!("it is stripped");
    };
    let debug = debug.expect("asked for");
    assert_eq!(debug.path, format!("usr/lib/debug/{path}.debug"));
    made.put("opt/a", &bytes);
    made.put(&debug.path, &debug.bytes);
    let Some(_) = run(Command::new("readelf").args(["-aW"]).arg(&place)) else {
        return;
    };
    assert_eq!(run(&mut Command::new(&place)).as_deref(), Some("42\n"));
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-iex"])
        .arg(format!(
            "set debug-file-directory {}",
            made.path(DEBUG_FOLDER).display()
        ))
        .args(["-ex", "info line hidden"])
        .arg(&place);
    let Some(told) = run(&mut gdb) else { return };
    assert!(told.contains("Line 3 of"), "{told}");
    // Once more there is nothing to take; with symbols again, it names another file already.
    assert_eq!(strip(&bytes, Symbols::Separate, PATH), Outcome::Nothing);
}

#[test]
fn go_programs_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("a.go");
    fs::write(&source, "package main\nfunc main() { println(42) }\n").expect("a file");
    let program = folder.path().join("a");
    let mut go = Command::new("go");
    go.args(["build", "-o"])
        .arg(&program)
        .arg(&source)
        .env("GOCACHE", folder.path().join("cache"))
        .env("GO111MODULE", "off");
    if run(&mut go).is_none() {
        return;
    }
    let bytes = fs::read(&program).expect("a file");
    let outcome = strip(&bytes, Symbols::Drop, PATH);
    assert_eq!(outcome, Outcome::Kept(KeptBecause::Go));
}

/// A program without gcc: this test itself.
fn own() -> Vec<u8> {
    let path = std::env::current_exe().expect("a program");
    let mut start = vec![0; 4096];
    let mut file = fs::File::open(path).expect("opens");
    std::io::Read::read_exact(&mut file, &mut start).expect("is longer");
    start
}

/// A small file with two sections of symbols, for damage.
fn small() -> Vec<u8> {
    let mut header = own()[..read::HEADER].to_vec();
    let names = b"\0.symtab\0.strtab\0.shstrtab\0";
    header[32..40].fill(0);
    header[54..58].fill(0);
    let text = Section::default();
    let mut file = header;
    let section = |name, kind, offset, size| read::Section {
        name,
        kind,
        offset,
        size,
        align: 1,
        ..text
    };
    let at = file.len() as u64;
    file.extend_from_slice(&[7; 48]);
    file.extend_from_slice(b"\0main\0\0\0");
    file.extend_from_slice(names);
    let sections = [
        text,
        read::Section {
            link: 2,
            ..section(1, read::SHT_SYMTAB, at, 48)
        },
        section(9, read::SHT_STRTAB, at + 48, 8),
        section(17, read::SHT_STRTAB, at + 56, names.len() as u64),
    ];
    cut::finish(file, &sections, 3)
}

use read::Section;

#[test]
fn a_small_file_is_stripped_to_its_names() {
    let before = small();
    let (after, _) = stripped(&before, Symbols::Drop);
    assert_eq!(after.len(), before.len() - 56 - 2 * read::SECTION);
    let elf = Elf::read(&after).expect("sound").expect("a program");
    assert_eq!(elf.sections.len(), 2);
    assert_eq!(elf.name(&elf.sections[elf.names]), b".shstrtab");
}

#[test]
fn sections_that_share_their_bytes_do_not_multiply_them() {
    let mut file = small();
    let at = u64::from_le_bytes(file[40..48].try_into().expect("8 bytes"));
    let at = usize::try_from(at).expect("small");
    let shared = Section {
        kind: read::SHT_PROGBITS,
        size: at as u64,
        ..Section::default()
    };
    for _ in 0..1000 {
        file.extend_from_slice(&shared.to_bytes());
    }
    file[60..62].copy_from_slice(&1004_u16.to_le_bytes());
    for symbols in [Symbols::Drop, Symbols::Separate] {
        let outcome = strip(&file, symbols, PATH);
        assert_eq!(outcome, Outcome::Kept(KeptBecause::Damaged));
    }
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic_or_grow(
        changes in prop::collection::vec((0_usize..400, any::<u8>()), 0..8),
        length in 0_usize..500,
    ) {
        let mut file = small();
        for (at, byte) in changes {
            let at = at % file.len();
            file[at] = byte;
        }
        file.truncate(length);
        for symbols in [Symbols::Drop, Symbols::Separate] {
            if let Outcome::Stripped { bytes, .. } = strip(&file, symbols, PATH) {
                prop_assert!(bytes.len() < file.len());
            }
        }
    }
}
