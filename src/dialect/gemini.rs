//! Gemini's `generateContent`, as the Gemini API and Vertex AI serve it. Out only: no caller speaks it here. Field by field
//! after the types of the official Python SDK (2026-08).
//!
//! Gemini counts thoughts beside `candidatesTokenCount`, tells a function's result by the function's name, and ends an
//! answer that only called functions with `STOP`. Reasons to end that are failures of the model (a malformed call, `OTHER`,
//! whatever is new) are errors, so that another target is asked instead of half an answer passing for a whole one.

mod answer;
mod contents;
mod stream_reader;
mod thinking;
mod wire;

pub(super) use self::{answer::read_answer, stream_reader::Reader, wire::write_request};

use backstop_models::chat::{Finish, Usage};
use serde::Deserialize;

use super::ReadError;
use crate::domain::FaultKind;

/// `usageMetadata`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageIn {
    prompt_token_count: Option<u64>,
    /// What tools of Google's own put into the prompt; not in `prompt_token_count`.
    tool_use_prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    prompt_tokens_details: Option<Vec<OfModality>>,
    candidates_tokens_details: Option<Vec<OfModality>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfModality {
    modality: Option<Modality>,
    token_count: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Modality {
    Audio,
    Image,
    #[serde(other)]
    Other,
}

impl UsageIn {
    fn read(self) -> Usage {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
        };
        let of = |details: &Option<Vec<OfModality>>, modality: Modality| {
            let counts = details.iter().flatten().filter(|count| count.modality == Some(modality));
            counts.filter_map(|count| count.token_count).reduce(u64::saturating_add)
        };
        Usage {
            input_tokens: sum(self.prompt_token_count, self.tool_use_prompt_token_count),
            output_tokens: sum(self.candidates_token_count, self.thoughts_token_count),
            cached_input_tokens: self.cached_content_token_count,
            audio_input_tokens: of(&self.prompt_tokens_details, Modality::Audio),
            image_input_tokens: of(&self.prompt_tokens_details, Modality::Image),
            reasoning_tokens: self.thoughts_token_count,
            audio_output_tokens: of(&self.candidates_tokens_details, Modality::Audio),
            image_output_tokens: of(&self.candidates_tokens_details, Modality::Image),
            ..Usage::default()
        }
    }
}

/// A `finishReason`; `None` for one that says nothing.
fn read_finish(reason: &str) -> Result<Option<Finish>, ReadError> {
    Ok(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => None,
        "STOP" => Some(Finish::Stop),
        "MAX_TOKENS" => Some(Finish::Length),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Some(Finish::ContentFilter),
        _ => return Err(ReadError::ErrorObject { kind: FaultKind::ErrorInBody, message: None }),
    })
}
