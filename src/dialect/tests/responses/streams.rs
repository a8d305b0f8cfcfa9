//! Streams: as a responses caller gets those of other vendors, and what is read of a vendor's own.

use backstop_models::chat::{Delta, Event, Finish, Fold, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::streams::{anthropic_calls, anthropic_text, openai_calls, openai_text, read},
    *,
};

fn written(events: &[Event]) -> String {
    let mut writer = StreamWriter::new(RESPONSES, &reply(), true);
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    writer.finish(&mut out);
    String::from_utf8(out).expect("it is text")
}

fn frames(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("a frame is one line of JSON")).collect()
}

/// A vendor's stream of these events.
fn vendors(events: &[Value]) -> String {
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    events.iter().map(frame).collect()
}

fn ended(kind: &str, fields: Value) -> Value {
    let mut response = answers::response(json!([]), "completed");
    for (name, value) in fields.as_object().expect("fields are an object") {
        response[name] = value.clone();
    }
    json!({ "type": kind, "response": response })
}

fn item(kind: &str, at: u32, item: Value) -> Value {
    json!({ "type": format!("response.output_item.{kind}"), "output_index": at, "item": item })
}

fn delta(kind: &str, at: u32, delta: &str) -> Value {
    json!({ "type": format!("response.{kind}.delta"), "item_id": "x", "output_index": at, "content_index": 0, "delta": delta })
}

fn vendors_calls() -> String {
    let call = |id: &str, arguments: &str| json!({ "type": "function_call", "id": "fc", "call_id": id, "name": "f", "arguments": arguments });
    vendors(&[
        ended("response.created", json!({ "status": "in_progress" })),
        ended("response.in_progress", json!({ "status": "in_progress" })),
        item("added", 0, json!({ "type": "reasoning", "id": "rs_1", "summary": [] })),
        json!({ "type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0 }),
        delta("reasoning_summary_text", 0, "One."),
        json!({ "type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1 }),
        delta("reasoning_summary_text", 0, "Two."),
        item("done", 0, json!({ "type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA" })),
        item("added", 1, json!({ "type": "web_search_call", "id": "ws_1", "status": "in_progress" })),
        item("added", 2, json!({ "type": "message", "role": "assistant", "content": [] })),
        delta("output_text", 2, "Let me "),
        delta("output_text", 2, "see."),
        json!({ "type": "response.output_text.done", "output_index": 2, "text": "Let me see." }),
        item("added", 3, call("call_1", "")),
        item("added", 4, call("call_2", "")),
        delta("function_call_arguments", 3, "{\"a\":"),
        delta("function_call_arguments", 3, "1}"),
        json!({ "type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{\"a\":1}" }),
        json!({ "type": "response.function_call_arguments.done", "output_index": 4, "arguments": "{}" }),
        item("done", 4, call("call_2", "{}")),
        ended("response.completed", json!({})),
    ])
}

#[test]
fn golden() {
    for (name, dialect, stream) in [
        ("stream_text", OPENAI, openai_text()),
        ("stream_parallel_calls", OPENAI, openai_calls()),
        ("stream_thinking", ANTHROPIC, anthropic_text()),
        ("stream_calls", ANTHROPIC, anthropic_calls()),
    ] {
        insta::assert_snapshot!(name, written(&read(dialect, &stream, 64).0));
    }
    let refused = [
        Event::Delta(Delta::Text("Well, ".into())),
        Event::Delta(Delta::Refusal("I can".into())),
        Event::Delta(Delta::Refusal("not.".into())),
        Event::Finish(Finish::Length),
    ];
    insta::assert_snapshot!("stream_refusal_cut", written(&refused));
}

#[test]
fn a_vendors_stream_is_read_whole_and_others_get_it() {
    let stream = vendors_calls();
    let (events, done) = read(RESPONSES, &stream, 7);
    assert_eq!(done, Ok(true));
    assert_eq!(read(RESPONSES, &stream, stream.len()).0, events);
    let mut all = String::new();
    for dialect in [OPENAI, ANTHROPIC] {
        let mut writer = StreamWriter::new(dialect, &reply(), true);
        let mut out = Vec::new();
        events.iter().for_each(|event| writer.write(event, &mut out));
        writer.finish(&mut out);
        all.push_str(&String::from_utf8(out).expect("it is text"));
    }
    insta::assert_snapshot!("vendors_stream_to_others", all);
}

#[test]
fn every_end_of_a_vendors_stream_is_told_apart() {
    let said = delta("output_text", 0, "a");
    let end = |kind: &str, fields: Value| read(RESPONSES, &vendors(&[said.clone(), ended(kind, fields)]), 64);
    let finish = |(events, done): (Vec<Event>, _)| {
        assert_eq!(done, Ok(true));
        events.into_iter().find_map(|event| match event {
            Event::Finish(finish) => Some(finish),
            _ => None,
        })
    };
    let incomplete = |reason: &str| json!({ "status": "incomplete", "incomplete_details": { "reason": reason } });
    assert_eq!(finish(end("response.completed", json!({}))), Some(Finish::Stop));
    assert_eq!(finish(end("response.incomplete", incomplete("max_output_tokens"))), Some(Finish::Length));
    assert_eq!(finish(end("response.incomplete", incomplete("content_filter"))), Some(Finish::ContentFilter));
    let failed = json!({ "status": "failed", "error": { "code": "server_error", "message": "boom" } });
    let failure = ReadError::ErrorObject { kind: FaultKind::ServerError, message: None };
    assert_eq!(end("response.failed", failed).1, Err(failure.clone()));
    for error in [
        json!({ "type": "error", "code": "server_error", "message": "boom", "param": null, "sequence_number": 1 }),
        json!({ "type": "error", "error": { "type": "server_error", "code": null, "message": "boom" } }),
        json!({ "error": { "type": "server_error", "message": "boom" }, "type": null }),
    ] {
        assert_eq!(read(RESPONSES, &format!("data: {error}\n\n"), 64).1, Err(failure.clone()), "{error}");
    }
    // Cut, and ended as chat completions are: neither says how the response ended.
    let cut = vendors(&[said]);
    for (stream, done) in [(cut.clone(), false), (cut + "data: [DONE]\n\n", true)] {
        let (events, seen) = read(RESPONSES, &stream, 64);
        assert_eq!(seen, Ok(done));
        assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))));
    }
}

