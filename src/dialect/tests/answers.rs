//! Whole answers as the other dialect gets them.

use backstop_models::chat::{Finish, Part};
use serde_json::json;

use super::*;

fn golden(name: &str, from: Dialect, body: serde_json::Value) {
    let answer =
        read_answer(from.into(), body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    insta::assert_snapshot!(name, pretty(&write_answer(other(from), &answer, &reply())));
}

fn completion(message: serde_json::Value, finish: &str) -> serde_json::Value {
    json!({
        "id": "chatcmpl-9", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
        "usage": {
            "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": { "cached_tokens": 60, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 8, "audio_tokens": 0 },
        },
        "system_fingerprint": "fp_1",
    })
}

fn message(content: serde_json::Value, stop_reason: &str, stop_sequence: Option<&str>) -> serde_json::Value {
    json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001", "content": content,
        "stop_reason": stop_reason, "stop_sequence": stop_sequence,
        "usage": { "input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60, "output_tokens": 20,
                   "service_tier": "standard" },
    })
}

#[test]
fn from_openai() {
    golden(
        "openai_answer",
        OPENAI,
        completion(json!({ "role": "assistant", "content": "Hello", "refusal": null }), "stop"),
    );
    golden(
        "openai_answer_calls",
        OPENAI,
        completion(
            json!({ "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"x\": 1.50}" } },
                { "id": "functions.g:1", "type": "function", "function": { "name": "g", "arguments": "" } },
                { "id": "call_3", "type": "function", "function": { "name": "g", "arguments": "{\"cut" } },
            ] }),
            "tool_calls",
        ),
    );
    let refused = json!({ "role": "assistant", "content": null, "refusal": "I cannot help with that." });
    golden("openai_answer_refusal", OPENAI, completion(refused, "stop"));
    let reasoned = json!({ "role": "assistant", "content": "42", "reasoning_content": "6 times 7" });
    golden("openai_answer_reasoning", OPENAI, completion(reasoned, "length"));
}

#[test]
fn from_anthropic() {
    let text = json!([{ "type": "text", "text": "Hello", "citations": null }]);
    golden("anthropic_answer", ANTHROPIC, message(text.clone(), "end_turn", None));
    golden("anthropic_answer_stop_sequence", ANTHROPIC, message(text.clone(), "stop_sequence", Some("END")));
    golden("anthropic_answer_refusal", ANTHROPIC, message(text, "refusal", None));
    golden(
        "anthropic_answer_calls",
        ANTHROPIC,
        message(
            json!([
                { "type": "thinking", "thinking": "Two calls.", "signature": "c2ln" },
                { "type": "text", "text": "Let me see." },
                { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "x": 1.5 } },
                { "type": "tool_use", "id": "toolu_2", "name": "g", "input": {} },
            ]),
            "tool_use",
            None,
        ),
    );
}

#[test]
fn a_forced_call_that_ends_with_stop_is_a_tool_use_for_anthropic() {
    let call = json!([{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let body = completion(json!({ "role": "assistant", "content": null, "tool_calls": call }), "stop").to_string();
    let answer = read_answer(OPENAI.into(), body.as_bytes()).expect("it is whole");
    assert!(
        String::from_utf8_lossy(&write_answer(ANTHROPIC, &answer, &reply())).contains(r#""stop_reason":"tool_use""#)
    );
}

#[test]
fn numbers_in_arguments_keep_their_digits() {
    let exact = r#"{"n":12345678901234567890123,"f":1.50}"#;
    let body = format!(
        r#"{{"type":"message","content":[{{"type":"tool_use","id":"t","name":"f","input":{exact}}}],"stop_reason":"tool_use"}}"#
    );
    let answer = read_answer(ANTHROPIC.into(), body.as_bytes()).expect("it is whole");
    let Part::ToolCall(call) = &answer.content[0] else { panic!("it is a call") };
    assert_eq!(call.arguments, exact);
    assert!(String::from_utf8_lossy(&write_answer(ANTHROPIC, &answer, &reply())).contains(exact));
}

#[test]
fn usage_counts_the_cache_as_each_dialect_does() {
    let body = message(json!([]), "end_turn", None).to_string();
    let usage = read_answer(ANTHROPIC.into(), body.as_bytes()).expect("it is whole").usage;
    assert_eq!(
        (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens),
        (Some(100), Some(60), Some(30))
    );
    let deepseek = json!({ "choices": [{ "message": { "content": "a" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5 } });
    let usage = read_answer(OPENAI.into(), deepseek.to_string().as_bytes()).expect("it is whole").usage;
    assert_eq!((usage.input_tokens, usage.cached_input_tokens), (Some(9), Some(4)));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let error = |dialect: Dialect, body: &str| read_answer(dialect.into(), body.as_bytes()).expect_err(body);
    assert_eq!(error(OPENAI, ""), ReadError::Empty);
    assert_eq!(error(OPENAI, r#"{"choices":[]}"#), ReadError::Empty);
    assert_eq!(error(ANTHROPIC, "{}"), ReadError::Empty);
    let unfinished = r#"{"choices":[{"message":{"content":"half"},"finish_reason":null}]}"#;
    assert_eq!(error(OPENAI, unfinished), ReadError::NoFinish);
    assert_eq!(error(ANTHROPIC, r#"{"content":[],"stop_reason":null}"#), ReadError::NoFinish);
    for body in ["<html>", "[]", r#"{"choices":[{"message":{"content":"ha"#] {
        assert!(matches!(error(OPENAI, body), ReadError::Malformed { .. }), "{body}");
    }
    for (dialect, body, kind) in [
        (OPENAI, r#"{"error":{"message":"boom","type":"server_error"}}"#, FaultKind::ServerError),
        (OPENAI, r#"{"error":"boom"}"#, FaultKind::ErrorInBody),
        (OPENAI, r#"{"error":{"code":502,"message":"Provider returned error"}}"#, FaultKind::ServerError),
        (OPENAI, r#"{"object":"error","message":"boom"}"#, FaultKind::ErrorInBody),
        (
            ANTHROPIC,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            FaultKind::Overloaded,
        ),
    ] {
        assert_eq!(error(dialect, body), ReadError::ErrorObject { kind, message: None }, "{body}");
    }
    let broke = completion(json!({ "content": "half" }), "error").to_string();
    assert!(matches!(error(OPENAI, &broke), ReadError::ErrorObject { kind: FaultKind::ErrorInBody, .. }));
}

#[test]
fn an_answer_may_be_empty_and_mistrals_parts_are_joined() {
    let body = completion(
        json!({ "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }),
        "model_length",
    );
    let answer = read_answer(OPENAI.into(), body.to_string().as_bytes()).expect("it is whole");
    assert_eq!((answer.content, answer.finish), (vec![Part::Text("ab".into())], Finish::Length));
    let body = completion(json!({ "content": "" }), "stop").to_string();
    assert_eq!(read_answer(OPENAI.into(), body.as_bytes()).expect("it is whole").content, []);
}
