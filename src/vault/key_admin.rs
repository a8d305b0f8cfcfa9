//! Tenants and their keys, made and ended. A key is known in clear only in the moment it is issued. Every act is in the audit log, in
//! the act's own transaction.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::client_keys::hash;
use crate::{
    clock,
    config::Tenant,
    domain::{Act, Action, Actor, KeyId, TenantId, is_plain_name},
    store::{KeyRow, May, Record, Store, StoreError, TenantRow},
};

const PREFIX: &str = "sk-bs-";
/// 32 random bytes in base64url.
const KEY_LENGTH: usize = PREFIX.len() + 43;

/// Changes tenants and keys in the database; a running server follows within a second. Every act on them is one method
/// here, whoever asks for it: the place where it is written down.
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

/// What a new key is to be.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// What it is for, for people.
    pub name: Option<String>,
    /// `None`: does not expire.
    pub expires_unix_ms: Option<i64>,
    pub may: May,
}

/// What becomes of the key in whose place a new one is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKey {
    /// It ends at once.
    Ends,
    /// Both are valid until then, in ms since 1970-01-01 UTC.
    StaysUntil(i64),
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

    pub async fn add_tenant(
        &self,
        name: &str,
        policy: Tenant,
        configured: &[TenantId],
    ) -> Result<TenantId, KeyAdminError> {
        let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !(starts && is_plain_name(name)) {
            return Err(KeyAdminError::Name { name: name.to_owned() });
        }
        let id = TenantId::new(name);
        let act = self.act(Action::TenantAdd, ("tenant", name)).after(granted(&policy));
        let tenant = TenantRow { id: id.clone(), created_unix_ms: clock::unix_ms(), policy };
        if configured.contains(&id) || !self.store.add_tenant(tenant, Record::of(&act)).await? {
            return Err(KeyAdminError::TenantExists { name: name.to_owned() });
        }
        Ok(id)
    }

    /// Replaces all limits that are stored for `tenant`. `false`, and nothing done, when somebody else has changed them since: look again.
    pub async fn limit_tenant(&self, tenant: &Known, policy: Tenant) -> Result<bool, KeyAdminError> {
        let created_unix_ms = tenant.stored.as_ref().map_or_else(clock::unix_ms, |row| row.created_unix_ms);
        let before = tenant.stored.as_ref().map(|row| row.policy.clone());
        let act = self.act(Action::TenantLimit, ("tenant", tenant.id.as_str()));
        let was = before.as_ref().map_or_else(|| granted(&Tenant::default()), granted);
        let entry = Record::of(&act.before(was).after(granted(&policy)));
        let limited = TenantRow { id: tenant.id.clone(), created_unix_ms, policy };
        Ok(self.store.limit_tenant(before, limited, entry).await?)
    }

    /// All keys, revoked ones too, by tenant and age.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, KeyAdminError> {
        Ok(self.store.keys().await?)
    }

    pub async fn issue(&self, tenant: &Known, new: NewKey) -> Result<Issued, KeyAdminError> {
        let (issued, row) = new_key(&tenant.id, new);
        let act = self.act(Action::KeyIssue, ("client_key", row.key_id.as_str()));
        let act = act.after(allowed(&row).into()).of_person("after.name", row.name.as_deref());
        let act = act.of_person("after.networks", networks(&row).as_deref());
        self.store.add_key(row, Record::of(&act)).await?;
        Ok(issued)
    }

    /// A new key in the place of `key_id`, which may what that one may. `expires_unix_ms`: when the new one does, where
    /// that is not when the old one would have.
    pub async fn rotate(
        &self,
        key_id: &KeyId,
        old_key: OldKey,
        expires_unix_ms: Option<i64>,
    ) -> Result<Issued, KeyAdminError> {
        let unknown = || KeyAdminError::UnknownKey { key_id: key_id.clone() };
        let old = self.store.keys().await?.into_iter().find(|key| key.key_id == *key_id).ok_or_else(unknown)?;
        let expires_unix_ms = expires_unix_ms.or(old.expires_unix_ms);
        let (issued, row) = new_key(&old.tenant, NewKey { name: old.name, expires_unix_ms, may: old.may });
        let old_ends = match old_key {
            OldKey::Ends => None,
            OldKey::StaysUntil(unix_ms) => Some(unix_ms),
        };
        let act = self.act(Action::KeyRotate, ("client_key", key_id.as_str()));
        let mut after = allowed(&row);
        after.insert("key".to_owned(), json!(row.key_id));
        // `null`: revoked in the same moment.
        after.insert("old_key_ends_unix_ms".to_owned(), json!(old_ends));
        let act = act.before(json!({ "key": key_id, "expires_unix_ms": old.expires_unix_ms })).after(after.into());
        let act = act.of_person("after.networks", networks(&row).as_deref());
        if self.store.replace_key(old.key_id, row, old_ends, Record::of(&act)).await? {
            Ok(issued)
        } else {
            Err(unknown())
        }
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
        let tenant = TenantRow { id: id.clone(), created_unix_ms: clock::unix_ms(), policy: Tenant::default() };
        let (issued, row) = new_key(&id, NewKey { name: Some("first".to_owned()), ..NewKey::default() });
        let act = self.act(Action::KeyIssue, ("client_key", row.key_id.as_str()));
        let act = act.after(json!({ "tenant": id, "tenant_made": true })).reason("first start on an empty database");
        Ok(self.store.add_first(tenant, row, Record::of(&act)).await?.then_some(issued))
    }

    fn act(&self, action: Action, object: (&'static str, &str)) -> Act {
        Act::new(self.actor.clone(), action, object)
    }
}

