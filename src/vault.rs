//! Secrets of vendors, sealed at rest, and client keys, hashed.
//!
//! A secret is only ever read from standard input or from its sealed file, and only ever shown as its last four
//! characters. What is in memory is a snapshot: [`Vault::get`] takes no lock and does no I/O, and a file that cannot be
//! opened any more leaves the last good value in force.

mod client_keys;
mod key_admin;
mod master_key;
pub mod s3;
mod sealed;
mod secret_input;
pub mod sigv4;
#[cfg(test)]
mod tests;
mod transit;
mod watch;
pub mod webhook;

pub use client_keys::{Client, ClientKeys};
pub use key_admin::{Issued, KeyAdmin, KeyAdminError, Known, NewKey, OldKey};
pub use sealed::SecretName;
pub use secret_input::{SecretInputError, read_secret};
pub use watch::VaultWatch;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::{
    clock,
    config::{VaultSource, create_private},
};
use master_key::MasterKey;
use sealed::{Fingerprint, Secret};

/// The opened vault; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    opened: Arc<Opened>,
}

struct Opened {
    dir: PathBuf,
    key: MasterKey,
    snapshot: ArcSwap<Snapshot>,
    /// Held while the directory is read, so that an older reading never replaces a newer one.
    reading: Mutex<()>,
}

#[derive(Default, Clone)]
struct Snapshot {
    secrets: BTreeMap<SecretName, Held>,
    faults: BTreeMap<SecretName, String>,
}

#[derive(Clone)]
struct Held {
    secret: Secret,
    seen: Fingerprint,
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub name: String,
    /// Stars for a secret shorter than 12 characters.
    pub last_four: String,
    pub set_at_unix_ms: i64,
    /// From 1, one more at each rotation.
    pub version: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("cannot use {path} in the vault; mend its permissions or free disk space")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the vault's key {path} can be read by others (mode {mode:o}); run `chmod 600` on it, and rotate the secrets if others may have read it"
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("{path} is not a key of a vault; restore it from a copy")]
    NotAKey { path: PathBuf },
    #[error(
        "there are sealed secrets in {dir} but the key that sealed them is gone; restore {key}, or remove the *.sealed files and set the secrets anew"
    )]
    KeyGone { dir: PathBuf, key: &'static str },
    #[error("another process has been changing the vault for 5 s; try again")]
    Busy,
    #[error(
        "`{name}` cannot name a secret; use letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit"
    )]
    Name { name: String },
    #[error("there is no secret `{name}`; `backstop vault set {name}` makes one")]
    NoSuchSecret { name: String },
    #[error("the secret `{name}` cannot be opened: {why}")]
    Unopenable { name: String, why: &'static str },
    #[error("the token for HashiCorp Vault cannot be read from {path}")]
    Token { path: PathBuf, source: io::Error },
    #[error("HashiCorp Vault cannot be reached; check its address and the network")]
    Unreachable { source: reqwest::Error },
    #[error("HashiCorp Vault answered {status}; check the token, the mount and the key's policy")]
    Refused { status: u16 },
    #[error("HashiCorp Vault's answer is not one of its transit engine; check the address and the mount")]
    NotTransit,
}

impl Vault {
    /// Opens the vault in `dir`, making it when missing. `http` is used for [`VaultSource::Transit`] alone and must not
    /// follow redirects, since it carries a token. A secret that cannot be opened is left out and told by
    /// [`Self::faults`].
    pub async fn open(dir: &Path, source: &VaultSource, http: &reqwest::Client) -> Result<Self, VaultError> {
        create_private(dir).map_err(|source| VaultError::Io { path: dir.to_owned(), source })?;
        let key = match source {
            VaultSource::KeyFile => MasterKey::from_file(dir)?,
            VaultSource::Transit { address, mount, key, token_file } => {
                let transit = transit::Transit { http, address, mount, key, token_file };
                MasterKey::from_transit(dir, &transit).await?
            }
        };
        let opened = Opened { dir: dir.to_owned(), key, snapshot: ArcSwap::default(), reading: Mutex::default() };
        let vault = Self { opened: Arc::new(opened) };
        vault.reload()?;
        Ok(vault)
    }

    /// From the snapshot: no lock, no I/O.
    pub fn get(&self, name: &str) -> Option<SecretString> {
        self.opened.snapshot.load().secrets.get(name).map(|held| held.secret.value.clone())
    }

    /// By name.
    pub fn list(&self) -> Vec<Listed> {
        let snapshot = self.opened.snapshot.load();
        snapshot.secrets.iter().map(|(name, held)| listed(name, &held.secret)).collect()
    }

