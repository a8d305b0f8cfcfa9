//! What finance asks: which calls have no price, what a correction makes of them, and that nothing stored changes by it.

use serde_json::{Value, json};

use super::attempt;
use crate::{
    client::question,
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

/// 11 tokens in, 3 of them cached; 7 out.
fn config(vendor: &Vendor, prices: &str) -> String {
    let config = Config::warn().vendor("near", "openai_compatible", &vendor.url()).route("chat", &["near/fake-1"]);
    config.more(prices).text()
}

fn checked(home: &Home, code: i32) -> Value {
    let ran = home.run(&["prices", "check", "--json"]);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_without_a_price_is_found_and_a_correction_is_seen_and_changes_nothing_stored() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, ""));
    assert_eq!(checked(&home, 0), json!([]), "nobody has called");
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert!(answer.header("x-backstop-cost-usd").is_none(), "a wrong figure is worse than none");
    gateway.stop();
    let missing = checked(&home, 1);
    assert_eq!(
        (&missing[0]["target"], &missing[0]["state"]),
        (&json!("near/fake-1"), &json!("missing")),
        "{missing:#}"
    );
    assert_eq!((&missing[0]["attempts"], &missing[0]["unpriced_today"]), (&json!(1), &json!(1)), "{missing:#}");
    assert_eq!(missing[0]["call"], answer.expect_header("x-request-id"));
    let said = home.run(&["prices", "check"]);
    assert!(said.code == Some(1) && said.stdout.contains("without a price in the config: near/fake-1"), "{said:?}");

    // The price is found out. Yesterday's call has none as before; what it would have cost is said.
    home.configure(&config(&vendor, "models: { near/fake-1: { input_per_mtok: 100, output_per_mtok: 1000 } }"));
    let missing = checked(&home, 1);
    assert_eq!((&missing[0]["state"], &missing[0]["today_micros"]), (&json!("missing"), &json!(8100)), "{missing:#}");
    let usage = home.json(&["usage", "--by", "target"]);
    assert_eq!((&usage[0]["cost_micros"], &usage[0]["unpriced_attempts"]), (&json!(0), &json!(1)), "{usage:#}");
    let rerated = home.json(&["usage", "--by", "target", "--rerate"]);
    assert_eq!(
        (&rerated[0]["cost_micros"], &rerated[0]["rerated_micros"], &rerated[0]["difference_micros"]),
        (&json!(0), &json!(8100), &json!(8100)),
        "{rerated:#}"
    );
    assert_eq!(attempt(&home, &answer)["cost"], Value::Null);

    // A priced call, and then the price is corrected: found, not changed.
    let gateway = home.serve();
    let second = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(second.expect_header("x-backstop-cost-usd"), "0.008100");
    gateway.stop();
    let since = ["--only", "priced=valid"];
    let row = home.json(&[&["usage", "--by", "priced,price-row"], &since[..]].concat());
    assert_eq!((&row[0]["priced"], &row[0]["price_row"]), (&json!("valid"), &json!("config:always")), "{row:#}");
    home.configure(&config(&vendor, "models: { near/fake-1: { input_per_mtok: 100, output_per_mtok: 2000 } }"));
    let found = checked(&home, 1);
    let corrected =
        found.as_array().expect("a list").iter().find(|one| one["state"] == "corrected").expect("it is found");
    assert_eq!((&corrected["cost_micros"], &corrected["today_micros"]), (&json!(8100), &json!(15_100)), "{found:#}");
    assert_eq!(attempt(&home, &second)["cost"], 8100);
    let calls = home.run(&["prices", "check", "--calls", "--json"]);
    assert!(calls.stdout.contains(second.expect_header("x-request-id")), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_row_that_has_ended_goes_on_to_count_and_says_that_it_is_stale() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let rows = "models: { near/fake-1: { prices: [{ until: 2020-01-01, input_per_mtok: 1, output_per_mtok: 1 }, \
                { from: 2020-01-01, until: 2021-01-01, input_per_mtok: 100, output_per_mtok: 1000 }] } }";
    let home = Home::new(&config(&vendor, rows));
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-cost-usd"), "0.008100");
    gateway.stop();
    let row = attempt(&home, &answer);
    assert_eq!((&row["priced"], &row["price_row"]), (&json!("stale"), &json!("config:2020-01-01")), "{row:#}");
    let found = checked(&home, 1);
    assert_eq!((&found[0]["state"], &found[0]["cost_micros"]), (&json!("stale"), &json!(8100)), "{found:#}");
    assert!(home.ok(&["usage"]).contains("1 attempts have a stale or partial price"));

    // What counts when, as `show` and `list` tell it.
    let shown = home.json(&["prices", "show", "near/fake-1", "--at", "2019-06-01"]);
    assert_eq!((&shown[0]["state"], &shown[0]["until"]), (&json!("valid"), &json!("2020-01-01")), "{shown:#}");
    assert_eq!((&shown[1]["state"], &shown[1]["usd"]["output"]), (&Value::Null, &json!("1000")), "{shown:#}");
    let listed = home.json(&["prices", "list"]);
    assert_eq!((&listed[0]["target"], &listed[0]["state"]), (&json!("near/fake-1"), &json!("stale")), "{listed:#}");
    assert!(home.ok(&["prices", "show", "gpt-4o-mini"]).contains("0.15 USD per million tokens"));
    assert!(home.ok(&["prices", "list", "--shipped"]).contains("anthropic/claude-sonnet-5"));
    let unknown = home.run(&["prices", "show", "no-such-model"]).expect_failure();
    assert!(unknown.contains("no price is known for `no-such-model`"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_row_does_not_price_counts_as_what_it_is_part_of_and_is_found() {
    let vendor = Vendor::start(|number, _| {
        let message = json!({"role": "assistant", "content": "hi", "refusal": null});
        let sound = if number == 0 { 100 } else { 0 };
        let tier = if number == 1 { json!("priority") } else { json!({"odd": true}) };
        Reply::json(
            200,
            &json!({
                "id": "c", "object": "chat.completion", "created": 1, "model": "m", "service_tier": tier,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 200, "completion_tokens": 10, "prompt_tokens_details": {"audio_tokens": sound}}
            }),
        )
    })
    .await;
    let home = Home::new(&config(&vendor, "models: { near/fake-1: { input_per_mtok: 1, output_per_mtok: 10 } }"));
    let gateway = home.serve();
    for expected in ["partial", "partial", "valid"] {
        let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
        assert_eq!(answer.expect_header("x-backstop-cost-usd"), "0.000300");
        assert_eq!(attempt(&home, &answer)["priced"], expected);
    }
    let metrics = gateway.client().get("/metrics").await.expect(200).body;
    assert!(
        metrics.contains("backstop_doubtful_prices_total{target=\"near/fake-1\",state=\"partial\"} 2"),
        "{metrics}"
    );
    gateway.stop();
    let found = checked(&home, 1);
    assert_eq!((&found[0]["state"], &found[0]["attempts"]), (&json!("partial"), &json!(2)), "{found:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_price_that_was_right_passes() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "models: { near/fake-1: { input_per_mtok: 1, output_per_mtok: 2 } }"));
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
    gateway.stop();
    assert_eq!(checked(&home, 0), json!([]));
    assert!(home.ok(&["prices", "check"]).contains("every call was priced by a row that was valid"));
}
