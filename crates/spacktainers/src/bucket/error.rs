//! Why a bucket does not do what it is asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::ObjectName;
use crate::local_cache::LocalCacheError;
use crate::mirror::AwsError;

/// Why a bucket does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// No network is to be used.
    #[error("the bucket `{0}` is not on this machine, and no network is to be used")]
    Offline(String),
    /// Nothing says who we are.
    #[error(
        "there are no credentials for the bucket `{0}`: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )]
    NoCredentials(String),
    /// What says who we are cannot be used.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A key with empty parts or `..`.
    #[error("`{0}` names no object: parts of a key are neither empty nor `.` nor `..`")]
    Key(ObjectName),
    /// There is none of this name, or not for us.
    #[error("there is no bucket `{0}`: check its name, AWS_ENDPOINT_URL_S3 and AWS_REGION")]
    NoBucket(String),
    /// Not allowed.
    #[error("access to `{object}` was denied ({code}): check the credentials and what they allow")]
    Denied {
        /// Which object.
        object: ObjectName,
        /// The server's own word for it.
        code: String,
    },
    /// Anything else that the server says.
    #[error("cannot {action} `{object}`{}", in_brackets(.code))]
    Failed {
        /// What was tried: `write`, `read`, …
        action: &'static str,
        /// Which object.
        object: ObjectName,
        /// The server's own word for what is wrong; empty when it gave none.
        code: String,
        /// What the client says.
        #[source]
        source: Cause,
    },
    /// An answer that makes no sense, or none.
    #[error("the bucket of `{0}` cannot be used: {1}")]
    Answer(ObjectName, &'static str),
    /// There is no such object.
    #[error("there is no object `{0}`")]
    Missing(ObjectName),
    /// What is there afterwards is not what was sent.
    #[error("`{0}` is not what was sent: somebody else wrote it at the same time; try again")]
    Overwritten(ObjectName),
    /// The object was replaced while it was being read.
    #[error("`{0}` was replaced while it was being read: try again")]
    Changed(ObjectName),
    /// The file to be sent, or to be written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What came is kept in the local cache until it is whole.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// A thread of ours ended in the middle.
    #[error("`{0}` was interrupted")]
    Interrupted(ObjectName),
}

/// What the client library says, without the request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl BucketError {
    /// Whether bytes were not what they should be: exit code 5, not 4.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        matches!(self, Self::Cache(LocalCacheError::Digest { .. }))
    }

    /// Turns what the client says of `object` into ours; for `map_err`.
    pub(super) fn failed(
        action: &'static str,
        object: &ObjectName,
    ) -> impl Fn(object_store::Error) -> Self {
        let object = object.clone();
        move |error| {
            let object = object.clone();
            let text = chain(&error);
            let code = code(&text).to_owned();
            match &error {
                _ if code == "NoSuchBucket" => Self::NoBucket(object.bucket),
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. } => {
                    let code = if code.is_empty() {
                        "AccessDenied".into()
                    } else {
                        code
                    };
                    Self::Denied { object, code }
                }
                object_store::Error::Precondition { .. } => Self::Changed(object),
                object_store::Error::NotFound { .. } => Self::Missing(object),
                _ => Self::Failed {
                    action,
                    object,
                    code,
                    source: Cause(without_answer(&text)),
                },
            }
        }
    }

    /// Turns an I/O error of `action` on `path` into ours; for `map_err`.
    pub(super) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// The server's own word: `<Code>` of S3's error documents.
pub(super) fn code(text: &str) -> &str {
    text.split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map_or("", |(code, _)| code)
}

/// Without the document that the server sent: it repeats headers of the request.
fn without_answer(text: &str) -> String {
    let end = text.find("<?xml").or_else(|| text.find("<Error>"));
    let text = end.map_or(text, |end| &text[..end]);
    text.trim().trim_end_matches(':').to_owned()
}

pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" ({code})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_word_is_told_and_its_document_is_not() {
        let text = "Server returned non-2xx status code: 403: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
            <StringToSign>secret things</StringToSign></Error>";
        assert_eq!(code(text), "SignatureDoesNotMatch");
        assert_eq!(
            without_answer(text),
            "Server returned non-2xx status code: 403"
        );
        assert_eq!(code("nothing"), "");
    }
}
