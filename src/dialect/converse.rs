//! AWS Bedrock's Converse: one form for every model that Bedrock serves. Outbound only, after its API reference (2026-11).
//!
//! The model's name goes into the address and not into the body. Turns alternate as Anthropic's do and are made by the same
//! rules. What only some models know travels in `additionalModelRequestFields`, and only where the model's id names its
//! family: an ARN of a profile or a provisioned model does not.

mod answer;
mod stream_reader;
mod wire;

pub(super) use self::{answer::read_answer, stream_reader::Reader, wire::write_request};

use backstop_models::chat::{Finish, Usage};
use serde::Deserialize;

use super::ReadError;
use crate::domain::FaultKind;

/// `usage`. Its `inputTokens` are what was neither read from a cache nor written to one
/// (docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html); the chat types count both within.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageIn {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    /// What was written to caches, by how long it is kept.
    cache_details: Option<Vec<CacheDetail>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    ttl: Option<String>,
    input_tokens: Option<u64>,
}

impl UsageIn {
    fn read(self) -> Usage {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_write_input_tokens.unwrap_or(0);
        let kept_an_hour = |detail: &&CacheDetail| detail.ttl.as_deref() == Some("1h");
        let details = self.cache_details.iter().flatten().filter(kept_an_hour);
        let hour = details.filter_map(|detail| detail.input_tokens).reduce(u64::saturating_add);
        Usage {
            input_tokens: self.input_tokens.map(|input| input.saturating_add(cached).saturating_add(written)),
            output_tokens: self.output_tokens,
            cached_input_tokens: self.cache_read_input_tokens,
            cache_write_tokens: self.cache_write_input_tokens,
            cache_write_1h_tokens: hour,
            ..Usage::default()
        }
    }
}

/// A `stopReason`; two of them report a failure.
fn read_stop(reason: &str) -> Result<Finish, ReadError> {
    Ok(match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => Finish::StopSequence(None),
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(ReadError::ErrorObject { kind: FaultKind::ErrorInBody, message: None });
        }
        _ => Finish::Stop,
    })
}

/// What an exception of AWS means, by its name and then by what it says. Streams write the name with a small first letter.
pub(super) fn error_kind(name: Option<&str>, message: Option<&str>) -> Option<FaultKind> {
    let said = message.unwrap_or_default().to_ascii_lowercase();
    if let Some((_, kind)) = PHRASES.iter().find(|(phrase, _)| said.contains(phrase)) {
        return Some(*kind);
    }
    let name = name?;
    EXCEPTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

/// Phrases of a `ValidationException`, which is AWS's word for most of what is wrong; lower case.
const PHRASES: [(&str, FaultKind); 8] = [
    ("input is too long", FaultKind::ContextLength),
    ("too many input tokens", FaultKind::ContextLength),
    ("exceeds the maximum number of tokens", FaultKind::ContextLength),
    ("on-demand throughput", FaultKind::VendorNotFound),
    ("model identifier is invalid", FaultKind::VendorNotFound),
    ("doesn't support the model that you provided", FaultKind::VendorNotFound),
    ("doesn't support converse", FaultKind::VendorNotFound),
    ("reached the end of its life", FaultKind::VendorNotFound),
];

/// The exceptions of Bedrock's runtime and the errors common to all of AWS.
const EXCEPTIONS: [(&str, FaultKind); 22] = [
    ("ThrottlingException", FaultKind::RateLimited),
    ("TooManyRequestsException", FaultKind::RateLimited),
    ("ServiceQuotaExceededException", FaultKind::QuotaExhausted),
    ("ModelNotReadyException", FaultKind::Overloaded),
    ("ServiceUnavailableException", FaultKind::Overloaded),
    ("ServiceUnavailable", FaultKind::Overloaded),
    ("ModelTimeoutException", FaultKind::ServerError),
    ("ModelErrorException", FaultKind::ServerError),
    ("ModelStreamErrorException", FaultKind::ServerError),
    ("InternalServerException", FaultKind::ServerError),
    ("InternalFailure", FaultKind::ServerError),
    ("AccessDeniedException", FaultKind::VendorAuth),
    ("UnrecognizedClientException", FaultKind::VendorAuth),
    ("ExpiredTokenException", FaultKind::VendorAuth),
    ("InvalidSignatureException", FaultKind::VendorAuth),
    ("IncompleteSignatureException", FaultKind::VendorAuth),
    ("IncompleteSignature", FaultKind::VendorAuth),
    ("MissingAuthenticationTokenException", FaultKind::VendorAuth),
    ("InvalidClientTokenId", FaultKind::VendorAuth),
    ("NotAuthorized", FaultKind::VendorAuth),
    ("ResourceNotFoundException", FaultKind::VendorNotFound),
    ("ValidationException", FaultKind::BadRequest),
];
