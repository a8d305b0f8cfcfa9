//! Tenants and their keys, made and ended. A key is known in clear only in the moment it is issued. Every act is in the audit log, in
//! the act's own transaction.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client_keys::hash;
use crate::{
    clock,
    config::TenantLimits,
    domain::{Act, Action, Actor, KeyId, TenantId},
    store::{KeyRow, Record, Store, StoreError, TenantRow},
};

const PREFIX: &str = "sk-bs-";
/// 32 random bytes in base64url.
const KEY_LENGTH: usize = PREFIX.len() + 43;

/// Changes tenants and keys in the database; a running server follows within a second.
#[derive(Debug, Clone)]
pub struct KeyAdmin {
    store: Store,
    actor: Actor,
}

/// A new key, in the only moment when it is known in clear.
#[derive(Debug)]
pub struct Issued {
    pub key: SecretString,
    pub key_id: KeyId,
    pub tenant: TenantId,
}

/// A tenant that exists, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub id: TenantId,
    /// `None`: only the config file names it.
    pub stored: Option<TenantRow>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyAdminError {
    #[error("there is no tenant `{name}`{}", suggestion(.nearest))]
    UnknownTenant { name: String, nearest: Option<TenantId> },
    #[error(
        "`{name}` cannot name a tenant; use letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit"
    )]
    Name { name: String },
    #[error("there is a tenant `{name}` already")]
    TenantExists { name: String },
    #[error("there is no valid key `{key_id}`; `backstop keys list` shows those there are")]
    UnknownKey { key_id: KeyId },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyAdmin {
    /// How many of a key's characters are its id: 48 of 256 bits.
    pub const ID_LENGTH: usize = PREFIX.len() + 8;

    /// What is changed is changed by `actor`.
    pub fn new(store: Store, actor: Actor) -> Self {
        Self { store, actor }
    }

    /// Every tenant, by name: those stored and those the config file names.
    pub async fn tenants(&self, configured: &[TenantId]) -> Result<Vec<Known>, KeyAdminError> {
        let stored = self.store.tenants().await?.into_iter();
        let mut known: Vec<Known> = stored.map(|row| Known { id: row.id.clone(), stored: Some(row) }).collect();
        for id in configured {
            if !known.iter().any(|tenant| tenant.id == *id) {
                known.push(Known { id: id.clone(), stored: None });
            }
        }
        known.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(known)
    }

    /// The tenant of that name, or an error that has the nearest one.
    pub async fn tenant(&self, name: &str, configured: &[TenantId]) -> Result<Known, KeyAdminError> {
        let known = self.tenants(configured).await?;
        if let Some(tenant) = known.iter().find(|tenant| tenant.id.as_str() == name) {
            return Ok(tenant.clone());
        }
        let likeness = |tenant: &&Known| strsim::jaro_winkler(tenant.id.as_str(), name);
        let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let nearest = nearest.filter(|tenant| likeness(tenant) > 0.7).map(|tenant| tenant.id.clone());
        Err(KeyAdminError::UnknownTenant { name: name.to_owned(), nearest })
    }

    pub async fn add_tenant(&self, name: &str, configured: &[TenantId]) -> Result<TenantId, KeyAdminError> {
        let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        let rest = name.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char));
        if !(starts && rest && name.len() <= 64) {
            return Err(KeyAdminError::Name { name: name.to_owned() });
        }
        let id = TenantId::new(name);
        let tenant = TenantRow { id: id.clone(), created_unix_ms: clock::unix_ms(), limits: TenantLimits::default() };
        let act = self.act(Action::TenantAdd, ("tenant", name));
        if configured.contains(&id) || !self.store.add_tenant(tenant, Record::of(&act)).await? {
            return Err(KeyAdminError::TenantExists { name: name.to_owned() });
        }
        Ok(id)
    }

    /// Replaces all limits that are stored for `tenant`.
    pub async fn limit_tenant(&self, tenant: &Known, limits: TenantLimits) -> Result<(), KeyAdminError> {
        let created_unix_ms = tenant.stored.as_ref().map_or_else(clock::unix_ms, |row| row.created_unix_ms);
        let before = tenant.stored.as_ref().map(|row| row.limits).unwrap_or_default();
        let act = self.act(Action::TenantLimit, ("tenant", tenant.id.as_str()));
        let entry = Record::of(&act.before(described(before)).after(described(limits)));
        Ok(self.store.limit_tenant(TenantRow { id: tenant.id.clone(), created_unix_ms, limits }, entry).await?)
    }

    /// All keys, revoked ones too, by tenant and age.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, KeyAdminError> {
        Ok(self.store.keys().await?)
    }

    pub async fn issue(&self, tenant: &Known, name: Option<String>) -> Result<Issued, KeyAdminError> {
        let (issued, row) = new_key(&tenant.id, name);
        let act = self.act(Action::KeyIssue, ("client_key", row.key_id.as_str()));
        let act = act.after(json!({ "tenant": row.tenant })).of_person("after.name", row.name.as_deref());
        self.store.add_key(row, Record::of(&act)).await?;
        Ok(issued)
    }

    /// A new key in the place of `key_id`, which is revoked in the same moment.
    pub async fn rotate(&self, key_id: &KeyId) -> Result<Issued, KeyAdminError> {
        let unknown = || KeyAdminError::UnknownKey { key_id: key_id.clone() };
        let old = self.store.keys().await?.into_iter().find(|key| key.key_id == *key_id).ok_or_else(unknown)?;
        let (issued, row) = new_key(&old.tenant, old.name);
        let row = KeyRow { expires_unix_ms: old.expires_unix_ms, ..row };
        let act = self.act(Action::KeyRotate, ("client_key", key_id.as_str()));
        let act = act.before(json!({ "key": key_id })).after(json!({ "key": row.key_id, "tenant": row.tenant }));
        if self.store.replace_key(old.key_id, row, Record::of(&act)).await? { Ok(issued) } else { Err(unknown()) }
    }

    pub async fn revoke(&self, key_id: &KeyId) -> Result<(), KeyAdminError> {
        let act = self.act(Action::KeyRevoke, ("client_key", key_id.as_str()));
        if self.store.revoke_key(key_id.clone(), clock::unix_ms(), Record::of(&act)).await? {
            Ok(())
        } else {
            Err(KeyAdminError::UnknownKey { key_id: key_id.clone() })
        }
    }

    /// On an empty database: the tenant `default` and a key. `None` when there are tenants or keys.
    pub async fn first_tenant(&self) -> Result<Option<Issued>, KeyAdminError> {
        let id = TenantId::new("default");
        let tenant = TenantRow { id: id.clone(), created_unix_ms: clock::unix_ms(), limits: TenantLimits::default() };
        let (issued, row) = new_key(&id, Some("first".to_owned()));
        let act = self.act(Action::KeyIssue, ("client_key", row.key_id.as_str()));
        let act = act.after(json!({ "tenant": id, "tenant_made": true })).reason("first start on an empty database");
        Ok(self.store.add_first(tenant, row, Record::of(&act)).await?.then_some(issued))
    }

    fn act(&self, action: Action, object: (&'static str, &str)) -> Act {
        Act::new(self.actor.clone(), action, object)
    }
}

