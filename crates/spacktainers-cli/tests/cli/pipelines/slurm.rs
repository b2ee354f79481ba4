//! The script for Slurm, with an `sbatch` that runs each job at once if those that it depends on have ended well.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::stage;
use crate::support::{Ran, Stage};

/// Jobs get numbers; how each ended is a file in `jobs/`. Tasks of an array are `NUMBER_TASK`.
const SBATCH: &str = r#"#!/usr/bin/env bash
set -u
mkdir -p jobs; number=$(($(ls jobs | wc -l) + 100)); text=$(cat); tasks=(""); needed=""
for option in "$@"; do
  case "$option" in
    --array=0-*) tasks=($(seq 0 "${option#--array=0-}"));;
    --dependency=afterok:*) needed=${option#--dependency=afterok:};;
  esac
done
result=0
for other in ${needed//:/ }; do [ "$(cat "jobs/$other")" = 0 ] || result=cancelled; done
for task in "${tasks[@]}"; do
  ended=$result
  if [ "$ended" = 0 ]; then
    SLURM_ARRAY_TASK_ID=$task bash -c "$text" >> jobs.log 2>&1; ended=$?
  fi
  echo "$ended" > "jobs/$number${task:+_$task}"
done
echo "$number;cluster"
"#;

/// Makes the script, and submits it.
fn submit(stage: &Stage) -> Ran {
    let args = [
        "ci",
        "generate",
        "--for",
        "slurm",
        "--environment",
        "production",
    ];
    stage.run(&args).ends(0);
    let program = format!(
        "#!/bin/sh\nif [ \"$1\" = publish ]; then set -- \"$@\" --allow-missing-libraries; fi\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_spacktainers")
    );
    for (name, text) in [("sbatch", SBATCH), ("spacktainers", &program)] {
        stage.write(&format!("bin/{name}"), text);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(stage.path(&format!("bin/{name}")), executable).expect("permissions");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .arg("spacktainers-slurm.sh")
        .current_dir(stage.path(""))
        .env("PATH", format!("{}:{path}", stage.path("bin").display()))
        .env("SPACKTAINERS_CACHE", stage.path("local"));
    Ran::of(command.output().expect("bash runs"))
}

#[test]
fn what_is_stale_is_published() {
    let stage = stage();
    let ran = submit(&stage).ends(0);
    assert!(ran.stdout.contains("submitted 1 jobs"), "{}", ran.stdout);
    assert!(
        stage.path("published/spike/index.json").is_file(),
        "{}",
        stage.read("jobs.log")
    );
}

#[test]
fn a_job_whose_dependencies_failed_never_starts() {
    let stage = stage();
    for package in ["libspike", "spike-plot"] {
        fs::remove_dir_all(stage.path(&format!("cache/v3/manifests/spec/{package}")))
            .expect("a package");
    }
    // There is no Spack to build with: jobs that build fail.
    submit(&stage).ends(0);
    let mut ends: Vec<String> = fs::read_dir(stage.path("jobs"))
        .expect("jobs")
        .flatten()
        .map(|it| {
            fs::read_to_string(it.path())
                .expect("an end")
                .trim()
                .to_owned()
        })
        .collect();
    ends.sort();
    assert_eq!(
        ends.last().map(String::as_str),
        Some("cancelled"),
        "{ends:?}"
    );
    assert!(!ends.contains(&"0".to_owned()), "{ends:?}");
    assert!(!stage.path("published").exists());
}
