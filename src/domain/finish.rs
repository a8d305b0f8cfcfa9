//! Why an answer ended, and what one that was asked for as JSON is worth.

use backstop_models::chat::Finish;
use serde::{Deserialize, Serialize};

/// Why the answer that a caller got ended, as its target said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or came to a stop sequence.
    Stop,
    /// The bound on its tokens, or the context, was used up.
    Length,
    ToolCalls,
    /// The vendor's content policy ended it.
    ContentFilter,
}

/// What became of an answer that was to be JSON, of a schema or at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonVerdict {
    Valid,
    NotJson,
    NotSchema,
    /// It is too large, or its schema cannot be read here.
    Unchecked,
}

impl FinishReason {
    pub const ALL: [Self; 4] = [Self::Stop, Self::Length, Self::ToolCalls, Self::ContentFilter];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

impl JsonVerdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotJson => "not_json",
            Self::NotSchema => "not_schema",
            Self::Unchecked => "unchecked",
        }
    }
}

impl From<&Finish> for FinishReason {
    fn from(finish: &Finish) -> Self {
        match finish {
            Finish::Stop | Finish::StopSequence(_) => Self::Stop,
            Finish::Length => Self::Length,
            Finish::ToolCalls => Self::ToolCalls,
            Finish::ContentFilter => Self::ContentFilter,
        }
    }
}
