//! Programs that a compiler made for more than the first level.

use std::path::Path;
use std::process::Command;

use spack_format::microarchitecture::Microarchitecture;

use super::decode::decode;
use super::*;
use crate::test_support::skipped;

const SUM: &str = "\
double sum(const double *a, const double *b, int n) {
    double s[8] = {0};
    for (int i = 0; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) s[j] += a[i + j] * b[i + j];
    return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}
int main(int argc, char **argv) { double a[64] = {argc}; return (int)sum(a, a, 64); }
";

/// What a program of `source` uses; none where there is no compiler for x86-64.
fn built(folder: &Path, source: &str, flags: &[&str]) -> Option<Option<CpuFile>> {
    if !cfg!(target_arch = "x86_64") {
        skipped("not on x86-64");
        return None;
    }
    let (input, output) = (folder.join("program.c"), folder.join("program"));
    std::fs::write(&input, source).expect("writes");
    let line = ["-O3", "-ffast-math", "-o"];
    let status = Command::new("gcc")
        .args(line)
        .arg(&output)
        .args(flags)
        .arg(&input)
        .status();
    if !status.is_ok_and(|it| it.success()) {
        skipped("no gcc");
        return None;
    }
    let data = std::fs::read(&output).expect("reads");
    Some(decode("bin/program", &data))
}

fn judged(file: CpuFile, target: &str) -> Vec<CpuFinding> {
    let record = CpuRecord {
        files: vec![file],
        unread: Vec::new(),
    };
    above(
        [("package", &record)],
        &Microarchitecture::from_name(target),
        &[],
    )
}

#[test]
fn a_program_for_more_than_the_target_is_found_with_function_and_instruction() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(plain) = built(folder.path(), SUM, &[]) else {
        return;
    };
    assert!(plain.is_none(), "{plain:?}");
    for (flags, level, least) in [
        (["-march=x86-64-v3", "-g0"], Level::V3, "x86_64_v3"),
        (
            ["-march=x86-64-v4", "-mprefer-vector-width=512"],
            Level::V4,
            "x86_64_v4",
        ),
    ] {
        let file = built(folder.path(), SUM, &flags)
            .flatten()
            .expect("uses more");
        assert!(!file.chooses);
        let highest = file.uses.last().expect("something");
        assert_eq!(highest.level, level, "{file:?}");
        let named: Vec<_> = file
            .uses
            .iter()
            .filter_map(|it| it.function.as_deref())
            .collect();
        assert!(
            named.iter().all(|it| *it == "sum" || *it == "main"),
            "{named:?}"
        );
        assert!(!named.is_empty());
        assert!(judged(file.clone(), least).is_empty());
        let findings = judged(file, "x86_64_v2");
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0]
                .uses
                .iter()
                .all(|it| it.count > 0 && it.address > 0)
        );
    }
}

#[test]
fn what_is_chosen_at_run_time_is_no_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloned = format!("__attribute__((target_clones(\"default\", \"avx2\"), noinline))\n{SUM}");
    let Some(cloned) = built(folder.path(), &cloned, &[]) else {
        return;
    };
    assert!(cloned.is_none_or(|file| judged(file, "x86_64").is_empty()));
    // By hand, in a function whose name says nothing.
    let asked = format!(
        "__attribute__((target(\"avx2\"), noinline)) static {SUM}\n\
         int other(void) {{ return __builtin_cpu_supports(\"avx2\"); }}"
    );
    let asked = built(folder.path(), &asked, &["-Wl,--export-dynamic"]).flatten();
    assert!(judged(asked.expect("uses more"), "x86_64").is_empty());
}

#[test]
fn only_the_named_function_is_excused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = SUM.replace("sum(", "sum_avx2(").replacen(
        "double sum_avx2",
        "__attribute__((target(\"avx2,fma\"), noinline)) double sum_avx2",
        1,
    );
    let Some(named) = built(folder.path(), &named, &[]) else {
        return;
    };
    assert!(named.is_none(), "{named:?}");
}

#[test]
fn broken_files_are_passed_over() {
    let program = std::env::current_exe().expect("this test");
    let data = std::fs::read(program).expect("reads");
    for length in [0, 4, 63, 64, 100, 1000, 5000] {
        let _ = decode("x", &data[..length]);
    }
    let mut broken = data[..5000.min(data.len())].to_vec();
    for place in (0..broken.len()).step_by(7) {
        broken[place] ^= 0xff;
        let _ = decode("x", &broken);
    }
}
