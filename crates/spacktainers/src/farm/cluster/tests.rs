//! Runs against a scheduler whose tasks are done, or not, the moment they are submitted.

use std::collections::HashMap;
use std::sync::Mutex;

use super::super::needs::Need;
use super::super::plan::test_plan;
use super::folder::{PackageFile, PackageState, Submitted};
use super::scheduler::{Phase, TaskStatus};
use super::watch::Watch;
use super::*;
use crate::event::{Event, Reporter};

/// What a scheduler does with submissions, in their order.
#[derive(Clone, Copy)]
enum Behaviour {
    Builds,
    Full,
    Refuses,
}

struct Fake {
    run: RunFolder,
    limits: Limits,
    behaviour: Mutex<Vec<Behaviour>>,
    submitted: Mutex<Vec<Submission>>,
    /// Jobs that are found by name.
    known: HashMap<String, String>,
}

impl Fake {
    fn new(run: &RunFolder, behaviour: &[Behaviour]) -> Self {
        Self {
            run: run.clone(),
            limits: test_limits(),
            behaviour: Mutex::new(behaviour.to_vec()),
            submitted: Mutex::default(),
            known: HashMap::new(),
        }
    }

    /// The batches that were submitted, and what they waited for.
    fn submitted(&self) -> Vec<(Vec<usize>, Vec<String>)> {
        let submitted = self.submitted.lock().expect("a list");
        let told = |it: &Submission| {
            let after = it.after.iter().map(ToString::to_string).collect();
            (it.batches.clone(), after)
        };
        submitted.iter().map(told).collect()
    }
}

/// Does what a task does.
fn build(run: &RunFolder, batch: usize, job: &str) {
    let order = run.order().expect("an order");
    for index in &order.batches[batch].builds {
        let hash = order.builds[*index].hash().expect("a hash");
        let file = PackageFile {
            state: PackageState::Built,
            job: job.to_owned(),
            message: None,
            capsule: None,
            recorded: None,
        };
        run.put_package(&hash, &file).expect("written");
    }
    run.end_batch(batch, None).expect("written");
}

#[async_trait]
impl Scheduler for Fake {
    fn name(&self) -> &'static str {
        "Fake"
    }

    async fn limits(&self) -> Result<Limits, SchedulerError> {
        Ok(self.limits.clone())
    }

    async fn queued(&self) -> Result<usize, SchedulerError> {
        Ok(0)
    }

    async fn submit(&self, submission: &Submission) -> Result<String, SchedulerError> {
        let mut behaviour = self.behaviour.lock().expect("a list");
        let next = match behaviour.is_empty() {
            true => Behaviour::Builds,
            false => behaviour.remove(0),
        };
        let (scheduler, message) = (self.name(), "no".to_owned());
        match next {
            Behaviour::Full => return Err(SchedulerError::Full { scheduler, message }),
            Behaviour::Refuses => return Err(SchedulerError::Refused { scheduler, message }),
            Behaviour::Builds => {}
        }
        let mut submitted = self.submitted.lock().expect("a list");
        submitted.push(submission.clone());
        let job = submitted.len().to_string();
        for batch in &submission.batches {
            build(&self.run, *batch, &job);
        }
        Ok(job)
    }

    async fn find(&self, name: &str) -> Result<Option<String>, SchedulerError> {
        Ok(self.known.get(name).cloned())
    }

    async fn tasks(&self, tasks: &[Task]) -> Result<Vec<TaskStatus>, SchedulerError> {
        let running = |task: &Task| TaskStatus {
            task: task.clone(),
            phase: Phase::Running,
            state: String::new(),
            reason: String::new(),
            node: String::new(),
        };
        // What was found by its name ends when it is asked about.
        for task in tasks {
            let order = self.run.submissions().expect("submissions");
            let its = order.iter().filter(|it| it.job.as_ref() == Some(&task.job));
            for batch in its.flat_map(|it| &it.batches) {
                build(&self.run, *batch, &task.job);
            }
        }
        Ok(tasks.iter().map(running).collect())
    }

    async fn cancel(&self, _jobs: &[String]) -> Result<(), SchedulerError> {
        Ok(())
    }
}

