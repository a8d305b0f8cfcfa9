//! Whole configs through the loader: what people write, and what they are told.

mod prices;

use std::path::Path;

use proptest::prelude::*;

use super::{Finding, Loaded, Settings, Severity, VendorKind, load, schema};
use crate::domain::{Meter, PriceState, Rate, TargetId, TokenUsage, parse_day};

const CONTRACT: &str = include_str!("tests/contract.yaml");

fn read(text: &str) -> Result<Loaded, Vec<Finding>> {
    load(text, Path::new("backstop.yaml"))
}

fn told(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{} {finding}\n", finding.severity.as_str())).collect()
}

/// What is said of two vendors, a route over `targets`, and whatever `more` holds.
fn route(targets: &str, more: &str) -> String {
    let text = format!(
        "vendors:\n  openai: {{ kind: openai }}\n  anthropic: {{ kind: anthropic }}\n  \
         eu: {{ kind: openai_compatible, base_url: \"https://eu.example/v1\", operated_by: openai }}\n  \
         own: {{ kind: vllm }}\nroutes:\n  r: {{ targets: [{targets}], {more} }}\n"
    );
    match read(&text) {
        Ok(loaded) => told(&loaded.findings),
        Err(findings) => told(&findings),
    }
}

#[test]
fn the_contracts_example_loads_and_says_what_is_not_enforced() {
    let loaded = read(CONTRACT).expect("loads");
    insta::assert_snapshot!("contract_findings", told(&loaded.findings));
    insta::assert_debug_snapshot!("contract_settings", loaded.settings);
}

#[test]
fn every_fault_is_told_at_once_with_its_line_and_no_secret() {
    let text = include_str!("tests/faults.yaml");
    let told = told(&read(text).expect_err("faults"));
    for secret in ["abcdefghij", "hunter2"] {
        assert!(text.contains(secret) && !told.contains(secret), "{secret} is shown");
    }
    insta::assert_snapshot!("faults", told);
}

#[test]
fn what_is_not_yaml_is_one_clear_error() {
    let mut all = String::new();
    for text in [
        "routes: [",
        "routes:\n\tx: 1",
        "a: b: c",
        "listen: \"127",
        "- a\n- b",
        "just words",
        "--- a\n--- b",
        "\0",
        "a: *b",
    ] {
        all.push_str(&format!("{text:?}\n  {}", told(&read(text).expect_err("not a config"))));
    }
    insta::assert_snapshot!("not_yaml", all);
}

#[test]
fn an_empty_config_is_the_default() {
    for text in ["", "# nothing yet\n", "vendors:\nroutes:\ntenants:\n", "---\n", "\u{feff}"] {
        let loaded = read(text).unwrap_or_else(|findings| panic!("{text:?}: {}", told(&findings)));
        assert_eq!(loaded.settings, Settings::default(), "{text:?}");
    }
}

#[test]
fn invariants_are_breaches_and_not_errors() {
    assert_eq!(route("openai/a, anthropic/b", ""), "");
    assert_eq!(route("local/m", "criticality: critical"), "");
    assert_eq!(route("openai/a, own/m", "criticality: critical"), "");
    let mut all = String::new();
    for (targets, more) in [
        ("openai/a", ""),
        ("openai/a, openai/b, local/m", ""),
        ("openai/a, eu/b, local/m", ""),
        ("openai/a, anthropic/b", "criticality: critical"),
    ] {
        all.push_str(&format!("[{targets}] {more}\n{}", route(targets, more)));
    }
    insta::assert_snapshot!("breaches", all);
}

#[test]
fn responses_are_of_vendors_that_have_them() {
    use crate::domain::{Dialect, Wire};
    let text = "vendors:\n  a: { kind: openai }\n  b: { kind: openai, responses: false }\n  \
                c: { kind: vllm, responses: true }\n  d: { kind: anthropic }\n";
    let settings = read(text).expect("loads").settings;
    let wires = settings.vendors.values().map(|vendor| vendor.wire_for(Dialect::OpenaiResponses));
    let expected = [Wire::OpenaiResponses, Wire::OpenaiChat, Wire::OpenaiResponses, Wire::AnthropicMessages];
    assert_eq!(wires.collect::<Vec<_>>(), expected);
    assert!(settings.vendors.values().all(|vendor| vendor.wire_for(Dialect::OpenaiChat) == vendor.wire));
    let told = told(&read("vendors: { d: { kind: anthropic, responses: true } }").expect_err("it has none"));
    assert!(told.contains("vendors.d.responses") && told.contains("no `/responses`"), "{told}");
}

