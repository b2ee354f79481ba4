//! The parts of a definition file that end up in the container.
//!
//! Texts are those between section headers, as they stand in the file.
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/metadata.go`.

use indexmap::IndexMap;

/// A section that is a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The lines below the section's header.
    pub text: String,
    /// What stands behind the section's name: goes to the interpreter, as in `%runscript -e`.
    pub arguments: Option<String>,
}

/// What a definition file says about the container. All is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionParts {
    /// The whole definition file.
    pub text: String,
    /// Its header: `bootstrap`, `from`, …, with keys in lower case. They become labels.
    pub header: IndexMap<String, String>,
    /// `%help`.
    pub help: Option<String>,
    /// `%environment`.
    pub environment: Option<String>,
    /// `%runscript`.
    pub runscript: Option<Script>,
    /// `%startscript`.
    pub startscript: Option<Script>,
    /// `%test`.
    pub test: Option<Script>,
    /// `%labels`.
    pub labels: IndexMap<String, String>,
    /// What `%post` wrote into the file that `$APPTAINER_LABELS` names: they replace those of the image.
    pub added_labels: IndexMap<String, String>,
    /// The apps by name, in the order of the file.
    pub apps: IndexMap<String, AppParts>,
}

/// What a definition file says about an app. All is optional.
///
/// `%appinstall` and `%appfiles` act while the image is built: see [`install_script`](super::apps::install_script).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppParts {
    /// `%apphelp`.
    pub help: Option<String>,
    /// `%appenv`.
    pub environment: Option<String>,
    /// `%apprun`.
    pub runscript: Option<String>,
    /// `%appstart`.
    pub startscript: Option<String>,
    /// `%apptest`.
    pub test: Option<String>,
    /// `%applabels`.
    pub labels: IndexMap<String, String>,
}

impl Script {
    /// A section without arguments.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            arguments: None,
        }
    }

    /// The file that is made from the section: its own `#!` line goes first, and is `#!/bin/sh` when it has none.
    #[must_use]
    pub fn file_text(&self) -> String {
        let begin = self.text.trim_start();
        let (mut interpreter, body) = if begin.starts_with("#!") {
            let (first, body) = begin.split_once('\n').unwrap_or((begin, ""));
            (first.trim_end().to_owned(), body)
        } else {
            ("#!/bin/sh".to_owned(), self.text.as_str())
        };
        if let Some(arguments) = self
            .arguments
            .as_deref()
            .filter(|arguments| !arguments.is_empty())
        {
            let (arguments, _comment) = arguments.split_once('#').unwrap_or((arguments, ""));
            interpreter = format!("{interpreter} {arguments}");
        }
        format!("{interpreter}\n\n{body}\n")
    }
}

/// The text of a section, unless it is empty: an empty section is as good as none.
pub(crate) fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_line_comes_first_with_its_arguments() {
        assert_eq!(
            Script::new("    echo\n").file_text(),
            "#!/bin/sh\n\n    echo\n\n"
        );
        assert_eq!(
            Script::new("  #!/bin/bash -u\necho\n").file_text(),
            "#!/bin/bash -u\n\necho\n\n"
        );
        assert_eq!(
            Script::new("\n#!/bin/bash\necho\n").file_text(),
            "#!/bin/bash\n\necho\n\n"
        );
        let with = |arguments: &str| Script {
            text: "x\n".to_owned(),
            arguments: Some(arguments.to_owned()),
        };
        assert_eq!(with("-e").file_text(), "#!/bin/sh -e\n\nx\n\n");
        assert_eq!(with("-e # why").file_text(), "#!/bin/sh -e \n\nx\n\n");
        assert_eq!(Script::new("#!/bin/true").file_text(), "#!/bin/true\n\n\n");
    }
}
