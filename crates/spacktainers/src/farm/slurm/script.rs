//! What `sbatch` is given.

use super::super::capsule::quoted;
use super::super::cluster::Submission;
use super::SlurmSettings;

/// The script of all tasks of a submission: the number of the task says which batch is its.
pub(super) fn script(submission: &Submission) -> String {
    let batches: Vec<String> = submission.batches.iter().map(usize::to_string).collect();
    let command: Vec<String> = submission.command.iter().map(|it| quoted(it)).collect();
    format!(
        "#!/bin/sh\n\
         # One batch of packages; `spacktainers farm status` shows the whole.\n\
         set -- {}\n\
         shift \"${{SLURM_ARRAY_TASK_ID:-0}}\"\n\
         job=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}\n\
         exec {} --batch \"$1\" --job \"$job\"\n",
        batches.join(" "),
        command.join(" "),
    )
}

/// The options of `sbatch`, without the script.
pub(super) fn options(submission: &Submission, settings: &SlurmSettings) -> Vec<String> {
    let is_array = submission.batches.len() > 1;
    let printed = if is_array { "%A_%a" } else { "%j" };
    let log = submission.folder.join(format!("{printed}.out"));
    let mut options = vec![
        "--parsable".to_owned(),
        format!("--job-name={}", submission.name),
        format!("--output={}", log.display()),
        "--open-mode=append".to_owned(),
        "--export=ALL".to_owned(),
        // Run again when its node fails: it goes on from what is in the mirror.
        "--requeue".to_owned(),
        "--kill-on-invalid-dep=yes".to_owned(),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", submission.cores),
        format!("--mem={}M", submission.memory.div_ceil(1 << 20)),
    ];
    if is_array {
        options.push(format!("--array=0-{}", submission.batches.len() - 1));
    }
    if let Some(seconds) = submission.seconds {
        options.push(format!("--time={}", seconds.div_ceil(60)));
    }
    if !submission.after.is_empty() {
        let after: Vec<String> = submission.after.iter().map(ToString::to_string).collect();
        options.push(format!("--dependency=afterany:{}", after.join(":")));
    }
    for (name, value) in [
        ("partition", &settings.partition),
        ("account", &settings.account),
        ("qos", &settings.qos),
    ] {
        options.extend(value.iter().map(|value| format!("--{name}={value}")));
    }
    options.extend(settings.options.iter().cloned());
    options
}

#[cfg(test)]
mod tests {
    use super::super::super::cluster::Task;
    use super::*;

    fn submission(batches: &[usize]) -> Submission {
        Submission {
            name: "spacktainers-a-0".to_owned(),
            command: ["printf", "%s,", "it's"].map(str::to_owned).to_vec(),
            batches: batches.to_vec(),
            after: vec![
                Task {
                    job: "17".to_owned(),
                    index: Some(2),
                },
                Task {
                    job: "18".to_owned(),
                    index: None,
                },
            ],
            cores: 4,
            memory: (1 << 30) + 1,
            seconds: Some(61),
            folder: "/shared/jobs".into(),
        }
    }

    #[test]
    fn each_task_does_its_batch() {
        let run = |batches: &[usize], variables: &[(&str, &str)]| {
            let output = std::process::Command::new("sh")
                .args(["-c", &script(&submission(batches))])
                .env_remove("SLURM_ARRAY_TASK_ID")
                .envs(variables.iter().copied())
                .output()
                .expect("a shell");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let task = [
            ("SLURM_ARRAY_TASK_ID", "1"),
            ("SLURM_ARRAY_JOB_ID", "20"),
            ("SLURM_JOB_ID", "22"),
        ];
        assert_eq!(run(&[3, 7, 9], &task), "it's,--batch,7,--job,20_1,");
        assert_eq!(run(&[5], &task[2..]), "it's,--batch,5,--job,22,");
    }

    #[test]
    fn options_say_what_is_needed_and_what_comes_before() {
        let settings = SlurmSettings {
            partition: Some("batch".to_owned()),
            options: vec!["--constraint=cpu".to_owned()],
            ..SlurmSettings::default()
        };
        let options = options(&submission(&[3, 7, 9]), &settings);
        for expected in [
            "--array=0-2",
            "--time=2",
            "--mem=1025M",
            "--cpus-per-task=4",
            "--dependency=afterany:17_2:18",
            "--partition=batch",
            "--output=/shared/jobs/%A_%a.out",
        ] {
            assert!(options.iter().any(|it| it == expected), "{options:?}");
        }
        assert_eq!(options.last().map(String::as_str), Some("--constraint=cpu"));
    }
}
