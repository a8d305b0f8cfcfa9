//! The types every model, near or far, is asked and answers in.
//!
//! Plain data: no I/O, no dialect's field names, no serialization. A dialect reads bytes into these types and writes them
//! back; the in-process engine takes and gives them as they are. Everything a dialect can say and another cannot is still
//! here by its own name, so that a translation can refuse it instead of dropping it.

use serde_json::Value;

mod answer;

pub use answer::{Answer, Delta, Event, Finish, Fold, ServiceClass, TokenLogprob, TokenText, Usage};

/// One question to a chat model: the conversation so far and how to answer it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// Oldest first. System messages may stand anywhere, though most models want them first.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    /// `Some(false)`: at most one tool call in the answer.
    pub parallel_tool_calls: Option<bool>,
    pub sampling: Sampling,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// The most tokens the answer may have, reasoning included.
    pub max_tokens: Option<u32>,
    pub response_format: ResponseFormat,
    /// How hard to think, where the model can be told.
    pub reasoning: Option<ReasoningEffort>,
    /// How many answers are wanted; `None` is one.
    pub n: Option<u32>,
    /// Instead of `messages`: texts that the model goes on with as they are, each an answer of its own.
    pub completion: Option<Completion>,
    /// An opaque id of the end user, for the vendor's abuse detection.
    pub user: Option<String>,
}

/// Texts to go on with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Completion {
    pub prompts: Vec<Prompt>,
    /// An answer begins with its prompt. Then `max_tokens` may be 0.
    pub echo: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    Text(String),
    /// The model's own tokens.
    Tokens(Vec<u32>),
}

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    pub content: Vec<Part>,
    /// A participant's name, where a dialect has one.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions (OpenAI's `system` and `developer`, Anthropic's `system`).
    System,
    User,
    Assistant,
    /// Carries [`Part::ToolResult`]s only.
    Tool,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text(String),
    Image(Image),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
    Refusal(String),
    Reasoning(Reasoning),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Fetched by the vendor.
    Url { url: String, detail: Option<String> },
    /// `data` is base64 as the caller sent it.
    Inline { media_type: String, data: String, detail: Option<String> },
}

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text, as the model wrote it; not necessarily valid.
    pub arguments: String,
}

/// What a tool said.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The [`ToolCall::id`] it answers.
    pub call_id: String,
    /// Text and image parts only.
    pub content: Vec<Part>,
    pub is_error: bool,
}

/// A model's visible thinking; `signature` lets its vendor verify it when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasoning {
    pub text: String,
    pub signature: Option<String>,
}

/// A function the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// A JSON Schema object.
    pub parameters: Value,
    pub strict: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides. Also what an absent field means.
    #[default]
    Auto,
    None,
    /// At least one call, of any tool.
    Required,
    /// A call of this tool.
    Named(String),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub enum ResponseFormat {
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that validates against `schema`.
    JsonSchema { name: String, schema: Value, strict: Option<bool> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningEffort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    /// Anthropic's `thinking.budget_tokens`.
    Budget(u32),
}

/// How the next token is drawn. `None` leaves it to the model's own default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// 0 is greedy. OpenAI allows 0–2, Anthropic 0–1.
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
    pub min_p: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    /// Token id → what is added to its logit, −100 to 100.
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: Option<u64>,
    /// `Some(k)`: log-probabilities of each token and of the `k` likeliest in its place.
    pub logprobs: Option<u8>,
}

impl Message {
    /// A message of one text part.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Part::Text(text.into())], name: None }
    }

    /// The text parts, joined.
    pub fn joined_text(&self) -> String {
        self.content
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}
