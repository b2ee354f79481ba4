//! Objects of an S3 bucket, as URLs.
//!
//! Requests are signed in their URLs ("query string authentication"), so that reading S3 and reading
//! a web server are one thing: see [`super::http`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, resolve_bucket_region,
};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, RetryConfig};
use reqwest::{Method, Url};

use super::aws::{self, AwsError, AwsSettings};
use super::error::MirrorFault;
use super::http::{Network, encode};

/// How long a URL may be used. Only its first use counts: a download that has begun goes on, and
/// what is continued is signed anew.
const SIGNED_FOR: Duration = Duration::from_secs(3600);

/// How long an instance may take to answer that it is one. Its metadata service is next door; where
/// there is none, packets are often lost silently.
const INSTANCE_ANSWERS_WITHIN: Duration = Duration::from_millis(1000);

/// How long a connection may take to be there, for buckets that are written.
const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

/// How long a bucket that is written may be silent.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// Where instances ask for their role (IMDSv2).
const INSTANCE_METADATA: &str = "http://169.254.169.254/latest/api/token";

/// Where the objects of a mirror in a bucket are.
pub(super) struct S3Address {
    /// Of the bucket.
    base: String,
    /// Within the bucket; empty, or ending in `/`.
    prefix: String,
    /// Absent: requests are anonymous.
    signer: Option<Arc<AmazonS3>>,
}

impl S3Address {
    /// The bucket `bucket` at `endpoint` (AWS's own when absent), below `prefix`, with the
    /// credentials that `aws` has or leads to.
    pub(super) async fn new(
        network: &Network,
        bucket: &str,
        prefix: &str,
        endpoint: Option<&str>,
        aws: AwsSettings,
    ) -> Result<Self, MirrorFault> {
        let prefix = folder(prefix);
        let (base, builder) = prepare(network, bucket, endpoint, aws).await;
        // Only credentials are asked for over this client, and who waits for them waits for everything.
        let retry = RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        };
        let signer = builder.map(|builder| builder.with_retry(retry).build());
        let signer = signer.transpose().map_err(AwsError::Credentials)?;
        Ok(Self {
            base,
            prefix,
            signer: signer.map(Arc::new),
        })
    }

    pub(super) async fn url(&self, key: &str) -> Result<Url, MirrorFault> {
        let key = format!("{}{key}", self.prefix);
        match &self.signer {
            Some(signer) => {
                let path = Path::parse(&key).map_err(|_| MirrorFault::Key)?;
                let url = signer.signed_url(Method::GET, &path, SIGNED_FOR).await;
                Ok(url.map_err(AwsError::Credentials)?)
            }
            None => format!("{}/{}", self.base, encode(&key))
                .parse()
                .map_err(|_| MirrorFault::Key),
        }
    }
}

/// The prefix of keys in a folder of the bucket: empty, or ending in `/`.
pub(super) fn folder(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

/// A client for a bucket that is written, where the environment has credentials or leads to some: for [`crate::bucket`].
pub(crate) async fn bucket_client(
    network: &Network,
    bucket: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<AmazonS3>, AwsError> {
    let aws = aws::settings(environment)?;
    writing_client(network, bucket, None, aws).await
}

/// Where credentials of AWS come from, for other services than S3.
pub(crate) struct AwsChain {
    pub(crate) credentials: AwsCredentialProvider,
    /// The region, where the environment or the profile names one.
    pub(crate) region: Option<String>,
}

/// The chain that `environment` begins; nothing where it leads to no credentials.
pub(crate) async fn chain(
    network: &Network,
    environment: &BTreeMap<String, String>,
) -> Result<Option<AwsChain>, AwsError> {
    let mut aws = aws::settings(environment)?;
    let region = aws.region.clone();
    // No bucket is asked: without a region, the builder would ask for that of this one.
    aws.region.get_or_insert_with(|| "us-east-1".to_owned());
    let client = writing_client(network, "none", None, aws).await?;
    Ok(client.map(|client| AwsChain {
        credentials: client.credentials().clone(),
        region,
    }))
}

/// The same with what is known of AWS, at `endpoint` if there is one.
pub(super) async fn writing_client(
    network: &Network,
    bucket: &str,
    endpoint: Option<&str>,
    aws: AwsSettings,
) -> Result<Option<AmazonS3>, AwsError> {
    let (_, builder) = prepare(network, bucket, endpoint, aws).await;
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(CONNECTED_WITHIN)
        // A part may take long on a slow line. What must not happen is that nothing moves.
        .with_timeout_disabled()
        .with_read_timeout(ANSWERED_WITHIN);
    let client = builder.map(|builder| {
        builder
            .with_client_options(options)
            .with_retry(RetryConfig::default())
            .build()
    });
    client.transpose().map_err(AwsError::Credentials)
}

/// Where the bucket is; and how to speak to it, where there are credentials.
async fn prepare(
    network: &Network,
    bucket: &str,
    endpoint: Option<&str>,
    aws: AwsSettings,
) -> (String, Option<AmazonS3Builder>) {
    let endpoint = endpoint.map(str::to_owned).or(aws.endpoint);
    let region = match (aws.region, &endpoint) {
        (Some(region), _) => region,
        // Signatures name the region; anywhere but at AWS hardly anybody looks at it.
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => resolve_bucket_region(bucket, &ClientOptions::new())
            .await
            .unwrap_or_else(|_| "us-east-1".to_owned()),
    };
    let base = match &endpoint {
        Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        None => format!("https://s3.{region}.amazonaws.com/{bucket}"),
    };
    let is_signed = aws.has_credentials || (!aws.no_instance && is_instance(network).await);
    if !is_signed {
        return (base, None);
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_allow_http(true);
    if let Some(endpoint) = endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    for (key, value) in aws.settings {
        builder = builder.with_config(key, value);
    }
    (base, Some(builder))
}

/// Whether this machine is a cloud instance that gives credentials.
async fn is_instance(network: &Network) -> bool {
    let Ok(client) = network.client() else {
        return false;
    };
    let request = client
        .put(INSTANCE_METADATA)
        .header("X-aws-ec2-metadata-token-ttl-seconds", "60")
        .timeout(INSTANCE_ANSWERS_WITHIN);
    matches!(request.send().await, Ok(response) if response.status().is_success())
}
