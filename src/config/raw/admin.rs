//! `admin:` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, SocketText, UrlText};
use crate::domain::OperatorRole;

/// The operators' listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Admin {
    /// Where operators connect [default: 127.0.0.1:8081]. A change needs a restart.
    pub(in crate::config) listen: Option<SocketText>,
    /// The company's identity provider, whose tokens are taken beside `bs-adm-…` ones [default: none].
    pub(in crate::config) oidc: Option<Oidc>,
}

/// An OpenID Connect issuer. Whoever shows a token of its, for this audience, gets the role that a claim of it gives here, or none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Oidc {
    /// Exactly as its tokens' `iss` says it; `/.well-known/openid-configuration` is read below it.
    #[schemars(required)]
    pub(in crate::config) issuer: Option<UrlText>,
    /// What a token's `aud` must name: this gateway's name at the issuer.
    #[schemars(required)]
    pub(in crate::config) audience: Option<String>,
    /// Who `backstop login` and the console are at the issuer: a public client with the device grant and, for the console, the code grant with
    /// PKCE [default: the audience].
    pub(in crate::config) client_id: Option<String>,
    /// What `backstop login` asks for [default: openid, profile, email, offline_access]; the console leaves `offline_access` out.
    pub(in crate::config) scopes: Option<Vec<String>>,
    /// Which token `backstop login` shows this gateway, and a session of the console stands on [default: id].
    pub(in crate::config) login_token: Option<LoginToken>,
    /// How tokens may be signed [default: RS256, ES256 and EdDSA]. Name the one that your issuer uses.
    pub(in crate::config) algorithms: Option<Vec<SigningAlgorithm>>,
    /// The claim that gives a role: its name, or a JSON pointer such as `/realm_access/roles` [default: groups].
    pub(in crate::config) role_claim: Option<String>,
    /// Roles by the claim's values. Whoever has none of these is not let in.
    #[schemars(required)]
    pub(in crate::config) roles: Option<BTreeMap<String, OperatorRole>>,
    /// The claim that names a person in the audit log [default: email]; without it `sub` does.
    pub(in crate::config) name_claim: Option<String>,
    /// How long the issuer's keys are believed while it cannot be reached [default: 24h].
    pub(in crate::config) max_stale: Option<DurationText>,
    /// The longest life of a token that is taken [default: 24h]: nobody can take it back before its end.
    pub(in crate::config) max_lifetime: Option<DurationText>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum LoginToken {
    /// The ID token: says who someone is.
    Id,
    /// The access token: where the issuer makes those JWTs for an API of this audience.
    Access,
}

/// How a token is signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(in crate::config) enum SigningAlgorithm {
    /// RSA with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}
