//! The scripts are run by a real shell, and layers are read back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use indexmap::IndexMap;

use super::*;
use crate::unpack::unpack;

fn sh(script: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("every Unix has a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_profile_adds_what_is_missing_and_keeps_what_the_user_has() {
    let environment = IndexMap::from([
        ("PATH".to_owned(), "/opt/view/bin:/usr/bin:/bin".to_owned()),
        ("PYTHONPATH".to_owned(), "/opt/view/lib/python".to_owned()),
        ("MPICC".to_owned(), "/opt/it's here/mpicc $HOME".to_owned()),
        ("JAVA_HOME".to_owned(), "/opt/view".to_owned()),
    ]);
    let show = "; echo \"$PATH|$PYTHONPATH|$MPICC|$JAVA_HOME\"";
    let script = format!(
        "{}{show}",
        profile(&environment).trim_end().to_owned() + "\n:"
    );
    assert_eq!(
        sh(
            &script,
            &[
                ("PATH", "/home/me/bin:/usr/bin:/bin"),
                ("JAVA_HOME", "/mine")
            ]
        ),
        "/opt/view/bin:/home/me/bin:/usr/bin:/bin|/opt/view/lib/python|/opt/it's here/mpicc $HOME|/mine\n"
    );
}

#[test]
fn sbang_runs_the_interpreter_of_the_second_line_with_its_arguments() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    };
    let sbang = put("sbang", SBANG);
    let interpreter = put("interpreter", "#!/bin/sh\nshift_=$1; echo \"$@\"\n");
    let interpreter = interpreter.display();
    for second in [
        format!("#!{interpreter} -v"),
        format!("--!{interpreter} -v"),
        format!("//!{interpreter} -v"),
        format!("<?php #!{interpreter} -v ?>"),
    ] {
        let script = put(
            "script",
            &format!("#!/bin/sh {}\n{second}\nbody\n", sbang.display()),
        );
        let output = Command::new(&script)
            .args(["a b", "*"])
            .output()
            .expect("runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("-v {} a b *\n", script.display()),
            "{second}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let broken = put(
        "broken",
        &format!("#!/bin/sh {}\nno interpreter\n", sbang.display()),
    );
    let output = Command::new(&broken).output().expect("runs");
    assert_eq!(output.status.code(), Some(126));
    let perl = put("perl", "#!/bin/sh\necho \"$1\"\n");
    let script = put(
        "script",
        &format!("#!/bin/sh {}\n#!{}\n", sbang.display(), perl.display()),
    );
    let output = Command::new(&script).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "-x\n");
}

#[test]
fn the_layer_holds_what_was_put_and_is_the_same_again() {
    let make = || {
        let mut site = SiteLayer::default();
        site.symlink("opt/view", "/opt/._view/abc");
        site.directory("opt/._view/abc");
        site.symlink("opt/._view/abc/tool", "/opt/software/tool");
        site.file(PROFILE, 0o644, "text");
        site.finish().expect("writes")
    };
    let layer = make();
    assert_eq!(layer.descriptor, make().descriptor);
    let LayerContent::Here(content) = layer.content else {
        panic!("not here")
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    unpack(&[content], folder.path(), false).expect("unpacks");
    assert_eq!(
        fs::read(folder.path().join(PROFILE)).expect("there"),
        b"text"
    );
    let target = fs::read_link(folder.path().join("opt/view")).expect("a link");
    assert_eq!(target.to_str(), Some("/opt/._view/abc"));
}
