//! Bedrock's way of access: the model in the path, and a request signed with AWS credentials or a Bedrock API key as a bearer.
//!
//! The secret in the vault is either the key as it is, or the credentials as a JSON object with `access_key_id`,
//! `secret_access_key` and, for temporary ones, `session_token`.

use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::request::{Asking, Prepared, credential, lacks};
use crate::{
    clock,
    domain::{Fault, FaultKind, Task},
    vault::sigv4::{self, Keys, Paths, Request, Scope, escape},
};

const SERVICE: &str = "bedrock";

pub(super) fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let operation = match asking.task {
        Task::Answer => "converse",
        Task::Stream => "converse-stream",
        Task::CountTokens | Task::Embed => return Err(lacks(asking)),
    };
    let url = format!("{}/model/{}/{operation}", asking.vendor.base_url, escape(asking.model, ""));
    let headers = match asking.secret {
        Some(secret) => authorize(asking, &url, secret, clock::unix_ms() / 1000)?,
        None => HeaderMap::new(),
    };
    Ok(Prepared { url, headers })
}

fn authorize(asking: Asking<'_>, url: &str, secret: &SecretString, now: i64) -> Result<HeaderMap, Fault> {
    let secret = secret.expose_secret().trim();
    let mut headers = HeaderMap::with_capacity(4);
    if !secret.starts_with('{') {
        headers.insert(AUTHORIZATION, credential(&format!("Bearer {secret}"))?);
        return Ok(headers);
    }
    let keys = Keys::read(secret).ok_or_else(|| {
        no_secret(
            "the vendor's secret is no JSON object of `access_key_id`, `secret_access_key` and perhaps `session_token`",
        )
    })?;
    let Some(region) = asking.vendor.region.as_deref() else {
        return Err(no_secret("the vendor has no `region`, without which its requests cannot be signed"));
    };
    let parsed = Url::parse(url).map_err(|_| Fault::new(FaultKind::Dns, "the vendor's `base_url` is no URL"))?;
    let host = sigv4::host(&parsed);
    let request = Request {
        method: "POST",
        path: parsed.path(),
        paths: Paths::Twice,
        headers: &[("content-type", "application/json"), ("host", &host)],
        body: asking.body,
    };
    let signed = sigv4::sign(request, keys.credentials(), Scope { region, service: SERVICE }, now);
    let date = HeaderValue::from_str(&signed.date).expect("digits and two letters are a header");
    headers.insert(HeaderName::from_static("x-amz-date"), date);
    if let Some(token) = &keys.session_token {
        headers.insert(HeaderName::from_static("x-amz-security-token"), credential(token)?);
    }
    headers.insert(AUTHORIZATION, credential(&signed.authorization)?);
    Ok(headers)
}

fn no_secret(why: &str) -> Fault {
    Fault::new(FaultKind::NoSecret, why)
}
