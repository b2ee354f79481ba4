//! Every parser fuzzed for a while, by libFuzzer, on the stable toolchain.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tool::{cargo, root, run, say, which};

/// Counters for libFuzzer: what `cargo fuzz` asks of the compiler, less what only nightly ones do.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Runs all targets, or those named, for so many seconds each.
pub(crate) fn run_targets(seconds: u32, only: &[&str]) -> Result<()> {
    if which("g++").or_else(|| which("c++")).is_none() {
        say("SKIPPED: fuzzing needs a C++ compiler for libFuzzer");
        return Ok(());
    }
    let folder = root().join("target/fuzz");
    // For the machine itself alone: proc-macros and build scripts need no counters.
    let target = host()?;
    run(cargo()
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ])
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE))?;
    let program = folder.join(&target).join("release/fuzz");
    let listed = Command::new(&program).env("FUZZ_TARGET", "list").output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let mut failed = Vec::new();
    for name in listed
        .lines()
        .filter(|name| only.is_empty() || only.contains(name))
    {
        if !run_one(&program, &folder, name, seconds)? {
            failed.push(name.to_owned());
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => bail!(
            "inputs that break a parser were found: {}",
            failed.join(", ")
        ),
    }
}

fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .context("rustc does not say what it runs on")?
        .to_owned())
}

/// Runs one target; says whether it held.
fn run_one(program: &Path, folder: &Path, name: &str, seconds: u32) -> Result<bool> {
    let corpus = folder.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let seeds = root().join("fuzz/seeds").join(name);
    let mut command = Command::new(program);
    command
        .env("FUZZ_TARGET", name)
        .arg(&corpus)
        .args(seeds.is_dir().then_some(&seeds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args([
            // The same inputs in each run: what is found can be found again.
            "-seed=1",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-malloc_limit_mb=1024",
            "-max_len=65536",
            "-print_final_stats=1",
        ])
        .stdin(Stdio::null());
    let output = command.output().context("cannot start the fuzzer")?;
    let told = String::from_utf8_lossy(&output.stderr);
    let stat = |key: &str| {
        let line = told.lines().rev().find_map(|line| line.strip_prefix(key));
        line.map_or("?", str::trim).to_owned()
    };
    let executions = stat("stat::number_of_executed_units:");
    if output.status.success() {
        say(&format!("fuzzed {name}: {executions} inputs"));
        return Ok(true);
    }
    say(&format!("fuzzed {name}: BROKEN after {executions} inputs"));
    let lines: Vec<&str> = told.lines().collect();
    let from = lines
        .iter()
        .position(|line| line.contains("panicked") || line.contains("ERROR"))
        .unwrap_or(0);
    for line in lines.iter().skip(from).take(40) {
        say(&format!("    {line}"));
    }
    Ok(false)
}
