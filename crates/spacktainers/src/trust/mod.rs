//! What others need in order to trust an image: what is in it, how it came to be, and who says so.
//!
//! ```text
//! Lock + spack.lock + licences ─► Bill ─┬─► spdx        SPDX 2.3
//!                                       └─► cyclonedx   CycloneDX 1.6
//! Lock + commits ─────────────────────────► provenance  in-toto statement, SLSA 1.0
//! SigningKey + image's digest ────────────► cosign      what `cosign verify --key` and skopeo's policies read
//! SigningKey + statement ─────────────────► bundle      a signed envelope, as `cosign verify-attestation` reads it
//!                       all of them ──────► artifacts   attachments of the image, the same bytes every time
//! attachments + public key ───────────────► verify      what of it holds
//! ```
//!
//! Start at [`artifacts()`] and [`verify()`]. Everything but [`licences`] is pure. Signatures are deterministic (RFC 6979), so
//! that publishing again sends nothing.

mod artifacts;
mod bill;
mod bundle;
mod cosign;
mod cyclonedx;
mod key;
mod licence;
mod licences;
mod provenance;
mod spdx;
#[cfg(test)]
mod tests;
mod verify;

pub use artifacts::{Artifact, TrustInput, artifacts};
pub use bill::{Bill, Component, ComponentKind};
pub use cosign::{SIGNATURE_TYPE, signature_tag};
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use licence::{Declared, declared_licences};
pub use licences::licences;
pub use provenance::{Origin, Source};
pub use verify::{Claim, Evidence, Findings, VerifyError, verify};
