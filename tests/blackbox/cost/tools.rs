//! Fees for tools that vendors run themselves: read from their answers, priced, summed, set aside for; and listed where none is known.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{attempt, micros, sums::recomputed};
use crate::{
    client::{anthropic_question, responses_question, send},
    config::Config,
    home::Home,
    vendor::{End, Reply, Seen, Vendor},
};

/// 10 tokens in at 1 USD a million, 10 out at 2: 30 micro-dollars beside the fees.
const TOKENS: &str = "input_per_mtok: 1, output_per_mtok: 2";
const FEES: &str = "per_web_search: 0.01, per_file_search: 0.0025, per_code_session: 0.03";

fn config(vendor: &Vendor, kind: &str, rates: &str, tenant: &str) -> String {
    let entry = format!("kind: {kind}, base_url: \"{}/v1\"", vendor.url());
    let config = Config::warn().vendor_with("near", &entry).route("chat", &["near/fake-1"]);
    let prices = format!("models: {{ near/fake-1: {{ prices: [{{ {rates} }}] }} }}");
    config.more(&prices).text().replace("acme: {}", &format!("acme: {{ {tenant} }}"))
}

fn response() -> Value {
    let search = |action: &str| json!({"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": action}});
    let code = json!({"type": "code_interpreter_call", "id": "ci", "status": "completed", "container_id": "cntr_1"});
    let text = json!({"type": "output_text", "text": "hi", "annotations": []});
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": null,
        "output": [
            search("search"), search("open_page"), search("search"), code, code,
            {"type": "file_search_call", "id": "fs", "status": "completed", "queries": ["a"]},
            {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [text]}
        ],
        "usage": {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}
    })
}

fn openai(_: usize, seen: &Seen) -> Reply {
    let response = response();
    if seen.json()["stream"] != true {
        return Reply::json(200, &response);
    }
    let event = |kind: &str, more: Value| {
        let mut event = json!({"type": kind});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let delta = json!({"item_id": "msg", "output_index": 6, "content_index": 0, "delta": "hi"});
    let events = [
        event("response.created", json!({"response": {"id": "resp_1", "status": "in_progress", "output": []}})),
        event("response.output_text.delta", delta),
        event("response.completed", json!({"response": response})),
    ];
    Reply::events(&events, End::Whole)
}

fn anthropic(_: usize, _: &Seen) -> Reply {
    Reply::json(
        200,
        &json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": null,
            "content": [
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {"type": "text", "text": "hi"}
            ],
            "usage": {"input_tokens": 10, "output_tokens": 10, "server_tool_use": {"web_search_requests": 2}}
        }),
    )
}

fn searching(max_uses: u64) -> Value {
    let mut body = anthropic_question("chat", "hi");
    body["tools"] = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": max_uses}]);
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn uses_of_openais_tools_are_in_the_cost_the_sums_and_the_export() {
    let vendor = Vendor::start(openai).await;
    let home = Home::new(&config(&vendor, "openai", &format!("{TOKENS}, {FEES}"), ""));
    home.secret("near", "sk-test");
    let gateway = home.serve();
    let mut body = responses_question("chat", "hi");
    body["tools"] = json!([{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["v"]},
        {"type": "code_interpreter", "container": {"type": "auto"}}]);
    let whole = gateway.client().post("/v1/responses", &body);
    let whole = send(whole).await.expect(200);
    // Two searches, one of files, one container; what was opened is free.
    const COST: i64 = 30 + 2 * 10_000 + 2500 + 30_000;
    assert_eq!(micros(whole.expect_header("x-backstop-cost-usd")), COST);
    body["stream"] = json!(true);
    let streamed = send(gateway.client().post("/v1/responses", &body)).await.expect(200);
    gateway.stop();
    for answer in [&whole, &streamed] {
        let attempt = attempt(&home, answer);
        assert_eq!((&attempt["cost"], &attempt["priced"]), (&json!(COST), &json!("valid")), "{attempt:#}");
        assert_eq!(attempt["usage"]["web_searches"], 2, "{attempt:#}");
    }
    let usage = home.json(&["usage", "--by", "target"]);
    let uses = ["web_searches", "file_searches", "code_sessions"].map(|uses| usage[0][uses].as_u64());
    assert_eq!((uses, &usage[0]["cost_micros"]), ([Some(4), Some(2), Some(2)], &json!(2 * COST)), "{usage:#}");
    let focus = home.ok(&["usage", "--format", "focus"]);
    let line =
        |meter: &str| focus.lines().find(|line| line.contains(meter)).unwrap_or_else(|| panic!("no {meter}: {focus}"));
    assert!(line("/web_search").contains("Searches") && line("/web_search").contains("0.04"), "{focus}");
    assert!(line("/code_session").contains("Sessions") && line("/file_search").contains("0.005"), "{focus}");
    let shown = home.ok(&["prices", "show", "near/fake-1"]);
    assert!(shown.contains("USD per search") && shown.contains("USD per session"), "{shown}");
    assert!(home.ok(&["prices", "check"]).contains("unchanged"));
    let rates =
        json!({"input": "1", "output": "2", "web_search": "0.01", "file_search": "0.0025", "code_session": "0.03"});
    let sql = recomputed(&home, &json!({"near/fake-1": rates}));
    assert_eq!((&sql["wrong"], &sql["total_micros"]), (&json!([]), &json!(2 * COST)), "{sql:#}");
    let shipped = home.json(&["prices", "show", "gpt-5"]).to_string();
    assert!(shipped.contains("web_search") && shipped.contains("0.0025"), "{shipped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_without_a_fee_is_listed_and_never_silently_free() {
    let vendor = Vendor::start(anthropic).await;
    let home = Home::new(&config(&vendor, "anthropic", TOKENS, ""));
    home.secret("near", "sk-test");
    let gateway = home.serve();
    let answer = gateway.client().messages(&searching(5)).await.expect(200);
    // Under a hard budget nobody is asked who may cost any amount.
    home.ok(&["tenants", "limit", "acme", "--budget-usd-per-day", "100"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while gateway.client().messages(&searching(5)).await.status != 429 {
        assert!(Instant::now() < deadline, "it is asked all the same");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.client().messages(&anthropic_question("chat", "hi")).await.expect(200);
    gateway.stop();
    assert_eq!(attempt(&home, &answer)["priced"], "partial");
    let ran = home.run(&["prices", "check", "--json"]);
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &found[0]["state"]), (Some(1), &json!("partial")), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_tools_may_cost_is_set_aside_as_the_caller_bounds_their_uses() {
    let vendor = Vendor::start(anthropic).await;
    // A search is 0.01 USD and 25,000 tokens of results at 1 USD a million at most: 0.035 USD.
    let rates = format!("{TOKENS}, {FEES}");
    let home = Home::new(&config(&vendor, "anthropic", &rates, "max_usd_per_call: 0.12"));
    home.secret("near", "sk-test");
    let gateway = home.serve();
    let client = gateway.client();
    let answer = client.messages(&searching(3)).await.expect(200);
    assert_eq!(micros(answer.expect_header("x-backstop-cost-usd")), 30 + 2 * 10_000);
    let refused = client.messages(&searching(4)).await.expect(400).anthropic_error();
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("0.14")), "{refused}");
    let mut unsaid = searching(1);
    unsaid["tools"][0].as_object_mut().expect("an object").remove("max_uses");
    client.messages(&unsaid).await.expect(400);
    assert_eq!(vendor.seen_count(), 1);
}