#[test]
fn half_an_answer_fails_and_is_never_completed() {
    let half = written(&[Event::Delta(Delta::Text("half an".into()))]);
    let frames = frames(&half);
    let kinds: Vec<&str> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["response.failed", "error"], "{half}");
    assert!(!half.contains("response.completed") && !half.contains("\"completed\""), "{half}");
    let failed = &frames[frames.len() - 2]["response"];
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
    assert_eq!(failed["output"][0]["content"][0]["text"], "half an");
    assert_eq!(failed["id"], frames[0]["response"]["id"], "a reader follows one response");
    insta::assert_snapshot!("error_frame", half.rsplit_once("event: error").expect("the last frame").1);
}

#[test]
fn nothing_is_written_before_the_first_content() {
    let mut writer = StreamWriter::new(RESPONSES, &reply(), true);
    let mut out = Vec::new();
    writer.write(&Event::Start { id: None, model: None }, &mut out);
    writer.write(&Event::Usage(Usage::default()), &mut out);
    assert!(out.is_empty());
    writer.error(&Problem::new(ProblemKind::BadGateway, "gone"), &mut out);
    StreamWriter::after(RESPONSES, 5).error(&Problem::new(ProblemKind::BadGateway, "gone"), &mut out);
    let frames = frames(&String::from_utf8(out).expect("it is text"));
    assert_eq!(frames[1]["sequence_number"], 5, "a forwarded stream goes on counting");
    assert_eq!((frames.len(), &frames[0]["type"], &frames[0]["sequence_number"]), (2, &json!("error"), &json!(0)));
}

