//! What Gemini answers, whole and streamed, as both callers get it.

use backstop_models::chat::{Event, Finish, Message, Part, ReasoningEffort, Role, Tool, ToolCall, ToolChoice, Usage};
use serde_json::{Value, json};

use super::*;

fn answer(parts: Value, finish: &str) -> Value {
    json!({
        "candidates": [{ "content": { "parts": parts, "role": "model" }, "finishReason": finish, "index": 0 }],
        "usageMetadata": {
            "promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 165, "thoughtsTokenCount": 45,
            "cachedContentTokenCount": 60, "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 100 }],
        },
        "modelVersion": "gemini-2.5-flash", "responseId": "resp-1",
    })
}

fn calls() -> Value {
    json!([
        { "text": "Two calls are needed.", "thought": true },
        { "text": "Let me see." },
        { "functionCall": { "name": "get_weather", "args": { "city": "Graz" } }, "thoughtSignature": "c2lnbmF0dXJl" },
        { "functionCall": { "id": "fc-2", "name": "now", "args": {} } },
    ])
}

/// A stream of these chunks, as Google cuts it.
fn sse_of(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect()
}

fn read(stream: &str) -> Result<Vec<Event>, ReadError> {
    let mut splitter = sse::Splitter::new(1 << 20);
    let mut reader = StreamReader::new(Wire::Gemini);
    let mut out = Vec::new();
    for bytes in stream.as_bytes().chunks(7) {
        splitter.push(bytes);
        while let Some(event) = splitter.next() {
            reader.read(&event.expect("it is short"), &mut out)?;
        }
    }
    let finished = out.iter().any(|event| matches!(event, Event::Finish(_)));
    assert_eq!(reader.done(), finished);
    Ok(out)
}

fn written(dialect: Dialect, events: &[Event]) -> String {
    let mut writer = StreamWriter::new(dialect, &reply(), true);
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    writer.finish(&mut out);
    String::from_utf8(out).expect("it is text")
}

#[test]
fn whole_answers_reach_both_callers() {
    for (name, body) in [
        ("text", answer(json!([{ "text": "Hel" }, { "text": "lo" }]), "STOP")),
        ("calls", answer(calls(), "STOP")),
        ("cut", answer(json!([{ "text": "Hel" }]), "MAX_TOKENS")),
        ("blocked", json!({ "candidates": [{ "finishReason": "SAFETY", "index": 0, "safetyRatings": [] }] })),
    ] {
        let read = read_answer(Wire::Gemini, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let both = [OPENAI, ANTHROPIC].map(|dialect| pretty(&write_answer(dialect, &read, &reply())));
        insta::assert_snapshot!(format!("gemini_answer_{name}"), both.join("\n"));
    }
}

#[test]
fn streams_reach_both_callers() {
    let part = |parts: Value| {
        json!({ "candidates": [{ "content": { "parts": parts, "role": "model" }, "index": 0 }],
        "usageMetadata": { "promptTokenCount": 11, "totalTokenCount": 11 }, "modelVersion": "gemini-3-pro-preview", "responseId": "r" })
    };
    let last = |mut chunk: Value, finish: &str| {
        chunk["candidates"][0]["finishReason"] = json!(finish);
        chunk["usageMetadata"] = json!({ "promptTokenCount": 11, "candidatesTokenCount": 7, "thoughtsTokenCount": 3 });
        chunk
    };
    let text = sse_of(&[
        part(json!([{ "text": "Hm.", "thought": true }])),
        part(json!([{ "text": "Hel" }])),
        part(json!([{ "text": "lo\n\"you\" é" }])),
        last(part(json!([{ "text": "", "thoughtSignature": "c2ln" }])), "STOP"),
    ]);
    let calls = sse_of(&[part(calls()), last(part(json!([{ "text": "" }])), "STOP")]);
    for (name, stream) in [("text", text), ("calls", calls)] {
        let events = read(&stream).unwrap_or_else(|error| panic!("{name}: {error}"));
        let usage =
            events.iter().rev().find_map(|event| if let Event::Usage(usage) = event { Some(*usage) } else { None });
        let expected =
            Usage { input_tokens: Some(11), output_tokens: Some(10), reasoning_tokens: Some(3), ..Usage::default() };
        assert_eq!(usage, Some(expected), "thoughts are part of the answer");
        let both = [OPENAI, ANTHROPIC].map(|dialect| written(dialect, &events));
        insta::assert_snapshot!(format!("gemini_stream_{name}"), both.join("\n---\n"));
    }
    assert_eq!(read(&sse_of(&[part(json!([{ "text": "half" }]))])).map(|events| events.len()), Ok(3), "and no finish");
}

#[test]
fn a_calls_signature_and_id_come_back_to_gemini_through_both_callers() {
    let read = read_answer(Wire::Gemini, answer(calls(), "STOP").to_string().as_bytes()).expect("it is whole");
    assert_eq!(read.finish, Finish::ToolCalls);
    let ids: Vec<&str> = read
        .content
        .iter()
        .filter_map(|part| if let Part::ToolCall(ToolCall { id, .. }) = part { Some(id.as_str()) } else { None })
        .collect();
    let openai: Value = serde_json::from_slice(&write_answer(OPENAI, &read, &reply())).expect("it is JSON");
    let message = &openai["choices"][0]["message"];
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "x" });
    let user = json!({ "role": "user", "content": "hi" });
    let from_openai = json!({ "model": "m", "messages": [user, message, result(ids[1]), result(ids[0])] });
    let anthropic: Value = serde_json::from_slice(&write_answer(ANTHROPIC, &read, &reply())).expect("it is JSON");
    let result = |id: &str| json!({ "type": "tool_result", "tool_use_id": id, "content": "x" });
    let from_anthropic = json!({ "model": "m", "max_tokens": 9, "messages": [
        user,
        { "role": "assistant", "content": anthropic["content"] },
        { "role": "user", "content": [result(ids[1]), result(ids[0])] },
    ] });
    for (dialect, body) in [(OPENAI, from_openai), (ANTHROPIC, from_anthropic)] {
        let body = body.to_string();
        let chat = read_request(dialect, body.as_bytes()).expect("it is fine");
        let asked = write_request(Wire::Gemini, &chat, &outgoing("gemini-3-pro-preview")).expect("it can be carried");
        let asked: Value = serde_json::from_slice(&asked).expect("it is JSON");
        let contents = &asked["contents"];
        let model = contents[1]["parts"].as_array().expect("parts");
        assert_eq!(model[1]["thoughtSignature"], "c2lnbmF0dXJl", "{asked:#}");
        assert_eq!(model[2]["functionCall"]["id"], "fc-2");
        assert!(model[1]["functionCall"].get("id").is_none() && model[2].get("thoughtSignature").is_none());
        let responses = contents[2]["parts"].as_array().expect("parts");
        assert_eq!(responses[0]["functionResponse"], json!({ "name": "get_weather", "response": { "output": "x" } }));
        assert_eq!(responses[1]["functionResponse"]["id"], "fc-2");

        // A vendor of the caller's own dialect gets short ids, in the caller's bytes as in a translation.
        let native = rewrite_request(dialect, body.as_bytes(), &outgoing("m")).expect("it is fine");
        let native = String::from_utf8(native).expect("it is text");
        for id in &ids {
            assert_eq!(native.matches(&format!("\"{}\"", call_id::short(id))).count(), 2, "{native}");
        }
        let other = write_request(other(dialect).into(), &chat, &outgoing("m")).expect("it can be carried");
        let other = String::from_utf8(other).expect("it is text");
        assert!(other.contains(call_id::short(ids[0])) && !other.contains(ids[0]), "{other}");
    }
}