    /// Secrets that cannot be opened, and why.
    pub fn faults(&self) -> Vec<(String, String)> {
        let snapshot = self.opened.snapshot.load();
        snapshot.faults.iter().map(|(name, why)| (name.to_string(), why.clone())).collect()
    }

    /// Seals `value` as `name`, in the place of what was there. Blocks on disk, and up to 5 s on other processes.
    pub fn set(&self, name: &SecretName, value: &SecretString) -> Result<Listed, VaultError> {
        self.replace(name, value, |_| Ok(()))
    }

    /// As [`Self::set`], but only what is there already.
    pub fn rotate(&self, name: &SecretName, value: &SecretString) -> Result<Listed, VaultError> {
        self.replace(name, value, |version| match version {
            0 => Err(VaultError::NoSuchSecret { name: name.to_string() }),
            _ => Ok(()),
        })
    }

    pub fn remove(&self, name: &SecretName) -> Result<(), VaultError> {
        let _lock = sealed::lock(&self.opened.dir)?;
        if !sealed::remove(&self.opened.dir, name)? {
            return Err(VaultError::NoSuchSecret { name: name.to_string() });
        }
        self.reload()
    }

    /// A secret of the installation's own, such as a signing key: sealed under the vault's key as `dir/NAME.sealed`, outside of what
    /// [`Self::list`] and [`Self::remove`] know. Made with `make` when there is none; blocks as [`Self::set`] does.
    pub fn own_secret(
        &self,
        dir: &Path,
        name: &SecretName,
        make: impl FnOnce() -> SecretString,
    ) -> Result<SecretString, VaultError> {
        create_private(dir).map_err(|source| VaultError::Io { path: dir.to_owned(), source })?;
        let _lock = sealed::lock(&self.opened.dir)?;
        if sealed::version(dir, name)? == 0 {
            let secret = Secret { value: make(), version: 1, set_at_unix_ms: clock::unix_ms() };
            sealed::write(dir, name, &secret, &self.opened.key)?;
        }
        Ok(sealed::read(dir, name, &self.opened.key)?.value)
    }

    /// Uses what other processes set, rotate or remove, until the guard is dropped. Needs a tokio runtime.
    pub fn watch(&self) -> VaultWatch {
        VaultWatch::start(self.clone())
    }

    fn replace(
        &self,
        name: &SecretName,
        value: &SecretString,
        may: impl FnOnce(u64) -> Result<(), VaultError>,
    ) -> Result<Listed, VaultError> {
        let _lock = sealed::lock(&self.opened.dir)?;
        let version = sealed::version(&self.opened.dir, name)?;
        may(version)?;
        let secret = Secret { value: value.clone(), version: version + 1, set_at_unix_ms: clock::unix_ms() };
        sealed::write(&self.opened.dir, name, &secret, &self.opened.key)?;
        self.reload()?;
        Ok(listed(name, &secret))
    }

    /// Reads what changed in the directory into a new snapshot.
    fn reload(&self) -> Result<(), VaultError> {
        let _reading = self.opened.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.opened.snapshot.load_full();
        let mut after = Snapshot::default();
        for (name, seen) in sealed::names(&self.opened.dir)? {
            let known = before.secrets.get(&name);
            if let Some(held) = known.filter(|held| held.seen == seen) {
                after.secrets.insert(name, held.clone());
                continue;
            }
            match sealed::read(&self.opened.dir, &name, &self.opened.key) {
                Ok(secret) => {
                    after.secrets.insert(name, Held { secret, seen });
                }
                Err(error) => {
                    if !before.faults.contains_key(&name) {
                        tracing::error!(secret = %name, error = &error as &dyn std::error::Error, "a secret cannot be opened");
                    }
                    if let Some(held) = known {
                        after.secrets.insert(name.clone(), held.clone());
                    }
                    after.faults.insert(name, error.to_string());
                }
            }
        }
        self.opened.snapshot.store(Arc::new(after));
        Ok(())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.list().into_iter().map(|listed| listed.name).collect();
        f.debug_struct("Vault").field("dir", &self.opened.dir).field("names", &names).finish_non_exhaustive()
    }
}

fn listed(name: &SecretName, secret: &Secret) -> Listed {
    Listed {
        name: name.to_string(),
        last_four: last_four(secret.value.expose_secret()),
        set_at_unix_ms: secret.set_at_unix_ms,
        version: secret.version,
    }
}

fn last_four(secret: &str) -> String {
    let length = secret.chars().count();
    if length < 12 { "****".to_owned() } else { secret.chars().skip(length - 4).collect() }
}
