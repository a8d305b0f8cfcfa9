//! OpenAI's chat completions. Field by field after the types of the official Python SDK (2026-08).

mod answer;
pub(super) mod completions;
mod content;
mod logprobs;
mod messages;
mod request;
pub(super) mod scored;
mod stream_reader;
mod stream_writer;
mod wire;

pub(super) use self::{
    answer::{read_answer, write_answers},
    messages::read_image_url,
    request::{read_effort, read_request, read_user},
    stream_reader::Reader,
    stream_writer::Writer,
    wire::{write_effort, write_request},
};

use backstop_models::chat::{Finish, ServiceClass, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ReadError;
use crate::domain::FaultKind;

/// `usage`, with the forms that compatible vendors give it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct UsageIn {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for `prompt_tokens_details.cached_tokens`, and Moonshot's.
    prompt_cache_hit_tokens: Option<u64>,
    cached_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct CompletionDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct UsageOut {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

impl UsageIn {
    fn read(self) -> Usage {
        let prompt = self.prompt_tokens_details.unwrap_or_default();
        let completion = self.completion_tokens_details.unwrap_or_default();
        Usage {
            input_tokens: self.prompt_tokens,
            output_tokens: self.completion_tokens,
            cached_input_tokens: prompt.cached_tokens.or(self.prompt_cache_hit_tokens).or(self.cached_tokens),
            cache_write_tokens: prompt.cache_write_tokens,
            audio_input_tokens: prompt.audio_tokens,
            image_input_tokens: prompt.image_tokens,
            reasoning_tokens: completion.reasoning_tokens,
            audio_output_tokens: completion.audio_tokens,
            image_output_tokens: completion.image_tokens,
            ..Usage::default()
        }
    }
}

impl UsageOut {
    /// `None` when nothing is known: zeros would be a lie.
    fn of(usage: &Usage) -> Option<Self> {
        if usage.input_tokens.is_none() && usage.output_tokens.is_none() {
            return None;
        }
        let (prompt, completion) = (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0));
        let cached = usage.cached_input_tokens.or(usage.cache_write_tokens.map(|_| 0));
        Some(Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt.saturating_add(completion),
            prompt_tokens_details: cached.map(|cached| PromptDetails {
                cached_tokens: Some(cached),
                cache_write_tokens: usage.cache_write_tokens,
                audio_tokens: None,
                image_tokens: None,
            }),
            completion_tokens_details: usage
                .reasoning_tokens
                .map(|tokens| CompletionDetails { reasoning_tokens: Some(tokens), ..CompletionDetails::default() }),
        })
    }
}

/// A `service_tier`, as raw JSON: whatever else vendors put there is none.
pub(super) fn read_service(tier: Option<&RawValue>) -> Option<ServiceClass> {
    match tier?.get() {
        "\"default\"" => Some(ServiceClass::Standard),
        // Flexible processing has the price of batches.
        "\"flex\"" | "\"batch\"" => Some(ServiceClass::Batch),
        "\"priority\"" => Some(ServiceClass::Priority),
        _ => None,
    }
}

/// A `finish_reason`; some vendors report a failure with it.
fn read_finish(reason: &str) -> Result<Finish, ReadError> {
    Ok(match reason {
        "length" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        "error" | "abort" => return Err(ReadError::ErrorObject { kind: FaultKind::ErrorInBody, message: None }),
        "insufficient_system_resource" => {
            return Err(ReadError::ErrorObject { kind: FaultKind::Overloaded, message: None });
        }
        // `stop`, and what compatible vendors call it (`eos`, `end_turn`).
        _ => Finish::Stop,
    })
}

fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}
