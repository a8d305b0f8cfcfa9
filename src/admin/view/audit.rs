//! An entry of the audit log, and what is still known of persons.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::{AuditRow, merkle};

/// One entry: what its bytes say, and what opens its commitments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntryView {
    #[serde(flatten)]
    pub entry: Map<String, Value>,
    /// By field, what was not forgotten.
    pub known: BTreeMap<String, String>,
    pub leaf_sha256: String,
    /// What is known of persons is not for the role that asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub persons_hidden: bool,
}

/// The same with its exact bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntryShown {
    #[serde(flatten)]
    pub entry: EntryView,
    /// As text.
    pub bytes: String,
}

impl EntryView {
    /// Of persons nothing is told.
    pub fn hide(&mut self) {
        self.known.clear();
        self.persons_hidden = true;
    }
}

impl From<&AuditRow> for EntryView {
    fn from(row: &AuditRow) -> Self {
        // Bytes that are no JSON were changed: `audit verify` says so, and here they are shown as they are.
        let unreadable = || {
            let shown = [("seq", Value::from(row.seq)), ("unreadable", Value::from(hex::encode(&row.bytes)))];
            shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let known = row.personal.iter().map(|one| (one.field.clone(), one.value.clone())).collect();
        let entry = serde_json::from_slice(&row.bytes).unwrap_or_else(|_| unreadable());
        Self { entry, known, leaf_sha256: hex::encode(merkle::leaf(&row.bytes)), persons_hidden: false }
    }
}

impl From<&AuditRow> for EntryShown {
    fn from(row: &AuditRow) -> Self {
        Self { entry: EntryView::from(row), bytes: String::from_utf8_lossy(&row.bytes).into_owned() }
    }
}

pub fn entries(rows: &[AuditRow]) -> Vec<EntryView> {
    rows.iter().map(EntryView::from).collect()
}
