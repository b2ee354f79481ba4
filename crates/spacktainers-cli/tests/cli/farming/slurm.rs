//! A Slurm of our own: real daemons on free ports, with two nodes that are this machine.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{has, skipped};

/// How long daemons may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The controller and two nodes; gone with this.
pub(super) struct Slurm {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Starts one whose arrays have at most `array` tasks; nothing where there is no Slurm.
    pub(super) fn start(array: usize) -> Option<Self> {
        for program in ["slurmctld", "slurmd", "sbatch", "squeue"] {
            if !has_program(program) {
                return None;
            }
        }
        let mut slurm = Self {
            folder: tempfile::tempdir().expect("a folder"),
            daemons: Vec::new(),
        };
        fs::write(slurm.path().join("slurm.conf"), slurm.config(array)).expect("a file");
        slurm.daemon("slurmctld", &[]);
        for node in ["n1", "n2"] {
            slurm.daemon("slurmd", &["-N", node]);
        }
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let states = slurm.ask("sinfo", &["--noheader", "--Node", "--format=%T"]);
            if states.lines().filter(|it| *it == "idle").count() == 2 {
                return Some(slurm);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let log = fs::read_to_string(slurm.path().join("slurmctld.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        skipped(&format!("Slurm does not start here: {tail:?}"));
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self, array: usize) -> String {
        let folder = self.path().display();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
        let host = host.trim();
        let user = Command::new("id").arg("-un").output().expect("id");
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        // Held together, so that they differ.
        let sockets: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let ports: Vec<u16> = sockets
            .iter()
            .map(|it| it.local_addr().expect("a port").port())
            .collect();
        format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/none\nCredType=cred/none\nMpiDefault=none\nSwitchType=switch/none\n\
             SlurmctldPort={}\nStateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/%n\n\
             SlurmctldPidFile={folder}/ctld.pid\nSlurmdPidFile={folder}/%n.pid\n\
             SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/%n.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU_Memory\nSlurmdParameters=config_overrides\n\
             AuthInfo=cred_expire=5\nReturnToService=1\nKillWait=2\nMaxArraySize={array}\n\
             NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=4 RealMemory=4000\n\
             NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=4 RealMemory=4000\n\
             PartitionName=main Nodes=n1,n2 Default=YES MaxTime=01:00:00 State=UP\n",
            ports[0], ports[1], ports[2],
        )
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) {
        let child = self
            .command(program)
            .arg("-D")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.daemons.push(child.expect("it starts"));
    }

    /// A program of Slurm's, told of this Slurm.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("SLURM_CONF", self.path().join("slurm.conf"));
        command
    }

    /// What a program of Slurm's says.
    pub(super) fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output();
        String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned()
    }

    /// Lets a command find this Slurm.
    pub(super) fn known_to(&self, command: &mut Command) {
        command.env("SLURM_CONF", self.path().join("slurm.conf"));
    }
}

/// Daemons lie where not everybody's search path leads.
fn has_program(program: &str) -> bool {
    ["/usr/sbin", "/sbin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).is_file())
        || has(program)
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let jobs = self.ask("squeue", &["--noheader", "--format=%A"]);
        let jobs: Vec<&str> = jobs.lines().collect();
        if !jobs.is_empty() {
            self.ask("scancel", &jobs);
            std::thread::sleep(Duration::from_secs(1));
        }
        // The nodes first: they tell the controller.
        for daemon in self.daemons.iter_mut().rev() {
            let pid = daemon.id().to_string();
            let _ = Command::new("kill").arg(pid).status();
            let _ = daemon.wait();
        }
    }
}
