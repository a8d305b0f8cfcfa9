//! Bedrock's Converse: what it is asked, and what its answers, streams and exceptions mean to callers of both dialects.

use backstop_models::chat::{Event, Finish, Fold, Part};
use serde_json::json;

use super::*;
use crate::dialect::event_stream::{
    self,
    tests::{event, exception},
};

const WIRE: Wire = Wire::BedrockConverse;
const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

#[test]
fn requests() {
    for (name, body) in questions::asked() {
        let written = write_request(WIRE, &questions::chat(OPENAI, &body), &outgoing(CLAUDE))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        insta::assert_snapshot!(format!("converse_{name}"), pretty(&written));
    }
    let chat = questions::chat(ANTHROPIC, &questions::asked_by_anthropic());
    let written = write_request(WIRE, &chat, &outgoing(CLAUDE)).expect("it can be carried");
    insta::assert_snapshot!("converse_thinking", pretty(&written));
}

#[test]
fn what_only_some_models_know_goes_to_those() {
    let mut chat = questions::chat(OPENAI, &json!({ "messages": [{ "role": "user", "content": "Hi" }] }));
    chat.sampling.top_k = Some(20);
    let fields = |model: &str| {
        let written = write_request(WIRE, &chat, &outgoing(model)).expect("it can be carried");
        let written: serde_json::Value = serde_json::from_slice(&written).expect("it is JSON");
        written["additionalModelRequestFields"].clone()
    };
    assert_eq!(fields(CLAUDE), json!({ "top_k": 20 }));
    let profile = "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0";
    assert_eq!(fields(profile), json!({ "inferenceConfig": { "topK": 20 } }));
    let error = write_request(WIRE, &chat, &outgoing("meta.llama3-1-70b-instruct-v1:0")).expect_err("who knows");
    assert_eq!(error.param.as_deref(), Some("top_k"));
}

#[test]
fn refusals() {
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let used = json!([
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": null,
          "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "a", "content": "x" },
    ]);
    let mut long = used.clone();
    (long[1]["tool_calls"][0]["id"], long[2]["tool_call_id"]) = (json!("x".repeat(65)), json!("x".repeat(65)));
    let image = json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    let called_tool = |name: &str| json!([{ "type": "function", "function": { "name": name } }]);
    for (fields, param) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "seed": 1 }), "seed"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "logit_bias": { "1": 1 } }), "logit_bias"),
        (json!({ "frequency_penalty": 0.5 }), "frequency_penalty"),
        (json!({ "temperature": 1.5 }), "temperature"),
        (json!({ "stop": "\n" }), "stop"),
        (json!({ "tools": tool, "parallel_tool_calls": false }), "parallel_tool_calls"),
        (json!({ "tools": called_tool(&"x".repeat(65)) }), "tools[0].function.name"),
        (json!({ "tool_choice": "required" }), "tool_choice"),
        (json!({ "response_format": { "type": "json_object" } }), "response_format.type"),
        (json!({ "messages": [{ "role": "user", "content": image }] }), "messages[0].content[0].image_url.url"),
        (json!({ "messages": used }), "tools"),
        (json!({ "messages": used, "tools": tool, "tool_choice": "none" }), "tool_choice"),
        (json!({ "messages": long, "tools": tool }), "messages[1].tool_calls[0].id"),
        (json!({ "messages": [{ "role": "user", "name": "Ann", "content": "Hi" }] }), "messages[0].name"),
    ] {
        assert_eq!(questions::refused(WIRE, CLAUDE, &fields), param);
    }
}

#[test]
fn no_tools_are_how_none_is_said() {
    let body = json!({ "messages": [{ "role": "user", "content": "Hi" }], "tool_choice": "none",
        "tools": [{ "type": "function", "function": { "name": "f" } }] });
    let written = write_request(WIRE, &questions::chat(OPENAI, &body), &outgoing(CLAUDE)).expect("it can be carried");
    assert!(!String::from_utf8_lossy(&written).contains("toolConfig"));
}

