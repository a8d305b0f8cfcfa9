//! OpenAI's responses, stateless. Field by field after the types of the official Python SDK (2026-11).
//!
//! What lives on the vendor's own servers (earlier responses, conversations, prompts, built-in tools) goes to a vendor of this
//! dialect as it came and is refused by name everywhere else. A reasoning item that was written here is known by its id
//! ([`OWN_REASONING`]): it carries the signature of whoever thought, comes back to the chat types, and is kept from vendors,
//! which would look for it among their own.

mod acts;
mod answer;
mod asked;
mod items;
mod output;
mod request;
mod stream_reader;
mod stream_writer;
mod wire;

pub(super) use self::{
    answer::{read_answer, write_answer},
    items::own_reasoning,
    request::read_request,
    stream_reader::Reader,
    stream_writer::Writer,
    wire::write_request,
};

use backstop_models::chat::{Finish, Usage};
use serde::{Deserialize, Serialize};

/// How the id of a reasoning item begins that this gateway made.
pub(super) const OWN_REASONING: &str = "rs_bs1_";

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct UsageIn {
    input_tokens: Option<u64>,
    input_tokens_details: Option<InputDetailsIn>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetailsIn>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct InputDetailsIn {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    image_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct OutputDetailsIn {
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    image_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct UsageOut {
    input_tokens: u64,
    input_tokens_details: InputDetailsOut,
    output_tokens: u64,
    output_tokens_details: OutputDetailsOut,
    total_tokens: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct InputDetailsOut {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct OutputDetailsOut {
    reasoning_tokens: u64,
}

impl UsageIn {
    fn read(self) -> Usage {
        let input = self.input_tokens_details.unwrap_or_default();
        let output = self.output_tokens_details.unwrap_or_default();
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cached_input_tokens: input.cached_tokens,
            cache_write_tokens: input.cache_write_tokens,
            audio_input_tokens: input.audio_tokens,
            image_input_tokens: input.image_tokens,
            reasoning_tokens: output.reasoning_tokens,
            audio_output_tokens: output.audio_tokens,
            image_output_tokens: output.image_tokens,
            ..Usage::default()
        }
    }
}

impl UsageOut {
    /// `None` when nothing is known: zeros would be a lie. The details are not optional: what nobody said is 0.
    fn of(usage: &Usage) -> Option<Self> {
        if usage.input_tokens.is_none() && usage.output_tokens.is_none() {
            return None;
        }
        let (input, output) = (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0));
        Some(Self {
            input_tokens: input,
            input_tokens_details: InputDetailsOut {
                cached_tokens: usage.cached_input_tokens.unwrap_or(0),
                cache_write_tokens: usage.cache_write_tokens.unwrap_or(0),
            },
            output_tokens: output,
            output_tokens_details: OutputDetailsOut { reasoning_tokens: usage.reasoning_tokens.unwrap_or(0) },
            total_tokens: input.saturating_add(output),
        })
    }
}

/// Why a response is `incomplete`; `None` when it is not.
fn incomplete_reason(finish: &Finish) -> Option<&'static str> {
    match finish {
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter => Some("content_filter"),
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => None,
    }
}

/// What of an answer's output its end depends on: a response says `completed` whatever it completed.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    said: bool,
    called: bool,
    /// Something that has no place in the chat types: a call of a custom tool, or of one that the vendor runs.
    acted: bool,
}

impl Held {
    fn completed(self) -> Finish {
        if self.called || (self.acted && !self.said) { Finish::ToolCalls } else { Finish::Stop }
    }
}

/// How a response ended that is `incomplete`.
fn read_incomplete(reason: Option<&str>) -> Finish {
    if reason == Some("content_filter") { Finish::ContentFilter } else { Finish::Length }
}
