//! Tenants and client keys as the database keeps them. Keys are known by their hash alone.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Answer, audit::Record};
use crate::{
    config::{Limits, Tenant, parse_network},
    domain::{FeatureId, KeyId, RouteId, TenantId},
};

/// The vault's side of the database. Every change is one transaction with its entry in the audit log.
pub trait Clients {
    /// A number that changes whenever a tenant or a key does, whoever changes it.
    fn clients_revision(&self) -> Answer<'_, i64>;

    /// By name.
    fn tenants(&self) -> Answer<'_, Vec<TenantRow>>;

    /// `false` when there is one of that name.
    fn add_tenant(&self, tenant: TenantRow, entry: Record) -> Answer<'_, bool>;

    /// Sets the limits of a tenant, which is made when it is only known from the config file. `false`, and nothing done, when what is
    /// stored is not `before` any more.
    fn limit_tenant(&self, before: Option<Tenant>, tenant: TenantRow, entry: Record) -> Answer<'_, bool>;

    /// All keys, revoked ones too, by tenant and age.
    fn keys(&self) -> Answer<'_, Vec<KeyRow>>;

    fn add_key(&self, key: KeyRow, entry: Record) -> Answer<'_, ()>;

    /// Adds `new` and, in the same transaction, ends `old`: revoked at once, or expired from `old_ends_unix_ms` on if that
    /// is sooner than it expires anyway. `false`, and nothing done, when `old` is not a valid key.
    fn replace_key(&self, old: KeyId, new: KeyRow, old_ends_unix_ms: Option<i64>, entry: Record) -> Answer<'_, bool>;

    /// `false` when there is no such key, or it was revoked before.
    fn revoke_key(&self, key: KeyId, now_unix_ms: i64, entry: Record) -> Answer<'_, bool>;

    /// Adds both if there are neither tenants nor keys; `false` and nothing done otherwise.
    fn add_first(&self, tenant: TenantRow, key: KeyRow, entry: Record) -> Answer<'_, bool>;
}

#[derive(Debug, Clone, PartialEq)]
pub struct TenantRow {
    pub id: TenantId,
    pub created_unix_ms: i64,
    pub policy: Tenant,
}

#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// SHA-256 of the key as it is presented.
    pub hash: [u8; 32],
    pub key_id: KeyId,
    pub tenant: TenantId,
    pub name: Option<String>,
    pub created_unix_ms: i64,
    pub expires_unix_ms: Option<i64>,
    pub revoked_unix_ms: Option<i64>,
    pub may: May,
}

/// What a key may; what is empty is not restricted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct May {
    /// The routes that it may ask for as `model`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub routes: BTreeSet<RouteId>,
    /// The features that its calls may be for. The first one is that of a call that says none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<FeatureId>,
    /// Where it may be used from.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts", deserialize_with = "from_texts")]
    pub networks: Vec<IpNet>,
    pub limits: Limits,
}

fn as_texts<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

fn from_texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network =
        |text: &String| parse_network(text).ok_or_else(|| D::Error::custom(format!("`{text}` is no network")));
    texts.iter().map(network).collect()
}
