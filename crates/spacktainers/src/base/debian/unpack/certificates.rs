//! `/etc/ssl/certs`: what update-ca-certificates makes of the certificates that ca-certificates ships.
//!
//! ```text
//! /etc/ca-certificates.conf                 every certificate, one per line
//! /etc/ssl/certs/ca-certificates.crt        all of them in one file
//! /etc/ssl/certs/ISRG_Root_X1.pem           -> /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt
//! /etc/ssl/certs/4042bcee.0                 -> ISRG_Root_X1.pem, by a hash of the subject
//! ```
//!
//! Sources: update-ca-certificates(8); for the names by hash `X509_NAME_hash_ex(3)`: SHA-1 over the
//! subject with its texts folded, RFC 5280, 4.1, for where the subject is, X.690 for how it is written.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use super::tree::{Tree, TreeError};

const SHIPPED: &str = "usr/share/ca-certificates";

/// Writes everything; nothing when the package ships no certificates.
pub(super) fn write<W: Write>(tree: &mut Tree<W>) -> Result<(), TreeError> {
    let certificates: Vec<(String, Vec<u8>)> = tree
        .kept_below(SHIPPED)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".crt"))
        .collect();
    let mut bundle = Vec::new();
    let mut list = String::from(
        "# Certificates of /usr/share/ca-certificates that are trusted, one per line.\n",
    );
    let mut by_hash: BTreeMap<u32, usize> = BTreeMap::new();
    for (name, bytes) in &certificates {
        bundle.extend_from_slice(bytes);
        if !bytes.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        list.push_str(name);
        list.push('\n');
        let pem = pem_name(name);
        tree.symlink(
            &format!("etc/ssl/certs/{pem}"),
            &format!("/{SHIPPED}/{name}"),
        )?;
        if let Some(hash) = der(bytes).and_then(|der| subject_hash(&der)) {
            let same = by_hash.entry(hash).or_default();
            tree.symlink(&format!("etc/ssl/certs/{hash:08x}.{same}"), &pem)?;
            *same += 1;
        }
    }
    tree.directory("usr/local/share/ca-certificates", 0o755, 0)?;
    tree.file("etc/ca-certificates.conf", 0o644, list.as_bytes())?;
    tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, &bundle)
}

fn pem_name(name: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    let base = base.strip_suffix(".crt").unwrap_or(base);
    let folded = base.chars().map(|c| match c {
        ' ' | ',' => '_',
        '(' | ')' => '=',
        c => c,
    });
    folded.collect::<String>() + ".pem"
}

/// The bytes inside the first PEM block.
fn der(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const VERSION: u8 = 0xa0;

/// One element: tag, content, and what follows it. Lengths of up to three bytes.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            if !(1..=3).contains(&count) {
                return None;
            }
            let (digits, rest) = rest.split_at_checked(count)?;
            (
                digits
                    .iter()
                    .fold(0, |value, digit| value << 8 | usize::from(*digit)),
                rest,
            )
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    element(bytes)
        .filter(|(found, ..)| *found == tag)
        .map(|(_, content, rest)| (content, rest))
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

/// What OpenSSL names a certificate's link by.
fn subject_hash(der: &[u8]) -> Option<u32> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (mut signed, _) = expect(SEQUENCE, certificate)?;
    if let Some((_, rest)) = expect(VERSION, signed) {
        signed = rest;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        (_, _, signed) = element(signed)?;
    }
    let (mut names, _) = expect(SEQUENCE, signed)?;
    let mut canonical = Vec::new();
    while !names.is_empty() {
        let (mut set, rest) = expect(SET, names)?;
        names = rest;
        let mut attributes = Vec::new();
        while !set.is_empty() {
            let (attribute, rest) = expect(SEQUENCE, set)?;
            set = rest;
            let (_, _, value) = element(attribute)?;
            let kind = &attribute[..attribute.len() - value.len()];
            let (tag, value, _) = element(value)?;
            let value = match text(tag, value) {
                Some(text) => wrap(UTF8_STRING, fold(&text).as_bytes()),
                None => wrap(tag, value),
            };
            attributes.push(wrap(SEQUENCE, &[kind, &value].concat()));
        }
        attributes.sort();
        canonical.extend(wrap(SET, &attributes.concat()));
    }
    let hash = Sha1::digest(&canonical);
    Some(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]))
}

/// The text of a string type that counts as text for comparisons.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING => String::from_utf8(value.to_vec()).ok(),
        // PrintableString, T61String (read as Latin-1), IA5String, VisibleString
        0x13 | 0x14 | 0x16 | 0x1a => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString
        0x1e => {
            let units = value
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .ok()
        }
        _ => None,
    }
}

/// Lower case in ASCII, white space trimmed and runs of it one blank.
fn fold(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_ascii_whitespace() || c == '\x0b')
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl req -x509 -newkey ec …  -subj "/C=CH/O=Some  Example/CN=Root ÄB 1" -utf8`, self-made; its
    /// `openssl x509 -subject_hash` is in the test.
    const PEM: &[u8] = include_bytes!("../../../../tests/data/base/root.pem");
    const HASH: &str = include_str!("../../../../tests/data/base/root.hash");

    #[test]
    fn links_are_named_as_openssl_names_them() {
        let der = der(PEM).expect("a certificate");
        assert_eq!(
            format!("{:08x}", subject_hash(&der).expect("a subject")),
            HASH.trim()
        );
    }

    #[test]
    fn damaged_certificates_have_no_hash() {
        let der = der(PEM).expect("a certificate");
        for length in 0..der.len() {
            // Only that nothing panics matters; a cut behind the subject still has one.
            let _ = subject_hash(&der[..length]);
        }
        assert_eq!(subject_hash(&der[..40]), None);
    }

    #[test]
    fn names_are_made_fit_for_shells() {
        assert_eq!(pem_name("mozilla/A (B), C.crt"), "A_=B=__C.pem");
    }
}
