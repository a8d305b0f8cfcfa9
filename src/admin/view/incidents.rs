//! Incidents that others reported.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::IncidentRow;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentView {
    pub source: String,
    pub id: String,
    pub route: String,
    pub severity: u8,
    pub title: String,
    pub opened_unix_ms: i64,
    pub resolved_unix_ms: Option<i64>,
    /// What became of the rollback that it asked for; `null`: it asked for none.
    pub outcome: Option<String>,
}

impl From<IncidentRow> for IncidentView {
    fn from(row: IncidentRow) -> Self {
        Self {
            source: row.source,
            id: row.external_id,
            route: row.route.to_string(),
            severity: row.severity,
            title: row.title,
            opened_unix_ms: row.opened_unix_ms,
            resolved_unix_ms: row.resolved_unix_ms,
            outcome: row.outcome,
        }
    }
}
