//! Tags of a repository, and referrers of a manifest.
//!
//! Source: OCI distribution specification 1.1, "Content Discovery".

use oci_format::{Descriptor, Digest};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::http::shown;
use super::request::{Message, read_bounded, refusal};
use super::{RegistryError, Repository};

/// Tags asked for at once; registries may give fewer.
const PAGE: usize = 1000;
/// The most pages that are read: a registry that never ends is broken.
pub(super) const MAX_PAGES: usize = 1000;
/// The most bytes of a page.
const MAX_PAGE_BYTES: u64 = 16 << 20;

impl Repository {
    /// All tags, in the registry's order; none where there is no such repository.
    ///
    /// # Errors
    /// When the registry cannot or will not tell.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut url = self.url(&format!("tags/list?n={PAGE}"))?;
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let response = self.send(&Message::new(Method::GET, url.clone())).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(tags),
                _ => return Err(refusal(response).await),
            }
            let next = next_page(&url, response.headers());
            let bytes = read_bounded(response, MAX_PAGE_BYTES).await?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|_| RegistryError::Answer {
                url: shown(&url),
                fault: "the list of tags is not JSON of the known shape",
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) if self.owns(&next) => url = next,
                _ => return Ok(tags),
            }
        }
        Err(RegistryError::Answer {
            url: shown(&url),
            fault: "the list of tags has no end",
        })
    }

    /// Whether there is such a repository, as far as we may know: one that nobody has made, or that we may not read, is none.
    ///
    /// # Errors
    /// When the registry fails.
    pub async fn exists(&self) -> Result<bool, RegistryError> {
        let url = self.url("tags/list?n=1")?;
        let response = match self.send(&Message::new(Method::GET, url)).await {
            Ok(response) => response,
            Err(RegistryError::Unauthorized { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(false),
            _ => Err(refusal(response).await),
        }
    }

    /// What names `digest` as its subject: signatures, SBOMs, provenance.
    ///
    /// Where the registry keeps no list of referrers, or an empty one, the index under the tag `sha256-<digest>` is read,
    /// which those who push keep instead. Empty ones too, because some registries answer any address with an empty list.
    ///
    /// # Errors
    /// When the registry cannot or will not tell.
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        match self.listed_by_registry(digest).await? {
            Some(list) if !list.is_empty() => Ok(list),
            _ => {
                let index = self.listed_by_tag(digest).await?;
                Ok(index.map(|(index, _)| index.manifests).unwrap_or_default())
            }
        }
    }
}

/// `Link: </v2/a/tags/list?last=x&n=10>; rel="next"`
pub(super) fn next_page(asked: &Url, headers: &HeaderMap) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = rest
        .split(';')
        .any(|it| matches!(it.trim(), "rel=\"next\"" | "rel=next"));
    is_next.then(|| asked.join(address).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_relative_to_the_last() {
        let asked = Url::parse("http://h/v2/a/tags/list?n=2").expect("an address");
        let mut headers = HeaderMap::new();
        assert_eq!(next_page(&asked, &headers), None);
        let link = r#"</v2/a/tags/list?last=b&n=2>; rel="next""#;
        headers.insert(LINK, link.parse().expect("a header"));
        let next = next_page(&asked, &headers).expect("next");
        assert_eq!(next.as_str(), "http://h/v2/a/tags/list?last=b&n=2");
        headers.insert(LINK, "</x>; rel=\"prev\"".parse().expect("a header"));
        assert_eq!(next_page(&asked, &headers), None);
    }
}