#[test]
fn what_is_no_answer_is_told_apart() {
    use FaultKind::*;
    let error = |body: &str| read_answer(Wire::Gemini, body.as_bytes()).expect_err(body);
    assert_eq!(error("{}"), ReadError::Empty);
    assert_eq!(error(r#"{"candidates":[],"usageMetadata":{"promptTokenCount":3}}"#), ReadError::Empty);
    assert_eq!(error(r#"{"candidates":[{"content":{"parts":[{"text":"half"}]}}]}"#), ReadError::NoFinish);
    for (body, kind) in [
        (r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{}}"#, ContentPolicy),
        (
            r#"{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"x"}]}"#,
            ErrorInBody,
        ),
        (r#"{"candidates":[{"finishReason":"OTHER"}]}"#, ErrorInBody),
        (r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#, Overloaded),
        (r#"[{"error":{"code":500,"message":"x","status":"INTERNAL"}}]"#, ServerError),
    ] {
        assert!(matches!(error(body), ReadError::ErrorObject { kind: found, .. } if found == kind), "{body}");
        let streamed = self::read(&format!("data: {body}\n\n"));
        assert!(matches!(streamed, Err(ReadError::ErrorObject { kind: found, .. }) if found == kind), "{body}");
    }
    for reason in ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"] {
        let body = answer(json!([{ "text": "a" }]), reason).to_string();
        assert_eq!(read_answer(Wire::Gemini, body.as_bytes()).expect(reason).finish, Finish::ContentFilter);
    }
}

#[test]
fn googles_errors_are_told_by_their_words_and_details() {
    use FaultKind::*;
    let error = |code: u16, status: &str, message: &str, details: Value| json!({ "error": { "code": code, "message": message, "status": status, "details": details } });
    let quota = |id: &str| {
        json!([
            { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{ "quotaMetric": "m", "quotaId": id, "quotaValue": "250" }] },
            { "@type": "type.googleapis.com/google.rpc.Help", "links": [{ "url": "https://ai.google.dev" }] },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30.5s" },
        ])
    };
    let info = |reason: &str| json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com" }]);
    let exceeded = "You exceeded your current quota, please check your plan and billing details.";
    let too_long = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
    let mime = "Function calling with a response mime type: 'application/json' is unsupported";
    let per_minute = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
    let per_day = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
    for (body, kind) in [
        (
            error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", info("API_KEY_INVALID")),
            VendorAuth,
        ),
        (error(400, "INVALID_ARGUMENT", "API key expired.", info("API_KEY_INVALID")), VendorAuth),
        (error(400, "INVALID_ARGUMENT", too_long, json!([])), ContextLength),
        (error(400, "INVALID_ARGUMENT", "Invalid value at 'contents[0].role'", Value::Null), BadRequest),
        (error(400, "INVALID_ARGUMENT", mime, Value::Null), Unsupported),
        (error(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", Value::Null), VendorAuth),
        (error(401, "UNAUTHENTICATED", "no", info("ACCESS_TOKEN_EXPIRED")), VendorAuth),
        (error(403, "PERMISSION_DENIED", "no", json!("odd")), VendorAuth),
        (error(404, "NOT_FOUND", "models/x is not found for API version v1beta", Value::Null), VendorNotFound),
        (error(429, "RESOURCE_EXHAUSTED", exceeded, quota(per_minute)), RateLimited),
        (error(429, "RESOURCE_EXHAUSTED", exceeded, quota(per_day)), QuotaExhausted),
        (error(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", Value::Null), RateLimited),
        (error(500, "INTERNAL", "An internal error has occurred.", Value::Null), ServerError),
        (error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.", Value::Null), Overloaded),
        (
            error(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", Value::Null),
            ServerError,
        ),
    ] {
        let status = body["error"]["code"].as_u64().expect("a status") as u16;
        for body in [body.to_string(), json!([body]).to_string()] {
            let read = read_error(Wire::Gemini, status, body.as_bytes());
            assert_eq!(read.kind, kind, "{body}");
            let retry = body.contains("retryDelay").then(|| std::time::Duration::from_millis(30_500));
            assert_eq!(read.retry_after, retry, "{body}");
        }
    }
    assert_eq!(read_error(Wire::Gemini, 503, b"").kind, Overloaded);
}

#[test]
fn what_gemini_cannot_carry_is_refused_by_name() {
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
    let call = json!({ "role": "assistant", "tool_calls": [
        { "id": "a", "type": "function", "function": { "name": "f", "arguments": "[1]" } }] });
    let cases = [
        (json!({ "logit_bias": { "1": 5 } }), "logit_bias"),
        (json!({ "seed": 5_000_000_000_u64 }), "seed"),
        (json!({ "tools": [tool("1f")] }), "tools[0].function.name"),
        (json!({ "tools": [tool("f")], "parallel_tool_calls": false }), "parallel_tool_calls"),
        (json!({ "messages": [{ "role": "user", "content": "hi", "name": "Ann" }] }), "messages[0].name"),
        (json!({ "messages": [{ "role": "system", "content": "hi" }] }), "messages"),
        (json!({ "messages": [{ "role": "user", "content": "" }] }), "messages[0].content"),
        (json!({ "messages": [call] }), "messages[0].tool_calls[0].function.arguments"),
        (json!({ "messages": [{ "role": "tool", "tool_call_id": "x", "content": "y" }] }), "messages[0].tool_call_id"),
    ];
    for (fields, param) in cases {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let chat = read_request(OPENAI, body.to_string().as_bytes()).expect("it is fine by itself");
        let refused = write_request(Wire::Gemini, &chat, &outgoing("gemini-2.5-flash")).expect_err(param);
        assert_eq!(refused.param.as_deref(), Some(param), "{refused}");
    }
}

#[test]
fn what_is_listed_as_left_behind_changes_nothing() {
    let plain = Chat { messages: vec![Message::text(Role::User, "hi")], ..Chat::default() };
    let tool = |strict| Tool { name: "f".into(), description: None, parameters: json!({}), strict };
    let forced = |strict| Chat { tools: vec![tool(strict)], tool_choice: ToolChoice::Required, ..plain.clone() };
    let mut in_answers = Vec::new();
    for (wire, field, _) in LEFT_BEHIND_TOWARDS {
        let (with, without) = match field {
            "user" => (Chat { user: Some("u".into()), ..plain.clone() }, plain.clone()),
            "reasoning_effort" => (Chat { reasoning: Some(ReasoningEffort::High), ..plain.clone() }, plain.clone()),
            "tools[].strict" => {
                let free = |strict| Chat { tool_choice: ToolChoice::Auto, ..forced(strict) };
                let [with, without] = [free(Some(true)), free(None)]
                    .map(|chat| write_request(wire, &chat, &outgoing("gemini-2.0-flash")).expect("it is fine"));
                assert_eq!(with, without, "{field}");
                (forced(Some(true)), forced(None))
            }
            other => {
                in_answers.push(other);
                continue;
            }
        };
        let [with, without] =
            [with, without].map(|chat| write_request(wire, &chat, &outgoing("gemini-2.0-flash")).expect("it is fine"));
        assert_eq!(with, without, "{field}");
    }
    let newer = |strict| write_request(Wire::Gemini, &forced(strict), &outgoing("gemini-2.5-pro")).expect("it is fine");
    assert_eq!(newer(Some(true)), newer(None));
    assert_eq!(in_answers, ["thoughts of an answer", "thoughtSignature of a text"]);
}
