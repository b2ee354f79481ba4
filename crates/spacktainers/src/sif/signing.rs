//! Signatures of SIF files, as Apptainer makes and reads them with OpenPGP keys.
//!
//! What is signed is a text with digests of header, descriptors and objects ([`sif_format::sif::signature`]); it lies
//! clear-signed in an object of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sif_format::sif::signature::{
    self, Selection, Signature, SignatureError, SignedText, SignedTextError, Verdict,
    clear_signed_object, read_signature, signatures, text_to_sign,
};
use sif_format::sif::{SifEditor, SifError, SifReader};

use crate::openpgp::{self, PublicKeys, SecretKey, SignError};

/// Apptainer puts everything into group 1.
const GROUP: u32 = 1;

/// Why a file was not signed or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The file cannot be opened, copied or renamed.
    #[error("cannot read or write the file")]
    Io(#[from] io::Error),
    /// It is no SIF file, or a broken one.
    #[error("the file is not a SIF file that can be used")]
    Sif(#[from] SifError),
    /// The key.
    #[error("the file cannot be signed")]
    Key(#[from] SignError),
    /// OpenPGP fingerprints of another length than SIF files hold.
    #[error("SIF files hold fingerprints of 20 bytes, and this key's has {0}: use a version 4 key")]
    Fingerprint(usize),
    /// A signature object that cannot be read.
    #[error("a signature of the file cannot be read")]
    Signature(#[from] SignatureError),
}

/// Signs all objects of a file. The file is replaced by its signed copy when that is whole.
///
/// # Errors
/// When the file cannot be read or written, or the key does not sign.
pub fn sign(path: &Path, key: &SecretKey, now: SystemTime) -> Result<(), SigningError> {
    let folder = path
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let copy = tempfile::Builder::new()
        .prefix(".spacktainers-")
        .tempfile_in(folder)?;
    fs::copy(path, copy.path())?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(copy.path())?;
    let mut editor = SifEditor::open(file)?;
    let text = text_to_sign(editor.reader(), Selection::Group(GROUP))?;
    let signed = key.clear_sign(&text.to_json(), now)?;
    let length = signed.fingerprint.len();
    let fingerprint: [u8; 20] = signed
        .fingerprint
        .try_into()
        .map_err(|_| SigningError::Fingerprint(length))?;
    let time = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let object = clear_signed_object(GROUP, fingerprint);
    editor.append(
        object,
        signed.message.as_bytes(),
        i64::try_from(time).unwrap_or(i64::MAX),
    )?;
    editor.into_inner().sync_all()?;
    copy.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What became of one signature.
#[derive(Debug)]
pub struct SignatureReport {
    /// The object's id.
    pub id: u32,
    /// The group that it is about.
    pub group: Option<u32>,
    /// Who signed, and what became of what was signed; or why it proves nothing.
    pub outcome: Result<SignedBy, Unproven>,
}

/// A good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// Fingerprint of the key.
    pub fingerprint: String,
    /// What became of what was signed.
    pub verdict: Verdict,
}

/// Why a signature proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// Not by one of the keys, or not good.
    #[error(transparent)]
    Openpgp(#[from] openpgp::SignatureError),
    /// Not a text of this kind.
    #[error(transparent)]
    Text(#[from] SignedTextError),
    /// Made with a key file and not with OpenPGP.
    #[error(
        "it was made with a key file, and not with an OpenPGP key: check it with `apptainer verify --key`"
    )]
    KeyFile,
    /// About no group.
    #[error("it is about no group of objects")]
    NoGroup,
}

impl SignatureReport {
    /// Whether it proves that the whole group is as it was signed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.outcome
            .as_ref()
            .is_ok_and(|it| it.verdict.group_is_intact())
    }
}

/// Checks all signatures of a file against `keys`. No signatures give no reports.
///
/// # Errors
/// When the file cannot be read.
pub fn verify(
    path: &Path,
    keys: &PublicKeys,
    now: SystemTime,
) -> Result<Vec<SignatureReport>, SigningError> {
    let mut sif = SifReader::open(BufReader::new(File::open(path)?))?;
    let mut reports = Vec::new();
    for object in signatures(&sif) {
        let outcome = match read_signature(&mut sif, object.id)? {
            Signature::Envelope(_) => Err(Unproven::KeyFile),
            Signature::ClearSigned(message) => check(&mut sif, object.group, &message, keys, now)?,
        };
        reports.push(SignatureReport {
            id: object.id,
            group: object.group,
            outcome,
        });
    }
    Ok(reports)
}

fn check(
    sif: &mut SifReader<BufReader<File>>,
    group: Option<u32>,
    message: &str,
    keys: &PublicKeys,
    now: SystemTime,
) -> Result<Result<SignedBy, Unproven>, SigningError> {
    let Some(group) = group else {
        return Ok(Err(Unproven::NoGroup));
    };
    let verified = match openpgp::verify(message, keys, now) {
        Ok(verified) => verified,
        Err(error) => return Ok(Err(error.into())),
    };
    let text = match SignedText::parse(verified.text.as_bytes()) {
        Ok(text) => text,
        Err(error) => return Ok(Err(error.into())),
    };
    let verdict = signature::verify(sif, group, &text)?;
    Ok(Ok(SignedBy {
        fingerprint: verified.fingerprint,
        verdict,
    }))
}
