//! The key that seals everything else in the vault: 32 random bytes, in a 0600 file or wrapped by HashiCorp Vault.
//!
//! Made once, under the vault's lock; never made anew while there are secrets that an older one sealed.

use std::{fmt, fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{VaultError, sealed, transit::Transit};
use crate::clock;

const KEY_FILE: &str = "key";
const WRAPPED_FILE: &str = "key.wrapped";

pub(super) struct MasterKey {
    cipher: XChaCha20Poly1305,
    id: String,
}

impl MasterKey {
    /// From `dir/key`, 64 hex digits.
    pub(super) fn from_file(dir: &Path) -> Result<Self, VaultError> {
        let _lock = sealed::lock(dir)?;
        let path = dir.join(KEY_FILE);
        let failed = |source| VaultError::Io { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                nothing_sealed(dir, KEY_FILE)?;
                let bytes = Zeroizing::new(clock::random_bytes::<32>());
                let text = Zeroizing::new(hex::encode(*bytes) + "\n");
                sealed::write_private(&path, text.as_bytes()).map_err(failed)?;
                return Ok(Self::new(&bytes));
            }
            Err(source) => return Err(failed(source)),
        };
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::OpenToOthers { path, mode });
        }
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_end(), bytes.as_mut_slice())
            .map_err(|_| VaultError::NotAKey { path: path.clone() })?;
        Ok(Self::new(&bytes))
    }

    /// From `dir/key.wrapped`, which only HashiCorp Vault's transit engine can unwrap.
    pub(super) async fn from_transit(dir: &Path, transit: &Transit<'_>) -> Result<Self, VaultError> {
        let path = dir.join(WRAPPED_FILE);
        let failed = |source| VaultError::Io { path: path.clone(), source };
        if !path.exists() {
            nothing_sealed(dir, WRAPPED_FILE)?;
            let bytes = Zeroizing::new(clock::random_bytes::<32>());
            let wrapped = transit.wrap(&BASE64.encode(*bytes)).await?;
            let _lock = sealed::lock(dir)?;
            // Another process may have been faster; its key is the vault's then.
            if !path.exists() {
                nothing_sealed(dir, WRAPPED_FILE)?;
                sealed::write_private(&path, wrapped.as_bytes()).map_err(failed)?;
            }
        }
        let wrapped = fs::read_to_string(&path).map_err(failed)?;
        let text = transit.unwrap(wrapped.trim_end()).await?;
        let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| VaultError::NotTransit)?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| VaultError::NotAKey { path: path.clone() })?;
        Ok(Self::new(bytes))
    }

    /// Tells keys apart; says nothing about them.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn seal(&self, nonce: &[u8; 24], message: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let payload = Payload { msg: message, aad: bound_to };
        self.cipher.encrypt(&XNonce::from(*nonce), payload).expect("a secret is far below the cipher's 256 GiB")
    }

    /// `None` when anything was changed.
    pub(super) fn open(&self, nonce: &[u8; 24], sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: bound_to }).ok()
    }

    fn new(bytes: &[u8; 32]) -> Self {
        let mut digest = Sha256::new_with_prefix(b"backstop vault key id\n");
        digest.update(bytes);
        Self { cipher: XChaCha20Poly1305::new(bytes.into()), id: hex::encode(&digest.finalize()[..8]) }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn nothing_sealed(dir: &Path, key: &'static str) -> Result<(), VaultError> {
    if sealed::names(dir)?.is_empty() { Ok(()) } else { Err(VaultError::KeyGone { dir: dir.to_owned(), key }) }
}
