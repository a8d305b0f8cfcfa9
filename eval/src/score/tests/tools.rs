//! `tool_calls`: these calls and no others, by what they mean.

use backstop_models::chat::ToolCall;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Chat, Finish, Miss, Part, check, judged, unread};

fn calling(calls: &[(&str, &str)]) -> Answer {
    let call = |(name, arguments): &(&str, &str)| {
        Part::ToolCall(ToolCall { id: "call".into(), name: (*name).into(), arguments: (*arguments).into() })
    };
    Answer { content: calls.iter().map(call).collect(), ..super::answer("", Finish::ToolCalls) }
}

fn verdict(expected: &Value, calls: &[(&str, &str)]) -> Result<(), Miss> {
    judged(&check(json!({"tool_calls": expected})), &Chat::default(), &[calling(calls)])
}

fn why(expected: &Value, calls: &[(&str, &str)]) -> String {
    verdict(expected, calls).expect_err("a miss").0
}

#[test]
fn arguments_are_equal_as_json() {
    let expected =
        json!([{"name": "pay", "arguments": {"to": "Müller & Söhne", "amount": 5, "tags": ["a", {"b": null}]}}]);
    for arguments in [
        r#"{"to":"Müller & Söhne","amount":5,"tags":["a",{"b":null}]}"#,
        r#"{"tags":["a",{"b":null}],"amount":5.0,"to":"Müller & Söhne"}"#,
        r#" { "to" : "M\u00fcller & S\u00f6hne" , "amount" : 5e0, "tags" : [ "a", {"b" : null} ] } "#,
        r#"{"to":"Müller \u0026 Söhne","amount":0.5e1,"tags":["a",{"b":null}]}"#,
        "{\"to\":\"Müller & Söhne\",\n\"amount\":5.00,\n\"tags\":[\"a\",{\"b\":null}]}",
        r#"{"amount":50e-1,"to":"Müller & Söhne","tags":["a",{"b":null}]}"#,
    ] {
        assert_eq!(verdict(&expected, &[("pay", arguments)]), Ok(()), "{arguments}");
    }
    for arguments in [
        "",
        "{}",
        "null",
        "[5]",
        r#"{"to":"Müller & Söhne","amount":5,"tags":["a",{"b":null}]"#,
        r#"{"to":"müller & söhne","amount":5,"tags":["a",{"b":null}]}"#,
        r#"{"to":"Müller & Söhne","amount":"5","tags":["a",{"b":null}]}"#,
        r#"{"to":"Müller & Söhne","amount":5.01,"tags":["a",{"b":null}]}"#,
        r#"{"to":"Müller & Söhne","amount":5,"tags":[{"b":null},"a"]}"#,
        r#"{"to":"Müller & Söhne","amount":5,"tags":["a",{"b":false}]}"#,
        r#"{"to":"Müller & Söhne","amount":5,"tags":["a",{"b":null}],"note":""}"#,
        r#"{"to":"Müller & Söhne","amount":5,"amount":5,"tags":["a",{"b":null}]}"#,
    ] {
        assert!(verdict(&expected, &[("pay", arguments)]).is_err(), "{arguments}");
    }
}

