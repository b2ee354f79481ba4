//! The `config` of an OCI image: what Apptainer makes of it.
//!
//! | member | becomes |
//! |---|---|
//! | `Env` | [`environment_script`](OciConfig::environment_script) |
//! | `Entrypoint`, `Cmd` | [`runscript`](OciConfig::runscript) |
//! | `Labels` | labels |
//! | `WorkingDir`, `User`, `ExposedPorts`, `Volumes`, `StopSignal` | nothing: the runtime uses the caller's directory and user |
//!
//! All of it is kept, as it is, in the object `oci-config.json`.
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/sources/conveyorPacker_oci.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::SingularityError;
use super::shell::{double_quoted_words, is_variable_name, single_quoted};

/// Name of the JSON object that holds the config.
pub const OCI_CONFIG_NAME: &str = "oci-config.json";

/// The parts of an OCI image config that matter at run time, and the whole of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OciConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that the caller may replace.
    pub cmd: Vec<String>,
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The whole `config` member, for `oci-config.json`.
    pub json: Value,
}

/// How the members are written in JSON: any may be absent or `null`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Members {
    #[serde(deserialize_with = "one_or_many")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    cmd: Vec<String>,
    env: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Old images have one text where the specification has a list.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(word)) => vec![word],
        Some(OneOrMany::Many(words)) => words,
    })
}

impl OciConfig {
    /// From the `config` member of an image config.
    ///
    /// # Errors
    /// When `Entrypoint`, `Cmd`, `Env` or `Labels` has another type than the specification says.
    pub fn from_json(config: Value) -> Result<Self, SingularityError> {
        let members = match &config {
            Value::Null => Members::default(),
            some => Members::deserialize(some).map_err(SingularityError::OciConfig)?,
        };
        Ok(Self {
            entrypoint: members.entrypoint,
            cmd: members.cmd,
            env: members.env.unwrap_or_default(),
            labels: members.labels.unwrap_or_default(),
            json: config,
        })
    }

    /// `env/10-docker2singularity.sh`: exports the variables.
    ///
    /// `PATH` is set outright. Every other variable is set unless it is already, as some are not the image's to choose:
    /// the runtime keeps the caller's `HOME` and `PWD`. Names that the shell does not take, and values with a NUL, are
    /// left out.
    #[must_use]
    pub fn environment_script(&self) -> String {
        let mut text = "#!/bin/sh\n".to_owned();
        for variable in &self.env {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            if !is_variable_name(name) || value.contains('\0') {
                continue;
            }
            let value = single_quoted(value);
            text += &match name {
                "PATH" => format!("export {name}={value}\n"),
                _ => format!("[ -n \"${{{name}:-}}\" ] || {name}={value}\nexport {name}\n"),
            };
        }
        text
    }

