//! Where operators log in: what `backstop login` has to know, and nothing that opens anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::OidcSettings;

/// The identity provider that this gateway believes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoginView {
    pub issuer: String,
    /// Who the command line is there.
    pub client_id: String,
    pub scopes: Vec<String>,
    /// Which token is shown here: `id` or `access`.
    pub token: String,
}

pub fn login(oidc: &OidcSettings) -> LoginView {
    LoginView {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        scopes: oidc.scopes.clone(),
        token: oidc.login_token.as_str().to_owned(),
    }
}
