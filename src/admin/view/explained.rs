//! Which target of a route would serve now, and why each other one would not; what counts as slow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DrillOn;
use crate::domain::{FaultKind, RouteId, TargetId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedView {
    pub route: RouteId,
    /// When the gateway last wrote of its targets' health; `null`: none runs.
    pub health_at_unix_ms: Option<i64>,
    pub drill: Option<DrillOn>,
    /// In the order in which they are tried.
    pub targets: Vec<Explained>,
    /// What was not looked at.
    pub cautions: Vec<String>,
}

/// One target's place in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// In the order in which they are tried.
    pub order: usize,
    /// In the route's own order.
    pub index: usize,
    pub target: TargetId,
    /// `serves`, `stands by`, `passed over`.
    pub decision: String,
    #[schemars(with = "Option<String>")]
    pub fault: Option<FaultKind>,
    pub reason: Option<String>,
    pub retry_after_ms: Option<u64>,
    /// What its prompts are counted by against limits of tokens, where it is the route's first: `o200k`, `cl100k`, `local:ID`, `estimate`.
    pub counted_by: String,
}

/// One baseline. Times in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyView {
    pub target: TargetId,
    pub kind: String,
    pub samples: u64,
    pub cut_short: u64,
    /// So many samples it takes until they rule.
    pub min_samples: u64,
    /// What the samples say by themselves.
    pub observed_p50_ms: Option<f64>,
    pub observed_p99_ms: Option<f64>,
    /// What rules: the same, within the drift that a day allows.
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Slower than this is a fault; `null`: the route's deadline rules.
    pub slow_after_ms: Option<f64>,
}