    /// `runscript`: runs the entrypoint with the command or with the caller's arguments instead of it.
    ///
    /// The runtime knows such a script by its `eval` line and interprets it itself, so that images without a shell run
    /// as well. The line has to stay exactly as it is.
    ///
    /// By default the words go through the shell once more, so `$HOME` in an argument means something; with
    /// `SINGULARITY_NO_EVAL` they are passed on as they are.
    #[must_use]
    pub fn runscript(&self) -> String {
        let words = |words: &[String]| single_quoted(&double_quoted_words(words));
        let set = |words: &[String], rest: &str| {
            let quoted: Vec<String> = words
                .iter()
                .map(|word| format!("{} ", single_quoted(word)))
                .collect();
            format!("set -- {}{rest}", quoted.concat())
        };
        let (entrypoint, cmd) = (without_nul(&self.entrypoint), without_nul(&self.cmd));
        format!(
            r#"#!/bin/sh
OCI_ENTRYPOINT={entrypoint_words}
OCI_CMD={cmd_words}

if [ $# -eq 0 ] && [ -z "$OCI_ENTRYPOINT$OCI_CMD" ]; then
    echo "This image has no default command: name one" >&2
    exit 1
fi

# With SINGULARITY_NO_EVAL, words are passed on as they are.
if [ -n "$SINGULARITY_NO_EVAL" ]; then
    if [ $# -eq 0 ]; then
        {set_cmd}
    fi
    {set_entrypoint}
    exec "$@"
fi

# Otherwise they go through the shell once more.
CMDLINE_ARGS=""
for arg in "$@"; do
    CMDLINE_ARGS="${{CMDLINE_ARGS}} \"$arg\""
done
if [ $# -gt 0 ]; then
    SINGULARITY_OCI_RUN="-- ${{OCI_ENTRYPOINT}} ${{CMDLINE_ARGS}}"
else
    SINGULARITY_OCI_RUN="-- ${{OCI_ENTRYPOINT}} ${{OCI_CMD}}"
fi

# Apptainer looks for this line.
eval "set ${{SINGULARITY_OCI_RUN}}"
exec "$@"
"#,
            entrypoint_words = words(&entrypoint),
            cmd_words = words(&cmd),
            set_cmd = set(&cmd, "").trim_end(),
            set_entrypoint = set(&entrypoint, "\"$@\""),
        )
    }

    /// The content of `oci-config.json`; none without a config. Members that are empty are left out, as Go's `omitempty` does.
    #[must_use]
    pub fn object(&self) -> Option<String> {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        match &self.json {
            Value::Null => None,
            Value::Object(members) => {
                let members = members.iter().filter(|(_, value)| !is_empty(value));
                let members: serde_json::Map<String, Value> = members
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                Some(Value::Object(members).to_string())
            }
            other => Some(other.to_string()),
        }
    }
}

/// No argument of a program can hold a NUL, and no script.
fn without_nul(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.replace('\0', "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_is_read_in_all_its_forms() {
        let config = json!({"Entrypoint": "/bin/a", "Cmd": null, "Env": ["A=1"], "User": "1234"});
        let read = OciConfig::from_json(config.clone()).unwrap();
        assert_eq!(
            (read.entrypoint, read.cmd),
            (vec!["/bin/a".to_owned()], vec![])
        );
        assert_eq!(
            (read.env, read.labels),
            (vec!["A=1".to_owned()], BTreeMap::new())
        );
        assert_eq!(read.json, config);
        assert_eq!(OciConfig::from_json(Value::Null).unwrap().object(), None);
        assert_eq!(
            OciConfig::from_json(json!({})).unwrap().object().unwrap(),
            "{}"
        );
        let empty = json!({"Cmd": null, "Entrypoint": [], "Labels": {}, "User": "", "Env": ["A="]});
        assert_eq!(
            OciConfig::from_json(empty).unwrap().object().unwrap(),
            r#"{"Env":["A="]}"#
        );
        assert!(OciConfig::from_json(json!({"Env": "A=1"})).is_err());
        assert!(OciConfig::from_json(json!({"Labels": {"a": 1}})).is_err());
    }

    #[test]
    fn variables_are_exported_unless_the_shell_cannot() {
        let env = ["PATH=/bin", "A=it's $B", "E", "1X=2", "A-B=c", "N=\0", "=x"];
        let config = OciConfig {
            env: env.map(ToOwned::to_owned).to_vec(),
            ..OciConfig::default()
        };
        let expected = concat!(
            "#!/bin/sh\n",
            "export PATH='/bin'\n",
            "[ -n \"${A:-}\" ] || A='it'\"'\"'s $B'\nexport A\n",
            "[ -n \"${E:-}\" ] || E=''\nexport E\n",
        );
        assert_eq!(config.environment_script(), expected);
    }

    #[test]
    fn the_runscript_holds_words_both_ways_and_the_line_that_apptainer_looks_for() {
        let config = OciConfig {
            entrypoint: vec!["/bin/echo".to_owned(), "it's".to_owned()],
            cmd: vec!["$HOME".to_owned()],
            ..OciConfig::default()
        };
        let text = config.runscript();
        for line in [
            r#"OCI_ENTRYPOINT='"/bin/echo" "it'"'"'s"'"#,
            r#"OCI_CMD='"\$HOME"'"#,
            r#"        set -- '$HOME'"#,
            r#"    set -- '/bin/echo' 'it'"'"'s' "$@""#,
            r#"eval "set ${SINGULARITY_OCI_RUN}""#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let empty = OciConfig::default().runscript();
        assert!(empty.contains("OCI_ENTRYPOINT=''\nOCI_CMD=''\n"), "{empty}");
    }
}
