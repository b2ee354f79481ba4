//! `login`: credentials that we find, for programs that do not look where we do.
//!
//! Amazon's registry gives tokens for twelve hours to who has AWS credentials. Podman, Docker and Apptainer know nothing of
//! these: they read a file, and this writes the token there, as `podman login` would.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use spacktainers::mirror::Network;
use spacktainers::project::{Project, Settings};
use spacktainers::publish::check_template;
use spacktainers::registry::auth::{Credential, log_in};

use super::session;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

#[derive(Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// Host, with port where there is one; none means all registries that the settings publish to
    pub(crate) registry: Option<String>,
    /// The file to write; default: REGISTRY_AUTH_FILE, else Docker's `config.json`, which Podman and Apptainer read as well
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
    /// Print the password or token, and write no file: for `… | podman login --username USER --password-stdin HOST`
    #[arg(long, requires = "registry", conflicts_with = "auth_file")]
    pub(crate) password_stdout: bool,
}

pub(super) fn run(args: &LoginArgs, context: &Context) -> Result<Exit, Failure> {
    let project = Project::load(&context.project);
    let settings = project.map(|it| it.settings).unwrap_or_default();
    let environment = Arc::new(session::environment());
    let network = Network::new(session::PATIENCE);
    let store = session::credentials(&settings, &network, &environment);
    let registries: BTreeSet<String> = match &args.registry {
        Some(registry) => [registry.clone()].into(),
        None => published(&settings),
    };
    if registries.is_empty() {
        let why = anyhow::anyhow!("the settings publish to no registry");
        return Err(Failure::new(Exit::Usage, why).hint("name one: `spacktainers login ghcr.io`"));
    }
    super::block_on(async {
        let mut outcomes = Vec::new();
        let mut worst = Exit::Done;
        for registry in &registries {
            let found = store.find(registry, "").await;
            let found = found.map_err(|error| Failure::new(Exit::Refused, error))?;
            let Some(credential) = found else {
                printer::err(&format!("there are no credentials for {registry}"));
                outcomes.push(json!({"registry": registry, "state": "unknown"}));
                worst = Exit::Refused;
                continue;
            };
            if args.password_stdout {
                printer::out(secret(&credential));
                return Ok(Exit::Done);
            }
            let file = file(args)?;
            log_in(&file, registry, &credential)
                .map_err(|error| Failure::new(Exit::Fault, error))?;
            printer::err(&format!("{registry}: wrote to {}", file.display()));
            outcomes.push(json!({
                "registry": registry,
                "state": "written",
                "user": user(&credential),
                "file": file.display().to_string(),
            }));
        }
        if context.json {
            let document: Value = json!({"event": "result", "registries": outcomes});
            printer::out(&document.to_string());
        }
        Ok(worst)
    })
}

/// The registries of all environments.
fn published(settings: &Settings) -> BTreeSet<String> {
    let templates = settings.publish.values().flat_map(|it| it.templates());
    templates
        .filter(|it| check_template(it).is_ok())
        .filter_map(|it| {
            let rest = it
                .strip_prefix("docker://")
                .or_else(|| it.strip_prefix("oras://"))?;
            Some(rest.split('/').next()?.to_owned())
        })
        .collect()
}

/// Where the container tools look.
fn file(args: &LoginArgs) -> Result<PathBuf, Failure> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    args.auth_file
        .clone()
        .or_else(|| variable("REGISTRY_AUTH_FILE"))
        .or_else(|| variable("DOCKER_CONFIG").map(|it| it.join("config.json")))
        .or_else(|| variable("HOME").map(|it| it.join(".docker/config.json")))
        .ok_or_else(|| {
            let why = anyhow::anyhow!("there is no place for credentials: HOME is not set");
            Failure::new(Exit::Usage, why).hint("say --auth-file FILE")
        })
}

fn user(credential: &Credential) -> Option<&str> {
    match credential {
        Credential::Password { user, .. } => Some(user),
        Credential::IdentityToken(_) => None,
    }
}

fn secret(credential: &Credential) -> &str {
    match credential {
        Credential::Password { password, .. } => password,
        Credential::IdentityToken(token) => token,
    }
}
