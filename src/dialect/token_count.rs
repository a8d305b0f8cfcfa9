//! Counting the tokens of a question without answering it: Anthropic's `count_tokens` in, whatever a vendor has out.
//!
//! A count is the vendor's own or there is none: nothing here estimates.

use backstop_models::chat::Chat;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{BadRequest, Outgoing, ReadError, Wire, anthropic, gemini};

/// The whole of an Anthropic question to be counted, for a target that does not speak its dialect.
pub fn read_counted(body: &[u8]) -> Result<Chat, BadRequest> {
    anthropic::read_counted(body)
}

/// The question as a vendor of another dialect counts it. What it cannot carry is refused by its name, as an answer to it
/// would be.
pub fn write_counted(wire: Wire, chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    match wire {
        Wire::Gemini => {
            let request = gemini::write_request(chat, to)?;
            let request = String::from_utf8(request).expect("JSON is UTF-8");
            let request = RawValue::from_string(request).expect("what was written is JSON");
            Ok(in_gemini_request(to.model, &request))
        }
        Wire::AnthropicMessages
        | Wire::OpenaiChat
        | Wire::OpenaiResponses
        | Wire::OpenaiCompletions
        | Wire::BedrockConverse
        | Wire::CohereChat => {
            let message = "tokens are not counted by the target that was to answer".to_owned();
            Err(BadRequest { message, param: None, code: Some(BadRequest::UNSUPPORTED) })
        }
    }
}

/// `GenerateContentRequest` inside `CountTokensRequest`, where it must name its model: <https://ai.google.dev/api/tokens>.
fn in_gemini_request(model: &str, request: &RawValue) -> Vec<u8> {
    let model = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
    let model = serde_json::to_string(&model).expect("a string is always JSON");
    let fields = request.get().strip_prefix('{').expect("a request is an object with fields");
    format!("{{\"generateContentRequest\":{{\"model\":{model},{fields}}}").into_bytes()
}

#[derive(Deserialize)]
struct Counted {
    input_tokens: Option<u64>,
    #[serde(rename = "totalTokens")]
    total_tokens: Option<u64>,
}

/// What a vendor has counted; never 0, since every question has a token.
pub fn read_token_count(wire: Wire, body: &[u8]) -> Result<u64, ReadError> {
    if body.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    let counted: Counted = serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))?;
    let tokens = match wire {
        Wire::Gemini => counted.total_tokens,
        Wire::AnthropicMessages
        | Wire::OpenaiChat
        | Wire::OpenaiResponses
        | Wire::OpenaiCompletions
        | Wire::BedrockConverse
        | Wire::CohereChat => counted.input_tokens,
    };
    match tokens {
        Some(0) => Err(ReadError::Malformed { why: "it counts no tokens in a question that has some".into() }),
        Some(tokens) => Ok(tokens),
        None => Err(match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(value) if value.get("error").is_some() => ReadError::error_object(wire, body),
            _ => ReadError::Malformed { why: "it has no count of tokens".into() },
        }),
    }
}

/// The count in Anthropic's dialect.
pub fn write_token_count(tokens: u64) -> Vec<u8> {
    json!({ "input_tokens": tokens }).to_string().into_bytes()
}
