//! `json`: one document, its schema, and the F1 over its leaves.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{met, missed, unread, why};

fn invoice() -> Value {
    json!({"json": {
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["number", "total"],
            "additionalProperties": false,
            "properties": {
                "number": {"type": "string"},
                "date": {"type": "string", "format": "date"},
                "total": {"type": "number", "minimum": 0},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            },
            "$defs": {"line": {"type": "object", "required": ["item", "amount"]}},
        },
        "fields": {
            "number": "INV-1",
            "total": 12.5,
            "lines": [{"item": "tea", "amount": 4.5}, {"item": "café", "amount": 8}],
        },
    }})
}

#[test]
fn values_are_compared_by_what_they_are() {
    met(
        &invoice(),
        &[
            r#"{"number":"INV-1","total":12.5,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8}]}"#,
            r#" {"total":12.50,"lines":[{"amount":8.0,"item":"café"},{"item":"tea","amount":4.5}],"number":" INV-1 "}
            "#,
            r#"{"number":"INV-1","total":12.504,"lines":[{"item":"tea","amount":4.495},{"item":"caf\u00e9","amount":8}]}"#,
            r#"{"number":"INV-1","total":125e-1,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8}]}"#,
            r#"{"lines":[{"item":"café","amount":8},{"item":"tea","amount":4.5}],"number":"INV-1","total":12.505}"#,
            "{\n\t\"number\": \"INV-1\",\r\n\"total\": 12.5, \"lines\": [{\"item\": \"tea\", \"amount\": 4.5}, {\"item\": \"café\", \"amount\": 8}]}",
        ],
    );
    missed(
        &invoice(),
        &[
            "",
            "{}",
            "null",
            "[]",
            r#"{"number":"INV-1","total":12.05,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8}]}"#,
            r#"{"number":"inv-1","total":12.5,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8}]}"#,
            r#"{"number":"INV-1","total":"12.5","lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8}]}"#,
            r#"{"number":"INV-1","total":12.5,"lines":[{"item":"tea","amount":8},{"item":"café","amount":4.5}]}"#,
            r#"{"number":"INV-1","total":12.5,"lines":[{"item":"tea","amount":4.5}]}"#,
            r#"{"number":"INV-1","total":12.5,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8}],"date":"2026-01-31"}"#,
            r#"{"number":"INV-1","total":12.5,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":8},{"item":"café","amount":8}]}"#,
        ],
    );
}

#[test]
fn the_text_is_one_document_and_nothing_else() {
    let any = json!({"json": {"schema": {"type": "object"}}});
    met(
        &any,
        &[
            "{}",
            " {} ",
            r#"{"a": {"b": [1, null, true]}}"#,
            r#"{"a": "```json"}"#,
            r#"{"": 0}"#,
            r#"{"a": "\ud83d\ude00"}"#,
        ],
    );
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    missed(
        &any,
        &[
            "{} {}",
            "Here it is: {}",
            "{}.",
            "{'a': 1}",
            "{\"a\": 1,}",
            "{\"a\": NaN}",
            "{\"a\": 1e999}",
            "{\"a\": 1} // total",
            "```json\n{}\n```",
            "\u{feff}{}",
            "{\"a\": 1, \"a\": 2}",
            "{\"b\": [{\"a\": 1, \"a\": 1}]}",
            &deep,
        ],
    );
    assert!(why(&any, "{\"a\": 1, \"a\": 2}").contains("the name `a` stands twice"));
}

#[test]
fn one_fence_is_forgiven_only_where_the_suite_says_so() {
    let fenced = json!({"json": {"schema": {"type": "object"}, "fence": true}});
    met(&fenced, &["{}", "```json\n{}\n```", "\n```json\r\n{\"a\": 1}\r\n```\n", "```json\n\n{}```"]);
    missed(
        &fenced,
        &[
            "```\n{}\n```",
            "```json\n{}",
            "```json {}```",
            "Sure:\n```json\n{}\n```",
            "```json\n{}\n```\n```json\n{}\n```",
            "```JSON\n{}\n```",
        ],
    );
    assert!(why(&json!({"json": {"schema": {}}}), "```json\n{}\n```").contains("fence"));
}

