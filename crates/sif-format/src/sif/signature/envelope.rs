//! DSSE envelopes: what `apptainer sign --key FILE.pem` makes.
//!
//! Source: DSSE 1.0 (`secure-systems-lab/dsse`, `envelope.md` and `protocol.md`); `apptainer/sif`,
//! `pkg/integrity/dsse.go`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

/// The payload type of envelopes over a [`SignedText`](super::SignedText).
pub const PAYLOAD_TYPE: &str = "application/vnd.sylabs.sif-metadata+json";

/// A payload and signatures over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The bytes that are signed together with [`PAYLOAD_TYPE`].
    pub payload: Vec<u8>,
    /// The signatures. One that verifies is enough.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// A hint at the key, not protected: Apptainer writes `SHA256:` and the base64 digest of the key in OpenSSH's form.
    pub key_id: String,
    /// The signature over [`Envelope::pae`].
    pub signature: Vec<u8>,
}

/// Why bytes are not an envelope over a signed text.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the JSON that it should be.
    #[error("not a DSSE envelope: {0}")]
    Json(#[from] serde_json::Error),
    /// An envelope over something else.
    #[error("the payload is of type `{0}`, not `{PAYLOAD_TYPE}`")]
    PayloadType(String),
    /// A field that is not base64.
    #[error("the {0} is not base64")]
    Base64(&'static str),
    /// An envelope that nobody has signed.
    #[error("the envelope has no signature")]
    NoSignature,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeJson {
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Serialize, Deserialize)]
struct SignatureJson {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Parses an envelope. Nothing in it is true until a signature over [`Envelope::pae`] has been checked.
    ///
    /// # Errors
    /// When it is no envelope over a SIF's signed text.
    pub fn parse(content: &[u8]) -> Result<Self, EnvelopeError> {
        let json: EnvelopeJson = serde_json::from_slice(content)?;
        if json.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(
                json.payload_type.chars().take(200).collect(),
            ));
        }
        if json.signatures.is_empty() {
            return Err(EnvelopeError::NoSignature);
        }
        let signatures = json.signatures.into_iter().map(|it| {
            Ok(EnvelopeSignature {
                key_id: it.keyid,
                signature: decode(&it.sig, "signature")?,
            })
        });
        Ok(Self {
            payload: decode(&json.payload, "payload")?,
            signatures: signatures.collect::<Result<_, EnvelopeError>>()?,
        })
    }

    /// The JSON of the envelope, as it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = EnvelopeJson {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|it| SignatureJson {
                    keyid: it.key_id.clone(),
                    sig: STANDARD.encode(&it.signature),
                })
                .collect(),
        };
        // Text only: this cannot fail.
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// The bytes that the signatures are over: the payload with its type and both lengths.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        let (kind, length) = (PAYLOAD_TYPE.len(), self.payload.len());
        let mut bytes = format!("DSSEv1 {kind} {PAYLOAD_TYPE} {length} ").into_bytes();
        bytes.extend(&self.payload);
        bytes
    }
}

/// DSSE lets writers choose between the two alphabets.
fn decode(text: &str, field: &'static str) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|_| EnvelopeError::Base64(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            payload: b"{\"version\":1}".to_vec(),
            signatures: vec![EnvelopeSignature {
                key_id: "SHA256:abc".to_owned(),
                signature: vec![0xfb, 0xff, 1],
            }],
        }
    }

    #[test]
    fn an_envelope_reads_what_it_writes() {
        let json = envelope().to_json();
        assert!(
            json.starts_with(&format!(
                "{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"eyJ2"
            )),
            "{json}"
        );
        assert_eq!(Envelope::parse(json.as_bytes()).unwrap(), envelope());
        let other_alphabet = json.replace("+/8B", "-_8B");
        assert_ne!(other_alphabet, json);
        assert_eq!(
            Envelope::parse(other_alphabet.as_bytes()).unwrap(),
            envelope()
        );
    }

    #[test]
    fn what_is_signed_names_type_and_lengths() {
        let expected = "DSSEv1 40 application/vnd.sylabs.sif-metadata+json 13 {\"version\":1}";
        assert_eq!(String::from_utf8(envelope().pae()).unwrap(), expected);
    }

    #[test]
    fn other_payloads_and_unsigned_envelopes_are_refused() {
        let json = envelope().to_json();
        let other = json.replace("sif-metadata", "other");
        assert!(matches!(
            Envelope::parse(other.as_bytes()),
            Err(EnvelopeError::PayloadType(_))
        ));
        let unsigned =
            format!("{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"\",\"signatures\":[]}}");
        assert!(matches!(
            Envelope::parse(unsigned.as_bytes()),
            Err(EnvelopeError::NoSignature)
        ));
        let broken = json.replace("eyJ2", "!!!!");
        assert!(matches!(
            Envelope::parse(broken.as_bytes()),
            Err(EnvelopeError::Base64("payload"))
        ));
        assert!(Envelope::parse(b"[]").is_err());
    }
}
