//! A tenant, with the limits that hold for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{config::Settings, vault::Known};

/// One tenant; `null`: no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantView {
    pub tenant: String,
    /// `config` (only the file names it) or `database`.
    pub source: String,
    pub created_unix_ms: Option<i64>,
    /// What holds: of the config's and the stored limits the smaller one.
    #[serde(flatten)]
    pub limits: Map<String, Value>,
    /// Limits of what a call is for, by feature.
    pub features: Map<String, Value>,
    /// Limits of what is asked for, by route.
    pub models: Map<String, Value>,
}

pub fn tenant(tenant: &Known, settings: &Settings) -> TenantView {
    let stored = tenant.stored.as_ref().map(|row| row.policy.clone()).unwrap_or_default();
    let configured = settings.tenants.get(&tenant.id).cloned().unwrap_or_default();
    let features = configured.features.keys().chain(stored.features.keys()).map(|feature| {
        (feature.to_string(), configured.feature(feature).and(&stored.feature(feature)).named_with_nulls().into())
    });
    let models =
        configured.models.keys().chain(stored.models.keys()).map(|route| {
            (route.to_string(), configured.model(route).and(&stored.model(route)).named_with_nulls().into())
        });
    TenantView {
        tenant: tenant.id.to_string(),
        source: if tenant.stored.is_some() { "database" } else { "config" }.to_owned(),
        created_unix_ms: tenant.stored.as_ref().map(|row| row.created_unix_ms),
        limits: configured.limits.and(&stored.limits).named_with_nulls(),
        features: features.collect(),
        models: models.collect(),
    }
}
