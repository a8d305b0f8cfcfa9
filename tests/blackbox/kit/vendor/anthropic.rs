//! What Anthropic says, in the shapes its API reference gives.

use serde_json::{Value, json};

use super::{End, Reply, Say, Seen};

/// The whole answer, or the stream when `seen` asks for one.
pub(super) fn reply(seen: &Seen, say: &Say) -> Reply {
    if seen.wants_stream() {
        return Reply::events(&frames(say), End::Whole);
    }
    Reply::json(200, &whole(say, seen.json()["model"].as_str().unwrap_or("unnamed")))
}

pub(super) fn error(kind: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": "the fake says no"}, "request_id": "req_fake"})
}

/// A delta per letter of a text, or a tool call whose arguments come in two fragments; `message_stop` last.
pub(super) fn frames(say: &Say) -> Vec<String> {
    let message = json!({
        "id": "msg_fake", "type": "message", "role": "assistant", "model": "fake-2", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 11, "output_tokens": 1}
    });
    let mut out = vec![event("message_start", json!({"message": message})), event("ping", json!({}))];
    let (block, deltas, stop) = match say {
        Say::Text(text) => {
            let deltas: Vec<Value> =
                text.chars().map(|letter| json!({"type": "text_delta", "text": letter.to_string()})).collect();
            (json!({"type": "text", "text": ""}), deltas, "end_turn")
        }
        Say::Tool(name, arguments) => {
            let text = arguments.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            let delta = |part: &str| json!({"type": "input_json_delta", "partial_json": part});
            let block = json!({"type": "tool_use", "id": "toolu_fake1", "name": name, "input": {}});
            (block, vec![delta(first), delta(rest)], "tool_use")
        }
    };
    out.push(event("content_block_start", json!({"index": 0, "content_block": block})));
    out.extend(deltas.into_iter().map(|delta| event("content_block_delta", json!({"index": 0, "delta": delta}))));
    out.push(event("content_block_stop", json!({"index": 0})));
    let ending = json!({"delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 7}});
    out.push(event("message_delta", ending));
    out.push(event("message_stop", json!({})));
    out
}

fn whole(say: &Say, model: &str) -> Value {
    let (block, stop) = match say {
        Say::Text(text) => (json!({"type": "text", "text": text}), "end_turn"),
        Say::Tool(name, arguments) => {
            (json!({"type": "tool_use", "id": "toolu_fake1", "name": name, "input": arguments}), "tool_use")
        }
    };
    json!({
        "id": "msg_fake", "type": "message", "role": "assistant", "model": model, "content": [block],
        "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 7},
        "field_of_the_future": {"kept": true}
    })
}

fn event(name: &str, mut data: Value) -> String {
    data["type"] = json!(name);
    format!("event: {name}\ndata: {data}\n\n")
}
