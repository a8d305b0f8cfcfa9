//! Vertex AI's way of access: a bearer token that a service account's key buys, the model below a project and a region.
//!
//! The secret is the account's key file as Google gives it, JSON on one line. Gemini's models and tuned endpoints are asked,
//! and under a kind of their own Anthropic's models; those of further publishers speak other wires there and are not.

mod service_account;
mod token;
mod tokens;

#[cfg(test)]
mod tests;

pub(super) use tokens::Tokens;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::ExposeSecret as _;

use super::{
    gemini::method,
    request::{Asking, Prepared, credential, forward, lacks, segment},
};
use crate::{
    config::Access,
    domain::{Fault, FaultKind, Task},
};

pub(super) async fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let Asking { vendor, client, model, task, secret, forwarded, .. } = asking;
    if !task.is_answer() {
        return Err(lacks(asking));
    }
    let Some(secret) = secret else {
        let why = format!("vendor `{}` has no service account; set its key with `backstop vault set`", vendor.id);
        return Err(Fault::new(FaultKind::NoSecret, why));
    };
    let token = client.tokens().get(&vendor.id, secret, client.http()).await?;
    let Some(project) = vendor.project.as_deref().or(token.project.as_deref()) else {
        let why = format!("the key names no project; write `project` at vendor `{}`", vendor.id);
        return Err(Fault::new(FaultKind::NoSecret, why));
    };
    let region = vendor.region.as_deref().unwrap_or("global");
    let place = format!("{}/projects/{}/locations/{}", vendor.base_url, segment(project), segment(region));
    let of = |publisher: &str| {
        let name = model.strip_prefix(publisher).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model);
        format!("publishers/{publisher}/models/{}", segment(name))
    };
    let what = match (vendor.access, task, model.strip_prefix("endpoints/")) {
        (Access::VertexAnthropic, Task::Answer, _) => format!("{}:rawPredict", of("anthropic")),
        (Access::VertexAnthropic, Task::Stream, _) => format!("{}:streamRawPredict", of("anthropic")),
        (_, _, Some(endpoint)) => format!("endpoints/{}:{}", segment(endpoint), method(task)),
        (_, _, None) => format!("{}:{}", of("google"), method(task)),
    };
    let bearer = credential(&format!("Bearer {}", token.value.expose_secret()))?;
    let mut headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    forward(forwarded, &["anthropic-beta"], &mut headers);
    Ok(Prepared { url: format!("{place}/{what}"), headers })
}
