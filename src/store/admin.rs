//! Operators' tokens, and the writes that they asked for once, as the database keeps them.

use super::{Answer, audit::Record};
use crate::domain::OperatorRole;

/// The admin room's side of the database.
pub trait AdminStore {
    /// All tokens, revoked ones too, by age.
    fn admin_tokens(&self) -> Answer<'_, Vec<AdminTokenRow>>;

    fn add_admin_token(&self, token: AdminTokenRow, entry: Record) -> Answer<'_, ()>;

    /// `false` when there is no such token, or it was revoked before.
    fn revoke_admin_token(&self, id: String, now_unix_ms: i64, entry: Record) -> Answer<'_, bool>;

    /// Takes a write on, unless one of that key is known. What is older than `forget_before_unix_ms` is forgotten first.
    fn claim_request(&self, claim: Claim, forget_before_unix_ms: i64) -> Answer<'_, Claimed>;

    /// How a write that was taken on has ended; `None`: it had no effect, and may be asked for again.
    fn settle_request(&self, operator: String, key: String, answer: Option<Remembered>) -> Answer<'_, ()>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTokenRow {
    /// Its public first characters.
    pub id: String,
    /// SHA-256 of the token as it is presented.
    pub hash: [u8; 32],
    pub role: OperatorRole,
    pub name: Option<String>,
    pub created_unix_ms: i64,
    pub expires_unix_ms: i64,
    pub revoked_unix_ms: Option<i64>,
}

/// A write with a key of its caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub operator: String,
    pub key: String,
    pub fingerprint: [u8; 32],
    pub at_unix_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is new, and now taken on.
    New,
    /// The key was used for something else.
    OtherRequest,
    /// It was begun: by a call that is under way, or one that a crash cut.
    Begun,
    Answered(Remembered),
}

/// What a write was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub status: u16,
    pub body: String,
}
