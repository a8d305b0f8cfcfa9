//! One limit: how much of it is left, and when there will be enough.
//!
//! Where the vendor refills continuously and names the limit, what is spent comes back evenly; else all of it comes back
//! at the reset. A meter tells nothing after its reset.

use std::time::{Duration, Instant};

use super::{LONGEST, MeterHeaders, Refill};

#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    limit: Option<u64>,
    /// At `at`; the fraction is what has come back of one.
    left: f64,
    at: Instant,
    /// When all of it is back, or when the vendor's word is too old.
    reset: Instant,
    /// When it is too old, whatever is spent until then.
    believed_until: Instant,
    /// How fast it comes back before the reset, if it does.
    per_second: Option<f64>,
}

/// How long a count counts whose reset the vendor does not name: its shortest window.
const UNKNOWN_RESET: Duration = Duration::from_secs(10);

impl Meter {
    /// `None` when the vendor did not say what is left.
    pub(super) fn new(now: Instant, said: &MeterHeaders) -> Option<Self> {
        let left = said.remaining?;
        let reset = said.reset.unwrap_or(UNKNOWN_RESET);
        let limit = said.limit.filter(|limit| *limit > 0);
        let spent = limit.map(|limit| limit.saturating_sub(left)).filter(|spent| *spent > 0);
        let per_second = match said.refill {
            Refill::Continuous if !reset.is_zero() => spent.map(|spent| spent as f64 / reset.as_secs_f64()),
            Refill::Continuous | Refill::AtReset => None,
        };
        let believed_until = now + LONGEST;
        Some(Self { limit, left: left as f64, at: now, reset: now + reset.min(LONGEST), believed_until, per_second })
    }

    /// Whether its reset is yet to come.
    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.reset
    }

    /// With `amount` spent now. What refills continuously is full again that much later.
    pub(super) fn less(self, now: Instant, amount: u64) -> Self {
        let left = (self.left_at(now) - amount as f64).max(0.0);
        let full = self.until_full(left).map_or(self.reset, |full| self.reset.max(now + full));
        let reset = full.min(self.believed_until);
        // Time that went back does not refill the same stretch twice.
        Self { left, at: self.at.max(now), reset, ..self }
    }

    /// How long until `amount` is there; `None` when it is. A call larger than the whole limit waits for a full one.
    pub(super) fn wait(&self, now: Instant, amount: u64) -> Option<Duration> {
        let needed = self.limit.map_or(amount, |limit| amount.min(limit)) as f64;
        let missing = needed - self.left_at(now);
        if missing <= 0.0 {
            return None;
        }
        let until_reset = self.reset.saturating_duration_since(now);
        let Some(per_second) = self.per_second else { return Some(until_reset) };
        // A millisecond more than exact, so that it is there then.
        let refilled = Duration::try_from_secs_f64(missing / per_second).unwrap_or(Duration::MAX);
        Some(refilled.saturating_add(Duration::from_millis(1)).min(until_reset))
    }

    fn left_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        match (self.per_second, self.limit) {
            (Some(per_second), Some(limit)) => (self.left + per_second * passed).min(limit as f64),
            _ => self.left,
        }
    }

    /// How long until all is back, as far as the vendor's word goes.
    fn until_full(&self, left: f64) -> Option<Duration> {
        let seconds = (self.limit? as f64 - left).max(0.0) / self.per_second?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
    }
}
