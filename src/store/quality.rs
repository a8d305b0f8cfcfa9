//! How good answers were, as far as a gateway can see: why they ended, whether what was to be JSON is, and what the sentinel's probes
//! found.

use super::{Answer, triggers::SumFilter};
use crate::domain::{CallId, FinishReason, JsonVerdict, RouteId, TargetId};

/// This side of the database.
pub trait Quality {
    /// Stores what became of answers that were to be JSON; of one that is known already nothing changes.
    fn put_json_verdicts(&self, verdicts: Vec<(CallId, JsonVerdict)>) -> Answer<'_, ()>;

    /// Stores what a probe of a route's target found. What is older than `forget_before_unix_ms` is forgotten.
    fn put_probe(&self, probe: ProbeRow, forget_before_unix_ms: i64) -> Answer<'_, ()>;

    /// How many of a route's answers, or of its probes' questions, are of that kind, and of how many.
    fn share_of(&self, what: ShareOf, filter: SumFilter) -> Answer<'_, Share>;
}

/// What the sentinel saw of a target at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRow {
    pub route: RouteId,
    pub target: TargetId,
    pub at_unix_ms: i64,
    pub asked: u64,
    pub passed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareOf {
    /// Of answered calls, those that another than the first target of their order served.
    FellBack,
    /// Of answers whose end is known, those that ended so.
    Finished(FinishReason),
    /// Of answers that were to be JSON and were checked, those that are.
    ValidJson,
    /// Of the questions that the sentinel asked, those that were passed again.
    PassedProbes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    pub hits: u64,
    pub of: u64,
}
