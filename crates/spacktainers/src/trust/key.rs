//! Keys that sign images: ECDSA on the curve P-256, as cosign makes them.
//!
//! | in the PEM text | what it is |
//! |---|---|
//! | `ENCRYPTED SIGSTORE PRIVATE KEY`, `ENCRYPTED COSIGN PRIVATE KEY` | `cosign generate-key-pair`: needs its password |
//! | `PRIVATE KEY` | PKCS #8, as `openssl genpkey` writes it |
//! | `EC PRIVATE KEY` | SEC 1, as `openssl ecparam -genkey` writes it |
//! | `PUBLIC KEY` | what others verify with |
//!
//! Sources: sigstore/cosign `pkg/cosign/keys.go`; secure-systems-lab/go-securesystemslib `encrypted/encrypted.go`; RFC 6979.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use oci_format::Digest;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey as Ecdsa, VerifyingKey as EcdsaPublic};
use p256::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use serde::Deserialize;

/// Why a key cannot be used. None of these says anything of the key itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no key in the text.
    #[error("this is no key in PEM: there is no line `-----BEGIN … KEY-----`")]
    NotPem,
    /// A key of another kind.
    #[error(
        "`{0}` is not a kind of key that can be used: images are signed by ECDSA keys on the curve P-256"
    )]
    Kind(String),
    /// The key is damaged, or on another curve.
    #[error("the key cannot be read: it is damaged, or not an ECDSA key on the curve P-256")]
    Malformed,
    /// An encrypted key without its password.
    #[error("the key is encrypted, and there is no password for it")]
    NoPassword,
    /// The password opens nothing.
    #[error("the password does not open the key")]
    WrongPassword,
    /// Opening the key would take more memory than anybody's key needs.
    #[error("the key asks for more work to be opened than any key of cosign's does")]
    TooCostly,
}

impl KeyError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoPassword | Self::WrongPassword => {
                "put its password into COSIGN_PASSWORD, as for cosign"
            }
            _ => {
                "make one with `cosign generate-key-pair`, or `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
            }
        }
    }
}

/// A key that signs. It shows nothing of itself.
#[derive(Clone)]
pub struct SigningKey(Ecdsa);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

/// The file that cosign encrypts keys to.
#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: ScryptParameters,
    salt: String,
}

#[derive(Deserialize)]
struct ScryptParameters {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// What cosign uses is 2^15 or 2^16, 8 and 1: 64 MB. Four times as much is still opened.
const MOST_MEMORY: u64 = 256 << 20;

impl SigningKey {
    /// Reads a key. `password` is for those of cosign's; an empty one is a password too.
    ///
    /// # Errors
    /// When there is none in the text, it is of another kind, or the password is missing or wrong.
    pub fn from_pem(text: &str, password: Option<&str>) -> Result<Self, KeyError> {
        let (label, body) = pem(text)?;
        let key = match label {
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password = password.ok_or(KeyError::NoPassword)?;
                Ecdsa::from_pkcs8_der(&opened(&body, password)?).map_err(|_| KeyError::Malformed)?
            }
            "PRIVATE KEY" => Ecdsa::from_pkcs8_der(&body).map_err(|_| KeyError::Malformed)?,
            "EC PRIVATE KEY" => p256::SecretKey::from_sec1_der(&body)
                .map(Ecdsa::from)
                .map_err(|_| KeyError::Malformed)?,
            other => return Err(KeyError::Kind(other.to_owned())),
        };
        Ok(Self(key))
    }

    /// The key that others verify with.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey(*self.0.verifying_key())
    }

    /// The signature of `message`, ASN.1 DER in base64; the same each time.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        let signature: Signature = self.0.sign(message);
        STANDARD.encode(signature.to_der())
    }
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey(EcdsaPublic);

impl VerifyingKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// When there is none in the text, or it is of another kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, body) = pem(text)?;
        if label != "PUBLIC KEY" {
            return Err(KeyError::Kind(label.to_owned()));
        }
        let key = EcdsaPublic::from_public_key_der(&body).map_err(|_| KeyError::Malformed)?;
        Ok(Self(key))
    }

    /// The key as `cosign.pub` has it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // A key that was read can be written.
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// SHA-256 of the key's DER form: by it sigstore bundles and people name it.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let der = self.0.to_public_key_der();
        Digest::of(der.as_ref().map(|it| it.as_bytes()).unwrap_or_default())
    }

    /// Whether `signature` (ASN.1 DER in base64) is this key's of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Ok(der) = STANDARD.decode(signature.trim()) else {
            return false;
        };
        let signature = Signature::from_der(&der);
        signature.is_ok_and(|it| self.0.verify(message, &it).is_ok())
    }
}

/// The first block of a PEM text that is a key: its label and what is in it. Parameters of curves, which openssl writes before
/// the key, are passed over.
fn pem(text: &str) -> Result<(&str, Vec<u8>), KeyError> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, body) = after.split_once("-----").ok_or(KeyError::NotPem)?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&end).ok_or(KeyError::NotPem)?;
        rest = after;
        if !label.ends_with("KEY") {
            continue;
        }
        let packed: String = body.split_whitespace().collect();
        let body = STANDARD.decode(packed).map_err(|_| KeyError::Malformed)?;
        return Ok((label, body));
    }
    Err(KeyError::NotPem)
}

/// scrypt makes a key of the password, with which NaCl's secretbox is opened.
fn opened(body: &[u8], password: &str) -> Result<Vec<u8>, KeyError> {
    let file: Encrypted = serde_json::from_slice(body).map_err(|_| KeyError::Malformed)?;
    if file.kdf.name != "scrypt" || file.cipher.name != "nacl/secretbox" {
        return Err(KeyError::Kind(format!(
            "{}, {}",
            file.kdf.name, file.cipher.name
        )));
    }
    let ScryptParameters { n, r, p } = file.kdf.params;
    let memory = n
        .checked_mul(u64::from(r))
        .and_then(|it| it.checked_mul(128));
    if memory.is_none_or(|it| it > MOST_MEMORY) || p > 16 {
        return Err(KeyError::TooCostly);
    }
    if !n.is_power_of_two() || n < 2 {
        return Err(KeyError::Malformed);
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| KeyError::Malformed)?;
    let parameters = scrypt::Params::new(log_n, r, p, 32).map_err(|_| KeyError::Malformed)?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| KeyError::Malformed);
    let (salt, nonce) = (decode(&file.kdf.salt)?, decode(&file.cipher.nonce)?);
    let mut key = [0; 32];
    scrypt::scrypt(password.as_bytes(), &salt, &parameters, &mut key)
        .map_err(|_| KeyError::Malformed)?;
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| KeyError::Malformed)?;
    let secretbox = XSalsa20Poly1305::new(&key.into());
    secretbox
        .decrypt(&Nonce::from(nonce), decode(&file.ciphertext)?.as_slice())
        .map_err(|_| KeyError::WrongPassword)
}
