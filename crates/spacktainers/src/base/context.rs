//! What resolving and making a base image needs of the world.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::event::{Event, Reporter};
use crate::local_cache::LocalCache;
use crate::openpgp::PublicKeys;
use crate::registry::{RegistryClient, RegistrySettings};

use super::debian::DebianSettings;
use super::locked::LockedBase;

/// The world as base images see it.
#[derive(Clone)]
pub struct BaseContext {
    /// Where downloads and finished layers are kept.
    pub cache: LocalCache,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// Whether only what is on this machine may be used.
    pub offline: bool,
    /// Threads to use, and downloads at a time.
    pub jobs: NonZeroUsize,
    /// The time, for signatures and `Valid-Until`.
    pub now: SystemTime,
    /// Registries, with their credentials.
    pub registries: RegistryClient,
    /// The project's folder, which relative paths of settings are taken from.
    pub folder: PathBuf,
    /// `[base.debian]`, where the settings have it.
    pub debian: Option<DebianSettings>,
    /// The variant of the processor that images are chosen for, such as `v3`; without it the plainest is taken.
    pub variant: Option<String>,
    /// Keys whose signatures of SIF files count.
    pub sif_keys: PublicKeys,
    /// The configuration of the machine's apt: `/etc/apt`.
    pub apt_directory: PathBuf,
    /// Where distributions keep the keys of their archives: `/usr/share/keyrings`.
    pub keyring_directory: PathBuf,
    /// What was decided by this context and those that were cloned from it, by what was asked.
    decided: Arc<Mutex<HashMap<String, LockedBase>>>,
}

impl BaseContext {
    /// With the places where Debian has things, online, the working directory as the project's folder, no
    /// credentials, no Debian settings.
    #[must_use]
    pub fn new(
        cache: LocalCache,
        reporter: Arc<dyn Reporter>,
        jobs: NonZeroUsize,
        now: SystemTime,
    ) -> Self {
        Self {
            cache,
            reporter,
            offline: false,
            jobs,
            now,
            registries: RegistryClient::new(RegistrySettings::default()),
            folder: PathBuf::new(),
            debian: None,
            variant: None,
            sif_keys: PublicKeys::default(),
            apt_directory: "/etc/apt".into(),
            keyring_directory: "/usr/share/keyrings".into(),
            decided: Arc::default(),
        }
    }

    /// What was decided when this was asked before.
    pub(super) fn decided(&self, question: &str) -> Option<LockedBase> {
        let decided = self.decided.lock();
        let decided = decided.unwrap_or_else(PoisonError::into_inner);
        decided.get(question).cloned()
    }

    pub(super) fn remember(&self, question: String, base: LockedBase) {
        let decided = self.decided.lock();
        let mut decided = decided.unwrap_or_else(PoisonError::into_inner);
        decided.insert(question, base);
    }

    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.reporter.event(Event::Warning(text.into()));
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.reporter.event(Event::Note(text.into()));
    }
}
