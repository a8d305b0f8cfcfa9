//! The gateway's plain data: ids, money, faults and the one outcome of a call. No I/O, no clock.

mod act;
mod causes;
mod fault;
mod finish;
mod ids;
mod money;
mod outcome;
mod period;
mod price;
mod role;
mod usage;
mod volume;

pub use act::{Act, Action, Actor, Approval, Stage, person};
pub use causes::chain;
pub use fault::{Fault, FaultKind, Retry, Source};
pub use finish::{FinishReason, JsonVerdict};
pub use ids::{CallId, FeatureId, KeyId, RouteId, TargetId, TenantId, VendorId, is_plain_name};
pub use money::Money;
pub use outcome::{Attempt, Ending, Outcome, Role, UsageSource};
pub use period::{Period, day_text, parse_day};
pub use price::{
    Factor, Hours, Line, Meter, Most, PER_MICRO, PriceRow, PriceState, Prices, Quote, Rate, Rates, Tier, parse_time,
    rounded as rounded_amount, time_text,
};
pub use role::{OperatorRole, Right};
pub use usage::{Service, TokenUsage, ToolUses};
pub use volume::Volume;

use serde::{Deserialize, Serialize};

/// The wire format a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI `POST /v1/chat/completions`.
    OpenaiChat,
    /// Anthropic `POST /v1/messages`.
    AnthropicMessages,
    /// OpenAI `POST /v1/responses`.
    OpenaiResponses,
    /// OpenAI `POST /v1/completions`: a text that is gone on with.
    OpenaiCompletions,
}

impl Dialect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::AnthropicMessages => "anthropic_messages",
            Self::OpenaiResponses => "openai_responses",
            Self::OpenaiCompletions => "openai_completions",
        }
    }
}

/// The wire format a vendor is asked in. Every [`Dialect`] is one; vendors have more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// OpenAI `POST /v1/chat/completions`, and everyone who is compatible with it.
    OpenaiChat,
    /// Anthropic `POST /v1/messages`.
    AnthropicMessages,
    /// Google `models.generateContent` and `models.streamGenerateContent`.
    Gemini,
    /// AWS Bedrock `POST /model/{id}/converse` and `…/converse-stream`.
    BedrockConverse,
    /// Cohere `POST /v2/chat`.
    CohereChat,
    /// OpenAI `POST /v1/responses`.
    OpenaiResponses,
    /// OpenAI `POST /v1/completions`.
    OpenaiCompletions,
}

impl From<Dialect> for Wire {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenaiChat => Self::OpenaiChat,
            Dialect::AnthropicMessages => Self::AnthropicMessages,
            Dialect::OpenaiResponses => Self::OpenaiResponses,
            Dialect::OpenaiCompletions => Self::OpenaiCompletions,
        }
    }
}

/// What a target is asked to do. A call's own task is never [`Task::Stream`]: how its answer comes is not what it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// An answer, whole.
    #[default]
    Answer,
    /// An answer as it is made.
    Stream,
    /// How many tokens a question has, without an answer to it.
    CountTokens,
    /// Texts as vectors.
    Embed,
}

impl Task {
    /// The ledger's and the metrics' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Stream => "stream",
            Self::CountTokens => "count_tokens",
            Self::Embed => "embed",
        }
    }

    /// Whether what comes back is a model's answer, whole or streamed.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Answer | Self::Stream)
    }
}