fn pieces() -> impl Strategy<Value = Vec<Event>> {
    let text = || "[a-z\"\\\\\\n ]{1,6}";
    let piece = prop_oneof![
        text().prop_map(Delta::Text),
        text().prop_map(Delta::Refusal),
        text().prop_map(Delta::Reasoning),
        Just(Delta::ReasoningSignature("c2ln".into())),
        (0..3_u32, "[a-z]{1,4}").prop_map(|(index, name)| Delta::ToolCall { index, id: format!("call_{index}"), name }),
        (0..3_u32, prop::sample::select(vec!["{", "\"a\":1", "}", "{}"]))
            .prop_map(|(index, fragment)| Delta::Arguments { index, fragment: fragment.into() }),
    ];
    prop::collection::vec(piece, 1..20).prop_map(|deltas| {
        // A call begins once, and its arguments only after that.
        let mut begun = Vec::new();
        let follows = |delta: &Delta| match delta {
            Delta::ToolCall { index, .. } if begun.contains(index) => false,
            Delta::ToolCall { index, .. } => {
                begun.push(*index);
                true
            }
            Delta::Arguments { index, .. } => begun.contains(index),
            _ => true,
        };
        let mut deltas = deltas;
        deltas.retain(follows);
        deltas.into_iter().map(Event::Delta).chain([Event::Finish(Finish::Length)]).collect()
    })
}

proptest! {
    /// Whatever comes in whatever order: every frame is numbered, every item and part that opens closes once, and what the
    /// deltas add up to is what the last frame says.
    #[test]
    fn a_written_stream_is_well_formed(events in pieces()) {
        let stream = written(&events);
        let frames = frames(&stream);
        let (mut open, mut texts) = (Vec::new(), std::collections::BTreeMap::<(u64, String), String>::new());
        for (number, frame) in frames.iter().enumerate() {
            prop_assert_eq!(frame["sequence_number"].as_u64(), Some(number as u64));
            let kind = frame["type"].as_str().unwrap_or_default();
            let at = frame["output_index"].as_u64();
            if kind == "response.output_item.added" {
                prop_assert!(!open.contains(&at));
                open.push(at);
            } else if let Some(index) = at {
                prop_assert!(open.contains(&Some(index)), "{} outside its item", kind);
                if let Some(text) = frame["delta"].as_str() {
                    let part = frame["content_index"].as_u64().or(frame["summary_index"].as_u64()).unwrap_or(0);
                    texts.entry((index, part.to_string())).or_default().push_str(text);
                }
            }
            if kind == "response.output_item.done" {
                open.retain(|item| *item != at);
            }
        }
        prop_assert!(open.is_empty());
        let last = &frames[frames.len() - 1];
        prop_assert_eq!(last["type"].as_str(), Some("response.incomplete"));
        for (index, item) in last["response"]["output"].as_array().expect("items").iter().enumerate() {
            let parts = item["content"].as_array().or(item["summary"].as_array()).cloned().unwrap_or_else(|| vec![item.clone()]);
            for (part, value) in parts.iter().enumerate() {
                let whole = ["text", "refusal", "arguments"].iter().find_map(|name| value[*name].as_str()).unwrap_or_default();
                let said = texts.get(&(index as u64, part.to_string())).cloned().unwrap_or_default();
                prop_assert_eq!(whole, said);
            }
        }
        // Read again it is the same answer, text by text.
        let fold = |events: Vec<Event>| {
            let mut fold = Fold::default();
            events.into_iter().for_each(|event| fold.push(event));
            fold.into_answer().expect("it has an end")
        };
        let (read, done) = read(RESPONSES, &stream, 11);
        prop_assert_eq!(done, Ok(true));
        prop_assert_eq!(fold(read).finish, Finish::Length);
    }
}