/// A run of packages that need so many processors each.
fn run(shared: &Path, builds: &[(&str, &[usize])], cores: &[usize]) -> (RunFolder, OrderFile) {
    let plan = test_plan(builds);
    let need = |cores: &usize| Need {
        seconds: Some(1),
        memory: 1,
        cores: Some(*cores),
        asked_memory: None,
    };
    let needs: Vec<Need> = cores.iter().map(need).collect();
    let settings = BatchSettings {
        packed: 1,
        ..BatchSettings::default()
    };
    let batches = pack::pack(&plan, &needs, &settings, &test_limits());
    let run = RunFolder::make(shared, "a").expect("a run");
    run.put("order.json", &OrderFile::new(&plan, batches))
        .expect("written");
    let order = run.order().expect("an order");
    (run, order)
}

/// What happened is told to nobody.
struct Nobody;

impl Reporter for Nobody {
    fn event(&self, _event: Event) {}
}

async fn watch(fake: &Fake, run: RunFolder, order: OrderFile) -> Result<Report, FarmError> {
    let command = JobCommand {
        program: "/bin/false".into(),
        before: Vec::new(),
        behind: Vec::new(),
    };
    let watch = Watch {
        scheduler: fake,
        settings: &BatchSettings::default(),
        command: &command,
        run,
        order,
        reporter: &Nobody,
        records: None,
    };
    watch.to_its_end().await
}

#[tokio::test]
async fn what_finds_no_room_is_submitted_later_and_nothing_twice() {
    let shared = tempfile::tempdir().expect("a folder");
    let (run, order) = run(shared.path(), &[("a", &[]), ("b", &[0])], &[1, 1]);
    let mut fake = Fake::new(&run, &[Behaviour::Full, Behaviour::Builds, Behaviour::Full]);
    fake.limits.has_dependencies = false;
    let report = watch(&fake, run.clone(), order).await.expect("a report");
    assert_eq!(report.built, ["a@1.0", "b@1.1"]);
    assert_eq!(fake.submitted(), [(vec![0], vec![]), (vec![1], vec![])]);
    assert!(run.is_over());
}

#[tokio::test]
async fn a_refusal_of_some_does_not_stop_the_others() {
    let shared = tempfile::tempdir().expect("a folder");
    let builds: [(&str, &[usize]); 3] = [("a", &[]), ("b", &[]), ("c", &[])];
    let (first, order) = run(shared.path(), &builds, &[1, 2, 3]);
    let fake = Fake::new(&first, &[Behaviour::Builds, Behaviour::Refuses]);
    let report = watch(&fake, first, order).await.expect("a report");
    assert_eq!((report.built.len(), report.failed.len()), (2, 1));
    assert_eq!(report.failed[0].message, "Fake refuses: no");
    // The first one says that nothing will come of the others either.
    let (second, order) = run(shared.path(), &builds, &[1, 2, 3]);
    let fake = Fake::new(&second, &[Behaviour::Refuses]);
    let error = watch(&fake, second.clone(), order).await;
    assert!(matches!(error, Err(FarmError::Scheduler(_))));
    assert!(second.is_over() && second.submissions().expect("read").is_empty());
}

#[tokio::test]
async fn whose_answer_was_lost_is_found_or_submitted_as_it_was() {
    let shared = tempfile::tempdir().expect("a folder");
    let builds: [(&str, &[usize]); 2] = [("a", &[]), ("b", &[0])];
    let (run, order) = run(shared.path(), &builds, &[1, 1]);
    let unheard = |name: &str, batch| Submitted {
        name: name.to_owned(),
        batches: vec![batch],
        job: None,
    };
    run.put_submission(0, &unheard("first", 0))
        .expect("written");
    run.put_submission(1, &unheard("second", 1))
        .expect("written");
    let mut fake = Fake::new(&run, &[]);
    fake.known.insert("first".to_owned(), "17".to_owned());
    let report = watch(&fake, run, order).await.expect("a report");
    assert_eq!(report.built.len(), 2);
    // It still waits for what it waited for.
    assert_eq!(fake.submitted(), [(vec![1], vec!["17".to_owned()])]);
}
