//! What Cohere says, in the shapes its API reference gives.

use serde_json::{Value, json};

use super::{End, Reply, Say, Seen};

/// The whole answer, or the stream when `seen` asks for one.
pub(super) fn reply(seen: &Seen, say: &Say) -> Reply {
    if seen.wants_stream() {
        return Reply::events(&frames(say), End::Whole);
    }
    Reply::json(200, &whole(say))
}

/// A delta per letter of a text, or a plan and a tool call whose arguments come in two fragments; `message-end` last.
pub(super) fn frames(say: &Say) -> Vec<String> {
    let empty = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let mut out = vec![frame(json!({"type": "message-start", "id": "fake", "delta": {"message": empty}}))];
    let event = |kind: &str, message: Value| frame(json!({"type": kind, "index": 0, "delta": {"message": message}}));
    let reason = match say {
        Say::Text(text) => {
            out.push(event("content-start", json!({"content": {"type": "text", "text": ""}})));
            let letters = text.chars().map(|letter| json!({"content": {"text": letter.to_string()}}));
            out.extend(letters.map(|message| event("content-delta", message)));
            out.push(frame(json!({"type": "content-end", "index": 0})));
            "COMPLETE"
        }
        Say::Tool(name, arguments) => {
            out.push(event("tool-plan-delta", json!({"tool_plan": "I will look."})));
            let function = json!({"name": name, "arguments": ""});
            let call = json!({"id": "weather_fake:1", "type": "function", "function": function});
            out.push(event("tool-call-start", json!({"tool_calls": call})));
            let text = arguments.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            let more = |part: &str| event("tool-call-delta", json!({"tool_calls": {"function": {"arguments": part}}}));
            out.extend([first, rest].map(more));
            out.push(frame(json!({"type": "tool-call-end", "index": 0})));
            "TOOL_CALL"
        }
    };
    out.push(frame(json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage()}})));
    out
}

fn whole(say: &Say) -> Value {
    let (message, reason) = match say {
        Say::Text(text) => (json!({"role": "assistant", "content": [{"type": "text", "text": text}]}), "COMPLETE"),
        Say::Tool(name, arguments) => {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            let call = json!({"id": "weather_fake:1", "type": "function", "function": function});
            (json!({"role": "assistant", "tool_plan": "I will look.", "tool_calls": [call]}), "TOOL_CALL")
        }
    };
    json!({"id": "fake", "message": message, "finish_reason": reason, "usage": usage(), "field_of_the_future": 1})
}

fn usage() -> Value {
    json!({"billed_units": {"input_tokens": 5, "output_tokens": 7}, "tokens": {"input_tokens": 11.0, "output_tokens": 7},
           "cached_tokens": 3})
}

fn frame(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("the fake's own event"))
}
