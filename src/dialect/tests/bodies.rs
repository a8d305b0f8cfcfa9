//! Envelopes, and bodies that are edited in place.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn refused(dialect: Dialect, body: &str) -> BadRequest {
    open(dialect, body.as_bytes()).expect_err(body)
}

#[test]
fn an_envelope_says_what_the_relay_needs() {
    let body = json!({
        "model": "support-chat", "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 7, "user": "u",
        "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "https://x" } }] }],
        "tools": [{}], "response_format": { "type": "json_schema", "json_schema": {} }, "future_field": { "a": [1, 2] },
    });
    let envelope = open(OPENAI, body.to_string().as_bytes()).expect("it is fine");
    assert_eq!(envelope.model, "support-chat");
    assert!(envelope.stream && envelope.include_usage && envelope.has_tools && envelope.images > 0);
    assert!(envelope.wants_json_schema);
    assert_eq!((envelope.max_tokens, envelope.metadata_user.as_deref()), (Some(7), Some("u")));

    let image = json!([{ "type": "image", "source": {} }]);
    let body = json!({
        "model": "m", "max_tokens": 9, "metadata": { "user_id": "u" },
        "messages": [{ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": image }] }],
    });
    let envelope = open(ANTHROPIC, body.to_string().as_bytes()).expect("it is fine");
    assert!(envelope.images > 0 && envelope.include_usage && !envelope.stream && !envelope.has_tools);
    assert_eq!((envelope.max_tokens, envelope.metadata_user.as_deref()), (Some(9), Some("u")));
}

#[test]
fn words_about_images_are_no_images() {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "image" }, { "type": "tool_use", "input": { "type": "image" } }] }] });
    assert!(open(OPENAI, body.to_string().as_bytes()).expect("it is fine").images == 0);
}

