//! Bearer tokens: asking the server that a registry names.
//!
//! Source: Docker's registry token authentication and OAuth2 token specifications.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use serde::Deserialize;
use url::Url;

use super::challenge::Challenge;
use super::{Credential, Grant, unauthorized};
use crate::registry::RegistryError;
use crate::registry::client::Repository;
use crate::registry::http::shown;
use crate::registry::request::{Message, read_bounded};

/// The most bytes of a token answer that we read; the container tools' limit.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// How long a token is good for when its server does not say: by the specification, 60 seconds.
const DEFAULT_LIFE: u64 = 60;
/// A token is renewed this much before its end, so that it does not end on the way.
const MARGIN: u64 = 5;

/// What token servers answer; older ones say `token`, OAuth2 says `access_token`.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Asks for a token for the repository's access.
pub(super) async fn request(
    repository: &Repository,
    challenge: &Challenge,
    credential: Option<&Credential>,
) -> Result<Grant, RegistryError> {
    let realm = realm(repository, challenge)?;
    let mut scopes = repository.access.scopes();
    // A registry behind another name may know our repository by another one.
    for scope in challenge
        .parameter("scope")
        .unwrap_or_default()
        .split_ascii_whitespace()
    {
        if !scopes.iter().any(|known| known == scope)
            && !scopes.iter().any(|known| covers(known, scope))
        {
            scopes.push(scope.to_owned());
        }
    }
    let service = challenge.parameter("service");
    let message = match credential {
        Some(Credential::IdentityToken(token)) => refresh_message(realm, token, service, &scopes),
        _ => token_message(realm, credential, service, &scopes),
    };
    let url = shown(&message.url);
    let response = repository.exchange(&message).await?;
    if matches!(response.status().as_u16(), 400 | 401 | 403) {
        return Err(unauthorized(repository, credential.is_some()));
    }
    grant(&url, response, credential.is_some()).await
}

/// Where to ask; never a plain http address for a registry that is reached by https.
fn realm(repository: &Repository, challenge: &Challenge) -> Result<Url, RegistryError> {
    let fault = |fault| RegistryError::Answer {
        url: shown(&repository.base),
        fault,
    };
    let realm = challenge
        .parameter("realm")
        .ok_or(fault("a bearer challenge without a realm"))?;
    let realm = Url::parse(realm).map_err(|_| fault("the realm is not an address"))?;
    match realm.scheme() {
        "https" => Ok(realm),
        "http" if repository.base.scheme() == "http" => Ok(realm),
        _ => Err(fault("its token server is not reached by https")),
    }
}

/// `repository:a:pull,push` covers `repository:a:pull`.
fn covers(known: &str, scope: &str) -> bool {
    let split = |text: &'_ str| {
        text.rsplit_once(':')
            .map(|(name, actions)| (name.to_owned(), actions.to_owned()))
    };
    match (split(known), split(scope)) {
        (Some((known_name, known_actions)), Some((name, actions))) => {
            known_name == name
                && actions
                    .split(',')
                    .all(|action| known_actions.split(',').any(|it| it == action))
        }
        _ => false,
    }
}

fn token_message(
    mut realm: Url,
    credential: Option<&Credential>,
    service: Option<&str>,
    scopes: &[String],
) -> Message {
    {
        let mut query = realm.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
    }
    let mut message = Message::new(Method::GET, realm);
    message.authorization = credential.and_then(Credential::basic_header);
    message
}

/// OAuth2: an identity token is exchanged for an access token.
fn refresh_message(realm: Url, token: &str, service: Option<&str>, scopes: &[String]) -> Message {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", "spacktainers")
        .append_pair("service", service.unwrap_or_default())
        .append_pair("scope", &scopes.join(" "))
        .append_pair("refresh_token", token)
        .finish();
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, content_type);
    let mut message = Message::new(Method::POST, realm);
    message.headers = headers;
    message.body = form.into_bytes().into();
    message
}

async fn grant(
    url: &str,
    response: Response,
    had_credentials: bool,
) -> Result<Grant, RegistryError> {
    let fault = |fault| RegistryError::Answer {
        url: url.to_owned(),
        fault,
    };
    if !response.status().is_success() {
        return Err(crate::registry::request::refusal(response).await);
    }
    let bytes = read_bounded(response, MAX_TOKEN_BYTES).await?;
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|_| fault("the token server's answer is not JSON of the known shape"))?;
    let token = answer
        .token
        .or(answer.access_token)
        .filter(|token| !token.is_empty());
    let token = token.ok_or(fault("the token server gave no token"))?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| fault("the token server gave a token with strange characters"))?;
    header.set_sensitive(true);
    let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).max(DEFAULT_LIFE);
    // Some servers give years; an absent end is as good.
    let expires = Instant::now().checked_add(Duration::from_secs(life.saturating_sub(MARGIN)));
    Ok(Grant {
        header,
        expires,
        had_credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_for_pushing_covers_the_one_for_pulling_only_in_the_same_repository() {
        assert!(covers("repository:a:pull,push", "repository:a:pull"));
        assert!(covers("repository:a:pull,push", "repository:a:push,pull"));
        assert!(!covers("repository:a:pull", "repository:a:pull,push"));
        assert!(!covers("repository:a:pull,push", "repository:b:pull"));
    }

    #[test]
    fn a_request_for_a_token_names_service_and_every_scope() {
        let realm = Url::parse("https://auth.example/token?account=x").expect("an address");
        let scopes = [
            "repository:a/b:pull,push".to_owned(),
            "repository:c:pull".to_owned(),
        ];
        let message = token_message(realm, None, Some("reg"), &scopes);
        assert_eq!(
            message.url.as_str(),
            "https://auth.example/token?account=x&service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull"
        );
        assert!(message.authorization.is_none());
    }
}