#[test]
fn large_whole_numbers_are_told_apart() {
    let expected = json!([{"name": "f", "arguments": {"id": 9_007_199_254_740_993_u64}}]);
    assert_eq!(verdict(&expected, &[("f", r#"{"id": 9007199254740993}"#)]), Ok(()));
    assert!(verdict(&expected, &[("f", r#"{"id": 9007199254740992}"#)]).is_err());
}

#[test]
fn no_call_more_and_none_less() {
    let (a, b) = (json!({"name": "a", "arguments": {"x": 1}}), json!({"name": "b"}));
    let both = json!([a, b]);
    assert_eq!(verdict(&both, &[("a", r#"{"x":1}"#), ("b", "{}")]), Ok(()));
    assert_eq!(verdict(&both, &[("b", "{}"), ("a", r#"{"x":1}"#)]), Ok(()));
    assert_eq!(verdict(&json!([a, a]), &[("a", r#"{"x":1}"#), ("a", r#"{"x":1.0}"#)]), Ok(()));
    assert_eq!(verdict(&json!([]), &[]), Ok(()));
    for calls in [
        vec![],
        vec![("a", r#"{"x":1}"#)],
        vec![("a", r#"{"x":1}"#), ("a", r#"{"x":1}"#)],
        vec![("a", r#"{"x":1}"#), ("b", "{}"), ("b", "{}")],
        vec![("a", "{}"), ("b", r#"{"x":1}"#)],
        vec![("A", r#"{"x":1}"#), ("b", "{}")],
    ] {
        assert!(verdict(&both, &calls).is_err(), "{calls:?}");
    }
    assert_eq!(why(&json!([]), &[("a", "{}")]), "expected no tool call, found one tool call (`a`)");
    // A text that only looks like a call is none.
    let text = super::answer(r#"{"name": "b", "arguments": {}}"#, Finish::Stop);
    assert!(judged(&check(json!({"tool_calls": [b]})), &Chat::default(), &[text]).is_err());
}

#[test]
fn alternatives_and_optional_arguments_leave_room() {
    let expected = json!([{
        "name": "book",
        "arguments": {"city": {"any_of": ["Paris", "Paris, FR"]}, "when": {"any_of": "x", "b": 1}},
        "optional_arguments": ["class"],
    }]);
    let when = r#""when":{"any_of":"x","b":1}"#;
    for extra in [
        r#""city":"Paris""#,
        r#""city":"Paris, FR""#,
        r#""city":"Paris","class":{"deep":[1]}"#,
        r#""class":null,"city":"Paris""#,
    ] {
        assert_eq!(verdict(&expected, &[("book", &format!("{{{when},{extra}}}"))]), Ok(()), "{extra}");
    }
    for extra in [
        r#""city":"paris""#,
        r#""city":{"any_of":["Paris"]}"#,
        r#""class":1"#,
        r#""city":"Paris","hotel":1"#,
        r#""city":["Paris"]"#,
    ] {
        assert!(verdict(&expected, &[("book", &format!("{{{when},{extra}}}"))]).is_err(), "{extra}");
    }
}

#[test]
fn calls_are_paired_so_that_all_fit_if_they_can() {
    // The first expected call could take both; only one pairing serves the second.
    let expected = json!([
        {"name": "f", "arguments": {"x": {"any_of": [1, 2]}}},
        {"name": "f", "arguments": {"x": 1}},
    ]);
    assert_eq!(verdict(&expected, &[("f", r#"{"x":1}"#), ("f", r#"{"x":2}"#)]), Ok(()));
    assert_eq!(verdict(&expected, &[("f", r#"{"x":2}"#), ("f", r#"{"x":1}"#)]), Ok(()));
    assert!(verdict(&expected, &[("f", r#"{"x":2}"#), ("f", r#"{"x":2}"#)]).is_err());
}

#[test]
fn a_miss_names_the_argument() {
    let expected = json!([{"name": "f", "arguments": {"x": {"any_of": [1, 2]}}}]);
    assert_eq!(why(&expected, &[("f", r#"{"x":3}"#)]), "expected the argument `x` of `f` 1 or 2, found 3");
    assert_eq!(why(&expected, &[("f", "{}")]), "expected the argument `x` of `f`, found none");
    assert_eq!(why(&expected, &[("f", r#"{"x":1,"y":[2]}"#)]), "expected no argument `y` of `f`, found [2]");
    assert_eq!(why(&expected, &[("g", "{}")]), "expected a tool call of `f`, found one tool call (`g`)");
    assert!(why(&expected, &[("f", "{x:1}")]).starts_with("the arguments of `f` are not JSON"));
}

#[test]
fn calls_that_nothing_could_match_are_refused_when_read() {
    assert!(unread(json!({"tool_calls": [{"name": ""}]})).contains("`name`"));
    assert!(unread(json!({"tool_calls": [{"name": "f", "arguments": {"x": {"any_of": []}}}]})).contains("`any_of`"));
    let both = json!({"tool_calls": [{"name": "f", "arguments": {"x": 1}, "optional_arguments": ["x"]}]});
    assert!(unread(both).contains("leave out one"));
    assert!(unread(json!({"tool_calls": [{"name": "f", "args": {}}]})).contains("args"));
    assert!(unread(json!({"tool_calls": [{"name": "f", "arguments": [1]}]})).contains("map"));
}

proptest! {
    #[test]
    fn the_order_of_calls_does_not_matter(
        calls in prop::collection::vec(("[fg]", prop::collection::btree_map("[xy]", 0..3_i32, 0..3)), 0..6)
            .prop_flat_map(|calls| (Just(calls.clone()), Just(calls).prop_shuffle()))
    ) {
        let (calls, shuffled) = calls;
        let expected: Value = calls.iter().map(|(name, arguments)| json!({"name": name, "arguments": arguments})).collect();
        let made: Vec<(&str, String)> = shuffled.iter().map(|(name, arguments)| (name.as_str(), json!(arguments).to_string())).collect();
        let made: Vec<(&str, &str)> = made.iter().map(|(name, arguments)| (*name, arguments.as_str())).collect();
        prop_assert_eq!(verdict(&expected, &made), Ok(()));
        let mut more = made.clone();
        more.push(("f", "{\"z\":1}"));
        prop_assert!(verdict(&expected, &more).is_err());
    }
}
