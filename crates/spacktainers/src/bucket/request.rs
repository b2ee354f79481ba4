//! Requests to S3 that our client library does not make: which parts an upload has, and parts that are copied within S3.
//!
//! Sources: Amazon S3 API Reference, ListParts, UploadPartCopy.

use std::num::NonZeroU64;
use std::time::Duration;

use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer as _;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::{Bucket, BucketError, ObjectName};

/// The most bytes of an answer: a thousand parts have some hundred kilobytes.
const MAX_ANSWER: usize = 8 << 20;
/// Pages of a thousand parts: there are at most ten thousand.
const MAX_PAGES: usize = 11;
/// How long an address may be used that we take apart at once.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// A part that the bucket has.
pub(super) struct ArrivedPart {
    /// Counted from 1.
    pub(super) number: u64,
    /// Bytes of it.
    pub(super) size: u64,
    /// The server's name for it.
    pub(super) etag: String,
}

/// From which object a part is taken.
pub(super) struct PartSource<'a> {
    pub(super) object: &'a ObjectName,
    /// The first and the last byte; none is all of it, as S3 wants it for objects of less than 5 MB.
    pub(super) range: Option<(u64, u64)>,
}

impl Bucket {
    /// The parts of an upload that have arrived.
    pub(super) async fn parts(
        &self,
        path: &Path,
        object: &ObjectName,
        upload: &str,
    ) -> Result<Vec<ArrivedPart>, BucketError> {
        let mut found = Vec::new();
        let mut marker = String::from("0");
        for _ in 0..MAX_PAGES {
            let query = [("uploadId", upload), ("part-number-marker", &marker)];
            let text = self.ask(Method::GET, path, object, &query, None).await?;
            found.extend(elements(&text, "Part").filter_map(|part| {
                Some(ArrivedPart {
                    number: element(part, "PartNumber")?
                        .parse::<NonZeroU64>()
                        .ok()?
                        .get(),
                    size: element(part, "Size")?.parse().ok()?,
                    etag: unescaped(element(part, "ETag")?),
                })
            }));
            let next = element(&text, "NextPartNumberMarker");
            match (element(&text, "IsTruncated"), next) {
                (Some("true"), Some(next)) if next != marker => marker = next.to_owned(),
                _ => break,
            }
        }
        Ok(found)
    }

    /// Lets the bucket take a part from another object; gives the server's name for it.
    pub(super) async fn copy_part(
        &self,
        path: &Path,
        object: &ObjectName,
        upload: &str,
        number: u64,
        source: PartSource<'_>,
    ) -> Result<String, BucketError> {
        let number = number.to_string();
        let query = [("uploadId", upload), ("partNumber", &*number)];
        let text = self
            .ask(Method::PUT, path, object, &query, Some(source))
            .await?;
        let etag = element(&text, "ETag").map(unescaped);
        // An error that shows while S3 copies comes with the status 200.
        etag.ok_or_else(|| BucketError::Answer(object.clone(), "it copied no part"))
    }

    /// Sends a signed request to the address of an object.
    async fn ask(
        &self,
        method: Method,
        path: &Path,
        object: &ObjectName,
        query: &[(&str, &str)],
        source: Option<PartSource<'_>>,
    ) -> Result<String, BucketError> {
        let failed = BucketError::failed("ask for", object);
        let answer = |fault| BucketError::Answer(object.clone(), fault);
        // Address and region are known to the client library alone; an address that it has signed tells both.
        let signed = self.store.signed_url(Method::GET, path, SIGNED_FOR).await;
        let mut url = signed.map_err(&failed)?;
        let region = region(&url).ok_or_else(|| answer("its region is not known"))?;
        url.set_query(None);
        url.query_pairs_mut().extend_pairs(query);
        let credential = self.store.credentials().get_credential().await;
        let credential = credential.map_err(&failed)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.clone();
        let uri = url.as_str().parse();
        *request.uri_mut() = uri.map_err(|_| answer("it has no address"))?;
        if let Some(source) = source {
            let from = format!("/{}/{}", source.object.bucket, escaped(&source.object.key));
            let range = source.range.map(|(from, to)| format!("bytes={from}-{to}"));
            let range = range.map(|it| ("x-amz-copy-source-range", it));
            for (name, value) in [("x-amz-copy-source", from)].into_iter().chain(range) {
                let value = HeaderValue::from_str(&value).map_err(|_| answer("a key is odd"))?;
                let name = HeaderName::from_static(name);
                request.headers_mut().insert(name, value);
            }
        }
        AwsAuthorizer::new(&credential, "s3", &region)
            .try_authorize(&mut request, None)
            .map_err(&failed)?;
        let client = self.network.client();
        let client = client.map_err(|_| answer("no HTTP client can be set up"))?;
        let mut sending = client
            .request(method.clone(), url)
            .headers(request.headers().clone());
        if method == Method::PUT {
            sending = sending.body("");
        }
        let sent = sending.send().await;
        let mut response = sent.map_err(|_| answer("it cannot be reached"))?;
        let is_success = response.status().is_success();
        let mut bytes = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(answer("it answers without an end"));
            }
            bytes.extend_from_slice(&piece);
        }
        if !is_success {
            return Err(answer("it refuses"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// `X-Amz-Credential=KEY/20261126/eu-west-1/s3/aws4_request`
fn region(signed: &Url) -> Option<String> {
    let mut pairs = signed.query_pairs();
    let (_, credential) = pairs.find(|(key, _)| key == "X-Amz-Credential")?;
    credential.rsplit('/').nth(2).map(str::to_owned)
}

/// The contents of all elements of this name that have no attributes and no such element within.
fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (inside, after) = after.split_once(&close)?;
        rest = after;
        Some(inside)
    })
}

/// The first of them.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    elements(text, name).next()
}

/// Names of parts are in quotes, which XML may write in several ways.
fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&amp;", "&")
}

/// A key as a header names it: everything but plain characters and slashes in percent.
fn escaped(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_from_what_s3_answers() {
        let text = "<?xml version=\"1.0\"?><ListPartsResult><IsTruncated>false</IsTruncated>\
            <Part><PartNumber>1</PartNumber><ETag>&quot;a1&quot;</ETag><Size>5</Size></Part>\
            <Part><PartNumber>2</PartNumber><ETag>\"b2\"</ETag><Size>6</Size></Part></ListPartsResult>";
        let parts: Vec<&str> = elements(text, "Part").collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(element(parts[1], "Size"), Some("6"));
        assert_eq!(unescaped(element(parts[0], "ETag").expect("one")), "\"a1\"");
        assert_eq!(element("<Part>", "Part"), None);
        assert_eq!(escaped("a b/ü+c"), "a%20b/%C3%BC%2Bc");
    }
}
