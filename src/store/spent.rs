//! Attempts as finance sees them: one by one, with what they used, what they cost, and by which row of prices.

use std::sync::Arc;

use crate::domain::{CallId, Money, PriceState, TargetId, TokenUsage, UsageSource};

/// One attempt that used something, or whose cost is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentRow {
    pub at: Cursor,
    /// One for each dimension asked for.
    pub group: Vec<Option<String>>,
    pub target: TargetId,
    pub usage: TokenUsage,
    pub usage_source: UsageSource,
    pub cost: Option<Money>,
    pub priced: PriceState,
    pub price_row: Option<Arc<str>>,
}

/// An attempt's place in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub started_unix_ms: i64,
    pub call: CallId,
    pub position: u32,
}
