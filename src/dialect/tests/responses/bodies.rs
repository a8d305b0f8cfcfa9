//! Envelopes, and bodies that are edited in place.

use serde_json::json;

use super::*;

fn refused(body: &str) -> Option<String> {
    open(RESPONSES, body.as_bytes()).expect_err(body).param
}

#[test]
fn an_envelope_says_what_the_relay_needs() {
    let body = json!({
        "model": "support-chat", "stream": true, "max_output_tokens": 7, "safety_identifier": "u", "tools": [{}],
        "text": { "format": { "type": "json_schema" } }, "future_field": { "a": [1, 2] },
        "input": [{ "role": "user", "content": [{ "type": "input_image", "image_url": "https://x" }] }],
    });
    let envelope = open(RESPONSES, body.to_string().as_bytes()).expect("it is fine");
    assert!(envelope.stream && envelope.include_usage && envelope.has_tools && envelope.images > 0);
    assert!(envelope.wants_json_schema);
    assert_eq!((envelope.max_tokens, envelope.metadata_user.as_deref()), (Some(7), Some("u")));
    let shown = json!({ "model": "m", "input": [{ "type": "function_call_output", "call_id": "c",
        "output": [{ "type": "input_image", "image_url": "https://x" }] }] });
    assert!(open(RESPONSES, shown.to_string().as_bytes()).expect("it is fine").images > 0);
    let plain = open(RESPONSES, br#"{"model":"m","input":"input_image"}"#).expect("it is fine");
    assert!(plain.images == 0 && !plain.stream && !plain.wants_json_schema && plain.max_tokens.is_none());
    for on_the_vendors_servers in
        ["\"previous_response_id\":\"resp_1\"", "\"conversation\":\"c\"", "\"prompt\":{\"id\":\"p\"}"]
    {
        let body = format!(r#"{{"model":"m",{on_the_vendors_servers}}}"#);
        open(RESPONSES, body.as_bytes()).expect("a vendor of this dialect knows the rest");
    }
}

#[test]
fn a_body_that_no_one_could_answer_is_refused_by_name() {
    for (body, param) in [
        (r#"{"input":"Hi"}"#, "model"),
        (r#"{"model":"m"}"#, "input"),
        (r#"{"model":"m","previous_response_id":null}"#, "input"),
        (r#"{"model":"m","messages":[{}]}"#, "input"),
        (r#"{"model":"m","input":[]}"#, "input"),
        (r#"{"model":"m","input":7}"#, "input"),
        (r#"{"model":"m","input":{}}"#, "input"),
        (r#"{"model":"m","input":"Hi","stream":"yes"}"#, "stream"),
        (r#"{"model":"m","input":"Hi","max_output_tokens":0}"#, "max_output_tokens"),
        (r#"{"model":"m","input":"Hi","tools":{}}"#, "tools"),
        (r#"{"model":"m","input":"Hi","text":{"format":{}}}"#, "text.format.type"),
        (r#"{"model":"m","input":"Hi","background":true}"#, "background"),
        (r#"{"model":"m","input":"Hi","input":"Ho"}"#, "input"),
    ] {
        assert_eq!(refused(body).as_deref(), Some(param), "{body}");
    }
}

#[test]
fn only_the_model_and_reasoning_of_our_own_are_edited() {
    let own = r#"{"type":"reasoning","id":"rs_bs1_7_0","summary":[]}"#;
    let theirs = r#"{"type":"reasoning","id":"rs_68","summary":[],"x":"rs_bs1_7_0"}"#;
    let said = r#"{"role":"user","content":"about rs_bs1_7_0"}"#;
    let cases = [
        (format!("[{said}]"), format!("[{said}]")),
        (format!("[{own}, {said}]"), format!("[{said}]")),
        (format!("[{said} , {own}]"), format!("[{said}]")),
        (format!("[{said} , {own},{own}\n]"), format!("[{said}\n]")),
        (format!("[{own},{said},{own},{theirs} ]"), format!("[{said},{theirs} ]")),
        (format!("[{own}]"), format!("[{own}]")),
        ("\"rs_bs1_7_0\"".to_owned(), "\"rs_bs1_7_0\"".to_owned()),
    ];
    let to = Outgoing { include_usage: true, ..outgoing("v") };
    for (before, after) in cases {
        let body =
            |model: &str, input: &str| format!(r#"{{"input" : {input},"stream":true,"model":"{model}","x":1e2}}"#);
        let written = rewrite_request(RESPONSES, body("m", &before).as_bytes(), &to).expect("it is fine");
        assert_eq!(String::from_utf8_lossy(&written), body("v", &after));
    }
}
