//! When a target that fails is left alone, and when one counts as slow: the figures that `route` decides by.

use std::time::Duration;

/// How a breaker opens and closes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// How far back calls are looked at.
    pub window: Duration,
    /// How many calls the window must hold before a rate is one.
    pub min_calls: u32,
    /// The share of failed calls that opens it, 0 to 1.
    pub failure_rate: f64,
    /// So many failures in a row open it, whatever the rate.
    pub consecutive: u32,
    /// How long it stays open the first time; each failed probe doubles it.
    pub cooldown: Duration,
    pub max_cooldown: Duration,
    /// How long the way back to the whole traffic takes, in steps.
    pub recovery: Duration,
}

/// How a latency baseline becomes a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyPolicy {
    /// The threshold is so many times the P99.
    pub factor: f64,
    pub floor: Duration,
    pub ceiling: Duration,
    /// How many calls it takes before the baseline rules.
    pub min_samples: u64,
    /// How far back calls are looked at.
    pub window: Duration,
    /// By which factor the baseline may rise or fall within a day; at least 1.
    pub max_drift_per_day: f64,
}

/// A brownout of 25 % errors opens it; a dead target costs five calls.
impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_calls: 20,
            failure_rate: 0.20,
            consecutive: 5,
            cooldown: Duration::from_secs(5),
            max_cooldown: Duration::from_secs(120),
            recovery: Duration::from_secs(20),
        }
    }
}

impl Default for LatencyPolicy {
    fn default() -> Self {
        Self {
            factor: 2.0,
            floor: Duration::from_millis(500),
            ceiling: Duration::from_secs(60),
            min_samples: 100,
            window: Duration::from_secs(24 * 3600),
            max_drift_per_day: 1.5,
        }
    }
}
