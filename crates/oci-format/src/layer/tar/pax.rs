//! Pax records: `LENGTH KEY=VALUE\n`, as many as wanted, in a member before the one they describe.
//!
//! Source: POSIX.1-2017 `pax`, "pax Extended Header"; `SCHILY.xattr.` from star(1).

/// Keys of extended attributes; the attribute's name follows.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// What the records of one member say. Absent means: as the header says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<u64>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `GNU.sparse.` records without that prefix, in their order: version 0.0 repeats keys.
    pub(super) sparse: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why records cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaxError {
    /// Not `LENGTH KEY=VALUE` and a newline.
    #[error("record {0} is not `LENGTH KEY=VALUE`")]
    Shape(usize),
    /// A value that is no number where one is needed.
    #[error("`{0}` is not a number that fits")]
    Number(&'static str),
    /// A record for all following members that would change what they are. Readers disagree on these,
    /// so an archive with one has no single meaning.
    #[error("a global record sets `{0}`")]
    Global(String),
}

/// Splits `data` into its records, in order.
fn records(mut data: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), PaxError>> {
    let mut count = 0;
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        count += 1;
        let found = split_record(data);
        match found {
            Some((record, rest)) => {
                data = rest;
                Some(Ok(record))
            }
            None => {
                data = &[];
                Some(Err(PaxError::Shape(count)))
            }
        }
    })
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split_record(data: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    if length <= space + 1 || length > data.len() {
        return None;
    }
    let (record, rest) = data.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty()).then_some(((key, value), rest))
}

/// A plain decimal number.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds, the fraction cut off; times before 1970 become 0.
fn seconds(text: &[u8]) -> Option<u64> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return seconds(rest).map(|_| 0);
    }
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    fraction
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| decimal(whole))
        .flatten()
}

/// Reads the records of one member. The last of several with one key counts; an empty value takes the
/// record back.
pub(super) fn parse(data: &[u8]) -> Result<Records, PaxError> {
    let mut found = Records::default();
    for record in records(data) {
        let (key, value) = record?;
        let text = (!value.is_empty()).then(|| value.to_vec());
        let number = |name| match value {
            b"" => Ok(None),
            value => decimal(value).map(Some).ok_or(PaxError::Number(name)),
        };
        match key {
            b"path" => found.path = text,
            b"linkpath" => found.link = text,
            b"size" => found.size = number("size")?,
            b"uid" => found.uid = number("uid")?,
            b"gid" => found.gid = number("gid")?,
            b"mtime" => {
                found.mtime = match value {
                    b"" => None,
                    value => Some(seconds(value).ok_or(PaxError::Number("mtime"))?),
                }
            }
            key => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    found.xattrs.retain(|(known, _)| known != name);
                    found
                        .xattrs
                        .extend(text.map(|value| (name.to_vec(), value)));
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    found.sparse.push((name.to_vec(), value.to_vec()));
                }
                // Others (comment, atime, uname, LIBARCHIVE.xattr, …) say nothing that a layer needs.
            }
        }
    }
    found.xattrs.sort();
    Ok(found)
}

/// Checks records that would hold for all following members: only those without effect may pass.
pub(super) fn check_global(data: &[u8]) -> Result<(), PaxError> {
    for record in records(data) {
        let (key, value) = record?;
        let changes_members = matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid")
            || key.starts_with(XATTR)
            || key.starts_with(b"GNU.sparse.");
        if changes_members && !value.is_empty() {
            return Err(PaxError::Global(super::printable(key)));
        }
    }
    Ok(())
}

/// Appends one record. Its length counts its own digits.
pub(super) fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // " " + "=" + "\n"
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + digits(length) != length {
        length = rest + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_parsed() {
        for length in [0, 1, 80, 85, 86, 87, 88, 89, 90, 91, 985, 990, 995, 9_990] {
            let value = vec![b'v'; length];
            let mut data = Vec::new();
            push(&mut data, b"path", &value);
            push(&mut data, b"SCHILY.xattr.user.a", b"1\n2=3");
            let parsed = parse(&data).expect("own records");
            assert_eq!(parsed.path.unwrap_or_default(), value);
            assert_eq!(parsed.xattrs, [(b"user.a".to_vec(), b"1\n2=3".to_vec())]);
        }
    }

    #[test]
    fn the_example_of_the_standard_has_length_its_own_digits_included() {
        let mut data = Vec::new();
        push(&mut data, b"ctime", b"1084839148.1212");
        assert_eq!(data, b"25 ctime=1084839148.1212\n");
    }

    #[test]
    fn broken_records_are_errors_and_not_panics() {
        for data in [
            "",
            "9 a=b\n",
            "5 ab\n",
            "6 =ab\n\n",
            "99999999999999999999 a=b\n",
            "x a=b\n",
            " a=b\n",
        ] {
            let parsed = parse(data.as_bytes());
            assert_eq!(parsed.is_ok(), data.is_empty(), "{data:?}");
        }
    }

    #[test]
    fn times_lose_their_fraction_and_do_not_go_below_zero() {
        assert_eq!(seconds(b"12.9"), Some(12));
        assert_eq!(seconds(b"-3.5"), Some(0));
        assert_eq!(seconds(b"1e9"), None);
    }

    #[test]
    fn a_global_comment_passes_and_a_global_path_does_not() {
        let mut data = Vec::new();
        push(&mut data, b"comment", b"0123456789abcdef");
        assert_eq!(check_global(&data), Ok(()));
        push(&mut data, b"path", b"evil");
        assert_eq!(check_global(&data), Err(PaxError::Global("path".into())));
    }
}
