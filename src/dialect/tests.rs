//! Golden and property tests of the room: what one dialect says, as the other hears it.

mod answers;
mod bodies;
mod cohere;
mod converse;
mod embeddings;
mod errors;
mod gemini;
mod manners;
mod questions;
mod refusals;
mod requests;
mod responses;
mod round_trips;
mod streams;
mod token_counts;
mod wires;

use super::*;

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const RESPONSES: Dialect = Dialect::OpenaiResponses;

fn outgoing(model: &str) -> Outgoing<'_> {
    Outgoing {
        model,
        stream: false,
        max_tokens_field: "max_completion_tokens",
        include_usage: false,
        default_max_tokens: 4096,
    }
}

fn reply() -> Reply<'static> {
    Reply { id: "req_0198c0ffee", model: "support-chat", created_unix_s: 1_795_000_000, request: b"" }
}

fn other(dialect: Dialect) -> Dialect {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::OpenaiCompletions => Dialect::AnthropicMessages,
        Dialect::AnthropicMessages => Dialect::OpenaiChat,
    }
}

fn pretty(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).expect("what a dialect writes is JSON");
    serde_json::to_string_pretty(&value).expect("a value is JSON")
}

/// The request as the other dialect's vendor gets it.
fn translated(from: Dialect, body: &serde_json::Value) -> Result<String, BadRequest> {
    translated_to(other(from).into(), from, body)
}

fn translated_to(wire: Wire, from: Dialect, body: &serde_json::Value) -> Result<String, BadRequest> {
    let body = body.to_string();
    open(from, body.as_bytes())?;
    let chat = read_request(from, body.as_bytes())?;
    write_request(wire, &chat, &outgoing("vendor-model")).map(|body| pretty(&body))
}
