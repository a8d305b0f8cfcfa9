//! What callers have used so far, for limits that outlive a process: by the hour, and of the last moments by the call.

use super::Answer;
use crate::domain::{FeatureId, KeyId, Money, RouteId, TenantId};

/// The limits' side of the database.
pub trait Used {
    /// What was used in the hours from the one that `since_unix_ms` lies in, calls that are still open too. Kept in the
    /// same transactions as the calls, so it is their sum to the micro-dollar.
    fn used_since(&self, since_unix_ms: i64) -> Answer<'_, Vec<UsedRow>>;

    /// The same by the second in which calls began, not by the hour.
    fn used_by_second(&self, since_unix_ms: i64) -> Answer<'_, Vec<UsedRow>>;
}

/// What calls of one kind that began in one span have used together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedRow {
    /// When the span began.
    pub since_unix_ms: i64,
    pub tenant: TenantId,
    pub key: KeyId,
    pub feature: Option<FeatureId>,
    pub route: RouteId,
    pub calls: u64,
    /// Input and output of all attempts.
    pub tokens: u64,
    /// Of all attempts with a known price.
    pub cost: Money,
}
