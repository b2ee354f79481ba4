//! SCIF apps: programs of one container that are run by name, with `--app NAME`.
//!
//! ```text
//! scif/apps/NAME/{bin,lib}                    for the app's files
//!                scif/env/01-base.sh           SCIF_APP* variables
//!                scif/env/90-environment.sh    %appenv
//!                scif/{runscript,startscript,test,runscript.help,labels.json}
//! scif/data/NAME/{input,output}
//! .singularity.d/env/94-appsbase.sh            where each app is, for everybody
//! ```
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/apps/apps.go`.

use indexmap::IndexMap;

use super::definition::given;
use super::labels::{Labels, indented};
use super::root::{Overlay, RootEntry};
use super::{AppParts, SingularityError};

/// Checks that a name can be a directory and a bare word of a script.
fn check(name: &str) -> Result<(), SingularityError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte);
    if name.bytes().all(fine) && !matches!(name, "" | "." | "..") && !name.starts_with('-') {
        Ok(())
    } else {
        Err(SingularityError::AppName(name.to_owned()))
    }
}

/// Puts all apps.
pub(crate) fn put(
    root: &mut Overlay<'_>,
    apps: &IndexMap<String, AppParts>,
) -> Result<(), SingularityError> {
    let mut everybody = String::new();
    for (name, app) in apps {
        check(name)?;
        let (home, data) = (format!("scif/apps/{name}"), format!("scif/data/{name}"));
        for directory in ["bin", "lib", "scif", "scif/env"] {
            root.put_directory(&format!("{home}/{directory}"));
        }
        for directory in ["input", "output"] {
            root.put_directory(&format!("{data}/{directory}"));
        }
        let meta = format!("{home}/scif");
        let mut put = |file: &str, mode, text: String| {
            root.put(RootEntry::file(&format!("{meta}/{file}"), mode, text))
        };
        put("env/01-base.sh", 0o755, base_script(name));
        if let Some(text) = given(app.environment.as_ref()) {
            put("env/90-environment.sh", 0o755, text.to_owned());
        }
        let scripts = [
            ("runscript", &app.runscript),
            ("startscript", &app.startscript),
            ("test", &app.test),
        ];
        for (file, text) in scripts {
            if let Some(text) = given(text.as_ref()) {
                put(file, 0o755, format!("#!/bin/sh\n\n{text}\n"));
            }
        }
        if let Some(text) = given(app.help.as_ref()) {
            put("runscript.help", 0o644, text.to_owned());
        }
        let mut labels = Labels::from([("SCIF_APP_NAME".to_owned(), name.clone())]);
        labels.extend(
            app.labels
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        root.put(RootEntry::file(
            &format!("{meta}/labels.json"),
            0o644,
            indented(&labels),
        ));
        everybody += &locations(root, name);
    }
    if !apps.is_empty() {
        root.put(RootEntry::file(
            ".singularity.d/env/94-appsbase.sh",
            0o755,
            everybody,
        ));
    }
    Ok(())
}

/// The app's own `01-base.sh`.
fn base_script(name: &str) -> String {
    format!(
        r#"#!/bin/sh
SCIF_APPNAME="{name}"
SCIF_APPROOT="/scif/apps/{name}"
SCIF_APPMETA="/scif/apps/{name}/scif"
SCIF_DATA="/scif/data"
SCIF_APPDATA="/scif/data/{name}"
SCIF_APPINPUT="/scif/data/{name}/input"
SCIF_APPOUTPUT="/scif/data/{name}/output"
export SCIF_APPDATA SCIF_APPNAME SCIF_APPROOT SCIF_APPMETA SCIF_APPINPUT SCIF_APPOUTPUT SCIF_DATA
"#
    )
}

/// The app's lines in `94-appsbase.sh`. Only the names of variables have dashes and dots replaced, never paths.
fn locations(root: &Overlay<'_>, name: &str) -> String {
    let variable: String = name
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '_' })
        .collect();
    let mut text = format!("# {name}\n");
    for (key, path) in [
        ("DATA", format!("/scif/data/{name}")),
        ("META", format!("/scif/apps/{name}/scif")),
        ("ROOT", format!("/scif/apps/{name}")),
        ("BIN", format!("/scif/apps/{name}/bin")),
        ("LIB", format!("/scif/apps/{name}/lib")),
    ] {
        text += &format!("export SCIF_APP{key}_{variable}=\"{path}\"\n");
    }
    for (key, file) in [
        ("ENV", "env/90-environment.sh"),
        ("LABELS", "labels.json"),
        ("RUN", "runscript"),
        ("START", "startscript"),
    ] {
        let path = format!("scif/apps/{name}/scif/{file}");
        if root.kind(&path).is_some() {
            text += &format!("export SCIF_APP{key}_{variable}=\"/{path}\"\n");
        }
    }
    text
}

/// The commands of `%appinstall`, to be run in the image after `%post` as part of the same script.
///
/// # Errors
/// When the name cannot be a directory.
pub fn install_script(name: &str, appinstall: &str) -> Result<String, SingularityError> {
    check(name)?;
    Ok(format!(
        "\ncd /\n. /scif/apps/{name}/scif/env/01-base.sh\n\ncd /scif/apps/{name}\n{appinstall}\n\ncd /\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_directory_are_refused() {
        for name in ["", ".", "..", "a/b", "a b", "$(id)", "a\nb", "-a", "a\"b"] {
            assert!(
                matches!(install_script(name, ""), Err(SingularityError::AppName(_))),
                "{name}"
            );
        }
        let script = install_script("foo-1.0", "touch here").unwrap();
        assert!(
            script.contains("cd /scif/apps/foo-1.0\ntouch here\n"),
            "{script}"
        );
    }
}