#[test]
fn a_document_must_fit_its_schema() {
    let schema = json!({"json": {"schema": {
        "type": "object",
        "properties": {"day": {"format": "date"}, "code": {"pattern": "^[A-Z]{2}$"}, "tags": {"uniqueItems": true, "maxItems": 2}},
        "required": ["day"],
    }}});
    met(&schema, &[r#"{"day": "2028-02-29"}"#, r#"{"day": "2026-11-03", "code": "DE", "tags": ["a", "b"]}"#]);
    missed(
        &schema,
        &[
            r#"{"day": "2027-02-29"}"#,
            r#"{"day": "03.11.2026"}"#,
            r#"{"code": "DE"}"#,
            r#"{"day": "2026-11-03", "code": "DEU"}"#,
            r#"{"day": "2026-11-03", "tags": [1, 1]}"#,
            r#"{"day": "2026-11-03", "tags": [1, 2, 3]}"#,
            "[]",
        ],
    );
    let wrong = why(&invoice(), r#"{"number": 7, "total": 1}"#);
    assert!(wrong.contains("`/number`") && wrong.contains("string"), "{wrong}");
}

#[test]
fn a_miss_names_the_field() {
    let found = r#"{"number":"INV-1","total":12.05,"lines":[{"item":"tea","amount":4.5},{"item":"café","amount":9}]}"#;
    let text = why(&invoice(), found);
    assert_eq!(text, "expected field `total` 12.5, found 12.05 and 1 more (F1 0.667, at least 1 is wanted)");
    let missing = why(&json!({"json": {"fields": {"a": {"b": [1, 2]}}}}), r#"{"a": {"b": [2], "c": 0}}"#);
    assert!(missing.starts_with("expected field `a.b[0]` 1, found none and 1 more"), "{missing}");
    let extra = why(&json!({"json": {"fields": [1]}}), "[1, {\"x\": 2}]");
    assert!(extra.starts_with("expected no field `[1]`, found {\"x\":2}"), "{extra}");
    let long = why(&json!({"json": {"fields": {"a": "ü".repeat(500)}}}), "{\"a\": 1}");
    assert!(long.len() < 300, "{long}");
}

#[test]
fn partial_credit_is_what_the_suite_allows() {
    let most = json!({"json": {"fields": {"a": 1, "b": 2, "c": {"d": 3}, "e": []}, "f1": 0.75}});
    // 3 of 4 on both sides are 0.75, 3 of 4 and 5 are 0.667.
    met(
        &most,
        &[
            r#"{"a": 1, "b": 2, "c": {"d": 3}, "e": []}"#,
            r#"{"a": 1, "b": 2, "c": {"d": 3}}"#,
            r#"{"a": 9, "b": 2, "c": {"d": 3}, "e": []}"#,
        ],
    );
    missed(
        &most,
        &[
            r#"{"a": 1, "b": 2}"#,
            r#"{"a": 9, "b": 2, "c": {"d": 3}, "e": [], "f": 1}"#,
            r#"{"a": 9, "b": 9, "c": {"d": 3}, "e": []}"#,
            r#"{"a": null, "b": 2, "c": 3, "e": []}"#,
        ],
    );
}

#[test]
fn arrays_are_paired_for_the_best_agreement() {
    // Pairing each with the first that agrees in something would leave {"x": 1, "y": 1} with nothing.
    let fields = json!({"json": {"fields": [{"x": 1, "y": 2}, {"x": 1, "y": 1}, [[3], [1, 2]]]}});
    met(&fields, &[r#"[[[2, 1], [3]], {"y": 1, "x": 1}, {"x": 1, "y": 2}]"#]);
    missed(
        &fields,
        &[
            r#"[[[2, 1], [3]], {"y": 1, "x": 1}, {"x": 1, "y": 1}]"#,
            r#"[[[2], [1, 3]], {"y": 1, "x": 1}, {"x": 1, "y": 2}]"#,
        ],
    );
    let many: Vec<usize> = (0..3_000).collect();
    missed(&json!({"json": {"fields": [1, 2, 3]}}), &[json!(many).to_string()]);
}

#[test]
fn a_bad_schema_is_refused_when_read_with_its_place() {
    let unread = |schema: Value| unread(json!({"json": {"schema": schema}}));
    assert!(unread(json!({"properties": {"a": {"type": "strng"}}})).contains("/properties/a/type"));
    assert!(unread(json!({"items": {"requierd": ["a"]}})).contains("at `/items`"));
    assert!(unread(json!({"items": {"requierd": ["a"]}})).contains("did you mean `required`?"));
    assert!(unread(json!({"pattern": "("})).contains("pattern"));
    assert!(unread(json!({"anyOf": [{"pattern": "(?=a)b"}]})).contains("/anyOf/0"));
    assert!(unread(json!({"format": "dat"})).contains("dat"));
    assert!(unread(json!({"$ref": "https://example.org/schema.json"})).contains("example.org"));
    assert!(unread(json!({"$ref": "file:///etc/passwd"})).contains("passwd"));
    assert!(unread(json!({"$ref": "#/$defs/no"})).contains("no"));
    assert!(unread(json!({"$schema": "http://json-schema.org/draft-07/schema#"})).contains("2020-12"));
    assert!(unread(json!({"nullable": true})).contains("nullable"));
    assert!(unread(json!(7)).contains("7"));
}

#[test]
fn what_no_answer_could_meet_is_refused_when_read() {
    assert!(unread(json!({"json": {}})).contains("`schema`"));
    assert!(unread(json!({"json": {"fields": {}}})).contains("`fields`"));
    assert!(unread(json!({"json": {"fields": 7}})).contains("`fields`"));
    assert!(unread(json!({"json": {"fields": {"a": 1}, "f1": 0}})).contains("`f1`"));
    assert!(unread(json!({"json": {"fields": {"a": 1}, "f1": 1.1}})).contains("`f1`"));
    assert!(unread(json!({"json": {"schema": {}, "f1": 0.5}})).contains("`fields`"));
    assert!(unread(json!({"json": {"schema": {"type": "array"}, "fields": {"a": 1}}})).contains("no answer could"));
    assert!(unread(json!({"json": {"shema": {}}})).contains("shema"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[a-c]{1,2}", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().rev().map(reversed).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().rev().map(|(name, value)| (name.clone(), reversed(value))).collect())
        }
        leaf => leaf.clone(),
    }
}

proptest! {
    #[test]
    fn a_value_agrees_with_itself_in_any_order(value in any_json()) {
        let fields = json!({"json": {"fields": [value.clone()]}});
        met(&fields, &[json!([value]).to_string(), json!([reversed(&value)]).to_string()]);
        missed(&fields, &[json!([value, 7]).to_string(), "[]".into(), "[{\"zzz\": \"zzz\"}]".into()]);
    }
}
