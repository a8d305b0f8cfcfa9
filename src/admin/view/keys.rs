//! A client key: all but what opens anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::KeyRow;

/// One client key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    /// Its public first characters.
    pub key_id: String,
    pub tenant: String,
    pub name: Option<String>,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    pub created_unix_ms: i64,
    pub expires_unix_ms: Option<i64>,
    pub revoked_unix_ms: Option<i64>,
    /// Empty: all.
    pub routes: Vec<String>,
    /// Empty: any.
    pub features: Vec<String>,
    /// Empty: from everywhere.
    pub networks: Vec<String>,
    pub limits: Map<String, Value>,
}

pub fn keys(keys: Vec<KeyRow>, now_unix_ms: i64) -> Vec<KeyView> {
    let state = |key: &KeyRow| match (key.revoked_unix_ms, key.expires_unix_ms) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if expires <= now_unix_ms => "expired",
        _ => "valid",
    };
    keys.into_iter()
        .map(|key| KeyView {
            state: state(&key).to_owned(),
            key_id: key.key_id.to_string(),
            tenant: key.tenant.to_string(),
            name: key.name,
            created_unix_ms: key.created_unix_ms,
            expires_unix_ms: key.expires_unix_ms,
            revoked_unix_ms: key.revoked_unix_ms,
            routes: key.may.routes.iter().map(ToString::to_string).collect(),
            features: key.may.features.iter().map(ToString::to_string).collect(),
            networks: key.may.networks.iter().map(ToString::to_string).collect(),
            limits: key.may.limits.named_with_nulls(),
        })
        .collect()
}
