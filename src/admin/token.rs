//! Operators' tokens: made, listed, ended; and known while the gateway runs. A token is in clear only in the moment it is issued.
//!
//! Each request asks the database, so a token that was revoked opens nothing from then on. While the database does not answer, what
//! it said last counts: an outage is when operators are needed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    clock,
    domain::{Act, Action, Actor, OperatorRole},
    store::{AdminTokenRow, Record, Store, StoreError},
};

const PREFIX: &str = "bs-adm-";
/// 32 random bytes in base64url.
const TOKEN_LENGTH: usize = PREFIX.len() + 43;
/// How many of a token's characters are its id: 48 of 256 bits.
const ID_LENGTH: usize = PREFIX.len() + 8;
/// How long a request waits for the database's word on a token.
const PATIENCE: Duration = Duration::from_millis(500);

/// Changes tokens in the database.
#[derive(Debug, Clone)]
pub struct TokenAdmin {
    store: Store,
    actor: Actor,
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub role: OperatorRole,
    /// Whose it is, or what it is for.
    pub name: Option<String>,
    pub expires_unix_ms: i64,
}

/// A new token, in the only moment when it is known in clear.
#[derive(Debug)]
pub struct IssuedToken {
    pub token: SecretString,
    pub id: String,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenAdminError {
    #[error("there is no valid token `{id}`; `backstop admin token list` shows those there are")]
    Unknown { id: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TokenAdmin {
    pub fn new(store: Store, actor: Actor) -> Self {
        Self { store, actor }
    }

    pub async fn issue(&self, new: NewToken) -> Result<IssuedToken, StoreError> {
        let bytes = Zeroizing::new(clock::random_bytes::<32>());
        let mut token = String::with_capacity(TOKEN_LENGTH);
        token.push_str(PREFIX);
        BASE64URL.encode_string(*bytes, &mut token);
        let token = SecretString::from(token);
        let id = token.expose_secret()[..ID_LENGTH].to_owned();
        let act = Act::new(self.actor.clone(), Action::AdminTokenIssue, ("admin_token", &id));
        let act = act.after(json!({ "role": new.role, "expires_unix_ms": new.expires_unix_ms }));
        let act = act.of_person("after.name", new.name.as_deref());
        let row = AdminTokenRow {
            id: id.clone(),
            hash: hash(token.expose_secret()),
            role: new.role,
            name: new.name,
            created_unix_ms: clock::unix_ms(),
            expires_unix_ms: new.expires_unix_ms,
            revoked_unix_ms: None,
        };
        self.store.add_admin_token(row, Record::of(&act)).await?;
        Ok(IssuedToken { token, id })
    }

    /// All tokens, revoked ones too, by age.
    pub async fn list(&self) -> Result<Vec<AdminTokenRow>, StoreError> {
        self.store.admin_tokens().await
    }

    pub async fn revoke(&self, id: &str) -> Result<(), TokenAdminError> {
        let act = Act::new(self.actor.clone(), Action::AdminTokenRevoke, ("admin_token", id));
        if self.store.revoke_admin_token(id.to_owned(), clock::unix_ms(), Record::of(&act)).await? {
            Ok(())
        } else {
            Err(TokenAdminError::Unknown { id: id.to_owned() })
        }
    }
}

/// The id in what was given: a whole token has its id in front.
pub fn token_id(given: &str) -> &str {
    given.get(..ID_LENGTH).unwrap_or(given)
}

/// Every token, as the database said last. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    store: Store,
    known: Arc<ArcSwap<HashMap<String, AdminTokenRow>>>,
}

impl Tokens {
    /// A database that does not answer now is no reason not to start.
    pub async fn open(store: Store) -> Self {
        let tokens = Self { store, known: Arc::default() };
        tokens.refresh().await;
        tokens
    }

    /// Whose valid token this is.
    pub async fn find(&self, presented: &str) -> Option<AdminTokenRow> {
        if !self.is_shaped(presented) {
            return None;
        }
        self.find_shown(token_id(presented), &hash(presented)).await
    }

    /// The same for one that was shown before, of which its id and its digest are kept.
    pub(super) async fn find_shown(&self, id: &str, hash: &[u8; 32]) -> Option<AdminTokenRow> {
        self.refresh().await;
        let known = self.known.load();
        let row = known.get(id)?;
        let is_same = bool::from(row.hash.ct_eq(hash));
        let is_valid = row.revoked_unix_ms.is_none() && clock::unix_ms() < row.expires_unix_ms;
        (is_same && is_valid).then(|| row.clone())
    }

    /// Whether there is a token that begins like this one.
    pub fn knows(&self, presented: &str) -> bool {
        self.is_shaped(presented) && self.known.load().contains_key(token_id(presented))
    }

    fn is_shaped(&self, presented: &str) -> bool {
        presented.len() == TOKEN_LENGTH && presented.starts_with(PREFIX) && presented.is_ascii()
    }

    async fn refresh(&self) {
        match tokio::time::timeout(PATIENCE, self.store.admin_tokens()).await {
            Ok(Ok(rows)) => {
                self.known.store(Arc::new(rows.into_iter().map(|row| (row.id.clone(), row)).collect()));
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "operators' tokens cannot be read; the last known ones stay valid");
            }
            Err(_) => {
                tracing::warn!("the database does not tell of operators' tokens in time; the last known stay valid")
            }
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
