//! What usage costs: rows of rates with a validity each, and one rounding per attempt. Pure.
//!
//! Integers only: a rate is nano-dollars (per million tokens, request or hour), an amount is added up in 3,600 billionths of
//! a micro-dollar ([`PER_MICRO`]), and the whole attempt is rounded once, half up, to a micro-dollar. The row that is valid
//! when the call began counts, whatever the clock says when it ends.

mod hours;
mod rate;
mod row;
#[cfg(test)]
mod tests;

pub use hours::{Hours, parse_time, time_text};
pub use rate::{Factor, Rate};
pub use row::{Line, Meter, Most, PriceRow, Rates, Tier};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Money, TokenUsage};

/// How many units of an amount make a micro-dollar: nano-dollars per million tokens, per request and per hour are whole
/// numbers of them.
pub const PER_MICRO: u128 = 3_600_000_000_000;

/// What one target costs, and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// By their beginning; no two are valid at once.
    rows: Arc<[PriceRow]>,
}

/// How well an attempt's cost is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceState {
    /// By a row that was valid then, or nothing was used.
    #[default]
    Valid,
    /// The row has no rate for a kind that was used: audio, say, counted at the rate of the kind that it is a part of; a vendor's
    /// tool without a fee is not in the cost at all.
    Partial,
    /// The row's validity had ended, and there is no later one.
    Stale,
    /// There is no row: the cost is not known.
    Missing,
}

impl PriceState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Partial => "partial",
            Self::Stale => "stale",
            Self::Missing => "missing",
        }
    }
}

/// What an attempt costs, and by which row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    pub cost: Money,
    pub state: PriceState,
    /// The row's name.
    pub row: Arc<str>,
}

impl Prices {
    /// Rows that overlap count by the later beginning.
    pub fn new(mut rows: Vec<PriceRow>) -> Self {
        rows.sort_by_key(|row| row.from_ms);
        Self { rows: rows.into() }
    }

    pub fn rows(&self) -> &[PriceRow] {
        &self.rows
    }

    /// The same at `factor` of every rate, as a vendor's surcharge or discount on its list makes it.
    pub fn times(&self, factor: Factor) -> Self {
        Self { rows: self.rows.iter().map(|row| row.times(factor)).collect() }
    }

    /// The row that is valid at `unix_ms`; else the last one that was, which is stale.
    pub fn at(&self, unix_ms: i64) -> Option<(&PriceRow, PriceState)> {
        let begun = |row: &&PriceRow| row.from_ms.is_none_or(|from| from <= unix_ms);
        let open = |row: &PriceRow| row.until_ms.is_none_or(|until| unix_ms < until);
        let valid = self.rows.iter().filter(begun).rfind(|row| open(row));
        let ended = || self.rows.iter().filter(begun).max_by_key(|row| row.until_ms);
        valid.map(|row| (row, PriceState::Valid)).or_else(|| ended().map(|row| (row, PriceState::Stale)))
    }

    /// What `usage` costs in a call that began at `unix_ms`; `None`: there is no row.
    pub fn quote(&self, usage: &TokenUsage, unix_ms: i64) -> Option<Quote> {
        let (row, state) = self.at(unix_ms)?;
        let (lines, complete) = row.lines(usage, unix_ms);
        let amount = lines.iter().fold(0, |sum: u128, line| sum.saturating_add(line.amount()));
        Some(Quote { cost: rounded(amount), state: state.max(complete), row: Arc::clone(&row.name) })
    }

    /// What an attempt that uses no more than `most` costs at worst, in a call that began at `unix_ms`; `None`: that is not known.
    pub fn worst(&self, most: &Most, unix_ms: i64) -> Option<Money> {
        let (row, _) = self.at(unix_ms)?;
        Some(whole(row.worst(most, unix_ms)?.div_ceil(PER_MICRO)))
    }
}

/// Half up, to a whole micro-dollar.
pub fn rounded(amount: u128) -> Money {
    whole(amount.saturating_add(PER_MICRO / 2) / PER_MICRO)
}

fn whole(micros: u128) -> Money {
    Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
