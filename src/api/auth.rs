//! Who calls: the client key, from `Authorization: Bearer` or `x-api-key`.

use axum::http::HeaderMap;

use crate::{
    dialect::{Problem, ProblemKind},
    vault::{Client, ClientKeys},
};

/// The caller, or the problem that it is told. The presented key is never part of it.
pub(super) async fn authenticate(keys: &ClientKeys, headers: &HeaderMap) -> Result<Client, Problem> {
    let Some(presented) = presented(headers) else {
        return Err(refusal("no API key; send `Authorization: Bearer sk-bs-…` (or `x-api-key` on /v1/messages)"));
    };
    match keys.find(presented).await {
        Some(client) => Ok(client),
        None => {
            Err(refusal("this API key is not valid here; a key is issued with `backstop keys issue --tenant NAME`"))
        }
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| text("x-api-key")).filter(|key| !key.is_empty())
}

fn refusal(message: &str) -> Problem {
    Problem { code: Some("invalid_api_key".to_owned()), ..Problem::new(ProblemKind::Authentication, message) }
}
