//! From where a mirror is to something that can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::http::{Address, HttpMirror, Network};
use super::s3::S3Address;
use super::{
    FileMirror, Location, MirrorError, MirrorFault, RetryPolicy, Retrying, SharedMirror, aws,
};
use crate::registry::{RegistryClient, Repository};

/// What connections are made with.
#[derive(Debug, Clone)]
pub struct Access {
    /// The HTTP client.
    pub network: Network,
    /// The client for registries, with its own credentials and retries.
    pub registries: RegistryClient,
    /// Whether only mirrors on this machine may be asked.
    pub is_offline: bool,
    /// How passing faults are met.
    pub retry: RetryPolicy,
    /// The program's environment: the AWS tools' variables and `HOME` are looked for in it.
    pub environment: Arc<BTreeMap<String, String>>,
}

/// A mirror that can be asked.
#[derive(Clone)]
pub enum Source {
    /// Objects with keys.
    Objects(SharedMirror),
    /// Images with tags, in a registry.
    Repository(Repository),
    /// Not to be asked, because it is not on this machine and no network is to be used.
    Offline,
}

/// A mirror that can be asked.
///
/// # Errors
/// When credentials are promised and cannot be had, or an address makes no sense. Nothing else is
/// tried before the first object is wanted.
pub async fn connect(location: &Location, access: &Access) -> Result<Source, MirrorError> {
    if access.is_offline && !location.is_local() {
        return Ok(Source::Offline);
    }
    let label = location.to_string();
    let error = |fault| MirrorError {
        mirror: label.clone(),
        key: String::new(),
        fault: Box::new(fault),
    };
    let inner: SharedMirror = match location {
        Location::Folder(path) => return Ok(Source::Objects(Arc::new(FileMirror::new(path)))),
        Location::Registry(origin) => {
            let repository = access.registries.origin(origin);
            let repository = repository.map_err(|fault| error(MirrorFault::Registry(fault)))?;
            return Ok(Source::Repository(repository));
        }
        Location::Http(url) => Arc::new(HttpMirror::new(&access.network, url.clone())),
        Location::S3 {
            bucket,
            prefix,
            endpoint,
        } => {
            let aws = aws::settings(&access.environment).map_err(|fault| error(fault.into()))?;
            let network = &access.network;
            let address = S3Address::new(network, bucket, prefix, endpoint.as_deref(), aws).await;
            let address = Address::S3(address.map_err(&error)?);
            Arc::new(HttpMirror::at(network, address, label.clone()))
        }
    };
    Ok(Source::Objects(Arc::new(Retrying::new(
        inner,
        access.retry,
    ))))
}
