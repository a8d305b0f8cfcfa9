//! The published schema and the reader agree: on the built-in suites, on every name, and on examples bent in every place.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde::de::DeserializeOwned;

use super::{
    super::{super::EMBEDDED, RawGate, RawHeader, RawJudge, RawSampling, items::RawItem, labels::RawLabel},
    *,
};
use crate::score::Check;

fn definitions() -> Value {
    let whole: Value = serde_json::from_str(SCHEMA).unwrap_or_else(|error| panic!("{error}"));
    whole["$defs"].clone()
}

fn validator(definition: &str) -> Validator {
    let schema = json!({ "$ref": format!("#/$defs/{definition}"), "$defs": definitions() });
    jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{definition}: {error}"))
}

fn names(properties: &Value) -> BTreeSet<String> {
    properties.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// The names that serde expects where it is given `zzz`; `None` where anything may stand.
fn expected<T: DeserializeOwned>(json: &Value) -> Option<BTreeSet<String>> {
    let error = serde_json::from_value::<T>(json.clone()).err()?.to_string();
    let (_, expected) = error.split_once("`zzz`, expected ")?;
    Some(expected.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// By the name of each check or instruction: what its value must be, if it has one, and its examples.
fn variants(definition: &str) -> BTreeMap<String, (Option<Value>, Vec<Value>)> {
    let all = definitions()[definition]["oneOf"].as_array().cloned().unwrap_or_default();
    let variant = |schema: Value| {
        let examples = schema["examples"].as_array().cloned().unwrap_or_default();
        assert!(!examples.is_empty(), "each has an example: {schema}");
        match schema["const"].as_str() {
            Some(name) => (name.to_owned(), (None, examples)),
            None => {
                let name = names(&schema["properties"]).into_iter().next().unwrap_or_default();
                let value = schema["properties"][&name].clone();
                (name, (Some(value), examples))
            }
        }
    };
    all.into_iter().map(variant).collect()
}

#[test]
fn the_built_in_suites_fit() {
    let (header, item) = (file_schema(SuiteFile::Header), file_schema(SuiteFile::Items));
    let compiled = |schema: Result<Value, serde_json::Error>| {
        let schema = schema.unwrap_or_else(|error| panic!("{error}"));
        jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{error}"))
    };
    let (header, item) = (compiled(header), compiled(item));
    for (name, header_text, items_text) in EMBEDDED {
        let value: Value = serde_saphyr::from_str(header_text).unwrap_or_else(|error| panic!("{name}: {error}"));
        header.validate(&value).unwrap_or_else(|error| panic!("{name}.yaml: {error}"));
        for line in items_text.lines().filter(|line| !line.trim().is_empty()) {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}"));
            item.validate(&value).unwrap_or_else(|error| panic!("{name}.jsonl, {}: {error}", value["id"]));
        }
    }
}

#[test]
fn every_name_that_the_reader_knows_is_in_the_schema_and_no_other() {
    let stranger = json!({ "zzz": 1 });
    let all = definitions();
    let same = |place: &str, expected: Option<BTreeSet<String>>, properties: &Value| {
        assert_eq!(expected, Some(names(properties)), "{place}");
    };
    same("header", expected::<RawHeader>(&stranger), &all["header"]["properties"]);
    same("sampling", expected::<RawSampling>(&stranger), &all["header"]["properties"]["sampling"]["properties"]);
    same("judge", expected::<RawJudge>(&stranger), &all["header"]["properties"]["judge"]["properties"]);
    same("label", expected::<RawLabel>(&stranger), &all["label"]["properties"]);
    same("gate", expected::<RawGate>(&stranger), &all["gate"]["properties"]);
    same("item", expected::<RawItem>(&stranger), &all["item"]["properties"]);
    let in_item = |field: &str| expected::<RawItem>(&json!({ "id": "i", field: [{ "zzz": 1 }] }));
    same("message", in_item("messages"), &all["message"]["properties"]);
    same("tool", in_item("tools"), &all["tool"]["properties"]);
    let checks = variants("check");
    assert_eq!(expected::<Check>(&json!("zzz")), Some(checks.keys().cloned().collect()), "checks");
    let instructions = variants("instruction");
    let known = expected::<Check>(&json!({ "instructions": ["zzz"] }));
    assert_eq!(known, Some(instructions.keys().cloned().collect()), "instructions");
    for (name, (value, _)) in checks {
        let Some(value) = value.filter(|value| value["$ref"].is_null()) else { continue };
        if let Some(known) = expected::<Check>(&json!({ &name: { "zzz": 1 } })) {
            // Bounds and other shared parts are behind a reference, and tried with their instructions.
            let found = names(&value["properties"]);
            let in_enum = value["enum"].as_array().map(|names| names.iter().map(|name| name.to_string()).collect());
            assert!(known == found || in_enum.is_some_and(|_: Vec<String>| found.is_empty()), "{name}: {known:?}");
        }
    }
    for (name, (value, _)) in instructions {
        let Some(value) = value else { continue };
        if let Some(known) = expected::<Check>(&json!({ "instructions": [{ &name: { "zzz": 1 } }] })) {
            let referred = value["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
            let value = referred.map_or(value.clone(), |definition| all[definition].clone());
            if value["enum"].is_null() {
                assert_eq!(known, names(&value["properties"]), "{name}");
            }
        }
    }
}

/// The example with each of its values replaced by others, one at a time.
fn bent(value: &Value) -> Vec<Value> {
    let mut found: Vec<Value> = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(2.5),
        json!(""),
        json!("x"),
        json!("en"),
        json!([]),
        json!(["word", "word"]),
        json!({}),
    ];
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                let mut without = object.clone();
                without.remove(name);
                found.push(Value::Object(without));
                for other in bent(inner) {
                    let mut changed = object.clone();
                    changed.insert(name.clone(), other);
                    found.push(Value::Object(changed));
                }
            }
        }
        Value::Array(array) => {
            for (index, inner) in array.iter().enumerate() {
                for other in bent(inner) {
                    let mut changed = array.clone();
                    changed[index] = other;
                    found.push(Value::Array(changed));
                }
            }
        }
        _ => {}
    }
    found
}

