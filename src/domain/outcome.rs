//! The one thing a call leaves behind: who asked, who was tried, who served, what it cost and how it ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CallId, Dialect, FaultKind, FeatureId, FinishReason, JsonVerdict, KeyId, Money, PriceState, RouteId, TargetId,
    Task, TenantId, TokenUsage,
};

/// A call, told once, at its end. The ledger keeps it as one row and a row per attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub call: CallId,
    /// Admission, in ms since 1970-01-01 UTC.
    pub started_unix_ms: i64,
    pub tenant: TenantId,
    pub key: KeyId,
    pub feature: Option<FeatureId>,
    pub route: RouteId,
    /// The release whose order of targets answered it; `None`: it was not on record then.
    #[serde(default)]
    pub release: Option<u32>,
    pub dialect: Dialect,
    /// What was asked for; rows of earlier versions are all of answers.
    #[serde(default)]
    pub task: Task,
    pub streamed: bool,
    /// In the order they were made; targets that were skipped have a fault and no duration.
    pub attempts: Vec<Attempt>,
    /// Index into `attempts` of the one whose content the caller got.
    pub served_by: Option<usize>,
    pub ending: Ending,
    /// Why the answer that the caller got ended; `None`: there was none, or its target did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<FinishReason>,
    /// What became of an answer that was to be JSON. It is looked at after it has left, so only the ledger knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonVerdict>,
    /// What the caller got as HTTP status.
    pub status: u16,
    /// From admission to the first content that left, in ms; `None` when nothing did.
    pub ttft_ms: Option<f64>,
    /// From admission to the last byte, in ms.
    pub total_ms: f64,
    /// Time spent in the gateway itself, in ms.
    pub overhead_ms: f64,
    /// The drill that it was part of: what became of it says nothing of how the vendors really were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Arc<str>>,
}

/// One target's turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The target's place in the route, from 0.
    pub target_index: usize,
    pub target: TargetId,
    #[serde(default)]
    pub role: Role,
    /// From admission, in ms.
    pub started_ms: f64,
    /// From the attempt's start to its first content, in ms.
    pub ttft_ms: Option<f64>,
    /// How long the attempt took, in ms; `None` when the target was skipped.
    pub duration_ms: Option<f64>,
    pub fault: Option<FaultKind>,
    /// What the vendor sent as HTTP status.
    pub status: Option<u16>,
    /// For people; never holds content, hosts or secrets.
    pub detail: Option<Arc<str>>,
    pub usage: TokenUsage,
    pub usage_source: UsageSource,
    /// `None`: no price is known for the target.
    pub cost: Option<Money>,
    /// How well that is known.
    #[serde(default)]
    pub priced: PriceState,
    /// The name of the row of prices that it comes from; `None`: nothing was used, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_row: Option<Arc<str>>,
}

/// Why an attempt was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The ladder came to this target.
    #[default]
    Rung,
    /// The same target once more.
    Retry,
    /// Beside a slow target, to see who is first.
    Hedge,
    /// The answer begins again after a broken stream.
    Restart,
    /// Beside a call, to compare: no caller gets its answer.
    Shadow,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rung => "rung",
            Self::Retry => "retry",
            Self::Hedge => "hedge",
            Self::Restart => "restart",
            Self::Shadow => "shadow",
        }
    }
}

/// How the tokens of an attempt are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The vendor or the engine said so.
    Reported,
    /// Estimated from what was seen, because the stream ended early or the vendor did not say.
    Estimated,
    /// Nothing was used.
    None,
}

/// How a call ended, as the caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A stream has begun; written at the commit, replaced at the end. What is still open after a restart was cut by it.
    Open,
    /// A whole answer.
    Answered,
    /// An error instead of an answer.
    Failed,
    /// An error after part of the answer had left.
    Interrupted,
    /// The caller hung up.
    Cancelled,
}

impl Ending {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Attempt {
    /// The target was passed over: nothing was sent to it.
    pub fn was_skipped(&self) -> bool {
        self.duration_ms.is_none()
    }
}

impl UsageSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
            Self::None => "none",
        }
    }
}

impl Outcome {
    /// The attempt whose content the caller got.
    pub fn served(&self) -> Option<&Attempt> {
        self.served_by.and_then(|index| self.attempts.get(index))
    }

    /// What all attempts cost together, where prices are known.
    pub fn cost(&self) -> Money {
        self.attempts.iter().filter_map(|attempt| attempt.cost).sum()
    }
}