fn answer(content: serde_json::Value, stop: &str) -> serde_json::Value {
    json!({
        "metrics": { "latencyMs": 900 },
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": stop,
        "usage": { "inputTokens": 10, "outputTokens": 20, "totalTokens": 120,
                   "cacheReadInputTokens": 60, "cacheWriteInputTokens": 30, "serverToolUsage": {} },
    })
}

#[test]
fn answers() {
    let calls = json!([
        { "reasoningContent": { "reasoningText": { "text": "Two calls.", "signature": "c2ln" } } },
        { "reasoningContent": { "redactedContent": "AAAA" } },
        { "text": "Let me see." },
        { "toolUse": { "toolUseId": "tooluse_1", "name": "get_weather", "input": { "city": "Oslo", "n": 1.50 } } },
        { "toolUse": { "toolUseId": "bs1_ZnVuY3Rpb25zLm5vdzox", "name": "now", "input": {} } },
    ]);
    for (name, content, stop) in [
        ("calls", calls, "tool_use"),
        ("text", json!([{ "text": "Hello" }, { "citationsContent": {} }]), "end_turn"),
        ("length", json!([{ "text": "Hel" }]), "max_tokens"),
        ("refusal", json!([{ "text": "I cannot help with that." }]), "guardrail_intervened"),
    ] {
        let read = read_answer(WIRE, answer(content, stop).to_string().as_bytes()).expect("it is whole");
        for dialect in [OPENAI, ANTHROPIC] {
            let written = pretty(&write_answer(dialect, &read, &reply()));
            insta::assert_snapshot!(format!("converse_answer_{name}_{}", dialect.as_str()), written);
        }
    }
}

