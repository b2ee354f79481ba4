//! HTTP clients, made when they are first needed.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use url::{Host, Url};

use super::RegistryError;

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// One client for each way to reach a host; each keeps its connections for the next request.
#[derive(Default)]
pub(super) struct Http {
    loopback: OnceLock<Client>,
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
}

impl Http {
    /// The client for this address.
    pub(super) fn client(&self, url: &Url) -> Result<Client, RegistryError> {
        let builder = Client::builder()
            .user_agent(concat!("spacktainers/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // Redirects are followed by `request`, which knows where credentials may go.
            .redirect(Policy::none());
        // An empty list of certificates keeps the client from loading the system's.
        let (cell, builder) = if url.scheme() == "https" {
            (&self.tls, builder)
        } else if is_loopback(url) {
            // A proxy on another machine could not reach it.
            (&self.loopback, builder.tls_certs_only([]).no_proxy())
        } else {
            (&self.plain, builder.tls_certs_only([]))
        };
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = builder.build().map_err(RegistryError::Client)?;
        Ok(cell.get_or_init(|| client).clone())
    }
}

/// Whether the address is on this machine by its mere form; no name is resolved.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// An address for messages: without the query, which may hold a signature or a session's state.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    shown.into()
}
