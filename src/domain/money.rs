//! Money as a whole number of micro-dollars, and prices as micro-dollars per million tokens.

use std::{fmt, iter::Sum, ops::Add};

use serde::{Deserialize, Serialize};

/// An amount in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money {
    pub micros: i64,
}

impl Money {
    pub const ZERO: Self = Self { micros: 0 };

    pub const fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// The nearest micro-dollar; `None` for what is not finite or does not fit.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let micros = (usd * 1e6).round();
        (micros.is_finite() && micros.abs() < i64::MAX as f64).then_some(Self { micros: micros as i64 })
    }

    /// What `tokens` cost when a million of them cost `self`, rounded half up to a whole micro-dollar.
    pub fn for_tokens(self, tokens: u64) -> Self {
        let micros = (i128::from(self.micros) * i128::from(tokens) + 500_000).div_euclid(1_000_000);
        Self { micros: i64::try_from(micros).unwrap_or(i64::MAX) }
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_add(other.micros) }
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Dollars with six decimals, no sign of currency: `0.000150`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_priced_to_the_micro() {
        let per_mtok = Money::from_usd(0.15).expect("finite");
        assert_eq!(per_mtok.for_tokens(1000), Money::from_micros(150));
        assert_eq!(per_mtok.for_tokens(1), Money::ZERO);
        assert_eq!(per_mtok.for_tokens(4), Money::from_micros(1));
        assert_eq!(per_mtok.for_tokens(u64::MAX).micros, 2_767_011_611_056_432_742);
    }

    #[test]
    fn prints_dollars() {
        assert_eq!(Money::from_micros(-1_000_150).to_string(), "-1.000150");
        assert_eq!(Money::from_usd(f64::NAN), None);
    }
}