#[test]
fn a_target_that_strict_leaves_out_says_why() {
    let text = "vendors: { a: { kind: openai } }\nroutes: { r: { targets: [a/x, a/y, local/m] } }";
    let settings = read(text).expect("loads").settings;
    let targets = &settings.routes.values().next().expect("a route").targets;
    let breaches: Vec<bool> = targets.iter().map(|target| target.breach.is_some()).collect();
    assert_eq!(breaches, [false, true, false]);
}

#[test]
fn deadlines_that_are_not_given_fit_those_that_are() {
    let of = |deadlines: &str| {
        let text = format!("routes: {{ r: {{ targets: [local/m], deadlines: {deadlines} }} }}");
        let settings = read(&text).unwrap_or_else(|findings| panic!("{}", told(&findings))).settings;
        let d = settings.routes.values().next().expect("a route").deadlines;
        [d.connect, d.first_token, d.idle, d.attempt, d.total].map(|span| span.as_millis())
    };
    assert_eq!(of("{}"), [1000, 5000, 10_000, 30_000, 60_000]);
    assert_eq!(of("{ total: 2s }"), [1000, 2000, 2000, 2000, 2000]);
    assert_eq!(of("{ total: 500ms }"), [500, 500, 500, 500, 500]);
    assert_eq!(of("{ attempt: 10m }"), [1000, 5000, 10_000, 600_000, 600_000]);
    assert_eq!(of("{ connect: 8s }"), [8000, 8000, 10_000, 30_000, 60_000]);
}

#[test]
fn prices_come_from_the_config_then_from_the_kind_and_own_hardware_is_free() {
    let text = "vendors: { eu: { kind: openai, base_url: \"https://eu.example/v1\" }, own: { kind: ollama } }\n\
                models: { eu/gpt-4o: { input_per_mtok: 1, output_per_mtok: 2 } }\n\
                routes: { r: { targets: [eu/gpt-4o, eu/gpt-4o-mini, own/x, local/m, eu/unknown] } }";
    let settings = read(text).expect("loads").settings;
    let input = |target: &str| {
        let prices = settings.prices.get(&TargetId::parse(target).expect("a target"))?;
        prices.at(0).and_then(|(row, _)| row.rates.get(Meter::Input))
    };
    assert_eq!(input("eu/gpt-4o"), Rate::from_usd(1.0));
    assert_eq!(input("eu/gpt-4o-mini"), Rate::from_usd(0.15));
    assert_eq!(input("own/x"), Some(Rate::ZERO));
    assert_eq!(input("local/m"), Some(Rate::ZERO));
    assert_eq!(input("eu/unknown"), None);
}

#[test]
fn prices_have_validities_tiers_and_kinds() {
    let text = "vendors: { eu: { kind: openai_compatible, base_url: \"https://eu.example/v1\" } }\nmodels:\n  eu/a:\n    prices:\n      \
                - { until: 2026-03-01, input_per_mtok: 1, output_per_mtok: 2, source: contract }\n      \
                - from: 2026-03-01\n        until: 2026-06-01\n        input_per_mtok: 0.5\n        output_per_mtok: 2\n        \
                cached_input_per_mtok: 0.003625\n        cache_write_1h_per_mtok: 4\n        audio_input_per_mtok: 40\n        \
                per_request: 0.01\n        batch_factor: 0.5\n        \
                tiers: [{ above_tokens: 1000, input_per_mtok: 3 }]\n\
                local: { usd_per_hour: 3.6 }\nroutes: { r: { targets: [eu/a, local/m] } }";
    let settings = read(text).unwrap_or_else(|findings| panic!("{}", told(&findings))).settings;
    let cost = |target: &str, usage: TokenUsage, day: &str| {
        let prices = settings.prices_of(&TargetId::parse(target).expect("a target")).expect("a price");
        let quote = prices.quote(&usage, parse_day(day).expect("a day")).expect("a row");
        (quote.cost.micros, quote.state, quote.row.to_string())
    };
    let usage = |input| TokenUsage { input, output: 10, ..TokenUsage::default() };
    let expected = |micros, row: &str| (micros, PriceState::Valid, row.to_owned());
    assert_eq!(cost("eu/a", usage(1000), "2026-02-28"), expected(1020, "config:always"));
    assert_eq!(cost("eu/a", usage(1000), "2026-03-01"), expected(10_520, "config:2026-03-01"));
    assert_eq!(cost("eu/a", usage(1001), "2026-03-01"), expected(13_023, "config:2026-03-01"));
    assert_eq!(cost("eu/a", usage(1000), "2026-06-01").1, PriceState::Stale);
    let second = TokenUsage { machine_us: 1_000_000, input: 5, ..TokenUsage::default() };
    assert_eq!(cost("local/m", second, "2026-01-01"), expected(1000, "local:machine"));
}

