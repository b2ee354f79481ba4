//! One request to ECR's API: JSON, signed.
//!
//! `POST /` with the operation in `X-Amz-Target`, the protocol that AWS calls `AWS JSON 1.1`; errors name themselves in
//! `__type`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::auth::Credential;
use super::{EcrAccess, EcrError, EcrHost};
use crate::mirror::chain;

/// The most bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;
/// The most characters of somebody else's text in our messages.
const MAX_MESSAGE: usize = 300;
/// Names the operation.
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// Where nothing names a region.
const DEFAULT_REGION: &str = "us-east-1";

impl EcrAccess {
    /// Asks for a token.
    pub(super) async fn request_token(&self, host: &EcrHost) -> Result<Credential, EcrError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            authorization_token: String,
        }
        /// A list for the private service, one for the public one.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Several {
            List(Vec<Data>),
            One(Data),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            authorization_data: Several,
        }
        let fault = |fault| EcrError::Answer {
            url: self.url(host, None),
            fault,
        };
        let answer = self.call(host, "GetAuthorizationToken", &json!({})).await?;
        let answer: Answer =
            serde_json::from_value(answer).map_err(|_| fault("the answer holds no token"))?;
        let token = match answer.authorization_data {
            Several::List(list) => list.into_iter().next(),
            Several::One(one) => Some(one),
        };
        let token = token.ok_or_else(|| fault("the answer holds no token"))?;
        let decoded = STANDARD.decode(token.authorization_token.trim()).ok();
        let decoded = decoded.and_then(|it| String::from_utf8(it).ok());
        let pair = decoded.as_deref().and_then(|it| it.split_once(':'));
        let (user, password) = pair.ok_or_else(|| fault("the token is not of the known shape"))?;
        Ok(Credential::password(user, password))
    }

    /// Where the API is.
    fn url(&self, host: &EcrHost, region: Option<&str>) -> String {
        let variable = |name: &str| {
            let value = self.environment.get(name);
            value.filter(|it| !it.is_empty()).cloned()
        };
        let own = match host.is_public {
            true => "AWS_ENDPOINT_URL_ECR_PUBLIC",
            false => "AWS_ENDPOINT_URL_ECR",
        };
        let endpoint = variable(own).or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.unwrap_or_else(|| match &host.api {
            Some(api) => format!("https://{api}"),
            None => format!(
                "https://api.ecr.{}.amazonaws.com",
                region.unwrap_or(DEFAULT_REGION)
            ),
        });
        format!("{}/", endpoint.trim_end_matches('/'))
    }

    /// Asks for `operation`.
    pub(super) async fn call(
        &self,
        host: &EcrHost,
        operation: &'static str,
        input: &Value,
    ) -> Result<Value, EcrError> {
        let registry = || host.registry.clone();
        let chain = chain(&self.network, &self.environment).await?;
        let chain = chain.ok_or_else(|| EcrError::NoCredentials(registry()))?;
        let region = host.region.clone().or(chain.region);
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let credential = chain.credentials.get_credential().await;
        let credential = credential.map_err(|source| EcrError::Credentials {
            host: registry(),
            source,
        })?;
        let url = self.url(host, Some(&region));
        let fault = |fault| EcrError::Answer {
            url: url.clone(),
            fault,
        };
        let (service, target) = match host.is_public {
            true => ("ecr-public", "SpencerFrontendService"),
            false => ("ecr", "AmazonEC2ContainerRegistry_V20150921"),
        };
        let body = input.to_string().into_bytes();
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| fault("this is no address"))?;
        let headers = request.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        let target = HeaderValue::from_str(&format!("{target}.{operation}"));
        headers.insert(TARGET, target.map_err(|_| fault("this is no operation"))?);
        AwsAuthorizer::new(&credential, service, &region)
            .try_authorize(&mut request, None)
            .map_err(|source| EcrError::Credentials {
                host: registry(),
                source,
            })?;
        let failed = |source: reqwest::Error| EcrError::Connection {
            url: url.clone(),
            source: source.without_url(),
        };
        let client = self.network.client();
        let client = client.map_err(|_| fault("no HTTP client can be set up"))?;
        let sent = client
            .post(&url)
            .headers(request.headers().clone())
            .body(body)
            .send()
            .await;
        let mut response = sent.map_err(&failed)?;
        let is_success = response.status().is_success();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(&failed)? {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(fault("the answer is too long"));
            }
            bytes.extend_from_slice(&piece);
        }
        let answer: Value =
            serde_json::from_slice(&bytes).map_err(|_| fault("the answer is not JSON"))?;
        if is_success {
            return Ok(answer);
        }
        Err(refused(&url, operation, &answer))
    }
}

fn refused(url: &str, operation: &'static str, answer: &Value) -> EcrError {
    let text = |keys: [&str; 2]| {
        let found = keys.iter().find_map(|key| answer.get(key)?.as_str());
        let plain = |c: &char| !c.is_control();
        let text: String = found.unwrap_or_default().chars().filter(plain).collect();
        text.chars().take(MAX_MESSAGE).collect::<String>()
    };
    // `com.amazonaws.ecr#RepositoryNotFoundException`
    let kind = text(["__type", "code"]);
    let kind = kind.rsplit('#').next().unwrap_or_default();
    EcrError::Refused {
        url: url.to_owned(),
        operation,
        kind: match kind {
            "" => "no reason given".to_owned(),
            kind => kind.to_owned(),
        },
        message: text(["message", "Message"]),
    }
}
