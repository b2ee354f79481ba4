//! Instructions that change how containers are run, and no file.
//!
//! Source: Docker's "Dockerfile reference"; OCI image specification, `config.md`.

use std::collections::BTreeMap;

use oci_format::config::{ContainerConfig, Empty};

use super::instruction::Command;
use super::words::{self, WordFault};

/// The shell of commands in the text form, unless SHELL says otherwise.
pub(super) const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// How containers will be run, and what later instructions need to know.
pub(super) struct Configuration {
    pub(super) config: ContainerConfig,
    /// `ARG`s.
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) shell: Vec<String>,
    /// Whether the command is that of the image below: an ENTRYPOINT takes it away.
    is_cmd_inherited: bool,
}

impl Configuration {
    pub(super) fn new(config: ContainerConfig) -> Self {
        Self {
            config,
            arguments: BTreeMap::new(),
            shell: SHELL.map(str::to_owned).to_vec(),
            is_cmd_inherited: true,
        }
    }

    /// What `$NAME` stands for: variables of the image win over arguments.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        // The last of equal names counts, as it does when a program is started.
        let mut variables = self.config.env.iter().rev();
        let found = variables.find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found
            .map(str::to_owned)
            .or_else(|| self.arguments.get(name).cloned())
    }

    pub(super) fn fill(&self, text: &str) -> Result<String, WordFault> {
        words::expand(text, &|name| self.value(name))
    }

    /// The text of a here-document with its variables filled in.
    pub(super) fn fill_document(&self, text: &str) -> Result<String, WordFault> {
        words::expand_document(text, &|name| self.value(name))
    }

    pub(super) fn env(&mut self, pairs: &[(String, String)]) -> Result<(), WordFault> {
        // All values of one instruction are filled in with what held before it.
        let filled: Vec<(String, String)> = pairs
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.fill(value)?)))
            .collect::<Result<_, WordFault>>()?;
        for (name, value) in filled {
            let entry = format!("{name}={value}");
            let begins = format!("{name}=");
            match self
                .config
                .env
                .iter_mut()
                .find(|it| it.starts_with(&begins))
            {
                Some(known) => *known = entry,
                None => self.config.env.push(entry),
            }
        }
        Ok(())
    }

    pub(super) fn label(&mut self, pairs: &[(String, String)]) -> Result<(), WordFault> {
        for (name, value) in pairs {
            let (name, value) = (self.fill(name)?, self.fill(value)?);
            self.config.labels.insert(name, value);
        }
        Ok(())
    }

    /// `predefined` are the arguments that every build has; they count where they are declared.
    pub(super) fn argument(
        &mut self,
        name: &str,
        value: Option<&str>,
        predefined: &[(&str, &str)],
    ) -> Result<(), WordFault> {
        let known = predefined.iter().find(|it| it.0 == name);
        let value = match (known, value) {
            (Some((_, value)), _) => Some((*value).to_owned()),
            (None, Some(value)) => Some(self.fill(value)?),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.arguments.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// The absolute path that `written` is, seen from the working directory.
    pub(super) fn absolute(&self, written: &str) -> String {
        let directory = self.config.working_dir.as_deref().unwrap_or("/");
        let joined = match written.starts_with('/') {
            true => written.to_owned(),
            false => format!("{directory}/{written}"),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    pub(super) fn workdir(&mut self, written: &str) -> Result<String, WordFault> {
        let path = self.absolute(&self.fill(written)?);
        self.config.working_dir = Some(path.clone());
        Ok(path)
    }

    pub(super) fn user(&mut self, written: &str) -> Result<(), WordFault> {
        self.config.user = Some(self.fill(written)?);
        Ok(())
    }

    /// The program and its arguments.
    pub(super) fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => {
                let shell = self.shell.iter().cloned();
                shell.chain([text.clone()]).collect()
            }
        }
    }

    pub(super) fn entrypoint(&mut self, command: &Command) {
        self.config.entrypoint = Some(self.words(command)).filter(|it| !it.is_empty());
        if self.is_cmd_inherited {
            self.config.cmd = None;
        }
    }

    pub(super) fn cmd(&mut self, command: &Command) {
        self.config.cmd = Some(self.words(command)).filter(|it| !it.is_empty());
        self.is_cmd_inherited = false;
    }

    /// `80`, `80/udp`, `8000-8010`.
    pub(super) fn expose(&mut self, ports: &[String]) -> Result<(), WordFault> {
        for written in ports {
            let filled = self.fill(written)?;
            for port in filled.split_whitespace() {
                let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.parse::<u16>().ok();
                let (Some(first), Some(last)) = (number(first), number(last)) else {
                    return Err((0..written.len(), format!("`{port}` is no port")));
                };
                for port in first..=last {
                    let port = format!("{port}/{}", protocol.to_ascii_lowercase());
                    self.config.exposed_ports.insert(port, Empty {});
                }
            }
        }
        Ok(())
    }

    pub(super) fn volume(&mut self, paths: &[String]) -> Result<(), WordFault> {
        for path in paths {
            let path = self.fill(path)?;
            self.config.volumes.insert(path, Empty {});
        }
        Ok(())
    }

    pub(super) fn stop_signal(&mut self, written: &str) -> Result<(), WordFault> {
        self.config.stop_signal = Some(self.fill(written)?);
        Ok(())
    }
}
