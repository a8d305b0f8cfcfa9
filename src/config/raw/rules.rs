//! `rules:` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// What is watched after a promotion, and what follows. See docs/triggers.md.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rule {
    #[schemars(required)]
    pub(in crate::config) name: Option<String>,
    /// Comparisons with `and` and `or`: of `error_rate`, `refusal_rate`, `fallback_rate`, `p99_ms`, `cost_per_call`,
    /// `finish_reason:REASON`, `schema_valid_rate`, `sentinel_score` or `kpi:NAME`, by `>` or `<`, with a
    /// number, `baseline`, `baseline + 0.02` or `baseline * 1.5`.
    #[schemars(required, example = "error_rate > baseline + 0.02")]
    pub(in crate::config) when: Option<String>,
    /// What follows [default: alert].
    pub(in crate::config) action: Option<RuleAction>,
    /// Only these [default: all].
    pub(in crate::config) routes: Option<Vec<String>>,
    /// The probability of a false alarm over the whole time that it watches [default: 0.01].
    pub(in crate::config) alpha: Option<f64>,
    /// The baseline: so long before the promotion [default: 24h].
    pub(in crate::config) window: Option<DurationText>,
    /// How long after the promotion it watches [default: 7d].
    pub(in crate::config) watch: Option<DurationText>,
    /// Nothing follows from fewer samples [default: 100].
    pub(in crate::config) min_samples: Option<u64>,
    /// How long a breach must last [default: 30s].
    pub(in crate::config) hold: Option<DurationText>,
    /// Looks in a row that must find it; there is one every 5 s [default: 2].
    pub(in crate::config) failure_limit: Option<u32>,
    /// Looks in a row that may be unable to decide, before it is said [default: 720].
    pub(in crate::config) inconclusive_limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum RuleAction {
    /// People are told.
    Alert,
    /// What is being rolled out goes no further.
    Pause,
    /// The route goes back to its retained version.
    Rollback,
}
