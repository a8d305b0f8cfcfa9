//! An answer as a report keeps it: all that the checks look at, so that every score can be made again from it.

use backstop_models::chat::{Answer, Finish, Part, Reasoning, ToolCall, Usage};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRecord {
    /// In order.
    pub content: Vec<RecordedPart>,
    /// `stop`, `stop_sequence`, `length`, `tool_calls` or `content_filter`.
    pub finish: RecordedFinish,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub latency_ms: u64,
    /// What the vendor said the model is.
    pub model: Option<String>,
    /// What the vendor said of what stands behind that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// In millionths of a dollar, where the target has a price.
    pub cost_micros: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RecordedPart {
    Text(String),
    Refusal(String),
    Reasoning(String),
    /// `arguments` is JSON text as the model wrote it.
    ToolCall {
        name: String,
        arguments: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedFinish {
    Stop,
    StopSequence,
    Length,
    ToolCalls,
    ContentFilter,
}

impl AnswerRecord {
    pub fn of(answer: &Answer, latency_ms: u64, cost_micros: Option<u64>) -> Self {
        let content = answer.content.iter().filter_map(|part| match part {
            Part::Text(text) => Some(RecordedPart::Text(text.clone())),
            Part::Refusal(text) => Some(RecordedPart::Refusal(text.clone())),
            Part::Reasoning(reasoning) => Some(RecordedPart::Reasoning(reasoning.text.clone())),
            Part::ToolCall(call) => {
                Some(RecordedPart::ToolCall { name: call.name.clone(), arguments: call.arguments.clone() })
            }
            Part::Image(_) | Part::ToolResult(_) => None,
        });
        Self {
            content: content.collect(),
            finish: RecordedFinish::of(&answer.finish),
            input_tokens: answer.usage.input_tokens,
            output_tokens: answer.usage.output_tokens,
            latency_ms,
            model: answer.model.clone(),
            fingerprint: answer.fingerprint.clone(),
            cost_micros,
        }
    }

    /// The answer as the checks see it.
    pub fn to_answer(&self) -> Answer {
        let content = self.content.iter().enumerate().map(|(index, part)| match part {
            RecordedPart::Text(text) => Part::Text(text.clone()),
            RecordedPart::Refusal(text) => Part::Refusal(text.clone()),
            RecordedPart::Reasoning(text) => Part::Reasoning(Reasoning { text: text.clone(), signature: None }),
            RecordedPart::ToolCall { name, arguments } => Part::ToolCall(ToolCall {
                id: format!("call_{index}"),
                name: name.clone(),
                arguments: arguments.clone(),
            }),
        });
        let finish = match self.finish {
            RecordedFinish::Stop => Finish::Stop,
            RecordedFinish::StopSequence => Finish::StopSequence(None),
            RecordedFinish::Length => Finish::Length,
            RecordedFinish::ToolCalls => Finish::ToolCalls,
            RecordedFinish::ContentFilter => Finish::ContentFilter,
        };
        let usage = Usage { input_tokens: self.input_tokens, output_tokens: self.output_tokens, ..Usage::default() };
        Answer {
            id: None,
            model: None,
            fingerprint: None,
            content: content.collect(),
            finish,
            usage,
            logprobs: Vec::new(),
        }
    }

    /// Whether this stands in any of its parts.
    pub(super) fn says(&self, text: &str) -> bool {
        self.content.iter().any(|part| match part {
            RecordedPart::Text(said) | RecordedPart::Refusal(said) | RecordedPart::Reasoning(said) => {
                said.contains(text)
            }
            RecordedPart::ToolCall { name, arguments } => name.contains(text) || arguments.contains(text),
        })
    }

    /// All that a reader sees, in order.
    pub fn text(&self) -> String {
        let seen = self.content.iter().filter_map(|part| match part {
            RecordedPart::Text(text) | RecordedPart::Refusal(text) => Some(text.as_str()),
            RecordedPart::Reasoning(_) | RecordedPart::ToolCall { .. } => None,
        });
        seen.collect()
    }
}

impl RecordedFinish {
    fn of(finish: &Finish) -> Self {
        match finish {
            Finish::Stop => Self::Stop,
            Finish::StopSequence(_) => Self::StopSequence,
            Finish::Length => Self::Length,
            Finish::ToolCalls => Self::ToolCalls,
            Finish::ContentFilter => Self::ContentFilter,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::StopSequence => "stop_sequence",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}