#[test]
fn faulty_prices_are_told_where_they_are() {
    let text = "vendors: { eu: { kind: openai } }\nmodels:\n  eu/a: { prices: [{ input_per_mtok: 1 }] }\n  \
                eu/b: { prices: [{ from: 2026-02-30, input_per_mtok: 1, output_per_mtok: -1 }] }\n  \
                eu/c: { input_per_mtok: 1, output_per_mtok: 1, prices: [{ input_per_mtok: 1, output_per_mtok: 1 }] }\n  \
                eu/d: { prices: [{ from: 2026-02-01, until: 2026-02-01, input_per_mtok: 1, output_per_mtok: 1, batch_factor: 101 }] }\n  \
                eu/e: { prices: [{ input_per_mtok: 1, output_per_mtok: 1 }, { from: 2026-01-01, input_per_mtok: 1, output_per_mtok: 1 }] }\n  \
                eu/f: { prices: [] }\n  \
                eu/g: { prices: [{ input_per_mtok: 1, output_per_mtok: 1, tiers: [{ above_tokens: 5 }, { above_tokens: 5 }] }] }\n  \
                eu/h: { prices: [{ input_per_mtok: 1, output_per_mtok: 1, tiers: [{ input_per_mtok: 5 }] }] }\n\
                local: { usd_per_hour: -1 }\n";
    insta::assert_snapshot!("price_faults", told(&read(text).expect_err("faults")));
}

#[test]
fn a_vendors_own_endpoint_needs_a_secret_and_ones_own_does_not() {
    let needs = |vendor: &str| {
        let text = format!("vendors: {{ v: {vendor} }}");
        read(&text).expect("loads").settings.vendors.values().next().expect("a vendor").needs_secret
    };
    assert!(needs("{ kind: openai }"));
    assert!(!needs("{ kind: openai, base_url: \"http://127.0.0.1:9999/v1\" }"));
    assert!(needs("{ kind: openai, base_url: \"http://127.0.0.1:9999/v1\", secret: mine }"));
    assert!(!needs("{ kind: vllm }"));
}

#[test]
fn bedrock_is_where_its_region_is() {
    let of = |fields: &str| read(&format!("vendors: {{ aws: {{ kind: bedrock{fields} }} }}\n"));
    let vendor = |fields: &str| {
        let loaded = of(fields).unwrap_or_else(|findings| panic!("{}", told(&findings)));
        loaded.settings.vendors.values().next().expect("it has one").clone()
    };
    assert_eq!(vendor(", region: eu-central-1").base_url, "https://bedrock-runtime.eu-central-1.amazonaws.com");
    let own = vendor(", region: us-east-1, base_url: https://vpce-1.example.com");
    assert_eq!((own.base_url.as_str(), own.region.as_deref()), ("https://vpce-1.example.com", Some("us-east-1")));
    for fields in ["", ", base_url: https://vpce-1.example.com", ", region: eu.evil/x"] {
        let told = told(&of(fields).expect_err("without a region nothing can be signed"));
        assert!(told.contains("`region` is missing") || told.contains("is not a region"), "{told}");
    }
    // Vertex has hosts of another form for these two; nobody else has.
    assert_eq!(vendor(", region: eu").base_url, "https://bedrock-runtime.eu.amazonaws.com");
}

#[test]
fn the_embedded_default_serves_the_model_under_both_names() {
    let settings = Settings::embedded_default("smollm2-135m-instruct");
    let names: Vec<&str> = settings.routes.keys().map(|id| id.as_str()).collect();
    assert_eq!(names, ["default", "smollm2-135m-instruct"]);
    for route in settings.routes.values() {
        assert_eq!(route.targets[0].id.to_string(), "local/smollm2-135m-instruct");
    }
}

