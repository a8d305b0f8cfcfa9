//! One file per secret, `NAME.sealed`: XChaCha20-Poly1305 under the vault's key, bound to the name, version and time.
//!
//! A file cannot be passed off as another secret, another version or another vault's. Writes are atomic and durable.
//! That an older copy of the same file was put back is not seen.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{VaultError, master_key::MasterKey};
use crate::clock;

const SEALED: &str = "sealed";
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A name that is safe as a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(String);

/// A secret, opened. Its `Debug` shows no value.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    pub(super) value: SecretString,
    pub(super) version: u64,
    pub(super) set_at_unix_ms: i64,
}

/// Differs whenever a file was replaced: inode, size and time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64, u64, i64, i64);

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    version: u64,
    set_at_unix_ms: i64,
    /// Which key sealed it.
    key: String,
    nonce: String,
    sealed: String,
}

impl SecretName {
    pub fn parse(name: &str) -> Result<Self, VaultError> {
        let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        let rest = name.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char));
        if starts && rest && name.len() <= 64 {
            Ok(Self(name.to_owned()))
        } else {
            Err(VaultError::Name { name: name.to_owned() })
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for SecretName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Keeps other writers out until it is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, VaultError> {
    let path = dir.join("lock");
    let failed = |source| VaultError::Io { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    let give_up = clock::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if clock::now() < give_up => std::thread::sleep(LOCK_POLL),
            Err(fs::TryLockError::WouldBlock) => return Err(VaultError::Busy),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

/// Every sealed secret in `dir`.
pub(super) fn names(dir: &Path) -> Result<Vec<(SecretName, Fingerprint)>, VaultError> {
    let failed = |source| VaultError::Io { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != SEALED) {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| SecretName::parse(name).ok());
        // One that was removed since it was listed is not there.
        if let (Some(name), Ok(data)) = (name, fs::metadata(&path)) {
            names.push((name, Fingerprint(data.ino(), data.len(), data.ctime(), data.ctime_nsec())));
        }
    }
    Ok(names)
}

/// The version that `name` has; 0 when there is none.
pub(super) fn version(dir: &Path, name: &SecretName) -> Result<u64, VaultError> {
    let path = path(dir, name);
    match fs::read(&path) {
        // An unreadable envelope is no reason not to replace it.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_or(1, |envelope: Envelope| envelope.version)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(VaultError::Io { path, source }),
    }
}

pub(super) fn write(dir: &Path, name: &SecretName, secret: &Secret, key: &MasterKey) -> Result<(), VaultError> {
    let nonce = clock::random_bytes::<24>();
    let bound = bound_to(name, secret.version, secret.set_at_unix_ms, key.id());
    let envelope = Envelope {
        format: 1,
        version: secret.version,
        set_at_unix_ms: secret.set_at_unix_ms,
        key: key.id().to_owned(),
        nonce: BASE64.encode(nonce),
        sealed: BASE64.encode(key.seal(&nonce, secret.value.expose_secret().as_bytes(), bound.as_bytes())),
    };
    let json = serde_json::to_vec(&envelope).expect("strings and numbers are JSON");
    let path = path(dir, name);
    write_private(&path, &json).map_err(|source| VaultError::Io { path, source })
}

pub(super) fn read(dir: &Path, name: &SecretName, key: &MasterKey) -> Result<Secret, VaultError> {
    let path = path(dir, name);
    let bytes = fs::read(&path).map_err(|source| VaultError::Io { path, source })?;
    let unopenable = |why| VaultError::Unopenable { name: name.to_string(), why };
    let envelope: Envelope =
        serde_json::from_slice(&bytes).map_err(|_| unopenable("the file is damaged; set the secret anew"))?;
    if envelope.format != 1 {
        return Err(unopenable("a newer backstop sealed it; use that one"));
    }
    if envelope.key != key.id() {
        return Err(unopenable("another key sealed it; restore that key, or set the secret anew"));
    }
    let tampered = || unopenable("the file was changed since it was sealed; set the secret anew");
    let nonce: [u8; 24] =
        BASE64.decode(&envelope.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or_else(tampered)?;
    let sealed = BASE64.decode(&envelope.sealed).map_err(|_| tampered())?;
    let bound = bound_to(name, envelope.version, envelope.set_at_unix_ms, key.id());
    let value = Zeroizing::new(key.open(&nonce, &sealed, bound.as_bytes()).ok_or_else(tampered)?);
    let value = std::str::from_utf8(&value).map_err(|_| tampered())?;
    Ok(Secret { value: value.into(), version: envelope.version, set_at_unix_ms: envelope.set_at_unix_ms })
}

/// `false` when there was none.
pub(super) fn remove(dir: &Path, name: &SecretName) -> Result<bool, VaultError> {
    let path = path(dir, name);
    match fs::remove_file(&path).and_then(|()| File::open(dir)?.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(VaultError::Io { path, source }),
    }
}

/// Writes a file of mode 0600 that is there whole or not at all, whenever the power goes. One writer at a time.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // What a crash left may be of another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn path(dir: &Path, name: &SecretName) -> PathBuf {
    dir.join(format!("{name}.{SEALED}"))
}

/// The associated data. None of the parts can hold a newline.
fn bound_to(name: &SecretName, version: u64, set_at_unix_ms: i64, key: &str) -> String {
    format!("backstop vault 1\n{key}\n{name}\n{version}\n{set_at_unix_ms}")
}
