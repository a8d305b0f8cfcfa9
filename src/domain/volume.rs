//! How much work something was, in every unit that shares are counted in.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{Attempt, UsageSource};

/// The most that one attempt is booked with, so that no vendor's absurd number can overflow a sum. As in the database.
const MOST: u64 = 1 << 40;

/// Tokens, requests and money of some attempts together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Input and output.
    pub tokens: u64,
    /// Attempts that used anything.
    pub requests: u64,
    /// Millionths of a US dollar, where prices are known.
    pub cost_micros: u64,
}

impl Volume {
    pub const ZERO: Self = Self { tokens: 0, requests: 0, cost_micros: 0 };

    /// What an attempt was. One that used nothing (it was refused, or counted tokens) is no volume, as in the database.
    pub fn of_attempt(attempt: &Attempt) -> Self {
        if attempt.usage_source == UsageSource::None {
            return Self::ZERO;
        }
        let micros = attempt.cost.map_or(0, |cost| u64::try_from(cost.micros).unwrap_or(0));
        Self {
            tokens: attempt.usage.input.min(MOST) + attempt.usage.output.min(MOST),
            requests: 1,
            cost_micros: micros.min(MOST),
        }
    }

    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            requests: self.requests.saturating_sub(other.requests),
            cost_micros: self.cost_micros.saturating_sub(other.cost_micros),
        }
    }
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.requests = self.requests.saturating_add(other.requests);
        self.cost_micros = self.cost_micros.saturating_add(other.cost_micros);
    }
}
