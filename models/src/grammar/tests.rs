//! Whatever the logits, what is said validates.

use serde_json::{Value, json};

use super::*;
use crate::load::tiny::Tiny;
use crate::sample::{Parameters, Sampler, SplitMix};

fn grammars() -> Grammars {
    let written = Tiny::new().write();
    let header = crate::load::read_header(&written.files).expect("it is sound");
    Grammars::new(Arc::new(Vocabulary::load(&written.files, &header).expect("it has a vocabulary")))
}

/// What a model of random logits says under `constraint`.
fn babble(grammars: &Grammars, mut constraint: Constraint, seed: u64) -> String {
    let vocabulary = &grammars.vocabulary;
    let asked = crate::chat::Sampling { temperature: Some(1.0), ..Default::default() };
    let mut sampler = Sampler::new(Parameters::check(&asked, vocabulary.len()).expect("sane"), seed);
    let mut random = SplitMix::new(seed);
    let mut said = Vec::new();
    for _ in 0..20_000 {
        if constraint.is_complete() {
            return String::from_utf8(said).expect("whole characters");
        }
        let mut logits: Vec<f32> = (0..vocabulary.len()).map(|_| (random.next() % 1000) as f32 / 500.0).collect();
        // Strings end sooner.
        logits[3 + usize::from(b'"')] += 6.0;
        constraint.mask(&mut logits).expect("it is sound");
        let token = sampler.draw(&mut logits).expect("something is allowed");
        if vocabulary.is_end(token) {
            return String::from_utf8(said).expect("whole characters");
        }
        constraint.take(token).expect("it was allowed");
        said.extend_from_slice(vocabulary.spoken(token));
    }
    panic!("it never ends: {}", String::from_utf8_lossy(&said));
}

#[test]
fn any_logits_make_json_that_validates() {
    let schema = json!({
        "type": "object",
        "properties": {
            "kind": { "enum": ["a", "b"] },
            "count": { "type": "integer", "minimum": 1, "maximum": 12 },
            "next": { "$ref": "#/$defs/leaf" },
        },
        "required": ["kind", "count", "next"],
        "additionalProperties": false,
        "$defs": { "leaf": { "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"], "additionalProperties": false } },
    });
    let mut grammars = grammars();
    for seed in 0..20 {
        let constraint = grammars.json(&schema).expect("it compiles");
        let said: Value = serde_json::from_str(&babble(&grammars, constraint, seed)).expect("it is JSON");
        assert!(said["kind"] == "a" || said["kind"] == "b");
        assert!((1..=12).contains(&said["count"].as_i64().expect("an integer")));
        assert!(said["next"]["ok"].is_boolean());
    }
}

#[test]
fn any_logits_make_a_call_of_one_of_the_tools() {
    let tool = |name: &str, parameters: Value| Tool { name: name.into(), description: None, parameters, strict: None };
    let tools = [
        tool(
            "say \"x\"",
            json!({ "properties": { "a": { "$ref": "#/$defs/n" } }, "required": ["a"], "$defs": { "n": { "type": "integer", "maximum": 99, "minimum": 0 } }, "additionalProperties": false }),
        ),
        tool("now", json!({ "type": "object", "properties": {} })),
    ];
    let mut grammars = grammars();
    let mut names = std::collections::HashSet::new();
    for seed in 0..20 {
        let constraint = grammars.call(&tools).expect("it compiles");
        let said = babble(&grammars, constraint, seed);
        let call: Value = serde_json::from_str(&said).expect("it is JSON");
        let name = call["name"].as_str().expect("a name").to_owned();
        assert!(said.starts_with(&format!("{{\"name\": {}, \"arguments\": ", Value::from(name.as_str()))), "{said}");
        match name.as_str() {
            "now" => assert_eq!(call["arguments"], json!({})),
            _ => assert!((0..=99).contains(&call["arguments"]["a"].as_i64().expect("an integer"))),
        }
        names.insert(name);
    }
    assert_eq!(names.len(), 2);
}

#[test]
fn a_tool_takes_an_object() {
    let tool = Tool { name: "f".into(), description: None, parameters: json!({ "type": "array" }), strict: None };
    assert!(matches!(grammars().call(&[tool]), Err(GrammarError::Schema(why)) if why.contains("`f`")));
}

#[test]
fn schemas_that_nothing_ends_are_errors_where_that_shows() {
    let itself = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
    let deeper = json!({ "type": "object", "properties": { "n": { "$ref": "#" } }, "required": ["n"], "additionalProperties": false });
    for schema in [itself, deeper] {
        let mut grammars = grammars();
        let mut constraint = grammars.json(&schema).expect("it compiles");
        let mut step = || {
            let mut logits = vec![0.0; grammars.vocabulary.len()];
            constraint.mask(&mut logits)?;
            let allowed = logits.iter().position(|logit| *logit == 0.0).expect("something is allowed");
            constraint.take(allowed as u32)
        };
        let fault = (0..1000).find_map(|_| step().err());
        assert!(matches!(&fault, Some(GrammarError::Schema(why)) if !why.contains('<')), "{schema}: {fault:?}");
    }
}

#[test]
fn schemas_beyond_us_are_errors() {
    for schema in
        [json!({ "type": "nonsense" }), json!({ "$ref": "http://elsewhere/" }), json!({ "$ref": "#/nowhere" })]
    {
        assert!(matches!(grammars().json(&schema), Err(GrammarError::Schema(_))), "{schema}");
    }
}
