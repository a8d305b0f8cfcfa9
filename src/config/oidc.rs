//! How the company's identity provider is asked who an operator is, and what its word is worth here.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::OperatorRole;

/// An OpenID Connect issuer that operators log in at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Exactly as its tokens say it.
    pub issuer: String,
    /// What a token must be for.
    pub audience: String,
    /// Who `backstop login` and the console are at the issuer.
    pub client_id: String,
    /// What they ask for; the console leaves `offline_access` out.
    pub scopes: Vec<String>,
    pub login_token: LoginToken,
    /// How a token may be signed; nothing else is looked at.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The claim whose values give a role: its name, or a JSON pointer to it.
    pub role_claim: String,
    /// Roles by that claim's values. Whoever has none of them is not let in.
    pub roles: BTreeMap<String, OperatorRole>,
    /// The claim by which a person is named.
    pub name_claim: String,
    /// How long the issuer's keys are believed while it cannot be asked.
    pub max_stale: Duration,
    /// The longest life of a token that is taken: until its end nobody here can take it back.
    pub max_lifetime: Duration,
}

/// Signatures of JWTs (RFC 7518, RFC 8037) that can be checked here. No shared secret, and not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits at least.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Which token `backstop login` shows this gateway, and a session of the console stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginToken {
    Id,
    Access,
}

impl SigningAlgorithm {
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// As a token's `alg` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl LoginToken {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Access => "access",
        }
    }
}
