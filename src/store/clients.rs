//! Tenants and client keys as the database keeps them. Keys are known by their hash alone.

use super::{Answer, audit::Record};
use crate::{
    config::TenantLimits,
    domain::{KeyId, TenantId},
};

/// The vault's side of the database. Every change is one transaction with its entry in the audit log.
pub trait Clients {
    /// A number that changes whenever a tenant or a key does, whoever changes it.
    fn clients_revision(&self) -> Answer<'_, i64>;

    /// By name.
    fn tenants(&self) -> Answer<'_, Vec<TenantRow>>;

    /// `false` when there is one of that name.
    fn add_tenant(&self, tenant: TenantRow, entry: Record) -> Answer<'_, bool>;

    /// Sets the limits of a tenant, which is made when it is only known from the config file.
    fn limit_tenant(&self, tenant: TenantRow, entry: Record) -> Answer<'_, ()>;

    /// All keys, revoked ones too, by tenant and age.
    fn keys(&self) -> Answer<'_, Vec<KeyRow>>;

    fn add_key(&self, key: KeyRow, entry: Record) -> Answer<'_, ()>;

    /// Adds `new` and revokes `old` in one transaction; `false`, and nothing done, when `old` is not a valid key.
    fn replace_key(&self, old: KeyId, new: KeyRow, entry: Record) -> Answer<'_, bool>;

    /// `false` when there is no such key, or it was revoked before.
    fn revoke_key(&self, key: KeyId, now_unix_ms: i64, entry: Record) -> Answer<'_, bool>;

    /// Adds both if there are neither tenants nor keys; `false` and nothing done otherwise.
    fn add_first(&self, tenant: TenantRow, key: KeyRow, entry: Record) -> Answer<'_, bool>;
}

#[derive(Debug, Clone, PartialEq)]
pub struct TenantRow {
    pub id: TenantId,
    pub created_unix_ms: i64,
    pub limits: TenantLimits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// SHA-256 of the key as it is presented.
    pub hash: [u8; 32],
    pub key_id: KeyId,
    pub tenant: TenantId,
    pub name: Option<String>,
    pub created_unix_ms: i64,
    pub expires_unix_ms: Option<i64>,
    pub revoked_unix_ms: Option<i64>,
}
