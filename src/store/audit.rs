//! The audit log as the database keeps it: entries as exact bytes, the tree's hashes, and what can be forgotten of persons.
//!
//! An act that is in the database takes a [`Record`] and is one transaction with it; [`AuditLog::audit_append`] is for the
//! others. An entry gets its number there, so its bytes are complete only once it is stored.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Answer, merkle::Digest};
use crate::{
    clock,
    domain::{Act, Actor},
};

/// The version of an entry's form.
const VERSION: u32 = 1;

/// The audit room's side of the database. Every write is one transaction.
pub trait AuditLog {
    /// Appends those that are not there yet, in order; all or none.
    fn audit_append(&self, records: Vec<Record>) -> Answer<'_, ()>;

    /// How many entries there are.
    fn audit_size(&self) -> Answer<'_, u64>;

    /// At most `limit` entries from the number `from` on, in order.
    fn audit_entries(&self, from: u64, limit: u32) -> Answer<'_, Vec<AuditRow>>;

    /// The latest first.
    fn audit_find(&self, filter: AuditFilter) -> Answer<'_, Vec<AuditRow>>;

    /// The stored hashes at `positions`, those that are there.
    fn audit_hashes(&self, positions: Vec<u64>) -> Answer<'_, Vec<(u64, Digest)>>;

    /// At most `limit` stored hashes from the position `from` on, in order, as they are.
    fn audit_hashes_from(&self, from: u64, limit: u32) -> Answer<'_, Vec<(u64, Vec<u8>)>>;

    /// Erases what the log knows of whoever has `value` as a name, a mail address or the like, and says so in an entry of its own;
    /// how many values went. `act` is told how many, and where nothing is known nothing is written.
    fn audit_forget(&self, value: String, act: Act) -> Answer<'_, u64>;

    /// The names of the database's own guards that are not there any more.
    fn audit_guards_gone(&self) -> Answer<'_, Vec<&'static str>>;
}

/// An act on its way into the log: its entry but for the number, and what opens its commitments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// A UUIDv7: an entry is stored once, however often it is brought.
    pub id: String,
    pub at_unix_ms: i64,
    pub action: String,
    /// Kind and name, with a colon between.
    pub object: String,
    /// The entry's members after `seq`: canonical JSON without the first brace.
    pub rest: String,
    pub personal: Vec<Personal>,
}

/// Something of a person that an entry commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personal {
    pub field: String,
    pub commitment: String,
    /// 32 random bytes.
    #[serde(with = "hex::serde")]
    pub salt: Vec<u8>,
    pub value: String,
}

/// One stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub seq: u64,
    pub id: String,
    pub at_unix_ms: i64,
    pub action: String,
    pub object: String,
    pub bytes: Vec<u8>,
    /// What was not forgotten.
    pub personal: Vec<Personal>,
}

/// Which entries to list; `None`: all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// An action, or the noun before its dot.
    pub action: Option<String>,
    /// Kind and name, or the name alone.
    pub object: Option<String>,
    /// The actor's kind, or a name, host or other value of theirs that was not forgotten.
    pub actor: Option<String>,
    /// Inclusive.
    pub since_unix_ms: Option<i64>,
    /// Exclusive.
    pub before_seq: Option<u64>,
    pub limit: u32,
}

impl Record {
    /// Draws the salts and the id, and takes the time.
    pub fn of(act: &Act) -> Self {
        Self::with_id(act, clock::entry_id())
    }

    /// As [`Self::of`], for an act that has an id of its own.
    pub fn with_id(act: &Act, id: String) -> Self {
        let at_unix_ms = clock::unix_ms();
        let named = |prefix: &str, actor: &Actor| -> Vec<(String, String)> {
            actor.personal.iter().map(|(field, value)| (format!("{prefix}.{field}"), value.clone())).collect()
        };
        let mut fields = named("actor", &act.actor);
        for (index, approval) in act.approvals.iter().enumerate() {
            fields.extend(named(&format!("approvals.{index}"), &approval.by));
        }
        fields.extend(act.personal.iter().map(|(field, value)| ((*field).to_owned(), value.clone())));
        let personal: Vec<Personal> = fields.into_iter().map(|(field, value)| Personal::new(field, value)).collect();
        let commitments: Map<String, Value> =
            personal.iter().map(|one| (one.field.clone(), one.commitment.clone().into())).collect();
        let actor = |actor: &Actor| json!({ "kind": actor.kind, "authenticated_by": actor.authenticated_by });
        let approvals: Vec<Value> = act
            .approvals
            .iter()
            .map(|approval| json!({ "by": actor(&approval.by), "at": moment(approval.at_unix_ms) }))
            .collect();
        // Members keep this order; together with serde_json's form, which has no blanks, that is the canonical one.
        let rest = json!({
            "version": VERSION,
            "id": id,
            "at": moment(at_unix_ms),
            "stage": act.stage,
            "of": act.of,
            "actor": actor(&act.actor),
            "action": act.action.as_str(),
            "object": { "kind": act.object.0, "name": act.object.1 },
            "before": act.before,
            "after": act.after,
            "reason": act.reason,
            "approvals": approvals,
            "personal": commitments,
        });
        Self {
            id,
            at_unix_ms,
            action: act.action.as_str().to_owned(),
            object: format!("{}:{}", act.object.0, act.object.1),
            rest: rest.to_string()[1..].to_owned(),
            personal,
        }
    }

    /// The entry's exact bytes, which the tree is over.
    pub fn bytes(&self, seq: u64) -> Vec<u8> {
        format!("{{\"seq\":{seq},{}", self.rest).into_bytes()
    }
}

impl Personal {
    fn new(field: String, value: String) -> Self {
        let salt = clock::random_bytes::<32>().to_vec();
        Self { commitment: commitment(&salt, &value), field, salt, value }
    }

    /// Whether it opens its commitment.
    pub fn is_true(&self) -> bool {
        commitment(&self.salt, &self.value) == self.commitment
    }
}

/// HMAC-SHA256 under the salt: says nothing about the value once the salt is gone, and no other value opens it.
fn commitment(salt: &[u8], value: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("HMAC takes a key of any length");
    mac.update(value.as_bytes());
    format!("hmac-sha256:{}", hex::encode(mac.finalize().into_bytes()))
}

/// `2026-11-22T19:26:00.123Z`
fn moment(unix_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| unix_ms.to_string())
}
