//! One object of S3, or of what is compatible with it: put and read with a signed request (AWS Signature Version 4).

use std::time::Duration;

use reqwest::{Client, Method, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::sigv4::{self, Keys, Paths, Request, Scope};
use crate::clock;

/// How long the store may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where an object is, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// With the bucket in its path.
    pub url: &'a str,
    pub region: &'a str,
    /// A JSON object of keys.
    pub secret: &'a SecretString,
}

/// Whether an object that is there is written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It is not: the store answers 412.
    Never,
    Always,
}

#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("its secret is no JSON object of `access_key_id`, `secret_access_key` and perhaps `session_token`")]
    NoKeys,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it did not answer within 10 s")]
    Timeout,
}

impl Object<'_> {
    pub async fn put(self, client: &Client, (kind, body): (&str, &[u8]), over: Over) -> Result<Response, S3Error> {
        let mut headers = vec![("content-type", kind)];
        if over == Over::Never {
            headers.push(("if-none-match", "*"));
        }
        self.send(client, Method::PUT, &headers, body).await
    }

    pub async fn get(self, client: &Client) -> Result<Response, S3Error> {
        self.send(client, Method::GET, &[], b"").await
    }

    async fn send(
        self,
        client: &Client,
        method: Method,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, S3Error> {
        let keys = Keys::read(self.secret.expose_secret()).ok_or(S3Error::NoKeys)?;
        let url = Url::parse(self.url).map_err(|_| S3Error::Unreachable)?;
        let (host, digest) = (sigv4::host(&url), hex::encode(Sha256::digest(body)));
        let mut headers = vec![("host", host.as_str()), ("x-amz-content-sha256", digest.as_str())];
        headers.extend_from_slice(more);
        let path = url.path();
        let request = Request { method: method.as_str(), path, paths: Paths::AsSent, headers: &headers, body };
        let scope = Scope { region: self.region, service: "s3" };
        let signed = sigv4::sign(request, keys.credentials(), scope, clock::unix_ms() / 1000);
        let mut sent = client.request(method, url.clone()).timeout(TIMEOUT).body(body.to_vec());
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            sent = sent.header(*name, *value);
        }
        if let Some(token) = &keys.session_token {
            sent = sent.header("x-amz-security-token", token.as_ref());
        }
        let sent = sent.header("x-amz-date", signed.date).header("authorization", signed.authorization);
        sent.send().await.map_err(|error| if error.is_timeout() { S3Error::Timeout } else { S3Error::Unreachable })
    }
}
