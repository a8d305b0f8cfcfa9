//! An operator's token: all but what opens anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{domain::OperatorRole, store::AdminTokenRow};

/// One token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// Its public first characters.
    pub id: String,
    pub role: OperatorRole,
    pub name: Option<String>,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    pub created_unix_ms: i64,
    pub expires_unix_ms: i64,
    pub revoked_unix_ms: Option<i64>,
}

pub fn tokens(rows: Vec<AdminTokenRow>, now_unix_ms: i64) -> Vec<TokenView> {
    let view = |row: AdminTokenRow| TokenView {
        state: match row.revoked_unix_ms {
            Some(_) => "revoked",
            None if row.expires_unix_ms <= now_unix_ms => "expired",
            None => "valid",
        }
        .to_owned(),
        id: row.id,
        role: row.role,
        name: row.name,
        created_unix_ms: row.created_unix_ms,
        expires_unix_ms: row.expires_unix_ms,
        revoked_unix_ms: row.revoked_unix_ms,
    };
    rows.into_iter().map(view).collect()
}
