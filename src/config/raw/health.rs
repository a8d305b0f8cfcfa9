//! `breaker:` and `latency:` as they are written: when a target is left alone, and when it counts as slow.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// When a target, a region or a vendor that fails is left alone, and how it comes back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Breaker {
    /// How far back calls are looked at [default: 30s].
    pub(in crate::config) window: Option<DurationText>,
    /// How many calls the window must hold before a rate is one [default: 20].
    pub(in crate::config) min_calls: Option<u32>,
    /// The share of failed calls that opens it: more than 0, at most 1 [default: 0.2].
    pub(in crate::config) failure_rate: Option<f64>,
    /// So many failures in a row open it, whatever the rate [default: 5].
    pub(in crate::config) consecutive: Option<u32>,
    /// How long it stays open the first time; each failed probe doubles it [default: 5s].
    pub(in crate::config) cooldown: Option<DurationText>,
    /// The longest that it stays open [default: 2m].
    pub(in crate::config) max_cooldown: Option<DurationText>,
    /// How long the way back to the whole traffic takes, in steps [default: 20s].
    pub(in crate::config) recovery: Option<DurationText>,
}

/// When a target counts as slow: later than `factor` times its own P99, which is learnt from its calls and stored.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Latency {
    /// [default: 2]
    pub(in crate::config) factor: Option<f64>,
    /// Nothing faster than this counts as slow [default: 500ms].
    pub(in crate::config) floor: Option<DurationText>,
    /// Anything slower than this counts as slow [default: 60s].
    pub(in crate::config) ceiling: Option<DurationText>,
    /// How many calls it takes before the baseline rules; until then the route's deadlines do alone [default: 100].
    pub(in crate::config) min_samples: Option<u64>,
    /// How far back calls are looked at [default: 24h].
    pub(in crate::config) window: Option<DurationText>,
    /// By which factor a baseline may rise or fall within a day [default: 1.5].
    pub(in crate::config) max_drift_per_day: Option<f64>,
}
