//! Requests as vendors take them that speak a dialect with manners of their own.

use backstop_models::chat::{Delta, Event, Part, Reasoning};
use serde_json::{Value, json};

use super::*;
use crate::config::VendorKind;

fn suited(kind: &str, body: &str) -> String {
    let kind = VendorKind::find(kind).expect("it is a kind");
    String::from_utf8(suit(&kind.manners, body.as_bytes()).into_owned()).expect("it is text")
}

fn rich() -> Value {
    json!({
        "model": "m", "stream": true, "stream_options": { "include_usage": true }, "max_completion_tokens": 9, "max_tokens": 5,
        "seed": 7, "user": "u", "store": false, "future": [1.50], "tool_choice": "required",
        "messages": [
            { "role": "developer", "content": "be brief" },
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": null, "refusal": null, "annotations": [], "audio": null, "reasoning_content": "Hm.",
              "tool_calls": [
                { "id": "call_abc", "type": "function", "function": { "name": "f", "arguments": "{\"id\": \"call_abc\"}" } },
                { "id": "aB3dE6gH9", "type": "function", "function": { "name": "f", "arguments": "{}" } },
              ] },
            { "role": "tool", "tool_call_id": "call_abc", "content": "call_abc" },
            { "role": "tool", "tool_call_id": "aB3dE6gH9", "content": "x" },
        ],
    })
}

#[test]
fn mistral_gets_only_what_it_knows() {
    insta::assert_snapshot!("mistral_is_asked", pretty(suited("mistral", &rich().to_string()).as_bytes()));
    let deepseek: Value = serde_json::from_str(&suited("deepseek", &rich().to_string())).expect("it is JSON");
    assert_eq!((&deepseek["max_tokens"], &deepseek["seed"]), (&json!(9), &json!(7)));
    assert_eq!(deepseek["messages"][0]["role"], "system");
    assert_eq!(deepseek["messages"][2], rich()["messages"][2]);
}

#[test]
fn values_stay_as_they_were_written() {
    let body = r#"{ "max_tokens" : 5 , "x":1.0e+2, "a\u0062":"\u00e9" ,"messages": [ {"role":"user","content":"\u00e9 \/"} , 7 ] }"#;
    let expected = r#"{"max_tokens":5,"x":1.0e+2,"ab":"\u00e9","messages":[{"role":"user","content":"\u00e9 \/"},7]}"#;
    assert_eq!(suited("mistral", body), expected);
    assert_eq!(suited("mistral", r#"{"user":"u","store":true,"seed":null,"n":1}"#), r#"{"n":1}"#);
    assert_eq!(suited("mistral", r#"{"max_completion_tokens":null,"max_tokens":5}"#), r#"{"max_tokens":5}"#);
    assert_eq!(suited("mistral", "[1]"), "[1]");
    assert!(VendorKind::find("openai").expect("a kind").has_plain_manners());
}

#[test]
fn mistrals_thinking_is_reasoning() {
    let content = json!([
        { "type": "thinking", "thinking": [{ "type": "text", "text": "6 times " }, { "type": "text", "text": "7" }] },
        { "type": "text", "text": "42" },
    ]);
    let body =
        json!({ "choices": [{ "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }] });
    let answer = read_answer(OPENAI.into(), body.to_string().as_bytes()).expect("it is whole");
    let reasoning = Part::Reasoning(Reasoning { text: "6 times 7".into(), signature: None });
    assert_eq!(answer.content, [reasoning, Part::Text("42".into())]);
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": content }, "finish_reason": null }] });
    let frame = format!("data: {chunk}\n\n");
    let mut splitter = sse::Splitter::new(4096);
    splitter.push(frame.as_bytes());
    let mut events = Vec::new();
    let event = splitter.next().expect("a frame").expect("it is short");
    StreamReader::new(OPENAI.into()).read(&event, &mut events).expect("it is fine");
    let expected = [Delta::Reasoning("6 times 7".into()), Delta::Text("42".into())].map(Event::Delta);
    assert_eq!(events, expected);
}

#[test]
fn the_documented_manners_are_these() {
    let page = include_str!("../../../docs/dialects.md");
    for kind in VendorKind::names().filter_map(VendorKind::find).filter(|kind| !kind.has_plain_manners()) {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", kind.name))).expect(kind.name);
        assert!(kind.manners.fixed.iter().all(|(field, text)| row.contains(&format!("`{field}: {text}`"))), "{row}");
        let named = kind.manners.renamed.iter().flat_map(|(from, to)| [*from, *to]);
        for field in named.chain(kind.manners.unknown.iter().copied()) {
            assert!(row.contains(&format!("`{field}`")), "{}: `{field}`", kind.name);
        }
    }
}

#[test]
fn claude_on_vertex_has_its_version_in_the_body_and_its_model_elsewhere() {
    let body = r#"{"model":"m", "max_tokens":9,"anthropic_version":"x","messages":[]}"#;
    let expected = r#"{"max_tokens":9,"messages":[],"anthropic_version":"vertex-2023-10-16"}"#;
    assert_eq!(suited("vertex_anthropic", body), expected);
    assert_eq!(suited("vertex_anthropic", r#"{"model":"m"}"#), r#"{"anthropic_version":"vertex-2023-10-16"}"#);
}
