//! What the claims of a token whose signature holds say of a person: whether it is for this gateway and now, who it is, and which role
//! that gives. Pure.
//!
//! Deny by default: a role comes from the one claim that the config names and the values that it maps, from nothing else.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;
use crate::{config::OidcSettings, domain::OperatorRole};

/// By how much clocks may differ, in seconds.
const LEEWAY_S: f64 = 30.0;
/// The longest name, in bytes (OpenID Connect Core, section 2, of `sub`).
const LONGEST: usize = 255;

/// Someone whom the issuer knows, and who may do something here.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    /// The same for the same person at the same issuer, and says nothing to who does not know both.
    pub(super) id: [u8; 32],
    /// The person's session at the issuer, with the role that it gave.
    pub(super) session: [u8; 32],
    pub(super) subject: String,
    /// As the config's claim names them.
    pub(super) name: Option<String>,
    pub(super) role: OperatorRole,
    pub(super) until_unix_s: i64,
}

/// Whether a token is of this issuer at all. Asked before its keys are, so that no other token makes us ask for them.
pub(super) fn is_of(settings: &OidcSettings, claims: &Map<String, Value>) -> bool {
    claims.get("iss").and_then(Value::as_str) == Some(&settings.issuer)
}

/// Who this is, and what they may.
pub(super) fn person(settings: &OidcSettings, claims: &Map<String, Value>, now_unix_s: i64) -> Result<Person, Refusal> {
    if !is_of(settings, claims) {
        return Err(Refusal::Issuer);
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => *one == settings.audience,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(&settings.audience)),
        _ => false,
    };
    if !is_for_us {
        return Err(Refusal::Audience);
    }
    let now = now_unix_s as f64;
    let until = time(claims, "exp")?.ok_or(Refusal::Claim("exp"))?;
    let issued = time(claims, "iat")?.ok_or(Refusal::Claim("iat"))?;
    if now >= until + LEEWAY_S {
        return Err(Refusal::Expired);
    }
    if issued > now + LEEWAY_S || time(claims, "nbf")?.is_some_and(|from| from > now + LEEWAY_S) {
        return Err(Refusal::NotYet);
    }
    if until - issued > settings.max_lifetime.as_secs_f64() + LEEWAY_S {
        return Err(Refusal::TooLong);
    }
    let subject = subject(claims).ok_or(Refusal::Claim("sub"))?;
    let role = role(settings, claims)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let session = match (text("sid"), text("jti")) {
        (Some(session), _) => ["sid", session].join(" "),
        (None, Some(token)) => ["jti", token].join(" "),
        (None, None) => format!("iat {issued}"),
    };
    Ok(Person {
        id: digest(&[&settings.issuer, subject]),
        session: digest(&[&settings.issuer, subject, &session, role.as_str()]),
        subject: subject.to_owned(),
        name: text(&settings.name_claim).map(|name| name.chars().take(LONGEST).collect()),
        role,
        until_unix_s: (until + LEEWAY_S) as i64,
    })
}

/// Whose it is, where that is sound.
pub(super) fn subject(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty() && sub.len() <= LONGEST)
}

/// The greatest of the roles that the claim's values give.
fn role(settings: &OidcSettings, claims: &Map<String, Value>) -> Result<OperatorRole, Refusal> {
    let claim = match settings.role_claim.split_once('/') {
        Some(("", path)) => path.split('/').try_fold(None, |at: Option<&Value>, name| {
            let name = name.replace("~1", "/").replace("~0", "~");
            at.map_or_else(|| claims.get(&name), |at| at.get(&name)).map(Some)
        }),
        _ => claims.get(&settings.role_claim).map(Some),
    };
    let values: Vec<&str> = match claim.flatten() {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let given: Vec<OperatorRole> = values.iter().filter_map(|value| settings.roles.get(*value)).copied().collect();
    let greatest = given.iter().max().copied().ok_or(Refusal::NoRole)?;
    let releases = |role: &OperatorRole| !matches!(role, OperatorRole::Viewer | OperatorRole::Security);
    if greatest == OperatorRole::Security && given.iter().any(releases) {
        return Err(Refusal::TwoDuties);
    }
    Ok(greatest)
}

/// A NumericDate, which is there as a number or not at all: a text in its place must not count as nothing.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_f64().filter(|number| (0.0..1e12).contains(number));
    number.map(Some).ok_or(Refusal::Claim(name))
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
