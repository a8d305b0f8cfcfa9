//! What OpenAI says at `/responses`, in the shapes its API reference gives.

use serde_json::{Value, json};

use super::{End, Reply, Say, Seen};

/// The whole answer, or the stream when `seen` asks for one.
pub(super) fn reply(seen: &Seen, say: &Say) -> Reply {
    if seen.wants_stream() {
        return Reply::events(&frames(say), End::Whole);
    }
    let output = json!([item(say, "completed")]);
    Reply::json(200, &response("completed", &output, seen.json()["model"].as_str().unwrap_or("unnamed")))
}

/// A delta per letter of a text, or a tool call whose arguments come in two fragments; `response.completed` last.
pub(super) fn frames(say: &Say) -> Vec<String> {
    let open = match say {
        Say::Text(_) => {
            json!({"type": "message", "id": "msg_fake", "status": "in_progress", "role": "assistant", "content": []})
        }
        Say::Tool(name, _) => json!({"type": "function_call", "id": "fc_fake", "status": "in_progress",
            "call_id": "call_fake1", "name": name, "arguments": ""}),
    };
    let begun = response("in_progress", &json!([]), "fake-1");
    let mut events = vec![
        ("response.created", json!({"response": begun})),
        ("response.in_progress", json!({"response": begun})),
        ("response.output_item.added", json!({"output_index": 0, "item": open})),
    ];
    let within = |mut event: Value| {
        event["output_index"] = json!(0);
        event
    };
    match say {
        Say::Text(text) => {
            let said = |mut event: Value| {
                (event["item_id"], event["content_index"]) = (json!("msg_fake"), json!(0));
                within(event)
            };
            let part = |text: &str| json!({"part": {"type": "output_text", "annotations": [], "text": text}});
            events.push(("response.content_part.added", said(part(""))));
            let delta = |letter: char| said(json!({"delta": letter.to_string(), "logprobs": [], "obfuscation": "x"}));
            events.extend(text.chars().map(|letter| ("response.output_text.delta", delta(letter))));
            events.push(("response.output_text.done", said(json!({"text": text, "logprobs": []}))));
            events.push(("response.content_part.done", said(part(text))));
        }
        Say::Tool(_, arguments) => {
            let text = arguments.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            for delta in [first, rest] {
                let event = within(json!({"item_id": "fc_fake", "delta": delta}));
                events.push(("response.function_call_arguments.delta", event));
            }
            let event = within(json!({"item_id": "fc_fake", "arguments": text}));
            events.push(("response.function_call_arguments.done", event));
        }
    }
    let item = item(say, "completed");
    events.push(("response.output_item.done", within(json!({"item": item}))));
    events.push(("response.completed", json!({"response": response("completed", &json!([item]), "fake-1")})));
    events.into_iter().enumerate().map(|(number, (kind, data))| frame(number, kind, data)).collect()
}

fn item(say: &Say, status: &str) -> Value {
    match say {
        Say::Text(text) => json!({"type": "message", "id": "msg_fake", "status": status, "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}]}),
        Say::Tool(name, arguments) => json!({"type": "function_call", "id": "fc_fake", "status": status,
            "call_id": "call_fake1", "name": name, "arguments": arguments.to_string()}),
    }
}

fn response(status: &str, output: &Value, model: &str) -> Value {
    let usage = json!({
        "input_tokens": 11, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18
    });
    json!({
        "id": "resp_fake", "object": "response", "created_at": 1_700_000_000, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "metadata": {}, "model": model, "output": output,
        "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "store": true,
        "usage": if status == "completed" { usage } else { Value::Null }, "field_of_the_future": {"kept": true}
    })
}

fn frame(number: usize, kind: &str, mut data: Value) -> String {
    (data["type"], data["sequence_number"]) = (json!(kind), json!(number));
    format!("event: {kind}\ndata: {data}\n\n")
}
