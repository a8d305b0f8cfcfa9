//! Vertex AI's way of access: a bearer token that a service account's key buys, the model below a project and a region.
//!
//! The secret is the account's key file as Google gives it, JSON on one line. Gemini's models and tuned endpoints are asked;
//! models of other publishers speak other wires there and are not.

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
    request::{Asking, Prepared, credential, lacks, segment},
};
use crate::domain::{Fault, FaultKind};

pub(super) async fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let Asking { vendor, client, model, task, secret, .. } = asking;
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
    let model = match model.strip_prefix("endpoints/") {
        Some(endpoint) => format!("endpoints/{}", segment(endpoint)),
        None => format!("publishers/google/models/{}", segment(model.strip_prefix("google/").unwrap_or(model))),
    };
    let bearer = credential(&format!("Bearer {}", token.value.expose_secret()))?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    Ok(Prepared { url: format!("{place}/{model}:{}", method(task)), headers })
}