/// `null`: no limit.
fn described(limits: TenantLimits) -> Value {
    json!({
        "budget_usd_per_month": limits.budget_per_month.map(|budget| budget.to_string()),
        "rpm": limits.requests_per_minute,
        "tpm": limits.tokens_per_minute,
    })
}

/// Cheap, and says nothing about whether the key is valid.
pub(super) fn is_key_shaped(presented: &str) -> bool {
    presented.len() == KEY_LENGTH && presented.starts_with(PREFIX)
}

fn new_key(tenant: &TenantId, name: Option<String>) -> (Issued, KeyRow) {
    let bytes = Zeroizing::new(clock::random_bytes::<32>());
    let mut key = String::with_capacity(KEY_LENGTH);
    key.push_str(PREFIX);
    BASE64URL.encode_string(*bytes, &mut key);
    let key = SecretString::from(key);
    let key_id = KeyId::new(&key.expose_secret()[..KeyAdmin::ID_LENGTH]);
    let row = KeyRow {
        hash: hash(&key),
        key_id: key_id.clone(),
        tenant: tenant.clone(),
        name,
        created_unix_ms: clock::unix_ms(),
        expires_unix_ms: None,
        revoked_unix_ms: None,
    };
    (Issued { key, key_id, tenant: tenant.clone() }, row)
}

fn suggestion(nearest: &Option<TenantId>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`? `backstop tenants list` shows those there are"),
        None => "; `backstop tenants add` makes one".to_owned(),
    }
}
