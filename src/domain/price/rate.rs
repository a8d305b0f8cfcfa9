//! Rates and factors as whole numbers. A decimal becomes one of them when a config or a table is read, and never again.

use std::fmt;

/// Nano-dollars per million tokens, per request, or per hour.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    pub nanos: u64,
}

/// A multiple of a rate, in millionths: 500,000 is half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor {
    pub millionths: u32,
}

impl Rate {
    pub const ZERO: Self = Self { nanos: 0 };

    /// The nearest nano-dollar; `None` for what is negative, not finite, over a billion dollars, or would be rounded to nothing.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let rate = (0.0..=1e9).contains(&usd).then(|| Self { nanos: (usd * 1e9).round() as u64 })?;
        (usd == 0.0 || rate > Self::ZERO).then_some(rate)
    }

    /// Rounded half up to a nano-dollar, so that what is shown as a rate is what was reckoned with.
    pub fn times(self, factor: Factor) -> Self {
        let nanos = (u128::from(self.nanos) * u128::from(factor.millionths) + 500_000) / 1_000_000;
        Self { nanos: u64::try_from(nanos).unwrap_or(u64::MAX) }
    }
}

impl Factor {
    pub const ONE: Self = Self { millionths: 1_000_000 };

    /// The nearest millionth; `None` for what is not from 0 to 100.
    pub fn from_number(number: f64) -> Option<Self> {
        (0.0..=100.0).contains(&number).then(|| Self { millionths: (number * 1e6).round() as u32 })
    }
}

/// Without zeros at the end: `1.1`, `2`.
impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{}.{:06}", self.millionths / 1_000_000, self.millionths % 1_000_000);
        f.write_str(digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// US dollars without zeros at the end: `0.15`, `3`, `0.003625`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, nanos) = (self.nanos / 1_000_000_000, self.nanos % 1_000_000_000);
        if nanos == 0 {
            return write!(f, "{dollars}");
        }
        write!(f, "{dollars}.{}", format!("{nanos:09}").trim_end_matches('0'))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
