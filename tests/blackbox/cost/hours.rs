//! Prices that depend on the hour of the day, and a vendor whose prices are its list's with something on top.

use serde_json::json;

use super::micros;
use crate::{
    client::question,
    config::Config,
    home::Home,
    vendor::{Say, Vendor},
};

/// The time of day in UTC, so many hours from now, as `HH:MM`.
fn time(hours_from_now: i64) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let minute = (since.as_secs() as i64 / 60 + hours_from_now * 60).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_hour_at_which_a_call_begins_and_the_vendors_factor_make_its_price() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let price = |from: i64, until: i64| {
        let hours = format!("hours: [{{ from: \"{}\", until: \"{}\", factor: 2 }}]", time(from), time(until));
        format!("{{ prices: [{{ input_per_mtok: 100, output_per_mtok: 200, {hours} }}] }}")
    };
    let models = format!("models: {{ near/peak: {}, near/quiet: {} }}", price(-2, 2), price(3, 5));
    let config = Config::warn()
        .vendor_with("near", &format!("kind: openai, base_url: \"{}/v1\", price_factor: 100", vendor.url()))
        .route("peak", &["near/peak"])
        .route("quiet", &["near/quiet"])
        .route("list", &["near/gpt-4o-mini"]);
    let home = Home::new(&config.more(&models).text());
    let gateway = home.serve();
    let mut cost = Vec::new();
    for route in ["peak", "quiet", "list"] {
        let answer = gateway.client().chat(&question(route, "hi")).await.expect(200);
        cost.push(micros(answer.expect_header("x-backstop-cost-usd")));
    }
    // 11 tokens in, 3 of them cached, and 7 out: at 100 and 200 USD a million, twice that, and a hundred times 0.15, 0.075 and 0.60.
    assert_eq!(cost, [5000, 2500, 563]);
    gateway.stop();
    let used = home.json(&["usage", "--by", "target,price_row"]);
    let row = used.as_array().into_iter().flatten().find(|row| row["target"] == "near/gpt-4o-mini");
    assert_eq!(row.map(|row| &row["price_row"]), Some(&json!("shipped:openai/gpt-4o-mini@always×100")), "{used:#}");
    let shown = home.json(&["prices", "show", "near/peak"]);
    assert_eq!(shown[0]["hours"][0], json!({"from": time(-2), "until": time(2), "factor": "2"}), "{shown:#}");
    assert!(home.ok(&["prices", "show", "near/peak"]).contains("UTC × 2"));
    // What is used is rated anew by the same hours: nothing to correct.
    assert_eq!(home.run(&["prices", "check"]).code, Some(0), "{:?}", home.run(&["prices", "check"]));
}
