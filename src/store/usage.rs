//! What was used: sums over calls and attempts, by any set of dimensions.
//!
//! Tokens and money belong to attempts and are summed where they were spent. A call is counted once: under the attempt
//! that served it, else under the last one that was made. So the totals are the sum of the rows whatever they are
//! grouped by.

use std::iter::Sum;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{Money, TenantId};

/// What usage can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Tenant,
    Feature,
    Model,
    Vendor,
    Route,
    Key,
    /// UTC.
    Day,
}

impl Dimension {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Feature => "feature",
            Self::Model => "model",
            Self::Vendor => "vendor",
            Self::Route => "route",
            Self::Key => "key",
            Self::Day => "day",
        }
    }
}

/// Which calls count; `None`: all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageFilter {
    /// Inclusive, by the call's start.
    pub since_unix_ms: Option<i64>,
    /// Exclusive.
    pub until_unix_ms: Option<i64>,
    pub tenant: Option<TenantId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// One for each dimension asked for; `None`: the call had none (no feature, no attempt).
    pub group: Vec<Option<String>>,
    pub totals: UsageTotals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct UsageTotals {
    pub calls: u64,
    /// Calls that ended in an error, before or after content had left.
    pub failed: u64,
    /// Attempts that were made; skipped targets do not count.
    pub attempts: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
    pub reasoning_tokens: u64,
    #[serde(rename = "cost_micros")]
    #[schemars(with = "i64")]
    pub cost: Money,
    /// Attempts that used tokens at no known price: their cost is not in `cost`.
    pub unpriced_attempts: u64,
}

impl Sum for UsageTotals {
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            calls: sum.calls + row.calls,
            failed: sum.failed + row.failed,
            attempts: sum.attempts + row.attempts,
            input_tokens: sum.input_tokens + row.input_tokens,
            output_tokens: sum.output_tokens + row.output_tokens,
            cached_tokens: sum.cached_tokens + row.cached_tokens,
            cache_write_tokens: sum.cache_write_tokens + row.cache_write_tokens,
            reasoning_tokens: sum.reasoning_tokens + row.reasoning_tokens,
            cost: sum.cost + row.cost,
            unpriced_attempts: sum.unpriced_attempts + row.unpriced_attempts,
        })
    }
}
