//! OpenAI's way of access, and that of everyone compatible with it: a bearer token, the model in the body.

use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::ExposeSecret as _;

use super::request::{Asking, Prepared, credential, forward, lacks};
use crate::domain::{Fault, Task, Wire};

pub(super) fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let path = match (asking.task, asking.wire) {
        (Task::Answer | Task::Stream, Wire::OpenaiResponses) => "responses",
        (Task::Answer | Task::Stream, Wire::OpenaiCompletions) => "completions",
        (Task::Answer | Task::Stream, _) => "chat/completions",
        (Task::Embed, _) => "embeddings",
        (Task::CountTokens, _) => return Err(lacks(asking)),
    };
    let mut headers = HeaderMap::with_capacity(4);
    forward(asking.forwarded, &["openai-beta"], &mut headers);
    if let Some(secret) = asking.secret {
        headers.insert(AUTHORIZATION, credential(&format!("Bearer {}", secret.expose_secret()))?);
    }
    Ok(Prepared { url: format!("{}/{path}", asking.vendor.base_url), headers })
}