#[test]
fn every_stop_reason_is_known() {
    let finish = |stop: &str| {
        let body = answer(json!([{ "text": "a" }]), stop).to_string();
        read_answer(WIRE, body.as_bytes()).map(|answer| answer.finish)
    };
    for (stop, expected) in [
        ("end_turn", Finish::Stop),
        ("tool_use", Finish::ToolCalls),
        ("max_tokens", Finish::Length),
        ("model_context_window_exceeded", Finish::Length),
        ("stop_sequence", Finish::StopSequence(None)),
        ("guardrail_intervened", Finish::ContentFilter),
        ("content_filtered", Finish::ContentFilter),
    ] {
        assert_eq!(finish(stop), Ok(expected), "{stop}");
    }
    for stop in ["malformed_model_output", "malformed_tool_use"] {
        assert!(matches!(finish(stop), Err(ReadError::ErrorObject { .. })), "{stop}");
    }
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let error = |body: &str| read_answer(WIRE, body.as_bytes()).expect_err(body);
    assert_eq!(error(""), ReadError::Empty);
    assert_eq!(error("{}"), ReadError::Empty);
    assert_eq!(error(r#"{"output":{"message":{"content":[{"text":"half"}]}}}"#), ReadError::NoFinish);
    assert!(matches!(error(r#"{"output":{"message":{"content":[{"te"#), ReadError::Malformed { .. }));
    let throttled = r#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Too many requests"}"#;
    assert_eq!(error(throttled), ReadError::ErrorObject { kind: FaultKind::RateLimited, message: None });
}

/// A stream of these events.
fn stream(events: &[(&str, serde_json::Value)]) -> Vec<u8> {
    events.iter().flat_map(|(name, payload)| event(name, &payload.to_string())).collect()
}

fn read(stream: &[u8], chunk: usize) -> (Vec<Event>, Result<bool, ReadError>) {
    let mut splitter = event_stream::Splitter::new(1 << 20);
    let mut reader = StreamReader::new(WIRE);
    let mut out = Vec::new();
    for bytes in stream.chunks(chunk) {
        splitter.push(bytes);
        while let Some(event) = splitter.next() {
            if let Err(error) = reader.read(&event.expect("it is sound"), &mut out) {
                return (out, Err(error));
            }
        }
    }
    let done = reader.done();
    (out, Ok(done))
}

fn delta(block: u32, delta: serde_json::Value) -> (&'static str, serde_json::Value) {
    ("contentBlockDelta", json!({ "contentBlockIndex": block, "delta": delta, "p": "abcdef" }))
}

fn stop(block: u32) -> (&'static str, serde_json::Value) {
    ("contentBlockStop", json!({ "contentBlockIndex": block }))
}

fn call(block: u32, id: &str, name: &str) -> (&'static str, serde_json::Value) {
    let start = json!({ "toolUse": { "toolUseId": id, "name": name } });
    ("contentBlockStart", json!({ "contentBlockIndex": block, "start": start }))
}

fn text_stream() -> Vec<(&'static str, serde_json::Value)> {
    let usage = json!({ "inputTokens": 10, "outputTokens": 5, "totalTokens": 105, "cacheReadInputTokens": 90 });
    vec![
        ("messageStart", json!({ "role": "assistant", "p": "abc" })),
        delta(0, json!({ "reasoningContent": { "text": "Hm." } })),
        delta(0, json!({ "reasoningContent": { "signature": "c2ln" } })),
        stop(0),
        delta(1, json!({ "text": "Hel" })),
        delta(1, json!({ "text": "lo é" })),
        stop(1),
        ("messageStop", json!({ "stopReason": "end_turn", "additionalModelResponseFields": null })),
        ("metadata", json!({ "usage": usage, "metrics": { "latencyMs": 3 } })),
    ]
}

fn call_stream() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("messageStart", json!({ "role": "assistant" })),
        delta(0, json!({ "text": "Let me see." })),
        stop(0),
        call(1, "tooluse_1", "get_weather"),
        delta(1, json!({ "toolUse": { "input": "" } })),
        delta(1, json!({ "toolUse": { "input": "{\"city\": \"Os" } })),
        delta(1, json!({ "toolUse": { "input": "lo\"}" } })),
        stop(1),
        call(2, "tooluse_2", "now"),
        stop(2),
        ("messageStop", json!({ "stopReason": "tool_use" })),
        ("metadata", json!({ "usage": { "inputTokens": 10, "outputTokens": 5, "totalTokens": 15 } })),
    ]
}

#[test]
fn streams() {
    for (name, events) in [("text", text_stream()), ("calls", call_stream())] {
        let bytes = stream(&events);
        let (events, done) = read(&bytes, 7);
        assert_eq!(done, Ok(true));
        assert_eq!(read(&bytes, bytes.len()).0, events);
        for dialect in [OPENAI, ANTHROPIC] {
            let mut writer = StreamWriter::new(dialect, &reply(), true);
            let mut out = Vec::new();
            events.iter().for_each(|event| writer.write(event, &mut out));
            writer.finish(&mut out);
            let written = String::from_utf8(out).expect("it is text");
            insta::assert_snapshot!(format!("converse_stream_{name}_{}", dialect.as_str()), written);
        }
    }
}

#[test]
fn a_stream_and_a_whole_answer_are_the_same() {
    let mut fold = Fold::default();
    read(&stream(&call_stream()), 64).0.into_iter().for_each(|event| fold.push(event));
    let folded = fold.into_answer().expect("it has an end");
    let Part::ToolCall(call) = &folded.content[2] else { panic!("the second call") };
    assert_eq!((folded.finish, call.arguments.as_str()), (Finish::ToolCalls, "{}"));
    assert_eq!(folded.usage.input_tokens, Some(10));
}

#[test]
fn the_answer_is_finished_before_its_usage_comes() {
    let events = text_stream();
    let (read_events, done) = read(&stream(&events[..events.len() - 1]), 64);
    assert!(matches!(read_events.last(), Some(Event::Finish(Finish::Stop))));
    assert_eq!(done, Ok(false));
}

#[test]
fn exceptions_in_a_stream_are_errors() {
    use FaultKind::*;
    for (name, message, kind) in [
        ("throttlingException", "Too many tokens, please wait before trying again.", RateLimited),
        ("internalServerException", "The system encountered an unexpected error", ServerError),
        ("modelStreamErrorException", "The model closed the stream", ServerError),
        ("serviceUnavailableException", "Bedrock is unable to process your request.", Overloaded),
        (
            "validationException",
            "The model returned the following errors: Input is too long for requested model.",
            ContextLength,
        ),
        ("somethingNewException", "who knows", ErrorInBody),
    ] {
        let mut bytes = stream(&text_stream()[..1]);
        bytes.extend(exception(name, &json!({ "message": message }).to_string()));
        let Err(ReadError::ErrorObject { kind: read_kind, .. }) = read(&bytes, 64).1 else { panic!("{name}") };
        assert_eq!(read_kind, kind, "{name}");
    }
    let headers = [(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "oops")];
    let error = read(&event_stream::tests::message(&headers, ""), 64).1;
    assert_eq!(error, Err(ReadError::ErrorObject { kind: ServerError, message: None }));
}

#[test]
fn errors_are_told_by_name_and_words() {
    use FaultKind::*;
    let no_demand = "Invocation of model ID anthropic.x with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.";
    for (status, name, message, kind) in [
        (429, "ThrottlingException", "Too many requests", RateLimited),
        (400, "ServiceQuotaExceededException", "over", QuotaExhausted),
        (429, "ModelNotReadyException", "warming up", Overloaded),
        (408, "ModelTimeoutException", "slow", ServerError),
        (424, "ModelErrorException", "broke", ServerError),
        (500, "InternalServerException", "oops", ServerError),
        (503, "ServiceUnavailableException", "later", Overloaded),
        (403, "AccessDeniedException", "You don't have access to the model", VendorAuth),
        (
            403,
            "UnrecognizedClientException:http://internal.amazon.com/coral/com.amazon.coral.service/",
            "The security token is invalid",
            VendorAuth,
        ),
        (400, "ExpiredTokenException", "The security token included in the request is expired", VendorAuth),
        (403, "InvalidSignatureException", "does not match", VendorAuth),
        (404, "ResourceNotFoundException", "Could not resolve the foundation model", VendorNotFound),
        (400, "ValidationException", "Input is too long for requested model.", ContextLength),
        (400, "ValidationException", no_demand, VendorNotFound),
        (400, "ValidationException", "prompt is too long: 208310 tokens > 200000 maximum", ContextLength),
        (400, "ValidationException", "Output blocked by content filtering policy", ContentPolicy),
        (400, "ValidationException", "The provided model identifier is invalid.", VendorNotFound),
        (400, "ValidationException", "The text field in the ContentBlock object at messages.0 is blank.", BadRequest),
    ] {
        let body = json!({ "message": message }).to_string();
        let read = read_named_error(WIRE, status, Some(name), body.as_bytes());
        assert_eq!(read.kind, kind, "{name}: {message}");
        assert_eq!(read.message.is_some(), kind.source() == crate::domain::Source::Caller);
    }
    for (status, kind) in [(424, ServerError), (403, VendorAuth), (503, Overloaded), (400, BadRequest)] {
        assert_eq!(read_error(WIRE, status, b"").kind, kind, "{status}");
    }
    let body = r#"{"Message":"User: arn:aws:iam::123456789012:user/x may not use AKIDEXAMPLE","__type":"a#ValidationException"}"#;
    let read = read_error(WIRE, 400, body.as_bytes());
    assert_eq!(read.code.as_deref(), Some("ValidationException"));
    assert!(!read.message.expect("it is about the question").contains("123456789012"));
}
