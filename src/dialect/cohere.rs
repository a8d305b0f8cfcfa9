//! Cohere's chat, version 2 of its API. Outbound only, after the types of the official Python SDK (2026-08).
//!
//! A model's plan before its tool calls (`tool_plan`) is the text beside them: that is what other vendors call it, and where it
//! comes back from. Thinking has no signature, and earlier thinking is not sent back.

mod answer;
mod stream_reader;
mod wire;

pub(super) use self::{answer::read_answer, stream_reader::Reader, wire::write_request};

use backstop_models::chat::{Finish, Usage};
use serde::Deserialize;

use super::ReadError;
use crate::domain::FaultKind;

/// `usage`. Its `tokens` are all that the model read and wrote, `billed_units` what of it is paid for.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct UsageIn {
    tokens: Option<Tokens>,
    billed_units: Option<Tokens>,
    cached_tokens: Option<f64>,
}

/// Numbers with a fraction by their type, without one in fact.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Tokens {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

impl UsageIn {
    fn read(self) -> Usage {
        let tokens = self.tokens.or(self.billed_units).unwrap_or_default();
        let whole = |tokens: Option<f64>| tokens.filter(|tokens| *tokens >= 0.0).map(|tokens| tokens.ceil() as u64);
        let (input, output) = (whole(tokens.input_tokens), whole(tokens.output_tokens));
        let billed = self.billed_units.unwrap_or_default();
        let unbilled = |all: Option<u64>, billed: Option<f64>| Some(all?.saturating_sub(whole(billed)?));
        Usage {
            input_tokens: input,
            output_tokens: output,
            cached_input_tokens: whole(self.cached_tokens),
            unbilled_input_tokens: unbilled(input, billed.input_tokens).filter(|tokens| *tokens > 0),
            unbilled_output_tokens: unbilled(output, billed.output_tokens).filter(|tokens| *tokens > 0),
            ..Usage::default()
        }
    }
}

/// A `finish_reason`; two of them report a failure.
fn read_finish(reason: &str) -> Result<Finish, ReadError> {
    Ok(match reason {
        "MAX_TOKENS" | "ERROR_LIMIT" => Finish::Length,
        "STOP_SEQUENCE" => Finish::StopSequence(None),
        "TOOL_CALL" => Finish::ToolCalls,
        "ERROR_TOXIC" => Finish::ContentFilter,
        "ERROR" => return Err(ReadError::ErrorObject { kind: FaultKind::ErrorInBody, message: None }),
        "TIMEOUT" => return Err(ReadError::ErrorObject { kind: FaultKind::ServerError, message: None }),
        _ => Finish::Stop,
    })
}

/// What an error's message means, where its status does not tell.
pub(super) fn error_kind(message: Option<&str>) -> Option<FaultKind> {
    let said = message?.to_ascii_lowercase();
    PHRASES.iter().find(|(phrase, _)| said.contains(phrase)).map(|(_, kind)| *kind)
}

/// Lower case. The limit of an answer's own length is the caller's to mend, a longer context would not help: not listed.
const PHRASES: [(&str, FaultKind); 4] = [
    ("number of tokens in the prompt cannot exceed", FaultKind::ContextLength),
    ("too many tokens: size limit exceeded", FaultKind::ContextLength),
    ("is not supported by the chat api", FaultKind::VendorNotFound),
    ("calls / month", FaultKind::QuotaExhausted),
];
