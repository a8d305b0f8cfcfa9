//! Secrets of vendors, sealed at rest, and client keys, hashed.

use std::path::Path;

use secrecy::SecretString;

use crate::{
    config::VaultSource,
    domain::{KeyId, TenantId},
    store::Store,
};

/// The opened vault; cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {}

/// Keeps the vault's snapshot fresh until dropped.
#[derive(Debug)]
pub struct VaultWatch {}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("unavailable")]
    Unavailable,
}

impl Vault {
    pub async fn open(dir: &Path, source: &VaultSource, http: &reqwest::Client) -> Result<Self, VaultError> {
        let _ = (dir, source, http);
        todo!()
    }

    /// From the snapshot: no lock, no I/O.
    pub fn get(&self, name: &str) -> Option<SecretString> {
        let _ = name;
        todo!()
    }

    /// Uses what other processes set or rotate, from now on until the guard is dropped.
    pub fn watch(&self) -> VaultWatch {
        todo!()
    }
}

/// Who a client key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub tenant: TenantId,
    pub key_id: KeyId,
    /// What the key was called when it was issued.
    pub name: Option<String>,
    /// `None`: does not expire.
    pub expires_unix_ms: Option<i64>,
}

/// A new key, in the only moment when it is known in clear.
#[derive(Debug)]
pub struct Issued {
    pub key: SecretString,
    pub key_id: KeyId,
}

/// All valid client keys, in memory, kept fresh in the background. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientKeys {}

impl ClientKeys {
    pub async fn open(store: Store) -> Result<Self, VaultError> {
        let _ = store;
        todo!()
    }

    /// From the snapshot: no lock, no I/O.
    pub fn lookup(&self, presented: &str) -> Option<Client> {
        let _ = presented;
        todo!()
    }

    /// As [`Self::lookup`]; a miss asks the database again, at most once per 100 ms for all callers together.
    pub async fn find(&self, presented: &str) -> Option<Client> {
        self.lookup(presented)
    }

    /// On an empty database: the tenant `default` and a key of its own; `None` when there are tenants or keys.
    pub async fn first_tenant(&self) -> Result<Option<Issued>, VaultError> {
        todo!()
    }
}
