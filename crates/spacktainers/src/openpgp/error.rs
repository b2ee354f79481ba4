//! What can be wrong with keys and signatures.

use std::error::Error;

/// Why a file of public keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No OpenPGP key in it.
    #[error("no public key found: expected the output of `gpg --export --armor KEY`")]
    NoKey,
    /// A secret key in it.
    #[error(
        "this is a secret key: keep it private and give the output of `gpg --export --armor KEY`"
    )]
    Secret,
    /// It cannot be read as OpenPGP.
    #[error("cannot read the public key")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
    /// No key in it is able to sign, or none is bound by a valid self-signature.
    #[error(
        "key {fingerprint} cannot sign: it has no valid self-signature, or is for encryption only"
    )]
    CannotSign {
        /// The primary key.
        fingerprint: String,
    },
    /// Unreasonably long.
    #[error("a file of public keys of more than {limit} bytes")]
    TooLong {
        /// The most bytes that are read.
        limit: usize,
    },
}

/// Why a text is not taken as signed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// It is no clear-signed text.
    #[error("not signed")]
    NotSigned,
    /// It begins like one and is none.
    #[error("not a well-formed clear-signed text: {0}")]
    Framework(&'static str),
    /// The signature block is damaged.
    #[error("cannot read the signature")]
    Armour(#[source] pgp::errors::Error),
    /// Unreasonably long.
    #[error("a clear-signed text of more than {limit} bytes")]
    TooLong {
        /// The most bytes that are read.
        limit: usize,
    },
    /// Made by none of the keys.
    #[error("signed by {issuers}, which is none of the given keys")]
    UnknownKey {
        /// Fingerprints or key ids, as the signatures give them.
        issuers: String,
    },
    /// The text is not what the key signed.
    #[error("the signature by {fingerprint} is wrong: the text was changed after signing")]
    Bad {
        /// The key that is said to have made it.
        fingerprint: String,
        /// What the check said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A signature of another kind than texts have.
    #[error("the signature is not one over a text")]
    Kind,
    /// A signature over a hash that can be forged.
    #[error("the signature uses {hash}, which can be forged: sign again with SHA-256 or better")]
    WeakHash {
        /// The algorithm.
        hash: String,
    },
    /// The signature says that it must not be trusted by who does not understand all of it.
    #[error("the signature by {fingerprint} has a critical part that is not understood")]
    Critical {
        /// The key that is said to have made it.
        fingerprint: String,
    },
    /// The signature was good for a time only, which is over.
    #[error("the signature by {fingerprint} has expired: sign again")]
    Expired {
        /// The key that made it.
        fingerprint: String,
    },
    /// The key was revoked.
    #[error("signed by {fingerprint}, a key that was revoked: sign again with another one")]
    KeyRevoked {
        /// The key that made it.
        fingerprint: String,
    },
    /// The key was not valid when it signed.
    #[error("signed by {fingerprint} at a time when that key was not valid")]
    KeyNotValid {
        /// The key that made it.
        fingerprint: String,
    },
}

impl SignatureError {
    pub(super) fn unknown(mut issuers: Vec<String>) -> Self {
        issuers.dedup();
        let issuers = if issuers.is_empty() {
            "nobody who says so".to_owned()
        } else {
            issuers.join(", ")
        };
        Self::UnknownKey { issuers }
    }
}
