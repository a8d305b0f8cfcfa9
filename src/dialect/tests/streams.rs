//! Streams as the other dialect's caller gets them.

use backstop_models::chat::{Delta, Event, Finish, Fold, Usage};

use super::*;

/// An OpenAI stream of these chunks' `choices` and whatever follows them.
fn chunks(chunks: &[&str]) -> String {
    let frame = |chunk: &&str| {
        let head = r#"{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini""#;
        format!("data: {head},\"choices\":{chunk}}}\n\n")
    };
    chunks.iter().map(frame).collect::<String>() + "data: [DONE]\n\n"
}

fn delta(delta: &str) -> String {
    format!(r#"[{{"index":0,"delta":{delta},"finish_reason":null}}]"#)
}

/// An Anthropic stream of these events' data.
fn events(events: &[&str]) -> String {
    let frame = |data: &&str| {
        let value: serde_json::Value = serde_json::from_str(data).expect("the test's own JSON");
        format!("event: {}\ndata: {data}\n\n", value["type"].as_str().expect("the test's own event"))
    };
    events.iter().map(frame).collect()
}

const MESSAGE_START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":0,"cache_read_input_tokens":90,"output_tokens":1}}}"#;

pub(super) fn read(from: Dialect, stream: &str, chunk: usize) -> (Vec<Event>, Result<bool, ReadError>) {
    let mut splitter = sse::Splitter::new(1 << 20);
    let mut reader = StreamReader::new(from.into());
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

fn translated_stream(from: Dialect, stream: &str) -> String {
    let (events, done) = read(from, stream, 7);
    assert_eq!(done, Ok(true), "the stream ends as its dialect ends streams");
    assert_eq!(read(from, stream, stream.len()).0, events);
    written(other(from), &events)
}

fn written(dialect: Dialect, events: &[Event]) -> String {
    let mut writer = StreamWriter::new(dialect, &reply(), true);
    let mut out = Vec::new();
    for event in events {
        writer.write(event, &mut out);
    }
    writer.finish(&mut out);
    String::from_utf8(out).expect("it is text")
}

pub(super) fn openai_text() -> String {
    chunks(&[
        &delta(r#"{"role":"assistant","content":"","refusal":null}"#),
        &delta(r#"{"content":"Hel"}"#),
        &delta(r#"{"content":"lo\n\"you\" \u00e9"}"#),
        r#"[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null"#,
        r#"[],"usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"prompt_tokens_details":{"cached_tokens":90}}"#,
    ])
}

pub(super) fn openai_calls() -> String {
    let call = |index: u32, id: &str, name: &str| {
        delta(&format!(
            r#"{{"tool_calls":[{{"index":{index},"id":"{id}","type":"function","function":{{"name":"{name}","arguments":""}}}}]}}"#
        ))
    };
    let more = |index: u32, fragment: &str| {
        delta(&format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":"{fragment}"}}}}]}}"#))
    };
    chunks(&[
        &delta(r#"{"role":"assistant","content":null}"#),
        &delta(r#"{"content":"Let me see."}"#),
        &call(0, "call_1", "get_weather"),
        &more(0, r#"{\"city\":"#),
        &more(0, r#"\"{Oslo\"}"#),
        &call(1, "functions.now:1", "now"),
        &call(2, "call_3", "now"),
        &more(1, "{}"),
        &more(2, "{}"),
        r#"[{"index":0,"delta":{},"finish_reason":"tool_calls"}]"#,
    ])
}

pub(super) fn anthropic_text() -> String {
    events(&[
        MESSAGE_START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ])
}

pub(super) fn anthropic_calls() -> String {
    events(&[
        MESSAGE_START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Os"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"lo\"}"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ])
}

#[test]
fn golden() {
    insta::assert_snapshot!("openai_stream", translated_stream(OPENAI, &openai_text()));
    insta::assert_snapshot!("openai_stream_calls", translated_stream(OPENAI, &openai_calls()));
    insta::assert_snapshot!("anthropic_stream", translated_stream(ANTHROPIC, &anthropic_text()));
    insta::assert_snapshot!("anthropic_stream_calls", translated_stream(ANTHROPIC, &anthropic_calls()));
    let refused = chunks(&[&delta(r#"{"refusal":"I cannot."}"#), r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#]);
    insta::assert_snapshot!("openai_stream_refusal", translated_stream(OPENAI, &refused));
}

#[test]
fn a_stream_folds_into_the_same_answer_through_either_dialect() {
    for (from, stream) in [
        (OPENAI, openai_text()),
        (OPENAI, openai_calls()),
        (ANTHROPIC, anthropic_text()),
        (ANTHROPIC, anthropic_calls()),
    ] {
        let (events, _) = read(from, &stream, 64);
        let again = read(from, &written(from, &events), 64).0;
        let fold = |events: Vec<Event>| {
            let mut fold = Fold::default();
            events.into_iter().for_each(|event| fold.push(event));
            let answer = fold.into_answer().expect("it has an end");
            (answer.content, answer.finish, answer.usage.input_tokens, answer.usage.output_tokens)
        };
        let (first, second) = (fold(events), fold(again));
        assert_eq!(first.0, second.0);
        assert_eq!(first.1, second.1);
        assert_eq!(first.2.unwrap_or(0), second.2.unwrap_or(0));
    }
}

#[test]
fn half_an_answer_never_ends_clean() {
    for dialect in [OPENAI, ANTHROPIC] {
        let half = [Event::Delta(Delta::Text("half an".into()))];
        let text = written(dialect, &half);
        assert!(text.contains("cut off") && !text.contains("[DONE]") && !text.contains("message_stop"), "{text}");
    }
    let cut =
        openai_text().replace("data: [DONE]\n\n", "").replace(r#""finish_reason":"stop""#, r#""finish_reason":null"#);
    let (events, done) = read(OPENAI, &cut, 64);
    assert_eq!(done, Ok(false));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))));
}

#[test]
fn errors_in_a_stream_are_errors() {
    for (dialect, frame, kind) in [
        (OPENAI, "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n", FaultKind::ServerError),
        (OPENAI, "event: error\ndata: boom\n\n", FaultKind::ErrorInBody),
        (OPENAI, "data: {\"error\":\"out of memory\"}\n\n", FaultKind::ErrorInBody),
        (
            ANTHROPIC,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            FaultKind::Overloaded,
        ),
    ] {
        let (_, error) = read(dialect, frame, 64);
        assert_eq!(error, Err(ReadError::ErrorObject { kind, message: None }), "{frame}");
    }
    let broken = read(OPENAI, "data: {\"choices\":[{\"delta\n\n", 64).1;
    assert!(matches!(broken, Err(ReadError::Malformed { .. })), "{broken:?}");
    let problem = Problem { kind: ProblemKind::BadGateway, message: "gone".into(), param: None, code: None };
    let mut out = Vec::new();
    StreamWriter::new(OPENAI, &reply(), false).error(&problem, &mut out);
    StreamWriter::new(ANTHROPIC, &reply(), false).error(&problem, &mut out);
    insta::assert_snapshot!("stream_errors", String::from_utf8(out).expect("it is text"));
}

#[test]
fn the_usage_frame_is_one_usage_and_nothing_else() {
    let stream = openai_text();
    let mut reader = StreamReader::new(OPENAI.into());
    let mut splitter = sse::Splitter::new(4096);
    splitter.push(stream.as_bytes());
    let mut alone = 0;
    while let Some(event) = splitter.next() {
        let mut out = Vec::new();
        reader.read(&event.expect("it is short"), &mut out).expect("it is fine");
        alone += usize::from(matches!(out[..], [Event::Usage(_)]));
    }
    assert_eq!(alone, 1);
}

#[test]
fn parallel_calls_that_share_an_index_are_told_apart_by_their_ids() {
    let call = |id: &str| {
        delta(&format!(
            r#"{{"tool_calls":[{{"index":0,"id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}}"#
        ))
    };
    let stream = chunks(&[&call("a"), &call("b"), r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#]);
    let calls: Vec<_> = read(OPENAI, &stream, 64)
        .0
        .into_iter()
        .filter_map(|event| match event {
            Event::Delta(Delta::ToolCall { index, id, .. }) => Some((index, id)),
            _ => None,
        })
        .collect();
    assert_eq!(calls, [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[test]
fn several_choices_end_when_all_have_ended() {
    let choice = |index: u32, text: &str, finish: &str| {
        format!(r#"[{{"index":{index},"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]"#)
    };
    let frames = [choice(0, "a", "null"), choice(1, "x", "null"), choice(0, "", "\"stop\"")];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let finished = |events: &[Event]| events.iter().any(|event| matches!(event, Event::Finish(_)));
    assert!(!finished(&read(OPENAI, &chunks(&frames), 64).0));
    let last = choice(1, "", "\"length\"");
    let all: Vec<&str> = frames.iter().copied().chain([last.as_str()]).collect();
    let events = read(OPENAI, &chunks(&all), 64).0;
    assert!(finished(&events));
    assert!(!events.contains(&Event::Delta(Delta::Text("x".into()))));
}

#[test]
fn reasoning_goes_to_anthropics_callers_only_with_its_signature() {
    let reasoning = Event::Delta(Delta::Reasoning("Hm.".into()));
    let text = Event::Delta(Delta::Text("Hi".into()));
    let finish = Event::Finish(Finish::Stop);
    let unsigned = written(ANTHROPIC, &[reasoning.clone(), text.clone(), finish.clone()]);
    assert!(!unsigned.contains("thinking"), "{unsigned}");
    let signature = Event::Delta(Delta::ReasoningSignature("c2ln".into()));
    let signed = written(ANTHROPIC, &[reasoning.clone(), signature, text.clone(), finish.clone()]);
    assert!(signed.contains(r#""thinking":"Hm.""#) && signed.contains("c2ln"), "{signed}");
    let long = Event::Delta(Delta::Reasoning("x".repeat(2 << 20)));
    let signature = Event::Delta(Delta::ReasoningSignature("c2ln".into()));
    assert!(!written(ANTHROPIC, &[long, signature, text, finish]).contains("thinking"));
}

#[test]
fn usage_comes_in_pieces() {
    let (events, _) = read(ANTHROPIC, &anthropic_text(), 64);
    let last = events.iter().rev().find_map(|event| match event {
        Event::Usage(usage) => Some(*usage),
        _ => None,
    });
    let expected = Usage {
        input_tokens: Some(100),
        output_tokens: Some(15),
        cached_input_tokens: Some(90),
        cache_write_tokens: Some(0),
        reasoning_tokens: None,
        ..Usage::default()
    };
    assert_eq!(last, Some(expected));
}

#[test]
fn azures_word_on_the_prompt_is_neither_content_nor_usage() {
    let filters = r#"{"hate":{"filtered":false,"severity":"safe"}}"#;
    let first = format!(
        "data: {{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{{\"prompt_index\":0,\"content_filter_results\":{filters}}}]}}\n\n"
    );
    assert_eq!(read(OPENAI, &first, 64), (vec![], Ok(false)));
    let rest = chunks(&[
        &delta(r#"{"role":"assistant","content":"","refusal":null}"#),
        &delta(r#"{"content":"Hel"}"#),
        // With the asynchronous filter, results come in chunks of their own.
        r#"[{"index":0,"finish_reason":null,"content_filter_results":{},"content_filter_offsets":{"check_offset":0}}]"#,
        r#"[{"index":0,"delta":{},"finish_reason":"content_filter"}]"#,
    ]);
    let (events, done) = read(OPENAI, &(first + &rest), 64);
    assert_eq!(done, Ok(true));
    assert_eq!(
        events,
        [
            Event::Start { id: Some("chatcmpl-9".into()), model: Some("gpt-4o-mini".into()) },
            Event::Delta(Delta::Text("Hel".into())),
            Event::Finish(Finish::ContentFilter),
        ]
    );
}
