//! Operators' tokens. One is in an answer once, when it is issued.

use axum::http::Method;
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        TokenAdmin, TokenAdminError,
        asked::Asked,
        endpoint::{Endpoint, Nothing},
        refused::Refused,
        token::{NewToken, token_id},
        view::{TokenView, tokens},
    },
    keys::expiry,
};
use crate::{
    clock,
    domain::{OperatorRole, Right},
};

/// How long a token is valid unless it is said.
const USUAL_MS: i64 = 90 * 24 * 3600 * 1000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::read("/tokens", Right::TokenRead, "All operators' tokens by their public first characters", list),
        Endpoint::write((Method::POST, "/tokens"), Right::TokenChange, "Issue a token: it is shown this once", issue)
            .makes()
            .shows_once("token"),
        Endpoint::write((Method::DELETE, "/tokens/{id}"), Right::TokenChange, "End a token, at once", revoke),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskedToken {
    role: OperatorRole,
    /// Whose it is, or what it is for.
    name: Option<String>,
    /// [default: 90 days from now]
    expires_unix_ms: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Issued {
    id: String,
    role: OperatorRole,
    expires_unix_ms: i64,
    /// `null` where a repeated request is answered.
    token: Option<String>,
}

fn admin(asked: &Asked) -> TokenAdmin {
    TokenAdmin::new(asked.admin.store.clone(), asked.actor())
}

async fn list(asked: Asked, _: Nothing) -> Result<Vec<TokenView>, Refused> {
    Ok(tokens(admin(&asked).list().await?, clock::unix_ms()))
}

async fn issue(asked: Asked, new: AskedToken) -> Result<Issued, Refused> {
    let expires_unix_ms = expiry(new.expires_unix_ms)?.unwrap_or_else(|| clock::unix_ms() + USUAL_MS);
    let role = new.role;
    let issued = admin(&asked).issue(NewToken { role, name: new.name, expires_unix_ms }).await?;
    let token = Some(issued.token.expose_secret().to_owned());
    Ok(Issued { id: issued.id, role, expires_unix_ms, token })
}

async fn revoke(asked: Asked, _: Nothing) -> Result<Nothing, Refused> {
    match admin(&asked).revoke(token_id(asked.param("id"))).await {
        Ok(()) => Ok(Nothing {}),
        Err(error @ TokenAdminError::Unknown { .. }) => Err(Refused::not_found(error.to_string())),
        Err(TokenAdminError::Store(error)) => Err(error.into()),
    }
}