#[test]
fn a_body_that_no_one_could_answer_is_refused_by_name() {
    let deep = format!(r#"{{"model":"m","messages":[{{}}],"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let many: String = (0..200).map(|index| format!(r#""f{index}":1,"#)).collect();
    let many = format!(r#"{{{many}"model":"m","messages":[{{}}]}}"#);
    for body in ["", "[]", "\"x\"", "{", r#"{"model":"m","messages":[{}]} x"#, deep.as_str(), many.as_str()] {
        assert_eq!(refused(OPENAI, body).param, None, "{body}");
    }
    assert_eq!(open(OPENAI, b"{\"model\":\"\xff\"}").expect_err("it is no text").param, None);
    for (body, param) in [
        (r#"{"messages":[{}]}"#, "model"),
        (r#"{"model":"","messages":[{}]}"#, "model"),
        (r#"{"model":7,"messages":[{}]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":[{}],"stream":"yes"}"#, "stream"),
        (r#"{"model":"m","messages":[{}],"max_tokens":0}"#, "max_tokens"),
        (r#"{"model":"m","messages":[{}],"max_tokens":-1}"#, "max_tokens"),
        (r#"{"model":"m","messages":[{}],"max_completion_tokens":99999999999}"#, "max_completion_tokens"),
        (r#"{"model":"m","messages":[{}],"stream_options":[]}"#, "stream_options"),
        (r#"{"model":"m","messages":[{}],"stream_options":{"include_usage":1}}"#, "stream_options.include_usage"),
        (r#"{"model":"m","messages":[{}],"tools":{}}"#, "tools"),
        (r#"{"model":"m","messages":[{}],"model":"n"}"#, "model"),
        (r#"{"model":"m","messages":[{}],"x":1,"\u0078":2}"#, "x"),
    ] {
        assert_eq!(refused(OPENAI, body).param.as_deref(), Some(param), "{body}");
    }
    assert_eq!(refused(ANTHROPIC, r#"{"model":"m","messages":[{}]}"#).param.as_deref(), Some("max_tokens"));
}

#[test]
fn a_stream_is_made_to_end_with_usage_in_place() {
    let to = Outgoing { include_usage: true, ..outgoing("v") };
    for (before, after) in [
        (
            r#"{"model":"m"  ,"messages":[{}],"stream":true}"#,
            r#"{"model":"v","stream_options":{"include_usage":true}  ,"messages":[{}],"stream":true}"#,
        ),
        (
            r#"{"stream_options":null,"stream":true,"messages":[{}],"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"messages":[{}],"model":"v"}"#,
        ),
        (
            r#"{"stream_options":{ },"stream":true,"messages":[{}],"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true },"stream":true,"messages":[{}],"model":"v"}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include_obfuscation":false},"stream":true,"messages":[{}]}"#,
            r#"{"model":"v","stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true,"messages":[{}]}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage": false},"stream":true,"messages":[{}]}"#,
            r#"{"model":"v","stream_options":{"include_usage": true},"stream":true,"messages":[{}]}"#,
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":true},"stream":true,"messages":[{}]}"#,
            r#"{"model":"v","stream_options":{"include_usage":true},"stream":true,"messages":[{}]}"#,
        ),
        (r#"{"model":"m","messages":[{}],"stream":false}"#, r#"{"model":"v","messages":[{}],"stream":false}"#),
    ] {
        let written = rewrite_request(OPENAI, before.as_bytes(), &to).expect("it is fine");
        assert_eq!(String::from_utf8_lossy(&written), after);
    }
    let body = br#"{"max_tokens":1,"model":"m","messages":[{}],"stream":true}"#;
    let written = rewrite_request(ANTHROPIC, body, &to).expect("it is fine");
    assert_eq!(String::from_utf8_lossy(&written), r#"{"max_tokens":1,"model":"v","messages":[{}],"stream":true}"#);
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " ", "\n\t", "\r\n  "])
}

/// Fields that a gateway knows nothing of, written as nobody would.
fn unknown() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1.0e+2",
        "-0",
        "12345678901234567890123",
        "\"\\u00e9\\/\"",
        "[ 1 ,2 ]",
        "{ \"model\" : \"inner\" }",
        "null",
        "\"model\"",
    ])
}

proptest! {
    #[test]
    fn rewriting_changes_nothing_but_the_model(
        spaces in prop::collection::vec(space(), 12),
        extras in prop::collection::vec(unknown(), 0..5),
        at in any::<prop::sample::Index>(),
        model in "\\PC{1,12}",
        vendor in "\\PC{0,12}",
    ) {
        let space = |index: usize| spaces[index % spaces.len()];
        let model = serde_json::to_string(&model).expect("text is JSON");
        let mut fields: Vec<String> =
            extras.iter().enumerate().map(|(index, value)| format!("\"x{index}\"{}:{}{value}", space(index), space(index + 1))).collect();
        fields.push(format!("\"messages\":{}[{{\"role\":\"user\",\"content\":\"model\"}}]", space(7)));
        let place = at.index(fields.len() + 1);
        fields.insert(place, format!("\"model\"{}:{}\u{0}MODEL\u{0}", space(8), space(9)));
        let template = format!("{}{{{}{}}}{}", space(10), space(11), fields.join(&format!("{},{}", space(3), space(4))), space(5));
        let body = template.replace("\u{0}MODEL\u{0}", &model);
        let written = rewrite_request(OPENAI, body.as_bytes(), &outgoing(&vendor)).expect("it is fine");
        let expected = template.replace("\u{0}MODEL\u{0}", &serde_json::to_string(&vendor).expect("text is JSON"));
        prop_assert_eq!(String::from_utf8(written.clone()).expect("it is text"), expected);
        let mut before: Value = serde_json::from_str(&body).expect("it is JSON");
        before["model"] = Value::String(vendor);
        let after: Value = serde_json::from_slice(&written).expect("it is JSON");
        prop_assert_eq!(before, after);
    }
}