#[test]
fn anchors_and_merges_work_and_keep_their_places() {
    let text = "\
vendors: { openai: { kind: openai } }
routes:
  a: &usual
    targets: [openai/x, local/m]
    deadlines: { total: 9s }
  b:
    <<: *usual
    mid_stream: rewind
";
    let findings = read(text).expect_err("one fault");
    assert_eq!(findings.len(), 1, "{}", told(&findings));
    assert_eq!(findings[0].line, Some(8));
    let loaded = read(&text.replace("rewind", "error")).expect("loads");
    let totals: Vec<_> = loaded.settings.routes.values().map(|route| route.deadlines.total.as_secs()).collect();
    assert_eq!(totals, [9, 9]);
}

#[test]
fn hostile_files_end_in_an_error_soon() {
    let laughs: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|n| {
            let before = vec![format!("*a{}", n - 1); 9].join(", ");
            format!("a{n}: &a{n} [{before}]\n")
        }))
        .collect();
    let maps: String = (0..3000).map(|n| format!("{}k:\n", " ".repeat(n))).collect();
    for text in
        [laughs, "[".repeat(100_000), "{a: ".repeat(100_000), maps, "x".repeat(100_000_000), "? ".repeat(100_000)]
    {
        let findings = read(&text).expect_err("hostile");
        assert!(told(&findings).len() < 2000, "{}", told(&findings));
    }
    // Many faults are cut, not listed without end.
    let many: String = (0..20_000).map(|n| format!("k{n}: 1\n")).collect();
    assert!(read(&many).expect_err("unknown keys").len() <= 500);
}

#[test]
fn the_schema_is_strict_and_names_every_kind() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        assert!(definition["description"].is_string() || definition["oneOf"].is_array(), "{name} is not described");
        if definition["type"] == "object" {
            assert_eq!(definition["additionalProperties"], false, "{name}");
        }
    }
    let kinds: Vec<&str> = VendorKind::names().collect();
    assert_eq!(schema["$defs"]["Vendor"]["properties"]["kind"]["enum"], serde_json::json!(kinds));
    for (definition, required) in [
        ("Vendor", "kind"),
        ("Route", "targets"),
        ("Alert", "kind"),
        ("Storage", "url"),
        ("Price", "input_per_mtok"),
        ("Tier", "above_tokens"),
    ] {
        assert_eq!(schema["$defs"][definition]["required"], serde_json::json!([required]), "{definition}");
    }
    let keys = |definition: &str| -> Vec<&String> {
        schema["$defs"][definition]["properties"].as_object().expect("keys").keys().collect()
    };
    insta::assert_debug_snapshot!("price_keys", (keys("Price"), keys("Tier")));
}

/// The contract's example with one thing replaced by something arbitrary.
fn mutated() -> impl Strategy<Value = String> {
    let lines = CONTRACT.lines().count();
    (0..lines, "\\PC{0,40}", any::<bool>()).prop_map(|(at, words, keep_key)| {
        let mutate = |(place, line): (usize, &str)| match (place == at, line.split_once(':')) {
            (true, Some((key, _))) if keep_key => format!("{key}: {words}\n"),
            (true, _) => format!("{words}\n"),
            (false, _) => format!("{line}\n"),
        };
        CONTRACT.lines().enumerate().map(mutate).collect()
    })
}

