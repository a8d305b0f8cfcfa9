//! What was used: sums over calls and attempts, by any set of dimensions.
//!
//! Tokens and money belong to attempts and are summed where they were spent. A call is counted once: under the attempt
//! that served it, else under the last one that was made. So the totals are the sum of the rows whatever they are
//! grouped by.

use std::{fmt, iter::Sum, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::Money;

/// What usage can be grouped by, and narrowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Dimension {
    Tenant,
    Feature,
    Model,
    Vendor,
    /// `vendor/model`.
    Target,
    Route,
    Key,
    /// UTC, as all of the calendar.
    Hour,
    Day,
    /// The Monday that it begins with.
    Week,
    Month,
    /// What the caller got as HTTP status.
    Status,
    /// How the call ended: answered, failed, interrupted, cancelled, open.
    Ending,
    /// Why its answer ended: stop, length, tool_calls, content_filter.
    Finish,
    /// What its answer in JSON was worth: valid, not_json, not_schema, unchecked.
    Json,
    /// What was asked for: answer, embed, count_tokens.
    Task,
    Dialect,
    /// Why the attempt was made: rung, retry, hedge, restart, shadow.
    Role,
    /// What the attempt failed with.
    Fault,
    /// Whether the caller got the attempt's content: served or unserved.
    Use,
    /// How its tokens are known: reported, estimated, none.
    Source,
    /// How its cost is known: valid, partial, stale, missing.
    Priced,
    /// The row of prices that it was priced by.
    #[value(name = "price_row", alias = "price-row")]
    PriceRow,
    /// The vendor's class of service: standard, batch, priority.
    Service,
}

impl Dimension {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Feature => "feature",
            Self::Model => "model",
            Self::Vendor => "vendor",
            Self::Target => "target",
            Self::Route => "route",
            Self::Key => "key",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Status => "status",
            Self::Ending => "ending",
            Self::Finish => "finish",
            Self::Json => "json",
            Self::Task => "task",
            Self::Dialect => "dialect",
            Self::Role => "role",
            Self::Fault => "fault",
            Self::Use => "use",
            Self::Source => "source",
            Self::Priced => "priced",
            Self::PriceRow => "price_row",
            Self::Service => "service",
        }
    }
}

/// Which calls and attempts count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageFilter {
    /// Inclusive, by the call's start.
    pub since_unix_ms: Option<i64>,
    /// Exclusive.
    pub until_unix_ms: Option<i64>,
    /// All of these must hold.
    pub only: Vec<Only>,
}

/// Those whose dimension has one of these values; `None`: those that have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    pub dimension: Dimension,
    pub values: Vec<Option<String>>,
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
    /// Attempts that used something at no known price: their cost is not in `cost`.
    pub unpriced_attempts: u64,
    /// The part of `cost` whose tokens are estimated: what was cut off, or not reported.
    #[serde(rename = "estimated_cost_micros")]
    #[schemars(with = "i64")]
    pub estimated_cost: Money,
    /// The part of `cost` that was spent on attempts whose content no caller got: failed ones, lost races.
    #[serde(rename = "unserved_cost_micros")]
    #[schemars(with = "i64")]
    pub unserved_cost: Money,
    /// Attempts whose cost is known in part only, or by a row that had ended.
    pub doubtful_attempts: u64,
    pub cache_write_1h_tokens: u64,
    pub audio_input_tokens: u64,
    pub audio_output_tokens: u64,
    pub image_input_tokens: u64,
    pub image_output_tokens: u64,
    /// This machine's time, in microseconds.
    pub machine_us: u64,
    /// Uses of the vendors' own tools.
    pub web_searches: u64,
    pub file_searches: u64,
    /// Machines on which code ran.
    pub code_sessions: u64,
}

impl FromStr for Only {
    type Err = String;

    /// `use=unserved`, `fault=hedge_lost,truncated`; `-` stands for none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (dimension, values) = text.split_once('=').ok_or("write DIMENSION=VALUE, e.g. use=unserved")?;
        let dimension = <Dimension as clap::ValueEnum>::from_str(dimension.trim(), false)
            .map_err(|_| format!("`{dimension}` is no dimension; `backstop usage --help` lists them"))?;
        let value = |text: &str| (text != "-").then(|| text.to_owned());
        Ok(Self { dimension, values: values.split(',').map(value).collect() })
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<&str> = self.values.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
        write!(f, "{}={}", self.dimension.as_str(), values.join(","))
    }
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
            estimated_cost: sum.estimated_cost + row.estimated_cost,
            unserved_cost: sum.unserved_cost + row.unserved_cost,
            doubtful_attempts: sum.doubtful_attempts + row.doubtful_attempts,
            cache_write_1h_tokens: sum.cache_write_1h_tokens + row.cache_write_1h_tokens,
            audio_input_tokens: sum.audio_input_tokens + row.audio_input_tokens,
            audio_output_tokens: sum.audio_output_tokens + row.audio_output_tokens,
            image_input_tokens: sum.image_input_tokens + row.image_input_tokens,
            image_output_tokens: sum.image_output_tokens + row.image_output_tokens,
            machine_us: sum.machine_us + row.machine_us,
            web_searches: sum.web_searches + row.web_searches,
            file_searches: sum.file_searches + row.file_searches,
            code_sessions: sum.code_sessions + row.code_sessions,
        })
    }
}
