//! A call out of the ledger.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{Ending, Money, Outcome};

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallView {
    pub id: String,
    /// Who asked, who was tried, who served, and how it ended.
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub outcome: Outcome,
    /// The target that served.
    pub served: Option<String>,
    #[schemars(with = "i64")]
    pub cost_micros: Money,
    pub cost_usd: String,
}

/// How a call ended, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum EndingView {
    Open,
    Answered,
    Failed,
    Interrupted,
    Cancelled,
}

impl From<Outcome> for CallView {
    fn from(outcome: Outcome) -> Self {
        let cost = outcome.cost();
        Self {
            id: outcome.call.to_string(),
            served: outcome.served().map(|attempt| attempt.target.to_string()),
            outcome,
            cost_micros: cost,
            cost_usd: cost.to_string(),
        }
    }
}

impl From<EndingView> for Ending {
    fn from(ending: EndingView) -> Self {
        match ending {
            EndingView::Open => Self::Open,
            EndingView::Answered => Self::Answered,
            EndingView::Failed => Self::Failed,
            EndingView::Interrupted => Self::Interrupted,
            EndingView::Cancelled => Self::Cancelled,
        }
    }
}
