//! Counting tokens: Anthropic's question as others count it, and what is no count.

use serde_json::json;

use super::*;

fn question() -> serde_json::Value {
    json!({
        "model": "support-chat", "system": "Be brief.",
        "messages": [{ "role": "user", "content": "How many?" }],
        "tools": [{ "name": "f", "description": "does", "input_schema": { "type": "object" } }],
    })
}

#[test]
fn a_question_to_be_counted_needs_no_limit() {
    let body = question().to_string();
    let envelope = open_counted(body.as_bytes()).expect("it is whole");
    assert_eq!((envelope.model.as_str(), envelope.max_tokens, envelope.has_tools), ("support-chat", None, true));
    assert!(!envelope.stream);
    let rewritten = envelope.rewrite(body.as_bytes(), &outgoing("claude"));
    assert_eq!(String::from_utf8_lossy(&rewritten), body.replace("support-chat", "claude"));
    assert_eq!(open(ANTHROPIC, body.as_bytes()).expect_err("an answer needs one").param.as_deref(), Some("max_tokens"));
    assert!(read_request(ANTHROPIC, body.as_bytes()).is_err());
    let empty = json!({ "model": "m", "messages": [] }).to_string();
    assert_eq!(open_counted(empty.as_bytes()).expect_err("nothing to count").param.as_deref(), Some("messages"));
}

#[test]
fn gemini_counts_a_whole_request() {
    let chat = read_counted(question().to_string().as_bytes()).expect("it reads");
    let written = write_counted(Wire::Gemini, &chat, &outgoing("gemini-2.5-flash")).expect("it is carried");
    insta::assert_snapshot!("gemini_counted", pretty(&written));
    let told = write_counted(Wire::OpenaiChat, &chat, &outgoing("m")).expect_err("it has no such endpoint");
    assert!(told.is_unsupported());
}

#[test]
fn a_count_is_a_number_above_zero() {
    let read = |wire, body: &str| read_token_count(wire, body.as_bytes());
    assert_eq!(read(Wire::AnthropicMessages, r#"{"input_tokens": 14, "context_management": {}}"#), Ok(14));
    assert_eq!(read(Wire::Gemini, r#"{"totalTokens": 9, "promptTokensDetails": []}"#), Ok(9));
    assert_eq!(write_token_count(9), br#"{"input_tokens":9}"#);
    for body in ["{}", r#"{"input_tokens": 0}"#, r#"{"input_tokens": "14"}"#, r#"{"input_tokens": -1}"#, "[]", "no"] {
        assert!(matches!(read(Wire::AnthropicMessages, body), Err(ReadError::Malformed { .. })), "{body}");
    }
    assert_eq!(read(Wire::AnthropicMessages, " "), Err(ReadError::Empty));
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let told = read(Wire::AnthropicMessages, error);
    assert!(matches!(told, Err(ReadError::ErrorObject { kind: FaultKind::Overloaded, .. })), "{told:?}");
}