#[test]
fn what_the_reader_takes_the_schema_takes() {
    let schema = validator("check");
    let mut examples: Vec<Value> = variants("check").into_values().flat_map(|(_, examples)| examples).collect();
    let instructions = variants("instruction").into_values().flat_map(|(_, examples)| examples);
    examples.extend(instructions.map(|example| json!({ "instructions": [example] })));
    for example in examples {
        let read = serde_json::from_value::<Check>(example.clone());
        assert!(read.is_ok() && schema.is_valid(&example), "{example}: {read:?}");
        for bent in bent(&example) {
            let is_read = serde_json::from_value::<Check>(bent.clone()).is_ok();
            assert!(!is_read || schema.is_valid(&bent), "the reader takes {bent}, the schema does not");
        }
    }
}

#[test]
fn what_the_schema_is_for_is_refused() {
    let (header, item) = (validator("header"), validator("item"));
    let asks = json!([{ "role": "user", "content": "q" }]);
    assert!(item.is_valid(&json!({ "id": "i", "messages": asks, "checks": { "g": ["not_empty"] } })));
    for wrong in [
        json!({ "messages": asks }),
        json!({ "id": "i", "messages": [] }),
        json!({ "id": "i", "messages": asks, "check": {} }),
        json!({ "id": "i", "messages": asks, "checks": { "g": ["not_emty"] } }),
        json!({ "id": "i", "messages": asks, "split": "train" }),
    ] {
        assert!(!item.is_valid(&wrong), "{wrong}");
    }
    assert!(!header.is_valid(&json!({ "name": "s" })));
}