proptest! {
    #[test]
    fn no_text_panics_the_loader(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn whatever_is_refused_has_a_reason_and_whatever_loads_has_none(text in mutated()) {
        match read(&text) {
            Ok(loaded) => prop_assert!(loaded.findings.iter().all(|finding| finding.severity != Severity::Error)),
            Err(findings) => {
                prop_assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
                // The walk against the schema finds every fault of shape, so reading the structs never does.
                prop_assert!(!told(&findings).contains("the file cannot be read"), "{}", told(&findings));
            }
        }
    }
}

#[test]
fn tokenizers_are_known_or_an_error_that_says_which_there_are() {
    let with = |vendor: &str, model: &str| {
        let text = format!(
            "vendors:\n  own: {{ kind: vllm, tokenizer: {vendor} }}\nmodels:\n  own/m: {{ tokenizer: {model} }}\n\
             routes:\n  r: {{ targets: [own/m, own/n, local/smollm2-135m-instruct] }}\n"
        );
        read(&text)
    };
    let settings = with("\"local:smollm2-135m-instruct\"", "cl100k").expect("loads").settings;
    let counted: Vec<String> =
        settings.routes.values().flat_map(|route| &route.targets).map(|target| target.counted_by.to_string()).collect();
    assert_eq!(counted, ["cl100k", "local:smollm2-135m-instruct", "local:smollm2-135m-instruct"]);
    for (tokenizer, said) in [
        ("o200", "did you mean `o200k`?"),
        ("sentencepiece", "expected `o200k`, `cl100k`"),
        ("\"local:qwen3-4b\"", "no route names `local/qwen3-4b`"),
    ] {
        let told = told(&with("estimate", tokenizer).expect_err("is faulty"));
        assert!(told.contains(said) && told.contains("models.own/m.tokenizer"), "{told}");
    }
}

#[test]
fn an_embedding_space_is_declared_for_a_model_that_then_does_not_chat() {
    let text = "vendors: { openai: { kind: openai }, eu: { kind: azure_openai, base_url: \"https://r.openai.azure.com\" } }\n\
                models: { eu/emb: { embedding_space: text-embedding-3-small, input_per_mtok: 0.02 } }\n\
                routes: { docs: { targets: [openai/text-embedding-3-small, eu/emb] } }\n";
    let settings = read(text).expect("loads").settings;
    let route = settings.routes.values().next().expect("there is one");
    let [primary, declared] = route.targets.as_slice() else { panic!("{:?}", route.targets) };
    assert_eq!((primary.space(), declared.space()), ("text-embedding-3-small", "text-embedding-3-small"));
    assert_eq!(route.embedding_space(), Some("text-embedding-3-small"));
    assert!(primary.can.answers && !declared.can.answers && declared.can.embeddings);
    let (prices, _) = settings.prices[&declared.id].at(0).expect("a row");
    let rates = (prices.rates.get(Meter::Input), prices.rates.get(Meter::Output));
    assert_eq!(rates, (Rate::from_usd(0.02), Some(Rate::ZERO)));
    let text = "models: { local/m: { embedding_space: s } }\nroutes: { docs: { targets: [local/m] } }\n";
    let settings = read(text).expect("loads").settings;
    let local = &settings.routes.values().next().expect("there is one").targets[0];
    assert!(local.can.embeddings && !local.can.answers && !local.can.token_count);
}

#[test]
fn where_checkpoints_go_is_checked_by_kind() {
    let read_audit = |audit: &str| read(&format!("routes: {{ a: {{ targets: [local/m] }} }}\naudit: {audit}\n"));
    let good = "{ every: 5s, publish: [ { kind: file, dir: /mnt/a }, { kind: put, url: \"https://s3.example/b/\" }, \
                { kind: webhook, url: \"https://h.example/\", secret: hook }, \
                { kind: s3, url: \"https://s3.example/b\", region: eu-central-1, secret: keys } ] }";
    let audit = read_audit(good).expect("loads").settings.audit;
    assert_eq!(
        audit.publish.iter().map(|sink| (sink.kind(), sink.secret())).collect::<Vec<_>>(),
        [("file", None), ("put", None), ("webhook", Some("hook")), ("s3", Some("keys"))]
    );
    for (bad, why) in [
        ("{ every: 10ms }", "at least 1s"),
        ("{ publish: [ { kind: file } ] }", "needs `dir`"),
        ("{ publish: [ { kind: file, dir: here } ] }", "not absolute"),
        ("{ publish: [ { kind: put, url: \"ftp://x\" } ] }", "neither http nor https"),
        ("{ publish: [ { kind: put, dir: /x, url: \"https://x\" } ] }", "does not take `dir`"),
        ("{ publish: [ { kind: webhook, url: \"https://x\" } ] }", "needs `secret`"),
        ("{ publish: [ { kind: s3, url: \"https://x\", secret: keys } ] }", "needs `region`"),
        ("{ publish: [ { kind: put, url: \"https://x\", region: r } ] }", "does not take `region`"),
        ("{ publish: [ { kind: tape } ] }", "tape"),
    ] {
        let said = told(&read_audit(bad).expect_err(bad));
        assert!(said.contains(why), "{bad}: {said}");
    }
}
