//! A client for OCI registries: manifests, blobs, tags, referrers.
//!
//! ```text
//! RegistryClient            one per run: connections, credentials, tokens
//!   └─ Repository           one name in one registry; every operation is here
//!        manifest.rs        get, head, put
//!        listing.rs         tags, referrers
//!        referrer.rs        manifests about others: put so that they are found, with the fallback tag
//!        download.rs        blobs: streamed, resumed by Range, verified, into the local cache
//!        upload.rs          blobs: head, mount, send in one request or in chunks, resumed by asking
//!        request.rs         one HTTP exchange with login, retries and redirects
//! auth/                     challenges, tokens, credentials and their helpers
//! ecr/                      Amazon's registry: tokens by the AWS chain, repositories
//! ```
//!
//! Start at [`RegistryClient::repository`].
//!
//! Guaranteed:
//! - whatever was asked for by digest has that digest, and sizes are bounded before anything is kept;
//! - what is sent is hashed on the way, and never completed when it is not what its digest says;
//! - credentials go to the registry that they are for, or to the token server that it names, are
//!   never sent over plain http to a host that is reached by https, and never appear in errors.
//!
//! Plain http is spoken to loopback addresses and to registries that the settings call insecure.
//! The TLS client is made when it is first needed: loading the system's root certificates costs
//! milliseconds that a run against a loopback registry need not pay.
//!
//! Sources: OCI distribution specification 1.1; Docker's token authentication specification.

pub mod auth;
mod client;
mod download;
pub mod ecr;
mod error;
mod feed;
mod http;
mod listing;
mod manifest;
mod referrer;
mod request;
mod retry;
mod upload;

pub use client::{RegistryClient, RegistrySettings, Repository};
pub use download::BlobStream;
pub use error::RegistryError;
pub use manifest::{FetchedManifest, ManifestHead, ManifestKey};
pub(crate) use referrer::add as add_referrer;
pub use referrer::{PutReferrer, ReferrerListing, fallback_tag, referrer_descriptor};
pub use retry::RetryPolicy;
pub use upload::{Mount, Upload, UploadSession};
