//! What OpenAI says, in the shapes its API reference gives.

use serde_json::{Value, json};

use super::{End, Reply, Say, Seen};

/// The whole answer, or the stream when `seen` asks for one.
pub(super) fn reply(seen: &Seen, say: &Say) -> Reply {
    let question = seen.json();
    if seen.wants_stream() {
        let usage = question["stream_options"]["include_usage"] == Value::Bool(true);
        return Reply::events(&frames(say, usage), End::Whole);
    }
    Reply::json(200, &whole(say, question["model"].as_str().unwrap_or("unnamed")))
}

pub(super) fn error(kind: &str) -> Value {
    json!({"error": {"message": "the fake says no", "type": kind, "param": null, "code": null}})
}

/// A chunk per letter of a text, or a tool call whose arguments come in two fragments; `[DONE]` last.
pub(super) fn frames(say: &Say, usage: bool) -> Vec<String> {
    let mut deltas = vec![json!({"role": "assistant", "content": "", "refusal": null})];
    let finish = match say {
        Say::Text(text) => {
            deltas.extend(text.chars().map(|letter| json!({"content": letter.to_string()})));
            "stop"
        }
        Say::Tool(name, arguments) => {
            let text = arguments.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            let open = json!({"name": name, "arguments": ""});
            deltas
                .push(json!({"tool_calls": [{"index": 0, "id": "call_fake1", "type": "function", "function": open}]}));
            deltas.push(json!({"tool_calls": [{"index": 0, "function": {"arguments": first}}]}));
            deltas.push(json!({"tool_calls": [{"index": 0, "function": {"arguments": rest}}]}));
            "tool_calls"
        }
    };
    let mut frames: Vec<String> = deltas.iter().map(|delta| chunk(delta, None)).collect();
    frames.push(chunk(&json!({}), Some(finish)));
    if usage {
        frames.push(frame(&json!({
            "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "fake-1",
            "choices": [], "usage": usage_object()
        })));
    }
    frames.push("data: [DONE]\n\n".into());
    frames
}

fn whole(say: &Say, model: &str) -> Value {
    let (message, finish) = match say {
        Say::Text(text) => (json!({"role": "assistant", "content": text, "refusal": null}), "stop"),
        Say::Tool(name, arguments) => {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            let call = json!({"id": "call_fake1", "type": "function", "function": function});
            (json!({"role": "assistant", "content": null, "tool_calls": [call], "refusal": null}), "tool_calls")
        }
    };
    json!({
        "id": "chatcmpl-fake", "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage_object(), "system_fingerprint": "fp_fake", "field_of_the_future": {"kept": true}
    })
}

fn usage_object() -> Value {
    json!({
        "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}
    })
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    frame(&json!({
        "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "fake-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "field_of_the_future": 1
    }))
}

fn frame(data: &Value) -> String {
    format!("data: {data}\n\n")
}
