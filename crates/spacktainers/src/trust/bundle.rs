//! Signed statements: a DSSE envelope in a sigstore bundle.
//!
//! ```text
//! PAE = "DSSEv1 <length> <type> <length> <statement>"   is what is signed
//! bundle = {"mediaType", "verificationMaterial": {"publicKey": {"hint"}}, "dsseEnvelope": {"payload", "payloadType", "signatures"}}
//! ```
//!
//! Sources: secure-systems-lab/dsse `protocol.md`; sigstore/protobuf-specs `sigstore_bundle.proto`; sigstore/cosign
//! `specs/BUNDLE_SPEC.md`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::key::{SigningKey, VerifyingKey};

/// Media type of a bundle, and type of the artifact that holds it.
pub(super) const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// The annotation that says of what kind the statement is.
pub(super) const PREDICATE_KEY: &str = "dev.sigstore.bundle.predicateType";

/// A statement in its envelope.
pub(super) fn sealed(statement: &Value, key: &SigningKey) -> Vec<u8> {
    let statement = statement.to_string();
    let signature = key.sign(&encoding(STATEMENT_TYPE, statement.as_bytes()));
    let hint = STANDARD.encode(key.public().fingerprint().as_bytes());
    json!({
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": STANDARD.encode(&statement),
            "payloadType": STATEMENT_TYPE,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    })
    .to_string()
    .into_bytes()
}

/// Annotations of the artifact.
pub(super) fn annotations(predicate_type: &str) -> BTreeMap<String, String> {
    let content = ("dev.sigstore.bundle.content", "dsse-envelope");
    let predicate = (PREDICATE_KEY, predicate_type);
    [content, predicate]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The statement of a bundle, if `key` signed it.
pub(super) fn opened(bundle: &[u8], key: &VerifyingKey) -> Option<Value> {
    let bundle: Value = serde_json::from_slice(bundle).ok()?;
    let envelope = bundle.get("dsseEnvelope")?;
    let kind = envelope.get("payloadType")?.as_str()?;
    let payload = STANDARD.decode(envelope.get("payload")?.as_str()?).ok()?;
    let message = encoding(kind, &payload);
    let signatures = envelope.get("signatures")?.as_array()?;
    let is_ours = signatures.iter().any(|it| {
        let signature = it.get("sig").and_then(Value::as_str);
        signature.is_some_and(|it| key.verifies(&message, it))
    });
    if !is_ours || kind != STATEMENT_TYPE {
        return None;
    }
    serde_json::from_slice(&payload).ok()
}

/// DSSE's pre-authentication encoding.
fn encoding(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}
