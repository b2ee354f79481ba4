//! What a Slurm puts up with: its configuration, the partition, its nodes, and what accounts allow.

use super::super::cluster::{Limits, SchedulerError};
use super::{Slurm, words};

/// What every Slurm has unless somebody says otherwise (slurm.conf(5), `MaxArraySize`).
const USUAL_ARRAY: usize = 1001;

/// Asks for all of it. What only some installations have is done without where it is not there.
pub(super) async fn ask(slurm: &Slurm) -> Result<Limits, SchedulerError> {
    let config = slurm.ask("scontrol", &words(["show", "config"])).await?;
    let partitions = slurm
        .ask("scontrol", &words(["--oneliner", "show", "partition"]))
        .await?;
    let settings = &slurm.settings;
    let partition = partition(&partitions, settings.partition.as_deref());
    let field = |name: &str| partition.and_then(|line| field(line, name));
    let mut nodes = words(["--noheader", "--Node", "--format=%c|%m"]);
    nodes.extend(field("PartitionName").map(|name| format!("--partition={name}")));
    let nodes = slurm.ask("sinfo", &nodes).await?;
    let (node_cores, node_memory) = largest(&nodes);

    let array = setting(&config, "MaxArraySize").and_then(|it| it.parse().ok());
    let mut queued: Vec<usize> = setting(&config, "MaxJobCount")
        .and_then(|it| it.parse().ok())
        .into_iter()
        .collect();
    let mut seconds: Vec<u64> = field("MaxTime").and_then(time).into_iter().collect();
    let qos = [
        settings.qos.as_deref(),
        field("QoS").filter(|it| *it != "N/A"),
    ];
    for qos in qos.into_iter().flatten() {
        let mut arguments = words(["--noheader", "--parsable2", "show", "qos", "where"]);
        arguments.push(format!("name={qos}"));
        arguments.push("format=MaxSubmitJobsPerUser,GrpSubmitJobs,MaxWall".to_owned());
        let said = slurm.ask("sacctmgr", &arguments).await.unwrap_or_default();
        let (jobs, longest) = accounts(&said);
        queued.extend(jobs);
        seconds.extend(longest);
    }
    if let Some(user) = slurm.environment.get("USER").filter(|it| !it.is_empty()) {
        let mut arguments = words(["--noheader", "--parsable2", "show", "assoc", "where"]);
        arguments.push(format!("user={user}"));
        arguments.extend(settings.account.iter().map(|it| format!("account={it}")));
        arguments.push("format=MaxSubmitJobs,GrpSubmitJobs,MaxWall".to_owned());
        let said = slurm.ask("sacctmgr", &arguments).await.unwrap_or_default();
        let (jobs, longest) = accounts(&said);
        queued.extend(jobs);
        seconds.extend(longest);
    }
    let number = |name: &str| field(name).and_then(|it| it.parse::<u64>().ok());
    let cores = number("MaxCPUsPerNode").and_then(|it| usize::try_from(it).ok());
    let memory = number("MaxMemPerNode").map(|it| it.saturating_mul(1 << 20));
    Ok(Limits {
        // Numbers of tasks are smaller than MaxArraySize; 0 means that there are no arrays.
        array: array.unwrap_or(USUAL_ARRAY).max(1),
        queued: queued.into_iter().min(),
        seconds: seconds.into_iter().min(),
        cores: [cores, node_cores].into_iter().flatten().min(),
        memory: [memory, node_memory].into_iter().flatten().min(),
        has_dependencies: true,
    })
}

/// `Name   = value` of `scontrol show config`.
fn setting<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The line of a partition; without a name, that of the default one.
fn partition<'a>(partitions: &'a str, name: Option<&str>) -> Option<&'a str> {
    let is_it = |line: &&str| match name {
        // Of several, the first.
        Some(names) => field(line, "PartitionName") == names.split(',').next(),
        None => field(line, "Default") == Some("YES"),
    };
    partitions.lines().find(is_it)
}

/// `Name=value` of a line of `scontrol --oneliner show`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = line.split_ascii_whitespace();
    fields.find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
}

/// Processors and bytes of memory of the largest node, from lines of `processors|megabytes`.
fn largest(nodes: &str) -> (Option<usize>, Option<u64>) {
    let fields = || nodes.lines().filter_map(|line| line.trim().split_once('|'));
    let digits = |text: &str| text.trim_end_matches('+').parse::<u64>().ok();
    let cores = fields().filter_map(|(cores, _)| digits(cores)).max();
    let memory = fields().filter_map(|(_, memory)| digits(memory)).max();
    (
        cores.and_then(|it| usize::try_from(it).ok()),
        memory.map(|it| it.saturating_mul(1 << 20)),
    )
}

/// The smallest number of jobs and the shortest time of lines of `jobs|jobs|time`, of which each may be empty.
fn accounts(said: &str) -> (Option<usize>, Option<u64>) {
    let (mut jobs, mut seconds) = (Vec::new(), Vec::new());
    for line in said.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let numbers = fields.iter().take(2);
        jobs.extend(numbers.filter_map(|it| it.parse::<usize>().ok()));
        seconds.extend(fields.get(2).copied().and_then(time));
    }
    (jobs.into_iter().min(), seconds.into_iter().min())
}

/// Seconds of `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours:minutes:seconds`; none: without end.
fn time(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let parts: Vec<u64> = rest
        .split(':')
        .map(|it| it.parse().ok())
        .collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match (days.is_some(), &parts[..]) {
        (true, [hours]) => (*hours, 0, 0),
        (true, [hours, minutes]) => (*hours, *minutes, 0),
        (false, [minutes]) => (0, *minutes, 0),
        (false, [minutes, seconds]) => (0, *minutes, *seconds),
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let mut sum = seconds;
    for (number, factor) in [(minutes, 60), (hours, 3600), (days.unwrap_or(0), 86_400)] {
        sum = sum.checked_add(number.checked_mul(factor)?)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("30", Some(1800)),
            ("30:10", Some(1810)),
            ("01:00:00", Some(3600)),
            ("2-12:00:00", Some(216_000)),
            ("1-0", Some(86_400)),
            ("UNLIMITED", None),
            ("", None),
            ("99999999999999999999", None),
            ("1:2:3:4", None),
        ] {
            assert_eq!(time(text), seconds, "{text}");
        }
    }

    #[test]
    fn partitions_and_nodes_are_read() {
        let partitions = "PartitionName=debug Default=NO QoS=N/A MaxTime=00:30:00 MaxCPUsPerNode=UNLIMITED\n\
                          PartitionName=main Default=YES QoS=N/A MaxTime=UNLIMITED\n";
        let line = partition(partitions, None).expect("a default");
        assert_eq!(field(line, "PartitionName"), Some("main"));
        let line = partition(partitions, Some("debug,main")).expect("it is there");
        assert_eq!(field(line, "MaxTime").and_then(time), Some(1800));
        assert_eq!(partition(partitions, Some("none")), None);
        assert_eq!(
            largest("4|4000\n64+|250000\n"),
            (Some(64), Some(250_000 << 20))
        );
        assert_eq!(largest("garbage\n"), (None, None));
        let config = "MaxArraySize            = 5\nMaxJobCount             = 10000\n";
        assert_eq!(setting(config, "MaxArraySize"), Some("5"));
    }

    #[test]
    fn the_tightest_of_what_accounts_allow_counts() {
        assert_eq!(
            accounts("||\n200|50|1-00:00:00\n100||\n"),
            (Some(50), Some(86_400))
        );
        assert_eq!(accounts(""), (None, None));
    }
}
