//! The ledger as its readers see it: one row per call, exactly once, whatever happens to the process.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    client::{question, send},
    config::{Config, one_openai},
    home::Home,
    vendor::{Say, Vendor},
};

/// Everything that `calls list --json` prints.
pub struct Rows(Vec<Value>);

impl Rows {
    pub fn of(home: &Home) -> Self {
        let all = home.json(&["calls", "list", "--limit", "10000"]);
        Self(all.as_array().unwrap_or_else(|| panic!("a list of calls, not {all:#}")).clone())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many calls got a whole answer.
    pub fn answered(&self) -> usize {
        self.0.iter().filter(|row| row["ending"] == "answered").count()
    }

    /// The one row of the call that callers know as `id`.
    pub fn only(&self, id: &str) -> &Value {
        let rows = self.all_of(id);
        assert_eq!(rows.len(), 1, "the call {id} should be there exactly once among {:#?}", self.0);
        rows[0]
    }

    /// Every row of that call.
    pub fn all_of(&self, id: &str) -> Vec<&Value> {
        self.0.iter().filter(|row| digits(&row["id"]) == digits(&json!(id))).collect()
    }

    /// How often each call is there.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in &self.0 {
            *counts.entry(digits(&row["id"])).or_default() += 1;
        }
        counts
    }
}

/// The hex digits of a call's id, however it is written.
fn digits(id: &Value) -> String {
    let text = id.as_str().unwrap_or_else(|| panic!("a call has an id, not {id}"));
    text.trim_start_matches("req_").chars().filter(char::is_ascii_hexdigit).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_leaves_one_row_with_who_what_and_how_much() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let price = "models: { near/fake-1: { input_per_mtok: 1.0, output_per_mtok: 2.0 } }";
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]).more(price);
    let home = Home::new(&config.text());
    let gateway = home.serve();
    let request = gateway.client().post("/v1/chat/completions", &question("chat", "hi"));
    let answer = send(request.header("x-backstop-feature", "summary")).await.expect(200);
    // 11 tokens in (3 of them cached, at the input price where no other is known), 7 out.
    let cost: f64 = answer.expect_header("x-backstop-cost-usd").parse().expect("dollars");
    assert!((0.000_022..=0.000_025).contains(&cost), "{cost}");
    gateway.stop();

    let row = Rows::of(&home).only(answer.expect_header("x-request-id")).clone();
    assert_eq!((&row["tenant"], &row["feature"], &row["route"]), (&json!("acme"), &json!("summary"), &json!("chat")));
    assert_eq!((&row["ending"], &row["status"], &row["streamed"]), (&json!("answered"), &json!(200), &json!(false)));
    let attempt = &row["attempts"][0];
    assert_eq!(attempt["target"], "near/fake-1");
    let usage = &attempt["usage"];
    assert_eq!((&usage["input"], &usage["output"]), (&json!(11), &json!(7)));
    assert_eq!((&usage["cached_input"], &usage["reasoning"]), (&json!(3), &json!(2)));

    let used = home.json(&["usage", "--by", "tenant"]).to_string();
    assert!(used.contains("acme") && used.contains("11") && used.contains('7'), "{used}");
    for dimension in ["feature", "model", "vendor", "day"] {
        home.json(&["usage", "--by", dimension]);
    }
    let csv = home.ok(&["usage", "--by", "tenant", "--csv"]);
    assert!(csv.lines().count() == 2 && csv.lines().all(|line| line.contains(',')), "{csv}");
}

/// What the vendor billed is in the ledger, whether or not the caller could use it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_of_no_use_is_paid_for_all_the_same() {
    let hollow = Vendor::openai(Say::Text("")).await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = Config::warn().vendor("hollow", "openai", &hollow.url()).vendor("good", "anthropic", &good.url());
    let home = Home::new(&config.route("chat", &["hollow/x", "good/y"]).text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.chat_text(), "rescued");
    gateway.stop();
    let rows = Rows::of(&home);
    let attempt = &rows.only(answer.expect_header("x-request-id"))["attempts"][0];
    assert_eq!(
        (&attempt["fault"], &attempt["usage_source"]),
        (&json!("empty_answer"), &json!("reported")),
        "{attempt:#}"
    );
    assert_eq!((&attempt["usage"]["input"], &attempt["usage"]["output"]), (&json!(11), &json!(7)), "{attempt:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn after_kill_9_under_load_every_answered_call_is_there_exactly_once() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&one_openai(&vendor.url()));
    let mut answered = BTreeSet::new();
    for _ in 0..3 {
        let gateway = home.serve();
        let client = gateway.client();
        let load = tokio::spawn(async move {
            let ask = |number: usize| {
                let client = client.clone();
                async move {
                    let mut body = question("chat", "hi");
                    body["stream"] = json!(number.is_multiple_of(2));
                    let response = client.post("/v1/chat/completions", &body).send().await.ok()?;
                    let id = response.headers().get("x-request-id")?.to_str().ok()?.to_owned();
                    let (status, body) = (response.status().as_u16(), response.text().await.ok()?);
                    (status == 200 && (body.contains("[DONE]") || body.contains("\"stop\""))).then_some(id)
                }
            };
            use futures_util::StreamExt as _;
            let all = futures_util::stream::iter((0..3000).map(ask)).buffer_unordered(16);
            all.filter_map(std::future::ready).collect::<Vec<String>>().await
        });
        // In the middle of it, by count and not by the clock.
        vendor.asked(vendor.seen_count() + 400).await;
        gateway.kill();
        let ids = load.await.expect("the load does not panic");
        assert!((100..3000).contains(&ids.len()), "{} calls were answered before the kill", ids.len());
        answered.extend(ids.iter().map(|id| digits(&json!(id))));
    }
    home.serve().stop();
    let rows = Rows::of(&home);
    let counts = rows.counts();
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "counted more than once: {twice:?}");
    let missing: Vec<_> = answered.iter().filter(|id| !counts.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} answered calls are missing: {missing:?}", missing.len(), answered.len());
    assert!(rows.0.iter().all(|row| row["ending"] != "open"), "a restart closes what the kill left open");
}
