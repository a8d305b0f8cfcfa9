//! Cohere's chat: what it is asked, and what its answers, streams and errors mean to callers of both dialects.

use backstop_models::chat::{Event, Finish, Fold, Part, Usage};
use serde_json::{Value, json};

use super::*;

const WIRE: Wire = Wire::CohereChat;
const MODEL: &str = "command-a-reasoning-08-2025";

#[test]
fn requests() {
    for (name, body) in questions::asked() {
        let written = write_request(WIRE, &questions::chat(OPENAI, &body), &outgoing(MODEL))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        insta::assert_snapshot!(format!("cohere_{name}"), pretty(&written));
    }
    let chat = questions::chat(ANTHROPIC, &questions::asked_by_anthropic());
    let stream = Outgoing { stream: true, ..outgoing(MODEL) };
    insta::assert_snapshot!(
        "cohere_thinking",
        pretty(&write_request(WIRE, &chat, &stream).expect("it can be carried"))
    );
}

/// The request that asks "Hi" with these fields.
fn written(model: &str, fields: &Value) -> Value {
    let mut body = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    for (name, value) in fields.as_object().expect("the test's own object") {
        body[name] = value.clone();
    }
    let written = write_request(WIRE, &questions::chat(OPENAI, &body), &outgoing(model)).expect("it can be carried");
    serde_json::from_slice(&written).expect("it is JSON")
}

#[test]
fn settings_go_where_cohere_has_them() {
    let tool = |strict: bool| json!([{ "type": "function", "function": { "name": "f", "strict": strict } }]);
    for (fields, name, value) in [
        (json!({ "top_p": 1 }), "p", json!(0.99)),
        (json!({ "top_p": 0 }), "p", json!(0.01)),
        (json!({ "seed": 7 }), "seed", json!(7)),
        (json!({ "frequency_penalty": 0.5 }), "frequency_penalty", json!(0.5)),
        (json!({ "tools": tool(true) }), "strict_tools", json!(true)),
        (json!({ "tools": tool(false) }), "strict_tools", Value::Null),
        (json!({ "tools": tool(false), "tool_choice": "none" }), "tool_choice", json!("NONE")),
        (json!({ "response_format": { "type": "json_object" } }), "response_format", json!({ "type": "json_object" })),
        (json!({ "reasoning_effort": "none" }), "thinking", json!({ "type": "disabled" })),
        (
            json!({ "reasoning_effort": "high", "max_tokens": 1000 }),
            "thinking",
            json!({ "type": "enabled", "token_budget": 500 }),
        ),
    ] {
        assert_eq!(written(MODEL, &fields)[name], value, "{fields}");
    }
    assert_eq!(written("command-a-03-2025", &json!({ "reasoning_effort": "high" }))["thinking"], Value::Null);
}

#[test]
fn refusals() {
    let tool = |name: &str, strict: bool| json!({ "type": "function", "function": { "name": name, "strict": strict } });
    let both = json!([tool("f", false), tool("g", false)]);
    let named = json!({ "type": "function", "function": { "name": "f" } });
    for (fields, param) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "logit_bias": { "1": 1 } }), "logit_bias"),
        (json!({ "frequency_penalty": -0.5 }), "frequency_penalty"),
        (json!({ "presence_penalty": 1.5 }), "presence_penalty"),
        (json!({ "presence_penalty": 0.5, "frequency_penalty": 0.5 }), "presence_penalty"),
        (json!({ "tools": both, "parallel_tool_calls": false }), "parallel_tool_calls"),
        (json!({ "tools": both, "tool_choice": named }), "tool_choice"),
        (json!({ "tool_choice": "required" }), "tool_choice"),
        (json!({ "tools": [tool("f", false), tool("g", true)] }), "tools[1].function.strict"),
        (json!({ "tools": both, "response_format": { "type": "json_object" } }), "response_format"),
        (json!({ "messages": [{ "role": "user", "name": "Ann", "content": "Hi" }] }), "messages[0].name"),
        (json!({ "messages": [{ "role": "user", "content": "" }] }), "messages[0].content"),
        (json!({ "messages": [{ "role": "system", "content": "Hi" }] }), "messages"),
    ] {
        assert_eq!(questions::refused(WIRE, MODEL, &fields), param);
    }
    let mut chat = questions::chat(OPENAI, &json!({ "messages": [{ "role": "user", "content": "Hi" }] }));
    chat.sampling.top_k = Some(501);
    let error = write_request(WIRE, &chat, &outgoing(MODEL)).expect_err("it is too many");
    assert_eq!(error.param.as_deref(), Some("top_k"));
}

fn answer(message: Value, finish: &str) -> Value {
    json!({
        "id": "c14c80c3", "message": message, "finish_reason": finish,
        "usage": { "billed_units": { "input_tokens": 5, "output_tokens": 18 }, "cached_tokens": 60,
                   "tokens": { "input_tokens": 71.0, "output_tokens": 418 } },
    })
}

