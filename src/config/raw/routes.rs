//! `routes:` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, Limited, TargetText};

/// An ordered ladder of targets: the first answers, the others take over when it cannot.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// What matters more when the local tier is short, and whether the route must end there [default: standard].
    pub(in crate::config) criticality: Option<Criticality>,
    /// Who answers, in order; the first two of different vendors.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) targets: Option<Vec<TargetText>>,
    /// The suite that a fallback of this route must have passed [default: stage2-continuity].
    pub(in crate::config) suite: Option<String>,
    /// What the route is for, say `expense-claims`: the certificate of a fallback must have it in its scope [default: any].
    pub(in crate::config) use_case: Option<String>,
    /// How long each stage may take.
    pub(in crate::config) deadlines: Option<Deadlines>,
    /// What happens when a stream breaks after its first content has left [default: error].
    pub(in crate::config) mid_stream: Option<MidStream>,
    /// Whether a slow target is raced by the next one [default: never].
    pub(in crate::config) hedge: Option<Hedge>,
    /// What happens when the prompt is too long for a target [default: refuse].
    pub(in crate::config) on_context_length: Option<CallerFault>,
    /// What happens when a target refuses the content [default: refuse].
    pub(in crate::config) on_content_policy: Option<CallerFault>,
    /// Whether prompts and answers may be logged [default: false].
    pub(in crate::config) log_content: Option<bool>,
    /// What happens when a hard budget does not cover a call [default: refuse].
    pub(in crate::config) on_budget: Option<OnBudget>,
    /// What all callers of the route may use together.
    pub(in crate::config) limits: Option<Limited>,
}

/// How long each stage of a call may take; `total` bounds all of them together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Deadlines {
    /// Until the connection stands [default: 1s].
    pub(in crate::config) connect: Option<DurationText>,
    /// From the request's last byte to the first content, streamed [default: 5s].
    pub(in crate::config) first_token: Option<DurationText>,
    /// Between two pieces of content, streamed [default: 10s].
    pub(in crate::config) idle: Option<DurationText>,
    /// A whole attempt, not streamed [default: 30s].
    pub(in crate::config) attempt: Option<DurationText>,
    /// The whole call, all attempts [default: 60s].
    pub(in crate::config) total: Option<DurationText>,
}

/// A race between a slow target and the next one: the first real content wins, the loser is hung up on and still paid for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Hedge {
    /// How long the first is waited for: `p95` of its own stored baseline, or a span of time [default: p95].
    pub(in crate::config) after: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Criticality {
    /// Must end in your own hardware, and is shed last there.
    Critical,
    Standard,
    /// Is shed first.
    Batch,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum MidStream {
    /// An error inside the stream, in the caller's dialect.
    Error,
    /// The answer is held back until it is whole, so that a break is never seen.
    Buffer,
    /// The answer starts again from the next target, marked as such.
    Restart,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum CallerFault {
    /// The caller gets the error.
    Refuse,
    /// The next target is tried.
    Next,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnBudget {
    /// The caller is told, and when the budget begins anew.
    Refuse,
    /// The cheapest target that may answer is asked, if the budget covers that one.
    Cheapest,
    /// Targets on your own hardware are asked.
    Local,
}
