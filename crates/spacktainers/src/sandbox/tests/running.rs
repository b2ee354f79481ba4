//! What commands see, and how they end.

use std::time::Instant;

use super::*;

#[test]
fn a_command_is_alone_with_the_image() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let paths = stage.run(
        "env; pwd; id -u; ls -d /dev/null /proc/self /sys/kernel; \
         cat /etc/resolv.conf > /dev/null; echo mine > /etc/resolv.conf; echo other >&2",
    );
    assert!(paths.is_empty(), "{paths:?}");
    let told = stage.told();
    for line in ["HOME=/root", "/", "0", "/dev/null", "other"] {
        assert!(told.iter().any(|it| it == line), "{line}: {told:#?}");
    }
    let is_given = |line: &&String| {
        ["HOME=", "PATH=", "PWD=", "OLDPWD=", "SHLVL=", "_="]
            .iter()
            .any(|it| line.starts_with(it))
    };
    let variables: Vec<_> = told.iter().filter(|it| it.contains('=')).collect();
    assert!(variables.iter().all(is_given), "{variables:#?}");
    // The places to mount on are gone.
    let tree = stage.tree(&stage.layers);
    for path in ["dev", "sys", "etc/resolv.conf", "etc/hosts"] {
        assert!(!tree.contains_key(path), "{path}");
    }
}

#[test]
fn a_known_result_is_not_made_again() {
    let Some(stage) = Stage::new() else { return };
    let mut step = shell("echo ran; echo x > /new; echo label > /back");
    step.handed_back = vec!["/back".to_owned()];
    let first = stage.sandbox().execute(&stage.layers, &step).expect("runs");
    assert_eq!(stage.told(), ["ran"]);
    let second = stage.sandbox().execute(&stage.layers, &step).expect("runs");
    assert!(stage.told().is_empty() && second.is_remembered && !first.is_remembered);
    let (first, second) = (
        first.layer.expect("a layer"),
        second.layer.expect("a layer"),
    );
    assert_eq!(first.diff_id, second.diff_id);
    assert_eq!(
        members(&first).iter().map(shown).collect::<Vec<_>>(),
        ["new"]
    );
    // Without the layer's blob there is nothing to be remembered.
    stage.cache.remove(&first.diff_id).expect("removed");
    stage.sandbox().execute(&stage.layers, &step).expect("runs");
    assert_eq!(stage.told(), ["ran"]);
    // Another variable is another result.
    step.environment.insert("A".to_owned(), "b".to_owned());
    stage.sandbox().execute(&stage.layers, &step).expect("runs");
    assert_eq!(stage.told(), ["ran"]);
}

