//! Attempts whose cost is not known, or not known well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was priced by nothing or by something doubtful.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoubtsView {
    pub found: Vec<DoubtView>,
    /// Targets of the config that have no price.
    pub without_price: Vec<String>,
}

/// Why an attempt is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// There was no row: its cost is not known, and in no sum.
    Missing,
    /// The row's validity had ended.
    Stale,
    /// A kind of token was used that the row has no rate for.
    Partial,
    /// Nobody had looked at the built-in price for too long.
    Unchecked,
    /// The price has been changed since.
    Corrected,
}

impl Doubt {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Unchecked => "unchecked",
            Self::Corrected => "corrected",
        }
    }
}

/// Attempts of one target with one doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoubtView {
    pub target: String,
    pub state: Doubt,
    pub price_row: Option<String>,
    #[serde(flatten)]
    pub sums: DoubtSums,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoubtSums {
    pub attempts: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub first_unix_ms: i64,
    pub last_unix_ms: i64,
    /// The latest of the calls.
    pub call: String,
    /// As the ledger has it.
    pub cost_micros: i64,
    /// By today's prices, of those that have one.
    pub today_micros: i64,
    /// Those that have no price today either.
    pub unpriced_today: u64,
}
