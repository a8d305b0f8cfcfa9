//! How slow is too slow for a target: a rolling baseline of its own times, stored across restarts, and a threshold from it.
//!
//! - Attempts that were cut short count as censored: they took *at least* so long. Quantiles are Kaplan–Meier estimates
//!   (JASA 53, 1958, p. 457), so cutting the slow ones off cannot make a target look fast.
//! - The ruling quantiles follow the estimates at a bounded speed, from a stored anchor, so that a slow brownout does
//!   not carry the threshold along.
//! - Own log buckets and no HDR histogram: the estimator walks two histograms, done and cut short, in step, and a day is
//!   kept in hourly slices per target and kind; as sparse maps that is a few hundred bytes where dense counters take 24 kB each.
//! - Pure: times are arguments. A clock that goes back moves nothing. Reading is a few additions; an estimate is made at
//!   most once a minute, in `record`.

mod bucket;
mod by_kind;
mod drift;
mod estimate;
mod kind;
mod slices;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use by_kind::Baselines;
pub use estimate::Quantile;
pub use kind::{CallKind, OutputClass};

use drift::Drift;
use estimate::Estimate;
use slices::Slices;

use crate::config::LatencyPolicy;

/// What became of a timed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// It came: the time is the true one.
    Complete,
    /// It was ended before it came (timed out, hedged away, the caller hung up): the time is a lower bound.
    CutShort,
}

/// What rules now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Whole samples in the window.
    pub samples: u64,
    /// Censored ones.
    pub cut_short: u64,
    /// The ruling quantiles; `None` until there were `min_samples` once.
    pub p95: Option<Duration>,
    pub p99: Option<Duration>,
    /// `factor` × P99 within floor and ceiling: slower is a fault. `None` while there are fewer than `min_samples`; the
    /// configured deadline rules then.
    pub after: Option<Duration>,
}

/// What the samples of the window say by themselves, without the drift limit; for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    pub p50: Quantile,
    pub p95: Quantile,
    pub p99: Quantile,
}

/// The times of one target for one kind of call. Its serde form is what is stored; see `slices` for the bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    slices: Slices,
    anchor: Option<Anchor>,
}

/// Where the ruling quantiles were when last looked at, and where they are heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Anchor {
    at_unix_ms: i64,
    p95: Drift,
    p99: Drift,
}

/// How often an estimate is made.
const REFRESH_MS: i64 = 60_000;

impl Baseline {
    /// Adds one attempt's time. `now_unix_ms`: when it ended, in ms since 1970-01-01 UTC.
    pub fn record(&mut self, now_unix_ms: i64, took: Duration, sample: Sample, policy: &LatencyPolicy) {
        self.slices.add(now_unix_ms, took, sample);
        if self.is_due(now_unix_ms, policy) {
            self.anchor = self.next_anchor(now_unix_ms, policy);
        }
    }

    pub fn threshold(&self, now_unix_ms: i64, policy: &LatencyPolicy) -> Threshold {
        let (samples, cut_short) = self.slices.counts(now_unix_ms, policy.window);
        let ruling = |drift: fn(Anchor) -> Drift| {
            self.anchor.map(|anchor| drift(anchor).ruling(anchor.age_ms(now_unix_ms), policy.max_drift_per_day))
        };
        let (p95, p99) = (ruling(|anchor| anchor.p95), ruling(|anchor| anchor.p99));
        let after = p99.filter(|_| samples >= policy.min_samples.max(1)).map(|p99| policy.threshold(p99));
        Threshold { samples, cut_short, p95, p99, after }
    }

    pub fn observed(&self, now_unix_ms: i64, policy: &LatencyPolicy) -> Observed {
        let estimate = Estimate::of(&self.slices, now_unix_ms, policy.window);
        Observed { p50: estimate.quantile(0.50), p95: estimate.quantile(0.95), p99: estimate.quantile(0.99) }
    }

    fn is_due(&self, now_unix_ms: i64, policy: &LatencyPolicy) -> bool {
        match &self.anchor {
            None => self.slices.counts(now_unix_ms, policy.window).0 >= policy.min_samples.max(1),
            Some(anchor) => now_unix_ms < anchor.at_unix_ms || anchor.age_ms(now_unix_ms) >= REFRESH_MS,
        }
    }

    /// The ruling quantiles as they are now, with what the samples say as their next aim; few samples say nothing.
    fn next_anchor(&self, now_unix_ms: i64, policy: &LatencyPolicy) -> Option<Anchor> {
        if self.slices.counts(now_unix_ms, policy.window).0 < policy.min_samples.max(1) {
            return self.anchor.map(|anchor| anchor.moved(now_unix_ms, policy, [Quantile::Unknown; 2]));
        }
        let Observed { p95, p99, .. } = self.observed(now_unix_ms, policy);
        match self.anchor {
            Some(anchor) => Some(anchor.moved(now_unix_ms, policy, [p95, p99])),
            None => Some(Anchor {
                at_unix_ms: now_unix_ms,
                p95: Drift::still(p95.bound()?),
                p99: Drift::still(p99.bound()?),
            }),
        }
    }
}

impl Anchor {
    fn age_ms(&self, now_unix_ms: i64) -> i64 {
        now_unix_ms.saturating_sub(self.at_unix_ms).max(0)
    }

    /// The same place in time and latency, seen from now, with new aims.
    fn moved(self, now_unix_ms: i64, policy: &LatencyPolicy, [p95, p99]: [Quantile; 2]) -> Self {
        let ruling = |drift: Drift| drift.ruling(self.age_ms(now_unix_ms), policy.max_drift_per_day);
        Self {
            at_unix_ms: now_unix_ms,
            p95: Drift::towards(ruling(self.p95), p95),
            p99: Drift::towards(ruling(self.p99), p99),
        }
    }
}

impl LatencyPolicy {
    fn threshold(&self, p99: Duration) -> Duration {
        let factor = if self.factor.is_nan() { 1.0 } else { self.factor.max(0.0) };
        let after = Duration::try_from_secs_f64(p99.as_secs_f64() * factor).unwrap_or(Duration::MAX);
        after.max(self.floor).min(self.ceiling)
    }
}

#[cfg(test)]
mod tests;
