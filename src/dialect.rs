//! Dialects: bytes ⇄ chat types. Pure: no I/O, no clock, no knowledge of vendors or routes.
//!
//! Two ways through. **Same dialect on both sides**: [`open`] finds what the relay must know, [`Envelope::rewrite`] replaces
//! the model's name in the caller's own bytes, and the answer goes back as it came, the vendor's `model` and unknown fields
//! included; [`StreamReader`] and [`read_answer`] only watch it. **Different dialects** (the in-process model counts as one):
//! [`read_request`] → [`Chat`] → [`write_request`], and back through [`read_answer`] and [`write_answer`], or event by event
//! through [`StreamReader`] and [`StreamWriter`]. A field that the other side cannot carry is refused with its path
//! ([`BadRequest::is_unsupported`]); the few that may be left behind are listed in [`advisory`]. Vendors that speak neither
//! dialect are only asked: [`write_request`], [`read_answer`] and [`StreamReader`] know their [`Wire`]s (`converse`, `cohere`).
//!
//! # How the dialects map
//! | OpenAI chat completions | Anthropic messages | |
//! |---|---|---|
//! | `system`, `developer` messages | `system` | those after the first turn move to the end of `system` |
//! | adjacent messages of one role | one message | Anthropic's roles alternate |
//! | `tool` messages | `tool_result` blocks of a user message | an `is_error` result begins with `Error: ` in OpenAI's |
//! | `tool_calls[].id` | `tool_use.id` | ids that do not fit are encoded reversibly, see `ids` |
//! | `tool_choice` `required`, a function | `any`, `tool` | |
//! | `parallel_tool_calls: false` | `tool_choice.disable_parallel_tool_use` | |
//! | `max_completion_tokens`, `max_tokens` | `max_tokens` | a default where the caller set none |
//! | `stop` | `stop_sequences` | |
//! | `temperature` 0–2 | 0–1 | above 1 is refused |
//! | `response_format` `json_schema` | `output_config.format` | its name is a label and left behind; `json_object` is refused |
//! | `reasoning_effort` | `thinking` | a hint: sent only where Anthropic's rules allow it, see `anthropic` |
//! | `user`, `safety_identifier` | `metadata.user_id` | |
//! | `image_url` with a `data:` URL, any other | `image` with a `base64`, a `url` source | |
//! | `finish_reason` `stop`, `length`, `tool_calls`, `content_filter` | `end_turn` or `stop_sequence`, `max_tokens`, `tool_use`, `refusal` | |
//! | `message.refusal` | text, and `stop_reason: refusal` | |
//! | `prompt_tokens` | `input_tokens` + cache reads + cache writes | |
//! | reasoning text | `thinking` blocks | unsigned reasoning is left behind, see [`advisory`] |
//!
//! OpenAI's responses map onto the same types, see `responses` and `docs/dialects.md`.

mod advisory;
mod anthropic;
mod call_id;
mod cohere;
mod converse;
mod counts;
mod embed;
mod envelope;
pub mod event_stream;
mod gemini;
mod google_error;
mod ids;
mod look;
mod manners;
mod object;
mod openai;
mod problem;
mod prompt;
mod refusal;
mod responses;
pub mod sse;
mod stream;
#[cfg(test)]
mod tests;
mod token_count;
mod vendor_error;

use backstop_models::chat::{Answer, Chat, TokenLogprob, Usage};

pub use self::{
    advisory::{LEFT_BEHIND, LEFT_BEHIND_TOWARDS, LeftBehind},
    embed::{
        EmbedInput, EmbedRequest, Embeddings, Encoding, open_embed, read_embeddings, write_embed, write_embeddings,
    },
    envelope::{Envelope, Extent, open, open_counted},
    manners::suit,
    problem::{Problem, ProblemKind, status, write_problem},
    prompt::{Prompt, prompt},
    refusal::BadRequest,
    stream::{StreamReader, StreamWriter},
    token_count::{read_counted, read_token_count, write_counted, write_token_count},
    vendor_error::{VendorError, read_error, read_named_error},
};
use crate::domain::FaultKind;
pub use crate::domain::{Dialect, Wire};

/// What of a request is the gateway's to say.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The vendor's own name of the model.
    pub model: &'a str,
    pub stream: bool,
    /// OpenAI: `max_tokens` or `max_completion_tokens`, whichever the vendor knows.
    pub max_tokens_field: &'static str,
    /// OpenAI: a stream ends with usage.
    pub include_usage: bool,
    /// Anthropic demands a limit; this one holds where the caller set none.
    pub default_max_tokens: u32,
}

/// How an answer is labelled for the caller.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The call's id, `req_…`; becomes `chatcmpl-…`, `msg_…` or `resp_…`.
    pub id: &'a str,
    /// The name the caller asked for.
    pub model: &'a str,
    /// In seconds since 1970-01-01 UTC.
    pub created_unix_s: i64,
    /// The request's body: a response repeats what was asked. Empty where that is not known.
    pub request: &'a [u8],
}

/// An answer, or a piece of one, that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// An error where an answer should be.
    #[error("the vendor sent an error in its answer ({kind})")]
    ErrorObject {
        kind: FaultKind,
        /// Safe for the caller to see.
        message: Option<String>,
    },
    /// Never holds the vendor's text.
    #[error("the answer is not what its dialect says: {why}")]
    Malformed { why: String },
    #[error("the answer is empty")]
    Empty,
    #[error("the answer has no finish reason")]
    NoFinish,
}

/// The whole of a request, for a target that does not speak its dialect. Every field is carried, listed in [`advisory`] or
/// refused with its path.
pub fn read_request(dialect: Dialect, body: &[u8]) -> Result<Chat, BadRequest> {
    match dialect {
        Dialect::OpenaiChat => openai::read_request(body),
        Dialect::AnthropicMessages => anthropic::read_request(body),
        Dialect::OpenaiResponses => responses::read_request(body),
        Dialect::OpenaiCompletions => openai::completions::read_request(body),
    }
}

