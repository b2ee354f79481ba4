//! The files that every container has, whatever it was made from.
//!
//! ```text
//! .singularity.d/env/01-base.sh               nothing
//!                    10-docker2singularity.sh  OCI images: their Env          (oci_config)
//!                    90-environment.sh         %environment                   (assemble)
//!                    94-appsbase.sh            where apps are                  (apps)
//!                    95-apps.sh                the environment of --app
//!                    99-base.sh                library path and prompt; --env is applied right after it
//!                    99-runtimevars.sh         what --env PREPEND_PATH and the like ask for
//! ```
//!
//! The runtime sources `env/*.sh` in the order of their names and acts by itself; the scripts in `actions` serve runtimes before
//! Singularity 3.6.
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/sources/base_environment.go`.

use super::root::{Overlay, RootEntry};
use super::{EntryKind, mount_points};

/// `env/90-environment.sh` before a definition file adds to it.
pub(crate) const ENVIRONMENT: &str =
    "#!/bin/sh\n# The environment of the definition file follows.\n";

const BASE: &str = "#!/bin/sh\n";

const APPS: &str = r#"#!/bin/sh
# The environment of the app that --app names.
if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    export SINGULARITY_APPNAME
    SCIF_APPS="/scif/apps"
    SCIF_APPROOT="${SCIF_APPS}/${SINGULARITY_APPNAME}"
    if [ ! -d "${SCIF_APPROOT}/" ]; then
        echo "Could not locate the container application: ${SINGULARITY_APPNAME}"
        exit 1
    fi
    export SCIF_APPS SCIF_APPROOT
    PATH="${SCIF_APPROOT}:${SCIF_APPS}/singularity:${PATH}"
    if [ -d "${SCIF_APPROOT}/bin" ]; then
        PATH="${SCIF_APPROOT}/bin:${PATH}"
    fi
    if [ -d "${SCIF_APPROOT}/lib" ]; then
        LD_LIBRARY_PATH="${SCIF_APPROOT}/lib:${LD_LIBRARY_PATH:-}"
        export LD_LIBRARY_PATH
    fi
    if [ -f "${SCIF_APPROOT}/scif/env/01-base.sh" ]; then
        . "${SCIF_APPROOT}/scif/env/01-base.sh"
    fi
    if [ -f "${SCIF_APPROOT}/scif/env/90-environment.sh" ]; then
        . "${SCIF_APPROOT}/scif/env/90-environment.sh"
    fi
    export PATH
fi
"#;

const LIBRARIES_AND_PROMPT: &str = r#"#!/bin/sh
if [ -z "${LD_LIBRARY_PATH:-}" ]; then
    LD_LIBRARY_PATH="/.singularity.d/libs"
else
    LD_LIBRARY_PATH="${LD_LIBRARY_PATH}:/.singularity.d/libs"
fi
if [ -z "${PS1:-}" ]; then
    PS1="Apptainer> "
fi
export LD_LIBRARY_PATH PS1
"#;

const RUNTIME_VARIABLES: &str = r#"#!/bin/sh
if [ -n "${SING_USER_DEFINED_PREPEND_PATH:-}" ]; then
    PATH="${SING_USER_DEFINED_PREPEND_PATH}:${PATH}"
fi
if [ -n "${SING_USER_DEFINED_APPEND_PATH:-}" ]; then
    PATH="${PATH}:${SING_USER_DEFINED_APPEND_PATH}"
fi
if [ -n "${SING_USER_DEFINED_PATH:-}" ]; then
    PATH="${SING_USER_DEFINED_PATH}"
fi
unset SING_USER_DEFINED_PREPEND_PATH SING_USER_DEFINED_APPEND_PATH SING_USER_DEFINED_PATH
export PATH
"#;

const NO_RUNSCRIPT: &str = "#!/bin/sh\necho \"There is no runscript defined for this container\"\n";

/// How every action begins.
macro_rules! action {
    ($rest:literal) => {
        concat!("#!/bin/sh\nfor script in /.singularity.d/env/*.sh; do\n    if [ -f \"$script\" ]; then\n        . \"$script\"\n    fi\ndone\n", $rest)
    };
}

const ACTIONS: [(&str, &str); 5] = [
    ("exec", action!("exec \"$@\"\n")),
    (
        "run",
        action!(
            r#"if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    exec "/scif/apps/${SINGULARITY_APPNAME}/scif/runscript" "$@"
fi
if [ -x /.singularity.d/runscript ]; then
    exec /.singularity.d/runscript "$@"
fi
echo "No runscript found in container, executing /bin/sh" >&2
exec /bin/sh "$@"
"#
        ),
    ),
    (
        "shell",
        action!(
            r#"if [ -n "${SINGULARITY_SHELL:-}" ] && [ -x "$SINGULARITY_SHELL" ]; then
    exec "$SINGULARITY_SHELL" "$@"
fi
if [ -x /bin/bash ]; then
    SHELL=/bin/bash
    export SHELL
    exec /bin/bash --norc "$@"
fi
SHELL=/bin/sh
export SHELL
exec /bin/sh "$@"
"#
        ),
    ),
    // The runtime of that age waits for the signal.
    (
        "start",
        concat!(
            "#!/bin/sh\nkill -CONT 1\n",
            "for script in /.singularity.d/env/*.sh; do\n    if [ -f \"$script\" ]; then\n        . \"$script\"\n    fi\ndone\n",
            "if [ -x /.singularity.d/startscript ]; then\n    exec /.singularity.d/startscript\nfi\n",
        ),
    ),
    (
        "test",
        action!(
            r#"if [ -n "${SINGULARITY_APPNAME:-}" ]; then
    if [ -x "/scif/apps/${SINGULARITY_APPNAME}/scif/test" ]; then
        exec "/scif/apps/${SINGULARITY_APPNAME}/scif/test" "$@"
    fi
    echo "No tests for contained app: ${SINGULARITY_APPNAME}"
    exit 1
fi
if [ -x /.singularity.d/test ]; then
    exec /.singularity.d/test "$@"
fi
echo "No test found in container, executing /bin/sh -c true"
exec /bin/sh -c true
"#
        ),
    ),
];

/// Links at the root that older tools look for.
const LINKS: [(&str, &str); 6] = [
    ("singularity", ".singularity.d/runscript"),
    (".run", ".singularity.d/actions/run"),
    (".exec", ".singularity.d/actions/exec"),
    (".test", ".singularity.d/actions/test"),
    (".shell", ".singularity.d/actions/shell"),
    ("environment", ".singularity.d/env/90-environment.sh"),
];

/// Puts the files of every container. With `overwrite`, files that the image has are replaced.
pub(crate) fn put(root: &mut Overlay<'_>, overwrite: bool) {
    for directory in ["", "/actions", "/env", "/libs"] {
        root.put_directory(&format!(".singularity.d{directory}"));
    }
    for (path, target) in LINKS {
        if matches!(root.kind(path), None | Some(EntryKind::Symlink)) {
            root.put(RootEntry::symlink(path, target));
        }
    }
    for entry in mount_points::missing(root) {
        root.put(entry);
    }
    let actions = ACTIONS.map(|(name, text)| (format!("actions/{name}"), text));
    let others = [
        ("env/01-base.sh", BASE),
        ("env/90-environment.sh", ENVIRONMENT),
        // Filled where there are apps.
        ("env/94-appsbase.sh", ""),
        ("env/95-apps.sh", APPS),
        ("env/99-base.sh", LIBRARIES_AND_PROMPT),
        ("env/99-runtimevars.sh", RUNTIME_VARIABLES),
        ("runscript", NO_RUNSCRIPT),
        ("startscript", BASE),
    ];
    let others = others.map(|(name, text)| (name.to_owned(), text));
    for (name, text) in actions.into_iter().chain(others) {
        let path = format!(".singularity.d/{name}");
        if overwrite || root.kind(&path) != Some(EntryKind::File) {
            root.put(RootEntry::file(&path, 0o755, text));
        }
    }
}
