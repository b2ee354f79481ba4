//! Mirrors by their name in the settings, or by path or URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use spacktainers::build_cache::{Catalog, PushOptions, RegistryCache};
use spacktainers::diagnostic::Sources;
use spacktainers::fetch::Trust;
use spacktainers::mirror::{Access, Location, Source, WriteTarget, connect, connect_writer};
use spacktainers::openpgp::{KeySource, SecretKey};
use spacktainers::project::{MirrorSettings, SETTINGS_FILE, Settings};

use super::super::session;
use super::args::{PassphraseArgs, TrustArgs};
use crate::context::{Context, Failure};
use crate::diagnostics;
use crate::exit::Exit;
use crate::printer;

/// Where CI jobs have what unlocks the secret key.
const PASSPHRASE_VARIABLE: &str = "SPACK_DEPLOYMENT_KEY_PASSPHRASE";

/// A mirror that somebody named.
pub(super) struct Named {
    /// As it was named.
    pub(super) name: String,
    pub(super) location: Location,
    /// What the settings say of it.
    settings: Option<MirrorSettings>,
}

/// The settings of the project, if there is one: build caches are looked after from anywhere.
pub(super) fn settings(context: &Context) -> Result<Settings, Failure> {
    let path = context.project.join(SETTINGS_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Settings::default());
        }
        Err(error) => {
            let error =
                anyhow::Error::new(error).context(format!("cannot read `{}`", path.display()));
            return Err(Failure::new(Exit::Usage, error));
        }
    };
    let mut sources = Sources::default();
    let id = sources.add(&path, text.clone());
    let (settings, faults) = Settings::parse(&text, id, &context.project);
    let mut is_wrong = false;
    for fault in &faults {
        printer::err(&diagnostics::render(
            fault,
            &sources,
            printer::has_colours(),
        ));
        is_wrong |= fault.is_error();
    }
    if is_wrong {
        return Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("there is a fault in `{}`", path.display()),
        ));
    }
    Ok(settings)
}

/// The mirrors of these names; without names those of the settings that `default` takes.
pub(super) fn all(
    names: &[String],
    settings: &Settings,
    default: impl Fn(&MirrorSettings) -> bool,
    which: &str,
) -> Result<Vec<Named>, Failure> {
    let found: Vec<Named> = if names.is_empty() {
        let wanted = settings.mirrors.iter().filter(|it| default(it));
        wanted.map(Named::of).collect()
    } else {
        names
            .iter()
            .map(|name| one(name, settings))
            .collect::<Result<_, _>>()?
    };
    if found.is_empty() {
        let error = anyhow::anyhow!("no mirror was named, and the settings have none {which}");
        return Err(Failure::new(Exit::Usage, error).hint(format!(
            "name a mirror or its URL, or add a `[[mirror]]` to {SETTINGS_FILE}"
        )));
    }
    Ok(found)
}

/// The mirror of this name, or at this path or URL.
pub(super) fn one(text: &str, settings: &Settings) -> Result<Named, Failure> {
    if let Some(known) = settings.mirrors.iter().find(|it| it.name == text) {
        return Ok(Named::of(known));
    }
    if !text.contains('/') && !Path::new(text).is_dir() {
        let names: Vec<&str> = settings.mirrors.iter().map(|it| it.name.as_str()).collect();
        let hint = if names.is_empty() {
            "a path has a `/` in it: `./NAME`".to_owned()
        } else {
            format!("mirrors are: {}; a path has a `/` in it", names.join(", "))
        };
        let error = anyhow::anyhow!("there is no mirror `{text}`");
        return Err(Failure::new(Exit::Usage, error).hint(hint));
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let path = text.trim_start_matches("./");
    let location =
        Location::parse(path, None, &here).map_err(|error| Failure::new(Exit::Usage, error))?;
    // Named by its URL it is the same mirror.
    let known = settings.mirrors.iter().find(|it| it.location == location);
    Ok(Named {
        name: text.to_owned(),
        settings: known.cloned(),
        location,
    })
}

/// The secret key that `text` means.
pub(super) fn secret_key(text: &str, args: &PassphraseArgs) -> Result<Arc<SecretKey>, Failure> {
    let passphrase = match &args.passphrase_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let what = format!("cannot read the passphrase in `{}`", file.display());
                Failure::new(Exit::Usage, anyhow::Error::new(error).context(what))
            })?;
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
        None => std::env::var(PASSPHRASE_VARIABLE)
            .ok()
            .filter(|it| !it.is_empty()),
    };
    let key = KeySource::new(text, Path::new("")).load(passphrase.as_deref());
    key.map(Arc::new).map_err(|error| {
        let hint = error.hint();
        let mut failure = Failure::new(Exit::Usage, error);
        failure.hint = hint.map(str::to_owned);
        failure
    })
}

impl Named {
    fn of(settings: &MirrorSettings) -> Self {
        Self {
            name: settings.name.clone(),
            location: settings.location.clone(),
            settings: Some(settings.clone()),
        }
    }

    /// Whether the settings want entries to be signed.
    pub(super) fn is_signed(&self) -> bool {
        self.settings.as_ref().is_some_and(|it| it.signed)
    }

    /// Whether entries need no signature.
    pub(super) fn is_unsigned(&self) -> bool {
        self.settings.as_ref().is_some_and(|it| !it.signed)
    }

    /// Whether it is not for others.
    pub(super) fn is_private(&self) -> bool {
        self.settings.as_ref().is_some_and(|it| it.private)
    }

    /// Whose signatures count: as the settings say, else as the command line says.
    pub(super) fn trust(&self, args: &TrustArgs) -> Result<Trust, Failure> {
        let keys = || session::public_keys(args.keys.iter().map(PathBuf::as_path));
        if args.unsigned {
            return Ok(Trust::Unsigned(keys()?));
        }
        if !args.keys.is_empty() {
            return Ok(Trust::Signed(keys()?));
        }
        match &self.settings {
            Some(settings) => session::trust(settings),
            None => Err(Failure::new(
                Exit::Usage,
                anyhow::anyhow!("nobody says whose signatures count for `{}`", self.name),
            )
            .hint("give the public key with --key FILE, or --unsigned if there are no signatures")),
        }
    }

    /// The mirror, to write to, be it a registry or not.
    pub(super) async fn target(&self, access: &Access) -> Result<WriteTarget, Failure> {
        let target = connect_writer(&self.location, access).await;
        target.map_err(|error| Failure::new(Exit::Refused, error))
    }

    /// The mirror, to look through, be it a registry or not.
    pub(super) async fn look(&self, access: &Access) -> Result<Looked, Failure> {
        if !matches!(self.location, Location::Registry(_))
            && let Ok(WriteTarget::Objects(writer)) = connect_writer(&self.location, access).await
        {
            return Ok(Looked::Catalog(Catalog::Listed(writer)));
        }
        let source = connect(&self.location, access).await;
        match source.map_err(|error| Failure::new(Exit::Refused, error))? {
            Source::Objects(mirror) => Ok(Looked::Catalog(Catalog::Indexed(mirror))),
            Source::Repository(repository) => {
                let cache = RegistryCache::new(repository, PushOptions::default());
                Ok(Looked::Registry(Box::new(cache)))
            }
            Source::Offline => Err(Failure::new(
                Exit::Refused,
                anyhow::anyhow!(
                    "`{}` is not on this machine, and --offline was given",
                    self.name
                ),
            )),
        }
    }
}

/// A mirror that is looked through.
pub(super) enum Looked {
    /// Of objects.
    Catalog(Catalog),
    /// Of images.
    Registry(Box<RegistryCache>),
}