#[test]
fn what_failed_is_no_result_and_leaves_nothing() {
    let Some(stage) = Stage::new() else { return };
    let step = shell("echo ran; echo x > /new; exit 3");
    let mut sandbox = stage.sandbox();
    for _ in 0..2 {
        let error = sandbox.execute(&stage.layers, &step).expect_err("fails");
        assert!(error.is_command(), "{error:?}");
        assert_eq!(error.to_string(), "script failed (exit status: 3)");
        assert_eq!(stage.told(), ["ran"]);
    }
    let ran = sandbox
        .execute(&stage.layers, &shell("echo y > /other"))
        .expect("runs");
    let layer = ran.layer.expect("a layer");
    assert_eq!(
        members(&layer).iter().map(shown).collect::<Vec<_>>(),
        ["other"]
    );
    drop(sandbox);
    let left = fs::read_dir(stage.cache.root().join("sandboxes")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[test]
fn all_processes_end_when_the_time_is_over_or_somebody_stops_it() {
    let Some(stage) = Stage::new() else { return };
    // A number that no other process sleeps for.
    let mark = format!("4{:09}", std::process::id());
    let mut step = shell(&format!("sleep {mark} & sleep {mark}"));
    step.time_limit = Some(Duration::from_millis(300));
    let begin = Instant::now();
    let error = stage
        .sandbox()
        .execute(&stage.layers, &step)
        .expect_err("stops");
    assert!(matches!(error, SandboxError::TimeOver { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    step.time_limit = None;
    let stop = Stop::default();
    let machine = Machine::new(&search_path(), stage.is_root);
    let mut sandbox = Sandbox::new(
        machine,
        stage.cache.clone(),
        stage.lines.clone(),
        stop.clone(),
    );
    std::thread::scope(|scope| {
        let running = scope.spawn(|| sandbox.execute(&stage.layers, &step));
        std::thread::sleep(Duration::from_millis(300));
        stop.stop();
        let error = running.join().expect("no panic").expect_err("stops");
        assert!(matches!(error, SandboxError::Stopped(_)), "{error:?}");
    });
    let sleeping = || {
        fs::read_dir("/proc")
            .expect("processes")
            .flatten()
            .any(|it| {
                fs::read(it.path().join("cmdline"))
                    .is_ok_and(|line| line.windows(mark.len()).any(|it| it == mark.as_bytes()))
            })
    };
    for _ in 0..100 {
        if !sleeping() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("something is still running");
}

#[test]
fn a_test_can_change_nothing() {
    let Some(stage) = Stage::new() else { return };
    let mut step = shell("! echo x > /new; echo y > /tmp/y");
    step.forgotten = vec!["/tmp".to_owned()];
    let mut sandbox = stage.sandbox();
    sandbox.check(&stage.layers, &step).expect("passes");
    let ran = sandbox
        .execute(&stage.layers, &shell("ls /tmp"))
        .expect("runs");
    assert!(ran.layer.is_none());
}

#[test]
fn on_the_machine_only_the_image_can_be_written() {
    let Some(stage) = Stage::new() else { return };
    let outside = stage.folder.path().join("outside");
    fs::write(&outside, "as it was").expect("a file");
    let mut step = shell("");
    step.place = Place::Host(stage.folder.path().to_owned());
    step.command = vec![
        "/bin/sh".to_owned(),
        "-e".to_owned(),
        SCRIPT_PATH.to_owned(),
    ];
    step.root_variables = vec!["ROOT".to_owned()];
    step.script = Some(ScriptFile {
        path: String::new(),
        text: "! echo x > outside\ncat outside > \"$ROOT/copied\"\nmktemp\nls /run | wc -l\n"
            .to_owned(),
    });
    let ran = stage
        .sandbox()
        .execute(&stage.layers, &step)
        .unwrap_or_else(|error| panic!("{error:?}: {:#?}", stage.told()));
    let layer = ran.layer.expect("a layer");
    assert_eq!(
        members(&layer).iter().map(shown).collect::<Vec<_>>(),
        ["copied"]
    );
    assert_eq!(fs::read_to_string(&outside).expect("a file"), "as it was");
}

#[test]
fn settings_of_the_kernel_cannot_be_changed() {
    let Some(stage) = Stage::new() else { return };
    // The value that it has: nothing happens if this can be done after all.
    let script = "for file in kernel/core_pattern vm/swappiness; do
        value=$(cat /proc/sys/$file)
        if echo \"$value\" > /proc/sys/$file; then echo \"wrote $file\"; fi
    done; if (: >> /proc/sysrq-trigger); then echo wrote sysrq; fi";
    for mut step in [shell(script), shell("")] {
        if step.command.last().is_some_and(String::is_empty) {
            step.place = Place::Host(stage.folder.path().to_owned());
            step.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        }
        let ran = stage.sandbox().execute(&stage.layers, &step);
        ran.unwrap_or_else(|error| panic!("{error:?}: {:#?}", stage.told()));
        let told = stage.told();
        assert!(!told.iter().any(|it| it.starts_with("wrote")), "{told:#?}");
    }
}

#[test]
fn what_killed_processes_left_is_removed() {
    let Some(stage) = Stage::new() else { return };
    let all = stage.cache.root().join("sandboxes");
    fs::create_dir_all(all.join("999999999-0/root/etc")).expect("folders");
    fs::write(all.join("999999999-0.lock"), "").expect("a file");
    stage
        .sandbox()
        .execute(&stage.layers, &shell("echo something new > /dev/null"))
        .expect("runs");
    assert_eq!(fs::read_dir(&all).expect("a folder").count(), 0);
}

#[test]
fn without_bubblewrap_it_is_said_what_to_install() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = LocalCache::open(folder.path()).expect("a cache");
    let machine = Machine::new(&[], false);
    let mut sandbox = Sandbox::new(machine, cache, Arc::new(Lines::default()), Stop::default());
    let error = sandbox.execute(&[], &shell("true")).expect_err("cannot");
    assert!(
        error.hint().is_some_and(|it| it.contains("bubblewrap")),
        "{error}"
    );
}
