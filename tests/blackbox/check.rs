//! `backstop check`: every fault at once, each with its place; and a schema for editors.

use serde_json::Value;

use super::{config::Config, home::Home};

#[test]
fn every_fault_is_told_at_once_with_line_and_nearest_name() {
    let home = Home::new(
        "listen: 127.0.0.1:0\n\
         lisen: 127.0.0.1:1\n\
         vendors:\n\
         \x20 openai: { kind: opnai }\n\
         \x20 anthropic: { kind: anthropic, base_ulr: \"https://example.com\" }\n\
         routes:\n\
         \x20 chat: { targets: [openia/gpt-4o-mini], deadlines: { total: soon } }\n\
         \x20 empty: { targets: [] }\n",
    );
    let said = home.run(&["check"]).expect_failure();
    for (line, words) in [
        (2, &["lisen", "listen"][..]),
        (4, &["opnai", "openai"]),
        (5, &["base_ulr", "base_url"]),
        (7, &["openia", "openai"]),
        (7, &["soon"]),
        (8, &["targets"]),
    ] {
        let place = format!("backstop.yaml:{line}:");
        let told = said.lines().any(|text| text.contains(&place) && words.iter().all(|word| text.contains(word)));
        assert!(told, "no finding at line {line} with {words:?}:\n{said}");
    }
}

#[test]
fn what_breaks_an_invariant_is_found_though_the_file_can_be_used() {
    let vendor =
        |config: Config| config.vendor("a", "openai", "http://127.0.0.1:9").vendor("b", "openai", "http://127.0.0.1:9");
    let same =
        vendor(Config::strict()).more("").text().replace("b: { kind: openai,", "b: { kind: openai, operated_by: a,");
    for (routes, words) in [
        ("  chat: { targets: [a/x, a/y] }", &["chat"][..]),
        ("  chat: { targets: [a/x, b/y] }", &["chat"]),
        ("  chat: { targets: [a/x] }", &["chat", "fallback"]),
        ("  chat: { criticality: critical, targets: [a/x, c/y] }", &["chat", "critical"]),
    ] {
        let config = format!("{same}routes:\n{routes}\n")
            .replace("vendors:\n", "vendors:\n  c: { kind: groq, base_url: \"http://127.0.0.1:9/v1\" }\n");
        let home = Home::new(&config);
        let said = home.run(&["check"]).expect_failure();
        assert!(words.iter().all(|word| said.contains(word)), "{routes}: {said}");
    }
}

#[test]
fn the_schema_is_a_json_schema_that_knows_the_top_level_keys() {
    let home = Home::new(&Config::warn().text());
    let schema: Value = serde_json::from_str(&home.ok(&["check", "--schema"])).expect("a JSON document");
    assert!(schema["$schema"].as_str().is_some_and(|uri| uri.contains("json-schema.org")), "{schema:#}");
    for key in ["listen", "enforcement", "vendors", "models", "routes", "tenants", "alerts", "storage"] {
        assert!(schema["properties"][key].is_object(), "`{key}` is not in the schema");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_litellm_config_becomes_ours_and_its_keys_go_into_the_vault() {
    let home = Home::without_config();
    let litellm = home.path().join("litellm.yaml");
    let text = "model_list:\n\
        \x20 - model_name: chat\n\
        \x20   litellm_params: { model: openai/gpt-4o-mini, api_key: sk-imported-secret-1234 }\n\
        \x20 - model_name: spare\n\
        \x20   litellm_params: { model: anthropic/claude-haiku-4-5, api_key: sk-ant-imported-5678 }\n\
        litellm_settings:\n\
        \x20 fallbacks: [{ chat: [spare] }]\n";
    std::fs::write(&litellm, text).expect("the temporary directory can be written");
    let ran = home.run(&["import", "litellm", litellm.to_str().expect("a UTF-8 path")]);
    assert!(!ran.said().contains("imported-secret") && !ran.said().contains("ant-imported"), "{}", ran.said());
    let config = ran.expect_success(&["import", "litellm"]);
    for word in ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "chat:"] {
        assert!(config.contains(word), "{word}: {config}");
    }
    let listed = home.ok(&["vault", "list"]);
    assert!(listed.contains("1234") && listed.contains("5678"), "{listed}");
}
