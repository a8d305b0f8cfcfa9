//! Money as a whole number of micro-dollars.

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

    /// A limit that somebody has written: from 0 to a billion dollars, and never one that is rounded to nothing.
    pub fn limit_from_usd(usd: f64) -> Option<Self> {
        let limit = Self::from_usd(usd).filter(|_| (0.0..=1e9).contains(&usd))?;
        (usd == 0.0 || limit > Self::ZERO).then_some(limit)
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
    fn prints_dollars() {
        assert_eq!(Money::from_micros(-1_000_150).to_string(), "-1.000150");
        assert_eq!(Money::from_usd(f64::NAN), None);
    }

    #[test]
    fn a_limit_below_a_micro_dollar_is_none() {
        let limit = |usd| Money::limit_from_usd(usd).map(|limit| limit.micros);
        assert_eq!([limit(0.0), limit(0.000_001), limit(1e9)], [Some(0), Some(1), Some(1_000_000_000_000_000)]);
        assert_eq!([limit(0.000_000_4), limit(-0.1), limit(f64::NAN), limit(2e9)], [None; 4]);
    }
}
