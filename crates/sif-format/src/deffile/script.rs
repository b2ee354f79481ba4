//! The text of a section, and how Apptainer runs it.

/// The text of a section, with what stands behind the section's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// What follows the name and one blank, with comments. Empty if nothing does.
    pub arguments: String,
    /// The lines, each ended by a line feed. Empty only if the section is absent or has no line.
    pub text: String,
}

impl Script {
    /// Whether there is no line, not even a blank one: Apptainer then takes the section for absent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether running it would do anything: a line that is neither blank nor a comment, or arguments that name a
    /// command.
    #[must_use]
    pub fn has_commands(&self) -> bool {
        !self.is_empty()
            && (!self.arguments_without_comment().trim().is_empty()
                || self.text.lines().any(|line| {
                    let line = line.trim();
                    !line.is_empty() && !line.starts_with('#')
                }))
    }

    /// The text of the executable file in `/.singularity.d` that `%runscript`, `%startscript` or `%test` becomes: the
    /// interpreter that the script names, or `/bin/sh`, with the section's arguments.
    /// [Apptainer: `internal/pkg/build/metadata.go`, `handleShebangScript`]
    #[must_use]
    pub fn executable(&self) -> String {
        let (interpreter, body) = if self.text.trim_start().starts_with("#!") {
            let (first, rest) = self.text.split_once('\n').unwrap_or((&self.text, ""));
            (first.trim(), rest)
        } else {
            ("#!/bin/sh", self.text.as_str())
        };
        if self.arguments.is_empty() {
            format!("{interpreter}\n\n{body}\n")
        } else {
            let arguments = self.arguments_without_comment();
            format!("{interpreter} {arguments}\n\n{body}\n")
        }
    }

    /// The command that runs `%pre`, `%setup` or `%post` once the script is written to `path`; nothing if the
    /// arguments have a `-c` without a command. [Apptainer: `internal/pkg/build/util.go`, `getSectionScriptArgs`]
    #[must_use]
    pub fn command(&self, path: &str) -> Option<Vec<String>> {
        let words: Vec<&str> = self
            .arguments_without_comment()
            .split_whitespace()
            .collect();
        let mut command = vec!["/bin/sh".to_owned(), "-ex".to_owned()];
        match words.iter().position(|word| *word == "-c") {
            None => {
                command.extend(words.iter().map(|word| (*word).to_owned()));
                command.push(path.to_owned());
            }
            // All that follows -c is one argument, and the script is the last word of it.
            Some(at) => {
                let (before, after) = words.split_at(at + 1);
                if after.is_empty() {
                    return None;
                }
                command.extend(before.iter().map(|word| (*word).to_owned()));
                command.push(format!("{} {path}", after.join(" ")));
            }
        }
        Some(command)
    }

    pub(super) fn arguments_without_comment(&self) -> &str {
        self.arguments.split('#').next().unwrap_or_default()
    }

    /// Adds another section of the same name: its lines follow, its arguments replace.
    pub(super) fn join(&mut self, arguments: Option<&str>, text: &str) {
        if let Some(arguments) = arguments {
            arguments.clone_into(&mut self.arguments);
        }
        self.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(arguments: &str, text: &str) -> Script {
        Script {
            arguments: arguments.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn an_executable_keeps_its_interpreter_or_gets_the_shell() {
        let cases = [
            ("", "  echo a\n", "#!/bin/sh\n\n  echo a\n\n"),
            (
                "",
                "#!/usr/bin/env python3\nprint(1)\n",
                "#!/usr/bin/env python3\n\nprint(1)\n\n",
            ),
            ("-e # stop", "echo a\n", "#!/bin/sh -e \n\necho a\n\n"),
            // As Apptainer does it; the parser warns.
            ("", "\n#!/bin/bash\necho\n", "\n\n#!/bin/bash\necho\n\n"),
        ];
        for (arguments, text, expected) in cases {
            assert_eq!(script(arguments, text).executable(), expected, "{text:?}");
        }
    }

    #[test]
    fn build_sections_run_in_the_shell_or_in_what_follows_c() {
        let command = |arguments| script(arguments, "true\n").command("/.post.script");
        let words = |words: &[&str]| {
            Some(
                words
                    .iter()
                    .map(|&word| word.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(command(""), words(&["/bin/sh", "-ex", "/.post.script"]));
        assert_eq!(
            command("-u # why"),
            words(&["/bin/sh", "-ex", "-u", "/.post.script"])
        );
        assert_eq!(
            command("-c /bin/bash -l"),
            words(&["/bin/sh", "-ex", "-c", "/bin/bash -l /.post.script"])
        );
        assert_eq!(command("-c  # nothing"), None);
    }

    #[test]
    fn comments_and_blank_lines_are_no_commands() {
        assert!(!script("", "").has_commands());
        assert!(!script("", "\n  # nothing yet\n\n").has_commands());
        assert!(!script("-c /bin/bash", "").has_commands());
        assert!(script("", "\n  true\n").has_commands());
        assert!(script("-c /bin/bash", "\n").has_commands());
    }
}
