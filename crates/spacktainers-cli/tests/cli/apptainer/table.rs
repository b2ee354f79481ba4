//! What people do with SIF files: the same comes of it, whoever made the file.
//!
//! A row is a shell line that is run twice, with our file and with Apptainer's under the same name. Exit code, standard output and
//! standard error have to be the same, and the row says in a few words what must be among the output, so that a row which does
//! not do what it was meant to does not pass.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;
use sif_format::sif::SifReader;
use sif_format::singularity::{INSPECT_METADATA_NAME, OCI_CONFIG_NAME};

use super::{Apptainer, Maker, images};
use crate::support::{Ran, Stage};

/// Before each line. `$f` is the file.
const PRELUDE: &str = r#"
apptainer() { "$APPTAINER" "$@"; }
run() { apptainer run "$f" "$@"; }
exec_() { apptainer exec "$f" "$@"; }
inspect() { apptainer inspect "$@" "$f"; }
# Without the labels that tell when and with what a file was made.
labels() { grep -v -e build-date -e usage.apptainer.version -e org.opencontainers.image.created -e org.opencontainers.image.architecture | sed 's/,$//'; }
"#;

/// Image; what is looked at; the shell line, with `ITSELF` for an instance's name; what is among the output.
type Row = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // --- run: entrypoint, command, arguments ---
    ("words",    "entrypoint and command",                 r#"run"#,                                                  r#"[an entry][it's]["q"][$HOME][back\slash][`id`][]"#),
    ("words",    "arguments take the command's place",     r#"run more 'two words' "it's" ''"#,                       "[*][more][two words][it's][]"),
    ("words",    "arguments go through the shell again",   r#"run '$HOME' 'a\b' '`echo x`' 'say \"\"' '*'"#,           "[/root]"),
    ("words",    "unless that is switched off",            r#"apptainer run --no-eval "$f" '$HOME' 'a\b' '"' '*'"#,   r#"[$HOME][a\b]["][*]"#),
    ("words",    "switched off, with the command",         r#"apptainer run --no-eval "$f""#,                         r"[$0][\$A]"),
    ("words",    "options are the program's",              r#"run --help -- -x"#,                                     "[--help][--][-x]"),
    ("words",    "lines and tabs in arguments",            "run 'one\ntwo' 'tab\there'",                              "[one\ntwo][tab\there]"),
    ("words",    "an argument that ends a quotation",      r#"run 'a" b' 2>&1 | sed 's/eval: [0-9:]*/eval:/'"#,        "without closing quote"),
    ("words",    "the exit code is the program's",         r#"run 1 2 3; echo code $?"#,                              "code 12"),
    ("words",    "the file as a program",                  r#"apptainer run "$PWD/$f" here"#,                         "[*][here]"),
    ("words",    "contained",                              r#"apptainer run --containall "$f" x"#,                    "[*][x]"),
    ("entry",    "an entrypoint alone",                    r#"run"#,                                                  "[entry]\n"),
    ("entry",    "an entrypoint alone, with arguments",    r#"run a 'b c'"#,                                          "[entry][a][b c]"),
    ("cmd",      "a command alone",                        r#"run"#,                                                  "[cmd $PATH]"),
    ("cmd",      "a command alone, with arguments",        r#"run show a 'b c'"#,                                     "[a][b c]"),
    ("cmd",      "a program that is not there",            r#"run nowhere a"#,                                        "nowhere"),
    ("neither",  "neither, with arguments",                r#"run show a"#,                                           "[a]"),
    ("neither",  "neither, switched off, with arguments",  r#"apptainer run --no-eval "$f" show a"#,                  "[a]"),
    ("shell",    "a command of the shell",                 r#"run; echo code $?"#,                                    "code 7"),
    ("shell",    "a command of the shell, replaced",       r#"run sh -c 'echo $GREETING'"#,                           ""),
    ("shell",    "the shell's own variables",              r#"run sh -c 'echo \$GREETING'"#,                          "good morning"),

    // --- exec, shell, test ---
    ("other",    "exec: words as they are",                r#"exec_ show '$HOME' "it's" 'a b' '' '"'"#,               r#"[$HOME][it's][a b][]["]"#),
    ("other",    "exec: the exit code",                    r#"exec_ sh -c 'exit 42'; echo code $?"#,                  "code 42"),
    ("other",    "exec: a signal",                         r#"exec_ sh -c 'kill -9 $$'; echo code $?"#,               "code 137"),
    ("other",    "exec: no such program",                  r#"exec_ nowhere"#,                                        "nowhere"),
    ("other",    "exec: not a program",                    r#"exec_ /data/text"#,                                     ""),
    ("other",    "shell: its input",                       r#"echo 'echo $0 in $PWD; exit 5' | apptainer shell "$f"; echo code $?"#, "code 5"),
    ("other",    "shell: --shell",                         r#"echo 'echo of $0' | apptainer shell --shell /bin/sh "$f""#, "of /bin/sh"),
    ("other",    "shell: a command",                       r#"apptainer shell "$f" -c 'echo x'"#,                      "are ignored"),
    ("other",    "test without one",                       r#"apptainer test "$f"; echo code $?"#,                    "code 0"),
    ("other",    "run-help without one",                   r#"apptainer run-help "$f""#,                              "No help"),

    // --- where one is, and as whom ---
    ("other",    "user and working directory are the caller's", r#"exec_ sh -c 'id; pwd'"#,                           "uid="),
    ("other",    "--pwd",                                  r#"apptainer exec --pwd /data "$f" cat text"#,             "words"),
    ("other",    "--pwd that is not there",                r#"apptainer exec --pwd /none "$f" pwd; echo code $?"#,    "code "),
    ("other",    "--contain",                              r#"apptainer exec --contain "$f" sh -c 'pwd; ls -a ~ /tmp; echo $HOME'"#, "/root"),
    ("other",    "--containall",                           r#"apptainer exec --containall "$f" sh -c 'pwd; env | grep -v APPTAINER | sort'"#, "HOME=/root"),
    ("other",    "--no-home",                              r#"apptainer exec --no-home "$f" sh -c 'echo $HOME; ls -a /root'"#, "/root"),
    ("other",    "--home",                                 r#"apptainer exec --home "$PWD/files:/home/other" "$f" sh -c 'echo $HOME; ls ~'"#, "one.txt"),
    ("other",    "--no-mount",                             r#"apptainer exec --no-mount tmp,home,cwd "$f" ls -A /tmp /root /data"#, "text"),
    ("other",    "--hostname",                             r#"apptainer exec --hostname box "$f" cat /etc/hosts /proc/sys/kernel/hostname"#, "box"),
    ("other",    "what is at the root",                    r#"apptainer exec --containall "$f" ls -lna / | awk '{print $1, $3, $4, $9, $10, $11}'"#, ".singularity.d"),
    ("other",    "what is in /.singularity.d",             r#"exec_ ls -na /.singularity.d /.singularity.d/actions /.singularity.d/env | grep -v ^total | awk '{print $1, $3, $4, $NF}'"#, "99-base.sh"),
    ("other",    "users and groups",                       r#"exec_ sh -c 'cat /etc/passwd /etc/group'"#,             "somebody"),

    // --- mounts ---
    ("other",    "--bind onto a directory",                r#"apptainer exec --bind "$PWD/files:/data" "$f" ls /data"#, "one.txt"),
    ("other",    "--bind onto a file",                     r#"apptainer exec --bind "$PWD/files/one.txt:/data/text" "$f" cat /data/text"#, "one"),
    ("other",    "--bind onto nothing",                    r#"apptainer exec --bind "$PWD/files:/new/deep/one" "$f" ls /new/deep/one /data"#, "one.txt"),
    ("other",    "--bind of a file onto nothing",          r#"apptainer exec --bind "$PWD/files/one.txt:/new/one" "$f" cat /new/one"#, "one"),
    ("other",    "--bind onto a link",                     r#"apptainer exec --bind "$PWD/files/one.txt:/mount/link" "$f" sh -c 'cat /mount/file /mount/link; readlink /mount/link'"#, "one"),
    ("other",    "--bind below a link",                    r#"apptainer exec --bind "$PWD/files:/var/run/files" "$f" ls /run/files"#, "one.txt"),
    ("other",    "--bind read-only",                       r#"apptainer exec --bind "$PWD/files:/data:ro" "$f" touch /data/new; echo code $?"#, "code 1"),
    ("other",    "--bind of what is not there",            r#"apptainer exec --bind /none:/data "$f" true; echo code $?"#, "code 255"),
    ("other",    "--bind onto a file from a directory",    r#"apptainer exec --bind "$PWD/files:/data/text" "$f" true; echo code $?"#, "code "),
    ("other",    "APPTAINER_BIND",                         r#"APPTAINER_BIND="$PWD/files:/data,$PWD/files/one.txt:/mount/file" exec_ cat /data/one.txt /mount/file"#, "one\none"),
    ("other",    "--mount",                                r#"apptainer exec --mount "type=bind,source=$PWD/files,destination=/data/new,ro" "$f" ls /data /data/new"#, "one.txt"),
    ("other",    "the root is read-only",                  r#"exec_ touch /data/new; echo code $?"#,                  "code 1"),
    ("other",    "--writable-tmpfs",                       r#"apptainer exec --writable-tmpfs "$f" sh -c 'echo a >>/data/text; rm /bin/true; mkdir /new; cat /data/text; ls /bin/true'"#, "words\na"),
    ("other",    "--overlay",                              r#"mkdir over; apptainer exec --overlay over "$f" sh -c 'echo a >/data/a; rm /data/text'; apptainer exec --overlay over "$f" ls /data; rm -r over"#, "a"),
    ("other",    "--writable",                             r#"apptainer exec --writable "$f" true; echo code $?"#,    "code 255"),
    ("other",    "--scratch",                              r#"apptainer exec --scratch /data "$f" ls -A /data; echo code $?"#, "code 0"),

    // --- environment ---
    ("env",      "PATH and LD_LIBRARY_PATH",               r#"exec_ sh -c 'echo $PATH $LD_LIBRARY_PATH'"#,            "/bin:/opt/own/bin"),
    ("env",      "names that no shell takes",              r#"exec_ sh -c 'env | grep -c BAD'; echo code $?"#,        "code 1"),
    ("env",      "plain values",                           r#"exec_ sh -c 'echo "$PLAIN|$SPACES|$EMPTY|$NOVALUE|$EQUALS|$SIGNS|$TILDE|$STAR|$UNICODE|$TZ|$SHELL|$USER"'"#, "| two  words |||a=b==c|a;b&c|d>e #f!|~|*|é日|"),
    ("env",      "an apostrophe",                          r#"exec_ sh -c 'echo "$SINGLE"'"#,                         "it's"),
    ("env",      "a name that is given twice",             r#"exec_ sh -c 'echo "$TWICE"'"#,                          "first"),
    ("env",      "home, directory, prompt",                r#"exec_ sh -c 'echo "$HOME|$PWD|$PS1"'"#,                 "/root|"),
    ("env",      "names that are exported",                r#"exec_ env | grep -o '^[A-Z_]*=' | sort"#,               "NOVALUE="),
    ("env",      "the caller's variables",                 r#"PLAIN=caller CALLER=x exec_ sh -c 'echo $PLAIN $CALLER'"#, "plain x"),
    ("env",      "--env",                                  r#"apptainer exec --env PLAIN=new,NEW='a b' "$f" sh -c 'echo "$PLAIN $NEW"'"#, "new a b"),
    ("env",      "--env with signs",                       r#"apptainer exec --env 'NEW=$HOME "q" \x' "$f" sh -c 'echo "$NEW"'"#, "\"q\""),
    ("env",      "--env-file",                             r#"printf 'PLAIN=file\nNEW="a $PLAIN"\n' >e; apptainer exec --env-file e "$f" sh -c 'echo "$PLAIN $NEW"'"#, "file"),
    ("env",      "APPTAINERENV_",                          r#"APPTAINERENV_PLAIN=a APPTAINERENV_NEW='b $HOME' exec_ sh -c 'echo "$PLAIN $NEW"'"#, "a b /root"),
    ("env",      "SINGULARITYENV_",                        r#"SINGULARITYENV_PLAIN=old exec_ sh -c 'echo "$PLAIN"'"#, "old"),
    ("env",      "APPTAINERENV_PATH and the like",         r#"APPTAINERENV_PREPEND_PATH=/first APPTAINERENV_APPEND_PATH=/last exec_ sh -c 'echo $PATH'"#, "/first:/bin"),
    ("env",      "APPTAINERENV_PATH",                      r#"APPTAINERENV_PATH=/only:/bin exec_ sh -c 'echo $PATH'"#, "/only:/bin"),
    ("env",      "APPTAINERENV_LD_LIBRARY_PATH",           r#"APPTAINERENV_LD_LIBRARY_PATH=/only exec_ sh -c 'echo $LD_LIBRARY_PATH'"#, "/only"),
    ("env",      "--cleanenv",                             r#"CALLER=x LANG=de_DE PLAIN=caller apptainer exec --cleanenv "$f" sh -c 'echo "$CALLER|$LANG|$PLAIN|$PATH"'"#, "|C|plain|"),
    ("env",      "--cleanenv keeps what is asked for",     r#"APPTAINERENV_NEW=a apptainer exec --cleanenv --env B=b "$f" sh -c 'echo $NEW $B'"#, "a b"),
    ("env",      "the environment of run",                 r#"run sh -c 'echo \$PLAIN'"#,                             "plain"),
    ("env",      "the environment of shell",               r#"echo 'echo $PLAIN, $PS1' | apptainer shell "$f""#,      "plain, "),

    // --- inspect ---
    ("other",    "inspect",                                r#"inspect | labels"#,                                     "two words: a  b"),
    ("other",    "inspect --labels --json",                r#"inspect --labels --json | labels"#,                     r#""html": "#),
    ("other",    "inspect --deffile",                      r#"inspect --deffile"#,                                    "bootstrap: oci"),
    ("other",    "inspect --helpfile",                     r#"inspect --helpfile; echo code $?"#,                     "code "),
    ("other",    "inspect --test",                         r#"inspect --test; echo code $?"#,                         "code "),
    ("other",    "inspect --startscript",                  r#"inspect --startscript | grep -v '^#'"#,                 ""),
    ("other",    "inspect --list-apps",                    r#"inspect --list-apps; echo code $?"#,                    "code 0"),
    ("words",    "inspect --runscript: the words",         r#"inspect --runscript | grep ^OCI_"#,                     r#"OCI_ENTRYPOINT='"/bin/show" "an entry""#),
    ("other",    "inspect --runscript, no command",        r#"inspect --runscript | grep ^OCI_"#,                     "OCI_CMD=''"),
    ("other",    "labels in the image",                    r#"exec_ cat /.singularity.d/labels.json | labels"#,       r#""two words": "a  b""#),
    // We have one more object, which says what the file was made from.
    ("other",    "sif list",                               r#"apptainer sif list "$f" | grep -o '|[^|]*$' | sort -u"#,   "FS (Squashfs/*System/"),

    // --- definition files ---
    ("defined",  "%runscript with options",                r#"run a 'b c'; echo code $?"#,                            "code 2"),
    ("defined",  "%runscript fails early",                 r#"run; echo code $?"#,                                    "code 1"),
    ("defined",  "%environment",                           r#"exec_ sh -c 'echo $DEFINED $PATH $LD_LIBRARY_PATH'"#,   "of the definition /opt/defined/bin"),
    ("defined",  "%environment and --env",                 r#"apptainer exec --env DEFINED=new "$f" sh -c 'echo $DEFINED'"#, "new"),
    ("defined",  "%test",                                  r#"apptainer test "$f"; echo code $?"#,                    "testing of the definition with 0"),
    ("defined",  "%test with an argument",                 r#"apptainer test "$f" bad; echo code $?"#,                "code 1"),
    ("defined",  "%help",                                  r#"apptainer run-help "$f""#,                              "two  spaces"),
    ("defined",  "%labels",                                r#"inspect | labels"#,                                     "Two.Words: a b  c"),
    ("defined",  "%files",                                 r#"exec_ ls -n /opt /opt/folder | grep -o '^.\{10\}\|[^ ]*$'"#, "words.txt"),
    ("defined",  "inspect --all",                          r#"inspect --all | labels | grep -v -e docker2singularity -e /env/90-environment.sh -e '"environment"'"#, "of the definition"),
    ("defined",  "inspect --environment",                  r#"inspect --environment | grep -A9 DEFINED"#,             "opt/defined/bin"),
    ("defined",  "inspect --runscript",                    r#"inspect --runscript"#,                                  "not reached"),
    ("defined",  "inspect --startscript",                  r#"inspect --startscript"#,                                "starting with"),
    ("defined",  "inspect --test",                         r#"inspect --test"#,                                       "testing"),
    ("defined",  "inspect --helpfile",                     r#"inspect --helpfile"#,                                   "two  spaces"),
    ("defined",  "inspect --deffile",                      r#"inspect --deffile"#,                                    "%apprun two"),
    ("defined",  "inspect --list-apps",                    r#"inspect --list-apps"#,                                  "one\ntwo"),
    ("defined",  "inspect --app",                          r#"for it in --labels --runscript --environment --helpfile --test --json; do inspect --app one $it | labels; done"#, "Who: app one"),
    ("defined",  "inspect --app that is not there",        r#"inspect --app none; echo code $?"#,                     "code "),
    ("defined",  "run --app",                              r#"apptainer run --app one "$f" a 'b c'; echo code $?"#,   "app one: own of one, one at /scif/apps/one, 2"),
    ("defined",  "run --app without its environment",      r#"apptainer run --app two "$f"; echo code $?"#,           "one"),
    ("defined",  "run --app that is not there",            r#"apptainer run --app none "$f"; echo code $?"#,          "code "),
    ("defined",  "exec --app",                             r#"apptainer exec --app one "$f" sh -c 'echo $APP_OWN $PATH; env | grep -e ^SCIF -e APPNAME | sort'"#, "own of one"),
    ("defined",  "test --app",                             r#"apptainer test --app one "$f"; echo code $?"#,          "code 3"),
    ("defined",  "test --app without one",                 r#"apptainer test --app two "$f"; echo code $?"#,          "code "),
    ("defined",  "run-help --app",                         r#"apptainer run-help --app one "$f""#,                    "The help of one."),
    ("defined",  "run-help --app without one",             r#"apptainer run-help --app two "$f""#,                    ""),
    ("defined",  "files of an app",                        r#"exec_ cat /scif/apps/one/one.txt"#,               "one"),
    ("defined",  "what lies below /scif",                  r#"exec_ sh -c 'cd /scif; ls -R . | grep -v :$ | sort'"#, "runscript"),
    ("extended", "one definition upon another: run",       r#"run a"#,                                                "[extended][a]"),
    ("extended", "one upon another: environment",          r#"exec_ sh -c 'echo $DEFINED'"#,                          "of the definition, extended"),
    ("extended", "one upon another: labels",               r#"inspect | labels"#,                                     "More: label"),
    ("extended", "one upon another: where apps are",       r#"exec_ env | grep ^SCIF | sort"#,                        "SCIF_APPRUN_three"),
    ("extended", "one upon another: apps",                 r#"inspect --list-apps; apptainer run --app three "$f"; apptainer run --app one "$f" x"#, "THREE=3"),
    ("extended", "one upon another: test, help",           r#"apptainer test "$f"; apptainer run-help "$f""#,         "testing of the definition, extended"),
    ("extended", "one upon another: definitions",          r#"inspect --deffile; exec_ sh -c 'cd /.singularity.d/bootstrap_history; for it in *; do echo $it; cat $it; done'"#, "Apptainer0"),

    ("staged",   "two stages: files",                      r#"exec_ sh -c 'cat /copied.txt; ls /data /from-first; ls /opt'"#, "one\n"),
    ("staged",   "two stages: environment",                r#"exec_ sh -c 'echo "$WORD|$LONG|$AT|$ONLY_FIRST|$PATH"'"#,  "two words|line|evaluated||/bin"),
    ("staged",   "two stages: run",                        r#"run a 'b c'; echo code $?"#,                            "tab|a|b c|"),
    ("staged",   "two stages: --env",                      r#"apptainer run --env WORD=new "$f""#,                    "in a document: new, two words"),
    ("staged",   "two stages: test",                       r#"apptainer test "$f"; echo code $?"#,                    "code 0"),
    ("staged",   "two stages: labels of image and file",   r#"inspect | labels"#,                                     "one: "),
    ("staged",   "two stages: scripts",                    r#"for it in --runscript --startscript --test --helpfile --deffile; do inspect $it; done"#, "#!/bin/busybox sh"),
    ("staged",   "two stages: an instance",                r#"export APPTAINERENV_STARTED=$PWD/begun; apptainer instance start "$f" ITSELF now; sleep 0.3; cat begun; rm begun; apptainer instance stop ITSELF"#, "started now"),

    // --- instances ---
    ("defined",  "an instance",                            r#"export APPTAINERENV_STARTED=$PWD/started; apptainer instance start "$f" ITSELF a 'b c'; apptainer instance list ITSELF | grep -o '^ITSELF\|[^ ]*$'
        sleep 0.3; cat started; rm started; apptainer exec instance://ITSELF sh -c 'echo $DEFINED'; apptainer run instance://ITSELF x; apptainer instance stop ITSELF"#, "starting with 2 arguments a b c"),
    ("other",    "an instance without a start script",     r#"apptainer instance start --contain "$f" ITSELF; apptainer exec instance://ITSELF show in; apptainer run instance://ITSELF x
        apptainer instance stop ITSELF; apptainer exec instance://ITSELF true; echo code $?"#, "[in]"),
];

/// Where Apptainer is known to be wrong: it writes the image's variables into a script with signs escaped twice, so that others
/// come out of it (and a program of the image's choice is run), and none at all where there is a backtick. We give what the
/// image says. Image; name; what the image says, and what one gets from our file; what one gets from Apptainer's.
#[rustfmt::skip]
const QUOTED_TWICE: &[(&str, &str, &str, &str)] = &[
    ("quoted", "PLAIN",  "plain",                "plain"),
    ("quoted", "DOUBLE", r#"a "b" c"#,           r#"a \"b\" c"#),
    ("quoted", "DOLLAR", "$HOME ${PLAIN} $(echo run)", r"\/root \plain \run"),
    ("quoted", "LATER",  "$PLAIN/x",             r"\plain/x"),
    ("quoted", "LINES",  "one\ntwo",             r"one\ntwo"),
    ("quoted", "BACK",   r"a\b\\c\n",            r"a\\b\\\\c\\n"),
    ("ticked", "TICK",   "`id`",                 ""),
    ("ticked", "PLAIN",  "plain",                ""),
];

/// Where the person is at home who runs the tests.
fn home() -> String {
    std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())
}

/// The table is written as if that were root.
fn at_home(text: &str) -> String {
    text.replace("/root", &home())
}

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn outcome(apptainer: &Apptainer, maker: Maker, image: &str, line: &str) -> Outcome {
    let folder = apptainer.path(maker.folder());
    let instance = format!("{image}-{}-{}", maker.folder(), std::process::id());
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("{PRELUDE}\n{}", at_home(line).replace("ITSELF", &instance)),
        ])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home())
        .env("APPTAINER", &apptainer.program)
        .env("APPTAINER_USERNS", "1")
        .env("f", format!("{image}.sif"))
        .output()
        .expect("there is a shell");
    let told = |text: String| {
        let text = text
            .replace(&folder.display().to_string(), "HERE")
            .replace(&instance, "ITSELF");
        // Numbers of processes.
        let mut told = String::new();
        for line in text.lines() {
            let line = match line.split_once("(PID=") {
                Some((before, _)) => before,
                None => line,
            };
            told.push_str(line);
            told.push('\n');
        }
        told
    };
    let ran = Ran::of(output);
    Outcome {
        code: ran.code,
        stdout: told(ran.stdout),
        stderr: told(ran.stderr),
    }
}

/// What is wrong with a row, in words.
fn fault(apptainer: &Apptainer, row: &Row) -> Option<String> {
    let (image, what, line, among) = row;
    let among = &at_home(among);
    let [ours, theirs] =
        [Maker::Us, Maker::Apptainer].map(|maker| outcome(apptainer, maker, image, line));
    let mut text = String::new();
    let mut differ = |name: &str, ours: String, theirs: String| {
        if ours != theirs {
            let _ = writeln!(
                text,
                "  {name} of our file:\n{ours}\n  {name} of Apptainer's:\n{theirs}"
            );
        }
    };
    differ(
        "exit code",
        format!("{:?}", ours.code),
        format!("{:?}", theirs.code),
    );
    differ("output", ours.stdout.clone(), theirs.stdout);
    differ("standard error", ours.stderr.clone(), theirs.stderr);
    if !ours.stdout.contains(among) && !ours.stderr.contains(among) {
        let _ = writeln!(
            text,
            "  `{among}` is not in\n{}\n{}",
            ours.stdout, ours.stderr
        );
    }
    (!text.is_empty()).then(|| format!("{image}: {what}: {line}\n{text}"))
}

#[test]
fn the_same_comes_of_our_files_and_of_its_own() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let Some(busybox) = images::busybox() else {
        return;
    };
    let stage = Stage::empty();
    for maker in [Maker::Us, Maker::Apptainer] {
        let folder = apptainer.path(maker.folder());
        images::write(&folder, &busybox);
        for (name, _) in images::configs() {
            maker.make(&apptainer, &stage, name, &format!("oci:{name}"));
        }
        for (name, text) in images::DEFFILES {
            if text.contains("base.sif") {
                maker.lay_out(&apptainer, "defined", "base.sif");
            }
            maker.make(&apptainer, &stage, name, &format!("{name}.def"));
        }
    }
    let mut by_image: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in TABLE {
        by_image.entry(row.0).or_default().push(row);
    }
    let faults: Vec<String> = std::thread::scope(|scope| {
        let apptainer = &apptainer;
        let running: Vec<_> = by_image
            .into_values()
            .map(|rows| {
                scope.spawn(move || {
                    rows.into_iter()
                        .filter_map(|row| fault(apptainer, row))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        running
            .into_iter()
            .flat_map(|it| it.join().expect("no panic"))
            .collect()
    });
    assert!(
        faults.is_empty(),
        "{} of {} rows differ:\n\n{}",
        faults.len(),
        TABLE.len(),
        faults.join("\n")
    );
    what_stands_beside_is_the_same(&apptainer);
    for (image, name, right, wrong) in QUOTED_TWICE {
        let line = format!("exec_ sh -c 'printf %s \"${name}\"'");
        let says = |maker| outcome(&apptainer, maker, image, &line).stdout;
        assert_eq!(
            says(Maker::Us).trim_end_matches('\n'),
            *right,
            "{name} of our file is what the image says"
        );
        assert_eq!(
            says(Maker::Apptainer).trim_end_matches('\n'),
            at_home(wrong),
            "{name} of Apptainer's: has the fault been mended?"
        );
    }
}

/// The JSON objects in the files, but for what tells when and by whom they were made, and scripts of the runtime's own.
#[track_caller]
fn what_stands_beside_is_the_same(apptainer: &Apptainer) {
    let object = |maker: Maker, image: &str, name: &str| {
        let path = apptainer.path(maker.folder()).join(format!("{image}.sif"));
        let file = std::fs::File::open(path).expect("a file");
        let mut sif = SifReader::open(file).expect("a SIF file");
        let id = sif.json_named(name).map(|it| it.id);
        let bytes = id.map(|id| sif.read_object(id, 1 << 20).expect("an object"));
        bytes.map(|it| serde_json::from_slice::<Value>(&it).expect("JSON"))
    };
    let inspected = |maker: Maker, image: &str| {
        let mut json = object(maker, image, INSPECT_METADATA_NAME).expect("there is one");
        let attributes = json["data"]["attributes"]
            .as_object_mut()
            .expect("attributes");
        let labels = attributes["labels"].as_object_mut().expect("labels");
        labels.retain(|name, _| !MAKERS_LABELS.iter().any(|it| name.starts_with(it)));
        let environment = attributes["environment"]
            .as_object_mut()
            .expect("variables");
        for (_, text) in environment {
            *text = Value::Null;
        }
        if images::DEFFILES.iter().all(|(name, _)| *name != image) {
            for script in ["runscript", "startscript"] {
                *attributes.get_mut(script).expect("a script") = Value::Null;
            }
            attributes.remove("deffile");
        }
        json
    };
    let of_images = images::configs().into_iter().map(|(name, _)| name);
    for image in of_images.chain(images::DEFFILES.iter().map(|(name, _)| *name)) {
        let config = |maker| object(maker, image, OCI_CONFIG_NAME);
        assert_eq!(config(Maker::Us), config(Maker::Apptainer), "{image}");
        let inspected = |maker| inspected(maker, image);
        assert_eq!(inspected(Maker::Us), inspected(Maker::Apptainer), "{image}");
    }
}

/// What begins like this tells of the making.
const MAKERS_LABELS: [&str; 4] = [
    "org.label-schema.build-date",
    "org.label-schema.usage.apptainer.version",
    "org.opencontainers.image.created",
    "org.opencontainers.image.architecture",
];
