//! Anthropic's messages. Field by field after the types of the official Python SDK (2026-08).
//!
//! What Anthropic refuses although its types allow it, and what is done about it here: empty text blocks (left out), stop
//! sequences of white space only (refused by name), thinking beside a forced tool, a temperature, or a tool loop whose first
//! call came without thinking (then `reasoning_effort`, a hint, is left behind).

mod answer;
mod messages;
mod request;
mod stream_reader;
mod stream_writer;
pub(super) mod turns;
mod wire;

pub(super) use self::{
    answer::{read_answer, write_answer},
    request::{read_counted, read_request},
    stream_reader::Reader,
    stream_writer::Writer,
    wire::{thinking, write_request},
};

use backstop_models::chat::{Finish, ServiceClass, Usage};
use serde::{Deserialize, Deserializer, Serialize};

/// `usage` of a message or, cumulative and in part, of a `message_delta`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct UsageIn {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    /// The same by how long it is kept.
    cache_creation: Option<CacheCreation>,
    cache_read_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
    #[serde(default, deserialize_with = "service")]
    service_tier: Option<ServiceClass>,
    /// `fast` has prices of its own, as another vendor's priority has.
    #[serde(default, deserialize_with = "speed")]
    speed: Option<ServiceClass>,
    server_tool_use: Option<ServerToolUse>,
}

/// What Anthropic's own tools did: <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
}

fn speed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceClass>, D::Error> {
    let said = serde_json::Value::deserialize(deserializer)?;
    Ok((said.as_str() == Some("fast")).then_some(ServiceClass::Priority))
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

/// Priority capacity is bought ahead and has no price per token of its own; whatever else stands there is none.
fn service<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceClass>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)?.as_str() {
        Some("batch") => Some(ServiceClass::Batch),
        Some("standard" | "priority") => Some(ServiceClass::Standard),
        _ => None,
    })
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct UsageOut {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
}

impl UsageIn {
    /// Takes over what `later` says.
    fn merge(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.service_tier = later.service_tier.or(self.service_tier);
        self.speed = later.speed.or(self.speed);
        self.server_tool_use = later.server_tool_use.or(self.server_tool_use);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    /// Anthropic counts cache reads and writes beside `input_tokens`, the chat types within.
    fn read(self) -> Usage {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let by_lifetime = self.cache_creation.unwrap_or_default();
        let both = [by_lifetime.ephemeral_5m_input_tokens, by_lifetime.ephemeral_1h_input_tokens];
        let summed = both.into_iter().flatten().reduce(u64::saturating_add);
        let cache_write_tokens = self.cache_creation_input_tokens.or(summed);
        let written = cache_write_tokens.unwrap_or(0);
        Usage {
            input_tokens: self.input_tokens.map(|input| input.saturating_add(cached).saturating_add(written)),
            output_tokens: self.output_tokens,
            cached_input_tokens: self.cache_read_input_tokens,
            cache_write_tokens,
            cache_write_1h_tokens: by_lifetime.ephemeral_1h_input_tokens,
            reasoning_tokens: self.output_tokens_details.and_then(|details| details.thinking_tokens),
            web_searches: self.server_tool_use.and_then(|tools| tools.web_search_requests),
            service: self.speed.or(self.service_tier),
            ..Usage::default()
        }
    }
}

impl UsageOut {
    /// Anthropic's usage is not optional: what nobody said is 0.
    fn of(usage: &Usage) -> Self {
        let cached = usage.cached_input_tokens.unwrap_or(0);
        let written = usage.cache_write_tokens.unwrap_or(0);
        Self {
            input_tokens: usage.input_tokens.unwrap_or(0).saturating_sub(cached).saturating_sub(written),
            cache_creation_input_tokens: written,
            cache_read_input_tokens: cached,
            output_tokens: usage.output_tokens.unwrap_or(0),
            output_tokens_details: usage.reasoning_tokens.map(|tokens| OutputDetails { thinking_tokens: Some(tokens) }),
        }
    }
}

/// `pause_turn` ends only answers with the vendor's own tools, which no translation lets through.
fn read_stop(reason: &str, sequence: Option<String>) -> Finish {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => Finish::StopSequence(sequence),
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

/// What of an answer's content its `stop_reason` depends on: vendors say `stop` to a forced tool call, and only OpenAI has
/// refusals beside texts.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    calls: bool,
    refusal: bool,
}

impl Held {
    fn stop_reason(self, finish: &Finish) -> &'static str {
        match finish {
            Finish::ToolCalls => "tool_use",
            Finish::Length => "max_tokens",
            Finish::ContentFilter => "refusal",
            _ if self.refusal => "refusal",
            _ if self.calls => "tool_use",
            Finish::StopSequence(_) => "stop_sequence",
            Finish::Stop => "end_turn",
        }
    }
}

fn stop_sequence(finish: &Finish) -> Option<&str> {
    match finish {
        Finish::StopSequence(sequence) => sequence.as_deref(),
        _ => None,
    }
}
