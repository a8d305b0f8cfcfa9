//! What Bedrock says, in the shapes its API reference gives: whole, or as a binary event stream.

use serde_json::{Value, json};

use super::{End, Piece, Reply, Say, Seen};

/// The whole answer, or the stream when that path was asked.
pub(super) fn reply(seen: &Seen, say: &Say) -> Reply {
    if seen.path.ends_with("/converse-stream") {
        return stream(messages(say), End::Whole);
    }
    Reply::json(200, &whole(say))
}

/// A stream of these messages.
pub(super) fn stream(messages: Vec<Vec<u8>>, end: End) -> Reply {
    let pieces = messages.into_iter().map(Piece::Bytes).collect();
    Reply::StreamOf { media_type: "application/vnd.amazon.eventstream", pieces, end }
}

/// A delta per letter of a text, or a tool call whose input comes in two fragments; `metadata` last.
pub(super) fn messages(say: &Say) -> Vec<Vec<u8>> {
    let delta = |delta: Value| event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": delta, "p": "ab"}));
    let mut out = vec![event("messageStart", &json!({"role": "assistant"}))];
    let stop = match say {
        Say::Text(text) => {
            out.extend(text.chars().map(|letter| delta(json!({"text": letter.to_string()}))));
            "end_turn"
        }
        Say::Tool(name, arguments) => {
            let start = json!({"toolUse": {"toolUseId": "tooluse_fake1", "name": name}});
            out.push(event("contentBlockStart", &json!({"contentBlockIndex": 0, "start": start})));
            let text = arguments.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            out.extend([first, rest].map(|part| delta(json!({"toolUse": {"input": part}}))));
            "tool_use"
        }
    };
    out.push(event("contentBlockStop", &json!({"contentBlockIndex": 0})));
    out.push(event("messageStop", &json!({"stopReason": stop})));
    out.push(event("metadata", &json!({"usage": usage(), "metrics": {"latencyMs": 12}})));
    out
}

/// An exception in the stream.
pub(super) fn exception(name: &str) -> Vec<u8> {
    let payload = json!({"message": "the fake says no"}).to_string();
    framed(
        &[(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")],
        &payload,
    )
}

fn event(name: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    framed(&headers, &payload.to_string())
}

fn framed(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&(value.len() as u16).to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let mut out = Vec::new();
    out.extend_from_slice(&((16 + block.len() + payload.len()) as u32).to_be_bytes());
    out.extend_from_slice(&(block.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

fn whole(say: &Say) -> Value {
    let (block, stop) = match say {
        Say::Text(text) => (json!({"text": text}), "end_turn"),
        Say::Tool(name, arguments) => {
            (json!({"toolUse": {"toolUseId": "tooluse_fake1", "name": name, "input": arguments}}), "tool_use")
        }
    };
    json!({
        "output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": stop, "usage": usage(),
        "metrics": {"latencyMs": 12}, "field_of_the_future": {"kept": true}
    })
}

fn usage() -> Value {
    json!({"inputTokens": 8, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 0, "outputTokens": 7, "totalTokens": 18})
}
