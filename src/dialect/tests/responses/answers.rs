//! Whole answers: as a responses caller gets those of other vendors, and what is read of a vendor's response.

use backstop_models::chat::{Finish, Part};
use serde_json::{Value, json};

use super::*;

/// What was asked, with all that a response says again.
const ASKED: &[u8] = br#"{"model":"support-chat","input":"Hi","instructions":"Be brief.","max_output_tokens":200,
    "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],"tool_choice":"required",
    "parallel_tool_calls":false,"temperature":0.30,"metadata":{"team":"a"},"reasoning":{"effort":"low"},"top_p":null,
    "text":{"format":{"type":"text"},"verbosity":"medium"},"user":"u","store":true,"truncation":"auto"}"#;

fn asked() -> Reply<'static> {
    Reply { request: ASKED, ..reply() }
}

fn golden(name: &str, wire: Wire, body: Value) {
    let answer = read_answer(wire, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    insta::assert_snapshot!(name, pretty(&write_answer(RESPONSES, &answer, &asked())));
}

fn completion(message: Value, finish: &str) -> Value {
    json!({
        "id": "chatcmpl-9", "model": "gpt", "choices": [{ "index": 0, "message": message, "finish_reason": finish }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": { "cached_tokens": 60 },
                   "completion_tokens_details": { "reasoning_tokens": 8 } },
    })
}

pub(super) fn response(output: Value, status: &str) -> Value {
    json!({
        "id": "resp_68", "object": "response", "created_at": 1, "status": status, "error": null, "model": "gpt-5.2",
        "incomplete_details": null, "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "usage": { "input_tokens": 100, "input_tokens_details": { "cached_tokens": 60 }, "output_tokens": 20,
                   "output_tokens_details": { "reasoning_tokens": 8 }, "total_tokens": 120 },
    })
}

#[test]
fn from_openai_and_anthropic() {
    golden("answer_text", Wire::OpenaiChat, completion(json!({ "content": "Hello" }), "stop"));
    golden("answer_refusal", Wire::OpenaiChat, completion(json!({ "refusal": "I cannot." }), "stop"));
    golden(
        "answer_cut",
        Wire::OpenaiChat,
        completion(json!({ "content": "Hel", "reasoning_content": "Hm." }), "length"),
    );
    golden(
        "answer_calls",
        Wire::AnthropicMessages,
        json!({
            "id": "msg_01", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use",
            "content": [
                { "type": "thinking", "thinking": "Two calls.", "signature": "c2ln" },
                { "type": "text", "text": "Let me see." },
                { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "x": 1.5 } },
                { "type": "tool_use", "id": "toolu_2", "name": "g", "input": {} },
            ],
            "usage": { "input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60, "output_tokens": 20 },
        }),
    );
    golden(
        "answer_filtered",
        Wire::AnthropicMessages,
        json!({ "type": "message", "content": [{ "type": "text", "text": "I" }], "stop_reason": "refusal" }),
    );
}

#[test]
fn a_response_is_read_whole_and_others_get_it() {
    let body = response(
        json!([
            { "type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
              "summary": [{ "type": "summary_text", "text": "One." }, { "type": "summary_text", "text": "Two." }] },
            { "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "type": "search" } },
            { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
                { "type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": [] } ] },
            { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{\"x\":1.50}", "status": "completed" },
            { "type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "g", "arguments": "{}", "status": "completed" },
        ]),
        "completed",
    );
    let answer = read_answer(Wire::OpenaiResponses, body.to_string().as_bytes()).expect("it is whole");
    let written = [OPENAI, ANTHROPIC].map(|dialect| pretty(&write_answer(dialect, &answer, &reply())));
    insta::assert_snapshot!("response_to_others", written.join("\n"));
    assert!(
        matches!(&answer.content[0], Part::Reasoning(thought) if thought.text == "One.\n\nTwo." && thought.signature.is_none())
    );
}

#[test]
fn every_end_is_told_apart() {
    let message = |part: Value| json!([{ "type": "message", "role": "assistant", "content": [part] }]);
    let said = || message(json!({ "type": "output_text", "text": "a" }));
    let read = |body: Value| read_answer(Wire::OpenaiResponses, body.to_string().as_bytes());
    let incomplete = |reason: &str| {
        let mut body = response(said(), "incomplete");
        body["incomplete_details"] = json!({ "reason": reason });
        body
    };
    let ends = [
        (response(said(), "completed"), Finish::Stop),
        (response(message(json!({ "type": "refusal", "refusal": "no" })), "completed"), Finish::Stop),
        (incomplete("max_output_tokens"), Finish::Length),
        (incomplete("content_filter"), Finish::ContentFilter),
        (
            response(json!([{ "type": "custom_tool_call", "call_id": "c", "name": "x", "input": "y" }]), "completed"),
            Finish::ToolCalls,
        ),
    ];
    for (body, finish) in ends {
        assert_eq!(read(body.clone()).expect("it is whole").finish, finish, "{body}");
    }
    let failed = |error: Value| {
        let mut body = response(json!([]), "failed");
        body["error"] = error;
        read(body).expect_err("it failed")
    };
    for (code, kind) in [
        ("server_error", FaultKind::ServerError),
        ("rate_limit_exceeded", FaultKind::RateLimited),
        ("vector_store_timeout", FaultKind::ErrorInBody),
    ] {
        assert_eq!(
            failed(json!({ "code": code, "message": "x" })),
            ReadError::ErrorObject { kind, message: None },
            "{code}"
        );
    }
    assert!(matches!(
        failed(json!({ "code": "invalid_prompt", "message": "flagged" })),
        ReadError::ErrorObject { kind: FaultKind::ContentPolicy, message: Some(_) }
    ));
    assert!(matches!(
        failed(json!({ "code": "invalid_image_url", "message": "bad url" })),
        ReadError::ErrorObject { kind: FaultKind::BadRequest, message: Some(_) }
    ));
    assert!(matches!(failed(Value::Null), ReadError::ErrorObject { .. }));
    assert_eq!(read(response(said(), "in_progress")), Err(ReadError::NoFinish));
    assert_eq!(read(json!({ "status": "completed" })), Err(ReadError::Empty));
    assert!(matches!(read(json!({ "error": { "message": "x" } })), Err(ReadError::ErrorObject { .. })));
}

#[test]
fn a_written_answer_reads_back_as_it_was() {
    let content = vec![
        Part::Reasoning(backstop_models::chat::Reasoning { text: "Hm.".into(), signature: Some("c2ln".into()) }),
        Part::Text("a".into()),
        Part::Refusal("b".into()),
        Part::ToolCall(backstop_models::chat::ToolCall {
            id: "call_1".into(),
            name: "f".into(),
            arguments: "{}".into(),
        }),
    ];
    let usage = backstop_models::chat::Usage { input_tokens: Some(5), output_tokens: Some(2), ..Default::default() };
    for finish in [Finish::ToolCalls, Finish::Length, Finish::ContentFilter] {
        let answer = Answer {
            id: None,
            model: None,
            fingerprint: None,
            content: content.clone(),
            finish: finish.clone(),
            usage,
            logprobs: Vec::new(),
        };
        let read =
            read_answer(Wire::OpenaiResponses, &write_answer(RESPONSES, &answer, &asked())).expect("it is whole");
        assert_eq!((&read.content, &read.finish), (&content, &finish));
        assert_eq!((read.usage.input_tokens, read.usage.output_tokens), (Some(5), Some(2)));
        assert_eq!((read.id.as_deref(), read.model.as_deref()), (Some("resp_0198c0ffee"), Some("support-chat")));
    }
}
