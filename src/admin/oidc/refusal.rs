//! Why someone with a token of the identity provider is not let in. Never holds the token, nor what a claim says.

use super::super::refused::Refused;
use crate::config::SigningAlgorithm;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::admin) enum Refusal {
    #[error("this is no signed JWT")]
    Malformed,
    #[error("this token is not signed as `admin.oidc.algorithms` has it: {}", .0.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", "))]
    Algorithm(Vec<SigningAlgorithm>),
    #[error("this token is of another issuer than `admin.oidc.issuer`")]
    Issuer,
    #[error("the issuer has no key that this token names; if it has just changed its keys, ask again in 5 s")]
    UnknownKey,
    #[error("this token's signature is not the issuer's")]
    Signature,
    #[error("this token is for someone else: its `aud` does not name `admin.oidc.audience`")]
    Audience,
    #[error("this token is over; `backstop login` gets a new one")]
    Expired,
    #[error("this token is not valid yet; compare this machine's clock with the issuer's")]
    NotYet,
    #[error("this token has no sound `{0}`")]
    Claim(&'static str),
    #[error("this token lives longer than `admin.oidc.max_lifetime`; have the issuer make shorter ones")]
    TooLong,
    #[error("nothing in this token gives a role here; see `admin.oidc.roles`")]
    NoRole,
    #[error("this token gives both `security` and a role that releases, which nobody has together")]
    TwoDuties,
    #[error("this person has shown too many tokens in the last hour")]
    TooMany,
    #[error("the issuer cannot be asked, and its keys were never known or are too old; tokens `bs-adm-…` go on")]
    IssuerAway,
    #[error("this login cannot be written into the audit log, so it is not one")]
    NotRecorded,
}

impl Refusal {
    /// For the audit log and the metric; does not change.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm(_) => "algorithm",
            Self::Issuer => "issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Claim(_) => "claim",
            Self::TooLong => "lifetime",
            Self::NoRole => "no_role",
            Self::TwoDuties => "two_duties",
            Self::TooMany => "too_many",
            Self::IssuerAway => "issuer_away",
            Self::NotRecorded => "not_recorded",
        }
    }

    /// Whether it says something of the token, and nothing of this gateway's state.
    pub(super) fn is_the_tokens(&self) -> bool {
        !matches!(self, Self::TooMany | Self::IssuerAway | Self::NotRecorded)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let said = refusal.to_string();
        match refusal {
            Refusal::NoRole | Refusal::TwoDuties => Self::forbidden(said),
            Refusal::TooMany => Self::too_many(said, Some(std::time::Duration::from_secs(60))),
            Refusal::IssuerAway | Refusal::NotRecorded => Self::unavailable(said),
            _ => Self::unauthenticated(said),
        }
    }
}
