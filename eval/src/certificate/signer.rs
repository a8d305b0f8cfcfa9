//! The key that signs certificates: 32 bytes in a 0600 file, made on first use, and the public half beside it.
//!
//! `signing.key` and `signing.pub` hold the raw key as hex and a line feed. The secret half is never printed, cloned out or sent; a key
//! file that others can read is refused.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand::{TryRngCore as _, rngs::OsRng};

use crate::{digest::sha256_hex, file};

const SECRET_FILE: &str = "signing.key";
const PUBLIC_FILE: &str = "signing.pub";

/// Of a key's file: 64 digits, and what an editor adds.
const MAX_KEY_BYTES: u64 = 1024;

/// Signs. Wipes its key when dropped.
pub struct Signer {
    key: SigningKey,
}

/// Verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error("cannot read or write {}: {source}; mend its permissions", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not a key: 64 hex digits are expected; restore it from a backup, or remove it and certify again", path.display())]
    Malformed { path: PathBuf },
    #[error("{} can be read by others (mode {mode:o}); run chmod 600 on it, or better remove it and certify again", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} is not the public half of the signing key beside it; restore both from a backup", path.display())]
    Mismatch { path: PathBuf },
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
}

impl Signer {
    /// The key in `dir`, made when there is none. Two processes that make it at once end with the same one.
    pub fn open(dir: &Path) -> Result<Self, SignerError> {
        let path = dir.join(SECRET_FILE);
        if !path.exists() {
            make(&path)?;
        }
        Self::load(dir, path)
    }

    /// The key in `dir`, if one was made.
    pub fn existing(dir: &Path) -> Result<Option<Self>, SignerError> {
        let path = dir.join(SECRET_FILE);
        if file::is_there(&path) { Self::load(dir, path).map(Some) } else { Ok(None) }
    }

    fn load(dir: &Path, path: PathBuf) -> Result<Self, SignerError> {
        let failed = |source| SignerError::Io { path: path.clone(), source };
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SignerError::Exposed { path, mode });
        }
        let signer = Self { key: SigningKey::from_bytes(&read(&path)?) };
        signer.publish(&dir.join(PUBLIC_FILE))?;
        Ok(signer)
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Writes the public half, or finds that it is already the right one.
    fn publish(&self, path: &Path) -> Result<(), SignerError> {
        if file::is_there(path) {
            return match PublicKey::read(path)? == self.public_key() {
                true => Ok(()),
                false => Err(SignerError::Mismatch { path: path.to_owned() }),
            };
        }
        write_new(path, self.key.verifying_key().as_bytes())
    }
}

impl PublicKey {
    /// The key that certificates in `dir` must be signed with; `None` when none was ever made.
    pub fn of(dir: &Path) -> Result<Option<Self>, SignerError> {
        let path = dir.join(PUBLIC_FILE);
        if file::is_there(&path) { Self::read(&path).map(Some) } else { Ok(None) }
    }

    /// Reads a `signing.pub`.
    pub fn read(path: &Path) -> Result<Self, SignerError> {
        let malformed = || SignerError::Malformed { path: path.to_owned() };
        VerifyingKey::from_bytes(&read(path)?).map(Self).map_err(|_| malformed())
    }

    /// From the 64 hex digits that a `signing.pub` holds.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).ok()?;
        VerifyingKey::from_bytes(&key).ok().map(Self)
    }

    /// As [`Self::from_hex`] reads it.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.as_bytes())
    }

    /// `sha256:` and the hex digest of the raw key.
    pub fn id(&self) -> String {
        format!("sha256:{}", sha256_hex(self.0.as_bytes()))
    }

    /// Strictly: no malleable signature and no weak key passes (RFC 8032 §5.1.7 with the checks of "Taming the many EdDSAs").
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public_key", &self.public_key().id()).finish_non_exhaustive()
    }
}

fn make(path: &Path) -> Result<(), SignerError> {
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(|error| SignerError::Randomness(error.to_string()))?;
    write_new(path, &seed)
}

/// Writes the file with mode 0600, whole or not at all; one that has come to be there meanwhile stays.
fn write_new(path: &Path, key: &[u8; 32]) -> Result<(), SignerError> {
    let failed = |source| SignerError::Io { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    writeln!(file, "{}", hex::encode(key)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

fn read(path: &Path) -> Result<[u8; 32], SignerError> {
    let text =
        file::read_text(path, MAX_KEY_BYTES).map_err(|source| SignerError::Io { path: path.to_owned(), source })?;
    let mut key = [0; 32];
    match hex::decode_to_slice(text.trim_end(), &mut key) {
        Ok(()) => Ok(key),
        Err(_) => Err(SignerError::Malformed { path: path.to_owned() }),
    }
}
