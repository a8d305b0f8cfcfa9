//! Cohere's way of access: a bearer token, the model in the body.

use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::ExposeSecret as _;

use super::request::{Asking, Prepared, credential, lacks};
use crate::domain::{Fault, Task};

pub(super) fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let path = match asking.task {
        Task::Answer | Task::Stream => "chat",
        Task::Embed => "embed",
        Task::CountTokens => return Err(lacks(asking)),
    };
    let mut headers = HeaderMap::with_capacity(2);
    if let Some(secret) = asking.secret {
        headers.insert(AUTHORIZATION, credential(&format!("Bearer {}", secret.expose_secret()))?);
    }
    Ok(Prepared { url: format!("{}/{path}", asking.vendor.base_url), headers })
}
