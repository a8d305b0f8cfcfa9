//! What an issuer says of itself (OpenID Connect Discovery 1.0, RFC 8414): read over TLS, or from this machine; bounded in size and time,
//! without redirects. For the gateway, and for `backstop login`.

use std::{net::IpAddr, time::Duration};

use reqwest::{Client, Response, Url};
use serde::{Deserialize, de::DeserializeOwned};

/// The most that is read of an answer, in bytes.
const MOST: usize = 512 << 10;
/// How long an issuer may take for one answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// An issuer's endpoints.
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery {
    pub issuer: String,
    pub jwks_uri: Option<String>,
    pub token_endpoint: Option<String>,
    /// Where a browser is sent (RFC 6749, section 3.1).
    pub authorization_endpoint: Option<String>,
    /// RFC 8628.
    pub device_authorization_endpoint: Option<String>,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("{0} is neither https nor on this machine")]
    Unsafe(String),
    #[error("{0} cannot be reached")]
    Unreachable(String),
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{0} answered with what cannot be read, or more than 512 KiB of it")]
    Unreadable(String),
    #[error("the issuer calls itself `{said}`, and was asked as `{asked}`; the names must be the same")]
    OtherName { asked: String, said: String },
}

impl Discovery {
    /// Asks `issuer` for its endpoints.
    pub async fn ask(http: &Client, issuer: &str) -> Result<Self, DiscoveryError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Self =
            serde_json::from_slice(&get(http, &url).await?).map_err(|_| DiscoveryError::Unreadable(url))?;
        if found.issuer == issuer {
            return Ok(found);
        }
        Err(DiscoveryError::OtherName { asked: issuer.to_owned(), said: found.issuer.chars().take(200).collect() })
    }
}

/// What is at `url`, whole.
pub(super) async fn get(http: &Client, url: &str) -> Result<Vec<u8>, DiscoveryError> {
    let checked = safe(url)?;
    let sent = http.get(checked).header("accept", "application/json").timeout(PATIENCE).send().await;
    let response = sent.map_err(|_| DiscoveryError::Unreachable(url.to_owned()))?;
    if !response.status().is_success() {
        return Err(DiscoveryError::Status { url: url.to_owned(), status: response.status().as_u16() });
    }
    whole(response, url).await
}

/// Posts a form, and reads the answer whatever its status: OAuth's errors are in it (RFC 6749, section 5.2).
pub async fn post_form<T: DeserializeOwned>(
    http: &Client,
    url: &str,
    form: &[(&str, &str)],
) -> Result<(u16, T), DiscoveryError> {
    let checked = safe(url)?;
    let mut body = Url::parse("form:").map_err(|_| DiscoveryError::Unsafe(url.to_owned()))?;
    body.query_pairs_mut().extend_pairs(form);
    let body = body.query().unwrap_or_default().to_owned();
    let request = http.post(checked).header("accept", "application/json").timeout(PATIENCE);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    let response = request.send().await.map_err(|_| DiscoveryError::Unreachable(url.to_owned()))?;
    let status = response.status().as_u16();
    let body = whole(response, url).await?;
    // A revocation is answered with nothing.
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let answer = serde_json::from_slice(body);
    answer.map(|answer| (status, answer)).map_err(|_| match status {
        200..=299 => DiscoveryError::Unreadable(url.to_owned()),
        _ => DiscoveryError::Status { url: url.to_owned(), status },
    })
}

async fn whole(mut response: Response, url: &str) -> Result<Vec<u8>, DiscoveryError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| DiscoveryError::Unreachable(url.to_owned()))? {
        if body.len() + chunk.len() > MOST {
            return Err(DiscoveryError::Unreadable(url.to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Over TLS, or without leaving this machine.
pub(super) fn safe(text: &str) -> Result<Url, DiscoveryError> {
    let refused = || DiscoveryError::Unsafe(text.chars().take(200).collect());
    let url = Url::parse(text).map_err(|_| refused())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if url.scheme() == "https" || url.scheme() == "http" && is_here { Ok(url) } else { Err(refused()) }
}
