//! Client keys. One is in an answer once, when it is issued.

use std::collections::BTreeSet;

use axum::http::Method;
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        asked::Asked,
        endpoint::{Endpoint, Nothing},
        refused::Refused,
        view::{self, KeyView},
    },
    tenants::{NewLimits, key_admin, known},
};
use crate::{
    clock,
    config::parse_network,
    domain::{FeatureId, KeyId, Right, is_plain_name},
    store::May,
    vault::{Issued, KeyAdmin, NewKey, OldKey},
};

/// The latest moment that anything expires at: ten years.
const LONGEST_MS: i64 = 3660 * 24 * 3600 * 1000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let rotate = "Issue a key that may what the old one may, and end the old one";
    vec![
        Endpoint::read("/keys", Right::Read, "All keys by their public first characters", list),
        Endpoint::write((Method::POST, "/keys"), Right::KeyChange, "Issue a key: it is shown this once", issue)
            .makes()
            .shows_once("key"),
        Endpoint::write((Method::POST, "/keys/{key_id}/rotate"), Right::KeyChange, rotate, rotate_key)
            .makes()
            .shows_once("key"),
        Endpoint::write((Method::DELETE, "/keys/{key_id}"), Right::KeyChange, "End a key, within a second", revoke),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct KeyQuery {
    /// Only this tenant's.
    tenant: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskedKey {
    tenant: String,
    /// What it is for, for people.
    name: Option<String>,
    /// `null`: it does not expire.
    expires_unix_ms: Option<i64>,
    /// Empty: all.
    #[serde(default)]
    routes: Vec<String>,
    /// Empty: any.
    #[serde(default)]
    features: Vec<String>,
    /// Empty: from everywhere.
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    limits: NewLimits,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    /// How long the old key stays valid besides, in ms; 0: it ends at once.
    overlap_ms: i64,
    /// When the new one expires; `null`: when the old one would have.
    expires_unix_ms: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct IssuedKey {
    key_id: String,
    tenant: String,
    /// `null` where a repeated request is answered.
    key: Option<String>,
}

impl From<Issued> for IssuedKey {
    fn from(issued: Issued) -> Self {
        let key = Some(issued.key.expose_secret().to_owned());
        Self { key_id: issued.key_id.to_string(), tenant: issued.tenant.to_string(), key }
    }
}

/// A moment that is not past, nor beyond all reason.
pub(super) fn expiry(moment: Option<i64>) -> Result<Option<i64>, Refused> {
    let now = clock::unix_ms();
    match moment {
        Some(moment) if moment <= now || moment > now.saturating_add(LONGEST_MS) => {
            Err(Refused::invalid("`expires_unix_ms` is in the past, or more than ten years away"))
        }
        moment => Ok(moment),
    }
}

fn key_id(given: &str) -> KeyId {
    KeyId::new(given.get(..KeyAdmin::ID_LENGTH).unwrap_or(given))
}

async fn list(asked: Asked, query: KeyQuery) -> Result<Vec<KeyView>, Refused> {
    let mut keys = key_admin(&asked).keys().await?;
    keys.retain(|key| query.tenant.as_ref().is_none_or(|tenant| key.tenant.as_str() == tenant));
    Ok(view::keys(keys, clock::unix_ms()))
}

async fn issue(asked: Asked, new: AskedKey) -> Result<IssuedKey, Refused> {
    let tenant = known(&asked, &new.tenant).await?;
    let routes = new.routes.iter().map(|name| asked.route(name)).collect::<Result<BTreeSet<_>, _>>()?;
    if let Some(wrong) = new.features.iter().find(|name| !is_plain_name(name)) {
        return Err(Refused::invalid(format!("`{wrong}` cannot name a feature")));
    }
    let network = |text: &String| {
        parse_network(text).ok_or_else(|| Refused::invalid(format!("`{text}` is neither an address nor a network")))
    };
    let may = May {
        routes,
        features: new.features.iter().map(FeatureId::new).collect(),
        networks: new.networks.iter().map(network).collect::<Result<_, _>>()?,
        limits: new.limits.checked()?,
    };
    let key = NewKey { name: new.name, expires_unix_ms: expiry(new.expires_unix_ms)?, may };
    Ok(key_admin(&asked).issue(&tenant, key).await?.into())
}

async fn rotate_key(asked: Asked, rotation: Rotation) -> Result<IssuedKey, Refused> {
    let old = match rotation.overlap_ms {
        0 => OldKey::Ends,
        overlap if (0..LONGEST_MS).contains(&overlap) => OldKey::StaysUntil(clock::unix_ms() + overlap),
        _ => return Err(Refused::invalid("`overlap_ms` is from 0 to ten years")),
    };
    let id = key_id(asked.param("key_id"));
    Ok(key_admin(&asked).rotate(&id, old, expiry(rotation.expires_unix_ms)?).await?.into())
}

async fn revoke(asked: Asked, _: Nothing) -> Result<Nothing, Refused> {
    key_admin(&asked).revoke(&key_id(asked.param("key_id"))).await?;
    Ok(Nothing {})
}
