//! What vendors have served by the hour, for the share cap; its overrides; and calls in short, to be replayed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, audit::Record};
use crate::domain::{CallId, RouteId, TargetId, Task, VendorId, Volume};

/// The share cap's side of the database.
pub trait Shares {
    /// By vendor and hour from the one that `since_unix_ms` lies in, without what `journal` has told; what dead processes left
    /// open is in it. Kept in the same transactions as the calls.
    fn shares_since(&self, since_unix_ms: i64, journal: Option<String>) -> Answer<'_, Vec<ShareRow>>;

    /// The override that holds at that moment.
    fn share_override(&self, now_unix_ms: i64) -> Answer<'_, Option<ShareOverride>>;

    /// Begins one; `false`, and nothing done, when one holds already. In one transaction with its entry in the audit log.
    fn begin_share_override(&self, new: ShareOverride, entry: Record) -> Answer<'_, bool>;

    /// Ends the one that holds; `false`, and nothing done, when it is over.
    fn end_share_override(&self, id: String, now_unix_ms: i64, entry: Record) -> Answer<'_, bool>;

    /// Finished calls that began from `since_unix_ms` on, after the one that `after` names, in order; at most `limit`.
    fn replay(&self, since_unix_ms: i64, after: Option<(i64, CallId)>, limit: u32) -> Answer<'_, Vec<Replayed>>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    pub vendor: VendorId,
    /// When the hour began.
    pub hour_unix_ms: i64,
    pub volume: Volume,
}

/// A time in which the cap refuses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareOverride {
    pub id: String,
    pub begins_unix_ms: i64,
    pub ends_unix_ms: i64,
    pub reason: String,
}

/// One call in short: what was asked, and what the attempt that it counts under used.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub call: CallId,
    pub at_unix_ms: i64,
    pub route: RouteId,
    pub task: Task,
    pub streamed: bool,
    /// Whether the caller got an answer.
    pub answered: bool,
    /// The target that it is counted under; `None`: nobody was asked.
    pub target: Option<TargetId>,
    pub usage: crate::domain::TokenUsage,
    pub cost_micros: Option<i64>,
    /// Of that attempt: to the first content of a stream, to the end of a whole answer, in ms.
    pub waited_ms: Option<f64>,
}