#[test]
fn answers() {
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "get_weather", "arguments": arguments } });
    let calls = json!({ "role": "assistant", "tool_plan": "I will look it up.",
        "tool_calls": [call("get_weather_q1", "{\"city\":\"Oslo\"}"), call("get_weather:2", "")] });
    let thought = json!([{ "type": "thinking", "thinking": "6 times 7" }, { "type": "text", "text": "42" }]);
    for (name, message, finish) in [
        ("calls", calls, "TOOL_CALL"),
        ("text", json!({ "role": "assistant", "content": [{ "type": "text", "text": "Hello" }] }), "COMPLETE"),
        ("reasoning", json!({ "role": "assistant", "content": thought }), "MAX_TOKENS"),
    ] {
        let read = read_answer(WIRE, answer(message, finish).to_string().as_bytes()).expect("it is whole");
        for dialect in [OPENAI, ANTHROPIC] {
            let written = pretty(&write_answer(dialect, &read, &reply()));
            insta::assert_snapshot!(format!("cohere_answer_{name}_{}", dialect.as_str()), written);
        }
    }
}

#[test]
fn every_finish_reason_is_known() {
    let finish = |reason: &str| {
        let body = answer(json!({ "content": [{ "type": "text", "text": "a" }] }), reason).to_string();
        read_answer(WIRE, body.as_bytes()).map(|answer| answer.finish)
    };
    for (reason, expected) in [
        ("COMPLETE", Finish::Stop),
        ("STOP_SEQUENCE", Finish::StopSequence(None)),
        ("MAX_TOKENS", Finish::Length),
        ("TOOL_CALL", Finish::ToolCalls),
        ("ERROR_TOXIC", Finish::ContentFilter),
    ] {
        assert_eq!(finish(reason), Ok(expected), "{reason}");
    }
    let error = |kind| Err(ReadError::ErrorObject { kind, message: None });
    assert_eq!(finish("ERROR"), error(FaultKind::ErrorInBody));
    assert_eq!(finish("TIMEOUT"), error(FaultKind::ServerError));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let error = |body: &str| read_answer(WIRE, body.as_bytes()).expect_err(body);
    assert_eq!(error("{}"), ReadError::Empty);
    assert_eq!(error(r#"{"message":{"content":[{"type":"text","text":"half"}]}}"#), ReadError::NoFinish);
    assert!(matches!(error(r#"{"message":{"content":"#), ReadError::Malformed { .. }));
    let broke = r#"{"id":"x","message":"internal server error"}"#;
    assert_eq!(error(broke), ReadError::ErrorObject { kind: FaultKind::ErrorInBody, message: None });
}

/// A stream of these events' data.
fn stream(events: &[Value]) -> String {
    let frame = |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("it has a type"));
    events.iter().map(frame).collect()
}

fn read(stream: &str, chunk: usize) -> (Vec<Event>, Result<bool, ReadError>) {
    let mut splitter = sse::Splitter::new(1 << 20);
    let mut reader = StreamReader::new(WIRE);
    let mut out = Vec::new();
    for bytes in stream.as_bytes().chunks(chunk) {
        splitter.push(bytes);
        while let Some(event) = splitter.next() {
            if let Err(error) = reader.read(&event.expect("it is short"), &mut out) {
                return (out, Err(error));
            }
        }
    }
    let done = reader.done();
    (out, Ok(done))
}

fn start() -> Value {
    let message = json!({ "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [] });
    json!({ "type": "message-start", "id": "29f14a5a", "delta": { "message": message } })
}

fn content(kind: &str, index: u32, content: Value) -> Value {
    json!({ "type": kind, "index": index, "delta": { "message": { "content": content } } })
}

fn call(kind: &str, index: u32, call: Value) -> Value {
    json!({ "type": kind, "index": index, "delta": { "message": { "tool_calls": call } } })
}

fn end(reason: &str) -> Value {
    let usage = json!({ "billed_units": { "input_tokens": 3 }, "tokens": { "input_tokens": 69, "output_tokens": 38 } });
    json!({ "type": "message-end", "delta": { "finish_reason": reason, "usage": usage } })
}

fn text_stream() -> Vec<Value> {
    vec![
        start(),
        content("content-start", 0, json!({ "type": "thinking", "thinking": "" })),
        content("content-delta", 0, json!({ "thinking": "Hm." })),
        json!({ "type": "content-end", "index": 0 }),
        content("content-start", 1, json!({ "type": "text", "text": "" })),
        content("content-delta", 1, json!({ "text": "Hel" })),
        json!({ "type": "citation-start", "index": 0, "delta": { "message": { "citations": { "start": 0 } } } }),
        content("content-delta", 1, json!({ "text": "lo é" })),
        json!({ "type": "content-end", "index": 1 }),
        end("COMPLETE"),
    ]
}

fn call_stream() -> Vec<Value> {
    let open = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "" } });
    vec![
        start(),
        json!({ "type": "tool-plan-delta", "delta": { "message": { "tool_plan": "I will " } } }),
        json!({ "type": "tool-plan-delta", "delta": { "message": { "tool_plan": "look." } } }),
        call("tool-call-start", 0, open("f_1")),
        call("tool-call-delta", 0, json!({ "function": { "arguments": "{\"city\":" } })),
        call("tool-call-delta", 0, json!({ "function": { "arguments": " \"Oslo\"}" } })),
        json!({ "type": "tool-call-end", "index": 0 }),
        call("tool-call-start", 1, open("f_2")),
        json!({ "type": "tool-call-end", "index": 1 }),
        end("TOOL_CALL"),
    ]
}

#[test]
fn streams() {
    for (name, events) in [("text", text_stream()), ("calls", call_stream())] {
        let text = stream(&events);
        let (events, done) = read(&text, 7);
        assert_eq!(done, Ok(true));
        assert_eq!(read(&text, text.len()).0, events);
        for dialect in [OPENAI, ANTHROPIC] {
            let mut writer = StreamWriter::new(dialect, &reply(), true);
            let mut out = Vec::new();
            events.iter().for_each(|event| writer.write(event, &mut out));
            writer.finish(&mut out);
            let written = String::from_utf8(out).expect("it is text");
            insta::assert_snapshot!(format!("cohere_stream_{name}_{}", dialect.as_str()), written);
        }
    }
}

#[test]
fn a_stream_folds_into_what_a_whole_answer_would_be() {
    let mut fold = Fold::default();
    read(&stream(&call_stream()), 64).0.into_iter().for_each(|event| fold.push(event));
    let folded = fold.into_answer().expect("it has an end");
    assert_eq!(folded.content[0], Part::Text("I will look.".into()));
    let Part::ToolCall(second) = &folded.content[2] else { panic!("the second call") };
    assert_eq!((folded.finish, second.id.as_str(), second.arguments.as_str()), (Finish::ToolCalls, "f_2", "{}"));
    let usage =
        Usage { input_tokens: Some(69), output_tokens: Some(38), unbilled_input_tokens: Some(66), ..Usage::default() };
    assert_eq!(folded.usage, usage);
    // The plan comes back as the plan of the next turn.
    let messages = json!([
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": "I will look.",
          "tool_calls": [{ "id": "f_2", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
    ]);
    let next = written(MODEL, &json!({ "messages": messages }));
    assert_eq!(next["messages"][1]["tool_plan"], "I will look.");
    assert_eq!(next["messages"][1]["content"], Value::Null);
}

#[test]
fn failures_in_a_stream_are_errors() {
    let error = |events: &[Value]| read(&stream(events), 64).1.expect_err("it failed");
    let kind = |events: &[Value]| match error(events) {
        ReadError::ErrorObject { kind, .. } => kind,
        other => panic!("{other}"),
    };
    assert_eq!(kind(&[start(), end("ERROR")]), FaultKind::ErrorInBody);
    assert_eq!(kind(&[start(), end("TIMEOUT")]), FaultKind::ServerError);
    let mut told = end("ERROR");
    told["delta"]["error"] =
        json!("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292");
    assert_eq!(kind(&[start(), told]), FaultKind::ContextLength);
    let bare = read("data: {\"id\":\"x\",\"message\":\"internal server error\"}\n\n", 64).1;
    assert!(matches!(bare, Err(ReadError::ErrorObject { .. })));
    let nameless = call("tool-call-start", 0, json!({ "id": "x" }));
    assert!(matches!(error(&[start(), nameless]), ReadError::Malformed { .. }));
}

#[test]
fn errors_are_told_by_words_and_status() {
    use FaultKind::*;
    for (status, message, kind) in [
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
            ContextLength,
        ),
        (400, "too many tokens: max tokens must be less than or equal to 4096, the maximum output", BadRequest),
        (400, "invalid request: all elements in history must have a message.", BadRequest),
        (401, "invalid api token", VendorAuth),
        (402, "Please add or update your payment method", QuotaExhausted),
        (404, "model 'command-x' not found, make sure the correct model ID was used", VendorNotFound),
        (422, "unprocessable", BadRequest),
        (429, "You are using a Trial key, which is limited to 20 API calls / minute.", RateLimited),
        (429, "You are using a Trial key, which is limited to 1000 API calls / month.", QuotaExhausted),
        (498, "blocked", ContentPolicy),
        (499, "request cancelled", ServerError),
        (500, "internal server error", ServerError),
        (503, "unavailable", ServerError),
    ] {
        let body = json!({ "id": "x", "message": message }).to_string();
        assert_eq!(read_error(WIRE, status, body.as_bytes()).kind, kind, "{status} {message}");
    }
}
