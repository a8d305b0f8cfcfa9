//! The gateway's plain data: ids, money, faults and the one outcome of a call. No I/O, no clock.

mod fault;
mod ids;
mod money;
mod outcome;

pub use fault::{Fault, FaultKind, Retry, Source};
pub use ids::{CallId, FeatureId, KeyId, RouteId, TargetId, TenantId, VendorId};
pub use money::Money;
pub use outcome::{Attempt, Ending, Outcome, TokenUsage, UsageSource};

use serde::{Deserialize, Serialize};

/// The wire format a caller speaks or a vendor understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI `POST /v1/chat/completions`.
    OpenaiChat,
    /// Anthropic `POST /v1/messages`.
    AnthropicMessages,
}

impl Dialect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::AnthropicMessages => "anthropic_messages",
        }
    }
}