/// The request as the vendor takes it. What it cannot carry is refused by the name it has in the caller's dialect.
pub fn write_request(wire: Wire, chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    if chat.completion.is_some() {
        return Err(BadRequest::unsupported("prompt".into(), "the target that was to answer takes messages only"));
    }
    match wire {
        // A completion goes to whoever takes it as it came.
        Wire::OpenaiChat | Wire::OpenaiCompletions => openai::write_request(chat, to),
        Wire::AnthropicMessages => anthropic::write_request(chat, to),
        Wire::Gemini => gemini::write_request(chat, to),
        Wire::BedrockConverse => converse::write_request(chat, to),
        Wire::CohereChat => cohere::write_request(chat, to),
        Wire::OpenaiResponses => responses::write_request(chat, to),
    }
}

/// [`open`] and [`Envelope::rewrite`] in one; who has the envelope already uses that.
pub fn rewrite_request(dialect: Dialect, body: &[u8], to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    Ok(open(dialect, body)?.rewrite(body, to))
}

/// A whole answer that was not streamed.
pub fn read_answer(wire: Wire, body: &[u8]) -> Result<Answer, ReadError> {
    if body.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    match wire {
        Wire::OpenaiChat | Wire::OpenaiCompletions => openai::read_answer(body),
        Wire::AnthropicMessages => anthropic::read_answer(body),
        Wire::Gemini => gemini::read_answer(body),
        Wire::BedrockConverse => converse::read_answer(body),
        Wire::CohereChat => cohere::read_answer(body),
        Wire::OpenaiResponses => responses::read_answer(body),
    }
}

/// A completion that asks how likely `text` is, in [`Wire::OpenaiCompletions`].
pub fn write_scoring(model: &str, text: &str) -> Vec<u8> {
    openai::scored::write_request(model, text)
}

/// Its answer: the tokens of the text, and what may stand around them; none where the vendor gives no log-probabilities.
pub fn read_scoring(body: &[u8]) -> Result<(Vec<TokenLogprob>, Usage), ReadError> {
    openai::scored::read_answer(body)
}

/// The answer as the caller's dialect has it.
pub fn write_answer(dialect: Dialect, answer: &Answer, as_: &Reply<'_>) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat => openai::write_answers(std::slice::from_ref(answer), &answer.usage, as_),
        Dialect::AnthropicMessages => anthropic::write_answer(answer, as_),
        Dialect::OpenaiResponses => responses::write_answer(answer, as_),
        Dialect::OpenaiCompletions => {
            openai::completions::write_answers(std::slice::from_ref(answer), &answer.usage, as_)
        }
    }
}

/// All answers to one question, whose usage together is `usage`. Dialects that know one answer only get the first.
///
/// # Panics
/// When there is none.
pub fn write_answers(dialect: Dialect, answers: &[Answer], usage: Usage, as_: &Reply<'_>) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat => openai::write_answers(answers, &usage, as_),
        Dialect::OpenaiCompletions => openai::completions::write_answers(answers, &usage, as_),
        Dialect::AnthropicMessages | Dialect::OpenaiResponses => {
            write_answer(dialect, &Answer { usage, ..answers[0].clone() }, as_)
        }
    }
}

impl ReadError {
    fn error_object(wire: Wire, body: &[u8]) -> Self {
        Self::named_error(wire, None, body)
    }

    /// `name`: the error's type, where it does not stand in the object.
    fn named_error(wire: Wire, name: Option<&str>, body: &[u8]) -> Self {
        let VendorError { kind, message, .. } = vendor_error::read_error_object(wire, name, body);
        Self::ErrorObject { kind, message }
    }

    /// From a parser's error: where it stopped, not what it read.
    fn syntax(error: &serde_json::Error) -> Self {
        let what = if error.is_eof() { "it ends too early" } else { "it is not the JSON that was expected" };
        Self::Malformed { why: format!("{what} (line {}, column {})", error.line(), error.column()) }
    }
}

impl Reply<'_> {
    /// The call's id without its own prefix, behind the dialect's.
    fn id_after(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.id.strip_prefix("req_").unwrap_or(self.id))
    }
}

impl Problem {
    /// A problem without a field or a code.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, code: None }
    }
}

/// What ends a whole stream, for a vendor that left it out.
pub fn end_mark(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => b"data: [DONE]\n\n",
        Dialect::AnthropicMessages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        // The frame that says why it ended is its last one: a stream without it is not whole.
        Dialect::OpenaiResponses => b"",
    }
}

/// Whether a stream of this dialect may begin again so that a caller can tell: its chunks have ids, and fields that a
/// client does not know are no fault.
pub fn can_restart(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenaiChat => true,
        // One `message_start` opens the only message that a stream has.
        Dialect::AnthropicMessages => false,
        // Likewise one response.
        Dialect::OpenaiResponses => false,
        // What is gone on with has been said already.
        Dialect::OpenaiCompletions => false,
    }
}

/// What stands between a broken answer and the one that begins again: a chunk without choices, under the new answer's id,
/// with `backstop.restarted`. Only where [`can_restart`].
pub fn restart_mark(reply: &Reply<'_>, fault: FaultKind, target: &str) -> Vec<u8> {
    let chunk = serde_json::json!({
        "id": reply.id_after("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": reply.created_unix_s,
        "model": reply.model,
        "choices": [],
        "backstop": { "restarted": true, "reason": fault.as_str(), "served_by": target },
    });
    format!("data: {chunk}\n\n").into_bytes()
}