/// What a tenant may use, as the log says it: what is not there is not limited.
fn granted(policy: &Tenant) -> Value {
    let mut said = policy.limits.named();
    let features = policy.features.iter().map(|(feature, limits)| (feature.to_string(), limits.named().into()));
    let models = policy.models.iter().map(|(route, limits)| (route.to_string(), limits.named().into()));
    for (name, group) in [("features", features.collect::<Map<_, _>>()), ("models", models.collect())] {
        if !group.is_empty() {
            said.insert(name.to_owned(), group.into());
        }
    }
    said.into()
}

/// What a key may, as the log says it. Where it may be used from is in [`networks`], since addresses can tell of persons.
fn allowed(key: &KeyRow) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("tenant".to_owned(), json!(key.tenant));
    said.insert("expires_unix_ms".to_owned(), json!(key.expires_unix_ms));
    for (name, list) in [("routes", json!(key.may.routes)), ("features", json!(key.may.features))] {
        if list != json!([]) {
            said.insert(name.to_owned(), list);
        }
    }
    if !key.may.limits.is_none() {
        said.insert("limits".to_owned(), key.may.limits.named().into());
    }
    said
}

fn networks(key: &KeyRow) -> Option<String> {
    let networks: Vec<String> = key.may.networks.iter().map(ToString::to_string).collect();
    (!networks.is_empty()).then(|| networks.join(" "))
}

/// Cheap, and says nothing about whether the key is valid.
pub(super) fn is_key_shaped(presented: &str) -> bool {
    presented.len() == KEY_LENGTH && presented.starts_with(PREFIX)
}

fn new_key(tenant: &TenantId, new: NewKey) -> (Issued, KeyRow) {
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
        name: new.name,
        created_unix_ms: clock::unix_ms(),
        expires_unix_ms: new.expires_unix_ms,
        revoked_unix_ms: None,
        may: new.may,
    };
    (Issued { key, key_id, tenant: tenant.clone() }, row)
}

fn suggestion(nearest: &Option<TenantId>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`? `backstop tenants list` shows those there are"),
        None => "; `backstop tenants add` makes one".to_owned(),
    }
}
