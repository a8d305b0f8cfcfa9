//! Imports of realistic files of the other gateway, and what is said of the parts that cannot be carried.

use std::path::Path;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;
use crate::config::{Severity, load};

fn import(text: &str) -> Result<Imported, Vec<Finding>> {
    litellm(text, Path::new("litellm.yaml"))
}

/// All that a user sees of an import.
fn shown(imported: &Imported) -> String {
    let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
    let secrets: String = imported.secrets.iter().map(|secret| format!("{secret:?}\n")).collect();
    format!("{}---\n{notes}---\n{secrets}", imported.yaml)
}

#[test]
fn a_small_config_becomes_ours_and_its_key_goes_to_the_vault() {
    let imported = import(include_str!("tests/small.yaml")).expect("imports");
    let SecretSource::Written(key) = &imported.secrets[0].source else { panic!("a written key") };
    assert_eq!(key.expose_secret(), "sk-canary0123456789abcdefghijkl");
    let shown = shown(&imported);
    assert!(!shown.contains("canary"));
    insta::assert_snapshot!("small", shown);
}

#[test]
fn a_teams_config_is_carried_as_far_as_it_can_be_and_the_rest_is_said() {
    let shown = shown(&import(include_str!("tests/team.yaml")).expect("imports"));
    assert!(!shown.contains("hunter2"));
    insta::assert_snapshot!("team", shown);
}

#[test]
fn what_has_nothing_for_us_is_an_error_with_reasons() {
    for text in [
        "",
        "model_list: []",
        "model_list: 7",
        "[",
        "model_list: [{model_name: a, litellm_params: {model: bedrock/x}}]",
    ] {
        let findings = import(text).expect_err("nothing to carry");
        assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{text}");
    }
}

#[test]
fn every_price_that_we_know_is_carried() {
    let text = r#"
model_list:
  - model_name: long
    litellm_params: { model: gemini/gemini-2.5-pro, api_key: os.environ/KEY }
    model_info:
      input_cost_per_token: 1.25e-06
      output_cost_per_token: 1e-05
      cache_read_input_token_cost: 1.25e-07
      input_cost_per_audio_token: 1.25e-06
      output_cost_per_reasoning_token: 1e-05
      input_cost_per_token_above_200k_tokens: 2.5e-06
      output_cost_per_token_above_200k_tokens: 1.5e-05
      input_cost_per_token_batches: 6.25e-07
      output_cost_per_token_batches: 5e-06
      input_cost_per_token_priority: 2.5e-06
      input_cost_per_request: 0.001
      max_input_tokens: 1048576
"#;
    let imported = import(text).expect("imports");
    let price = "{ prices: [{ input_per_mtok: 1.25, output_per_mtok: 10, cached_input_per_mtok: 0.125, reasoning_per_mtok: 10, \
                 audio_input_per_mtok: 1.25, per_request: 0.001, batch_factor: 0.5, priority_factor: 2, \
                 tiers: [{ above_tokens: 200000, input_per_mtok: 2.5, output_per_mtok: 15 }] }], context_tokens: 1048576 }";
    assert!(imported.yaml.contains(price), "{}", imported.yaml);
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    load(&imported.yaml, Path::new("backstop.yaml")).unwrap_or_else(|findings| panic!("{findings:?}"));
}

fn word() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "gpt-4o", "openai/gpt-4o", "anthropic/claude-3-5-haiku", "azure/x", "ollama/llama3.1:8b", "groq/a/b", "*",
            "os.environ/KEY", "http://127.0.0.1:8080/v1", "https://a.example/v1", "sk-abcdefghij0123456789", "on", "",
        ]).prop_map(Value::from),
        2 => "\\PC{0,12}".prop_map(Value::from),
        1 => (-10i64..1000).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({ "a": ["b"] })),
    ]
}

prop_compose! {
    fn deployment()(name in word(), model in word(), key in word(), base in word(), cost in word(), tokens in word()) -> Value {
        json!({
            "model_name": name,
            "litellm_params": { "model": model, "api_key": key, "api_base": base },
            "model_info": { "input_cost_per_token": cost, "output_cost_per_token": cost, "max_input_tokens": tokens },
        })
    }
}

prop_compose! {
    fn plain()(name in "[a-c]", model in word(), more in prop::option::of(word())) -> Value {
        json!({ "model_name": name, "litellm_params": { "model": model, "api_key": more } })
    }
}

proptest! {
    #[test]
    fn whatever_is_imported_loads(
        list in prop::collection::vec(prop_oneof![deployment(), plain()], 0..8),
        fallbacks in prop::collection::vec((word(), word()), 0..4),
        timeout in word(),
    ) {
        let fallbacks: Vec<Value> =
            fallbacks.iter().map(|(from, to)| json!({ from.as_str().unwrap_or("a"): [to, "a", "b"] })).collect();
        let config = json!({
            "model_list": list,
            "router_settings": {
                "fallbacks": fallbacks, "timeout": timeout, "model_group_alias": { "alias": "a", "b": "a", "": "a" },
            },
        });
        if let Ok(imported) = import(&config.to_string()) {
            load(&imported.yaml, Path::new("backstop.yaml")).map_err(|findings| TestCaseError::fail(format!("{findings:?}")))?;
            prop_assert!(!shown(&imported).contains("abcdefghij0123456789"));
        }
    }
}
