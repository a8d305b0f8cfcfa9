//! The key that signs the log's checkpoints, in the forms of C2SP's signed notes (<https://c2sp.org/signed-note>).
//!
//! Made once, sealed under the vault's key as `log.sealed`; the public half, `log.pub`, is what a verifier needs. It is handed out with
//! the first checkpoint, so a key alone, which is what a crash between the two leaves, asks for no checkpoint. The key's name is the
//! log's origin: it is random, so that no two logs share one.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::SigningKey;
use secrecy::{ExposeSecret as _, SecretString};
use signed_note::{NoteError, StandardSigner, StandardVerifier, Verifier as _};
use zeroize::Zeroizing;

use super::pending::write;
use crate::{
    clock,
    vault::{SecretName, Vault, VaultError},
};

const NAME: &str = "log";
const PUBLIC_FILE: &str = "log.pub";
/// Ed25519 in the encoding of a note's keys.
const ALGORITHM: u8 = 1;

/// Signs checkpoints.
pub struct LogKey {
    pub(super) signer: StandardSigner,
    public: PublicKey,
    is_unused: bool,
}

/// Verifies checkpoints: `ORIGIN+HASH+KEY`.
#[derive(Clone)]
pub struct PublicKey {
    pub(super) verifier: StandardVerifier,
    text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the audit log's key {path} cannot be used", path = path.display())]
    Vault { path: PathBuf, source: VaultError },
    #[error("{path} is not a key of an audit log; restore it from a copy", path = path.display())]
    NotAKey { path: PathBuf },
    #[error(
        "{path} is not the public half of the key beside it; restore both from a copy", path = path.display()
    )]
    Mismatch { path: PathBuf },
    #[error("cannot read or write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no audit log's key in {path} yet; `backstop serve` makes one", path = path.display())]
    None { path: PathBuf },
    #[error("`{text}` is not a public key of an audit log; `backstop audit key` prints one: ORIGIN+HASH+KEY")]
    NotPublic { text: String },
    #[error("the key cannot sign")]
    Sign(#[from] NoteError),
}

impl LogKey {
    /// The log's key in `dir`, made when there is none. Blocks on disk.
    pub fn open(vault: &Vault, dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(format!("{NAME}.sealed"));
        let failed = |source| KeyError::Vault { path: path.clone(), source };
        let not_a_key = || KeyError::NotAKey { path: path.clone() };
        let name = SecretName::parse(NAME).map_err(failed)?;
        let secret = vault.own_secret(dir, &name, new_key).map_err(failed)?;
        let signer = StandardSigner::new(secret.expose_secret()).map_err(|_| not_a_key())?;
        let public = PublicKey::of_secret(&secret).ok_or_else(not_a_key)?;
        let at = dir.join(PUBLIC_FILE);
        let is_unused = match fs::read_to_string(&at) {
            Ok(text) if text.trim() == public.text => false,
            Ok(_) => return Err(KeyError::Mismatch { path: at }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(source) => return Err(KeyError::Io { path: at, source }),
        };
        Ok(Self { signer, public, is_unused })
    }

    /// Whether there is a key, used or not.
    pub fn is_there(dir: &Path) -> bool {
        dir.join(format!("{NAME}.sealed")).exists()
    }

    /// The public half, for whoever verifies what was signed now.
    pub(super) fn hand_out(&self, dir: &Path) -> io::Result<()> {
        let at = dir.join(PUBLIC_FILE);
        if at.exists() { Ok(()) } else { write(&at, format!("{}\n", self.public).as_bytes()) }
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether nothing is known to have been signed with it: it is new, or whoever made it died.
    pub fn is_unused(&self) -> bool {
        self.is_unused
    }
}

impl PublicKey {
    /// The public key of the log in `dir`.
    pub fn of(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(PUBLIC_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|_| KeyError::NotAKey { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeyError::None { path: dir.to_owned() }),
            Err(source) => Err(KeyError::Io { path, source }),
        }
    }

    /// From its text, or from a file that holds it.
    pub fn parse_or_read(given: &str) -> Result<Self, KeyError> {
        match fs::read_to_string(given) {
            Ok(text) => Self::parse(&text),
            Err(_) => Self::parse(given),
        }
    }

    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let shown: String = text.chars().take(80).collect();
        let verifier = StandardVerifier::new(text).map_err(|_| KeyError::NotPublic { text: shown })?;
        Ok(Self { verifier, text: text.to_owned() })
    }

    pub fn origin(&self) -> &str {
        self.verifier.name()
    }

    fn of_secret(secret: &SecretString) -> Option<Self> {
        // PRIVATE+KEY+NAME+HASH+BASE64
        let mut parts = secret.expose_secret().splitn(5, '+').skip(2);
        let (name, seed) = (parts.next()?, parts.nth(1)?);
        let bytes = Zeroizing::new(BASE64.decode(seed).ok()?);
        let seed: &[u8; 32] = bytes.get(1..)?.try_into().ok()?;
        let key = SigningKey::from_bytes(seed).verifying_key();
        Self::parse(&signed_note::new_ed25519_verifier_key(name, &key)).ok()
    }
}

fn new_key() -> SecretString {
    let name = format!("backstop-audit-{}", hex::encode(clock::random_bytes::<8>()));
    let key = SigningKey::from_bytes(&clock::random_bytes::<32>());
    let public = [&[ALGORITHM], key.verifying_key().as_bytes().as_slice()].concat();
    let secret = Zeroizing::new([&[ALGORITHM], key.as_bytes().as_slice()].concat());
    let (hash, secret) = (signed_note::key_id(&name, &public), Zeroizing::new(BASE64.encode(&*secret)));
    format!("PRIVATE+KEY+{name}+{hash:08x}+{}", &*secret).into()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.text).finish()
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogKey").field("public", &self.public).finish_non_exhaustive()
    }
}
