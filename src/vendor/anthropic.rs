//! Anthropic's way of access: `x-api-key`, and the version of the API that its bodies follow.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::request::{Asking, Prepared, credential, forward, lacks};
use crate::domain::{Fault, Task};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

pub(super) fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let path = match asking.task {
        Task::Answer | Task::Stream => "messages",
        Task::CountTokens => "messages/count_tokens",
        Task::Embed => return Err(lacks(asking)),
    };
    let mut headers = HeaderMap::with_capacity(4);
    forward(asking.forwarded, &["anthropic-version", "anthropic-beta"], &mut headers);
    if !headers.contains_key(VERSION) {
        headers.insert(VERSION, HeaderValue::from_static("2023-06-01"));
    }
    if let Some(secret) = asking.secret {
        headers.insert(HeaderName::from_static("x-api-key"), credential(secret.expose_secret())?);
    }
    Ok(Prepared { url: format!("{}/{path}", asking.vendor.base_url), headers })
}
