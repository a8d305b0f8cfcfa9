//! Limits as callers and operators meet them: how much, from where, at what cost; told in the caller's dialect, kept under
//! concurrency and across crashes.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    client::{Answer, anthropic_question, many, question, send},
    config::Config,
    home::Home,
    vendor::{Piece, Reply, Say, Vendor},
};

/// 11 tokens in at 100 USD a million, 7 out at 200: a call costs 0.0025 USD.
const PRICE: &str = "models: { near/fake-1: { input_per_mtok: 100, output_per_mtok: 200 } }";
const COST_MICROS: i64 = 2500;

fn config(vendor: &Vendor, tenant: &str, more: &str) -> String {
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    config.more(more).text().replace("acme: {}", &format!("acme: {{ {tenant} }}"))
}

fn short_question() -> Value {
    let mut body = question("chat", "hi");
    body["max_tokens"] = json!(10);
    body
}

/// The row of `limits show acme` for one limit of the tenant itself.
fn shown(home: &Home, limit: &str) -> Value {
    let rows = home.json(&["limits", "show", "acme"]);
    let of = |row: &&Value| row["subject"] == "tenant" && row["limit"] == limit;
    rows.as_array().and_then(|rows| rows.iter().find(of)).unwrap_or_else(|| panic!("no {limit} in {rows:#}")).clone()
}

fn micros(usd: &Value) -> i64 {
    let usd = usd.as_str().unwrap_or_else(|| panic!("dollars, not {usd}"));
    usd.replace('.', "").parse().expect("dollars with six decimals")
}

fn spent_in_ledger(home: &Home) -> i64 {
    let used = home.json(&["usage", "--by", "tenant"]);
    used[0]["cost_micros"].as_i64().unwrap_or(0)
}

fn retry_after(answer: &Answer) -> u64 {
    answer.expect_header("retry-after").parse().expect("seconds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rate_is_kept_and_told_in_both_dialects() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "rpm: 600", ""));
    let gateway = home.serve();
    let client = gateway.client();
    let first = client.chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(first.expect_header("x-ratelimit-limit-requests"), "600");
    assert_eq!(first.expect_header("x-ratelimit-remaining-requests"), "599");
    // By verb, in the running gateway; the smaller of both limits counts.
    home.ok(&["tenants", "limit", "acme", "--rpm", "4"]);
    let rows = home.json(&["tenants", "list"]);
    assert_eq!(rows[0]["rpm"], 4, "{rows:#}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let answer = client.messages(&anthropic_question("chat", "hi")).await.expect(200);
    assert_eq!(answer.expect_header("anthropic-ratelimit-requests-limit"), "4");
    assert_eq!(answer.expect_header("anthropic-ratelimit-requests-remaining"), "2");
    assert!(answer.expect_header("anthropic-ratelimit-requests-reset").ends_with('Z'));
    client.chat(&question("chat", "hi")).await.expect(200);
    client.chat(&question("chat", "hi")).await.expect(200);

    let refused = client.chat(&question("chat", "hi")).await.expect(429);
    assert!((1..=62).contains(&retry_after(&refused)), "{refused:?}");
    assert_eq!(refused.expect_header("x-ratelimit-remaining-requests"), "0");
    let error = refused.openai_error();
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("tenant `acme`")), "{error:#}");
    let refused = client.messages(&anthropic_question("chat", "hi")).await.expect(429);
    assert_eq!(refused.anthropic_error()["type"], "rate_limit_error");
    assert_eq!(refused.expect_header("anthropic-ratelimit-requests-remaining"), "0");
    retry_after(&refused);
    assert_eq!(vendor.seen_count(), 4, "a refused call is nobody else's");

    // What a running gateway has counted is written down every second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let row = shown(&home, "rpm");
    assert_eq!((&row["max"], &row["used"], &row["left"]), (&json!(4), &json!(4), &json!(0)), "{row:#}");
    assert!(row["resets_unix_ms"].is_i64(), "{row:#}");
    assert!(home.ok(&["limits", "show", "acme"]).contains("rpm"));
    // A restart forgets nothing.
    gateway.stop();
    assert_eq!(shown(&home, "rpm")["used"], 4, "without a server too");
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(429);
    home.ok(&["tenants", "limit", "acme", "--rpm", "none"]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gateway.client().chat(&question("chat", "hi")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_features_models_and_tokens_have_limits_of_their_own() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "features: { search: { rpm: 1 } }, models: { chat: { rpm: 6 } }", ""));
    let gateway = home.serve();
    let ask = |key: &str, feature: &'static str| {
        let request = gateway.client().with_key(key).post("/v1/chat/completions", &short_question());
        send(request.header("x-backstop-feature", feature))
    };
    let issue = |args: &[&str]| home.ok(&[&["keys", "issue", "--tenant", "acme"], args].concat()).trim().to_owned();
    ask(gateway.key(), "search").await.expect(200);
    let refused = ask(gateway.key(), "search").await.expect(429).openai_error();
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("feature `search` of tenant `acme`")),
        "{refused}"
    );
    let narrow = issue(&["--rpm", "1"]);
    ask(&narrow, "a").await.expect(200);
    ask(&narrow, "a").await.expect(429);
    // An estimate of some forty tokens, then what the vendor says: 18.
    let few = issue(&["--tpm", "60"]);
    ask(&few, "a").await.expect(200);
    ask(&few, "a").await.expect(200);
    let refused = ask(&few, "a").await.expect(429);
    assert_eq!(refused.expect_header("x-ratelimit-limit-tokens"), "60");
    // Alone too large: waiting does not help, and it is not asked to.
    let mut large = question("chat", &"word ".repeat(200));
    large["max_tokens"] = json!(10);
    let refused = gateway.client().with_key(&few).chat(&large).await.expect(429);
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), (None, Some("false")));
    for _ in 0..2 {
        ask(gateway.key(), "b").await.expect(200);
    }
    let refused = ask(gateway.key(), "b").await.expect(429).openai_error();
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("model `chat`")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_address_is_limited_where_it_is_known_and_cannot_be_made_up() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home =
        Home::new(&config(&vendor, "", "limits: { per_ip: { rpm: 2 } }\ntrusted_proxies: [127.0.0.1, 10.0.0.0/8]"));
    let gateway = home.serve();
    let client = gateway.client();
    let from = async |header: &'static str, hops: &str| {
        send(client.post("/v1/chat/completions", &question("chat", "hi")).header(header, hops)).await.status
    };
    let list = "x-forwarded-for";
    assert_eq!(
        (from(list, "192.0.2.1").await, from(list, "192.0.2.1").await, from(list, "192.0.2.1").await),
        (200, 200, 429)
    );
    // What a caller writes in front of what the proxy wrote.
    assert_eq!(from(list, "8.8.8.8, 192.0.2.1").await, 429);
    assert_eq!(from(list, "8.8.4.4, 192.0.2.1, 10.0.0.5").await, 429);
    assert_eq!(from("forwarded", "for=8.8.8.8, for=192.0.2.1;proto=https").await, 429);
    assert_eq!(from(list, "192.0.2.2").await, 200);
    // All addresses of one /64 are one customer's.
    assert_eq!(from(list, "2001:db8:1:2::1").await, 200);
    assert_eq!(from("forwarded", "for=\"[2001:db8:1:2:ffff::9]:4711\"").await, 200);
    assert_eq!(from(list, "2001:db8:1:2:aaaa::7").await, 429);
    assert_eq!(from(list, "2001:db8:1:3::1").await, 200);
    drop(gateway);
    // Without a trusted proxy nobody's word counts.
    home.configure(&config(&vendor, "", "limits: { per_ip: { rpm: 2 } }"));
    let gateway = home.serve();
    let client = gateway.client();
    let mut statuses = Vec::new();
    for number in 0..4 {
        let request = client.post("/v1/chat/completions", &question("chat", "hi"));
        statuses.push(send(request.header(list, format!("192.0.2.{number}"))).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_call_has_ceilings() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "max_tokens: 100, max_body: 4KiB, max_usd_per_call: 0.05", PRICE));
    let gateway = home.serve();
    let client = gateway.client();
    let with = |max_tokens: u64| {
        let mut body = question("chat", "hi");
        body["max_tokens"] = json!(max_tokens);
        body
    };
    let error = client.chat(&with(101)).await.expect(400).openai_error();
    assert_eq!((&error["param"], &error["code"]), (&json!("max_tokens"), &json!("max_tokens_exceeded")));
    client.chat(&with(u64::from(u32::MAX))).await.expect(400);
    client.chat(&with(100)).await.expect(200);
    // Who does not say gets the ceiling, in a body that is the caller's own but for that.
    let mut plain = question("chat", "hi");
    plain["max_completion_tokens"] = Value::Null;
    client.chat(&plain).await.expect(200);
    let asked = vendor.seen()[1].json();
    assert_eq!(asked["max_completion_tokens"], 100, "{asked:#}");
    assert_eq!(vendor.seen()[1].body.windows(23).filter(|at| at == b"\"max_completion_tokens\"").count(), 1);
    // Ten answers of a hundred tokens may cost 0.2 USD.
    let mut many = with(100);
    many["n"] = json!(10);
    let error = client.chat(&many).await.expect(400).openai_error();
    assert_eq!(error["code"], "cost_limit_exceeded", "{error:#}");
    client.chat(&question("chat", &"x".repeat(5000))).await.expect(413);
    assert_eq!(vendor.seen_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_more_calls_are_answered_at_once_than_allowed_and_a_place_is_free_again() {
    let go = Arc::new(Notify::new());
    let waiting = Arc::clone(&go);
    let vendor = Vendor::start(move |_, seen| {
        let Reply::Stream { mut pieces, end } = Reply::openai(seen, &Say::Text("hello")) else { panic!("a stream") };
        pieces.insert(1, Piece::Until(Arc::clone(&waiting)));
        Reply::Stream { pieces, end }
    })
    .await;
    let home = Home::new(&config(&vendor, "concurrency: 2", ""));
    let gateway = home.serve();
    let client = gateway.client();
    let ask = || {
        let (client, mut body) = (client.clone(), question("chat", "hi"));
        body["stream"] = json!(true);
        tokio::spawn(async move { send(client.post("/v1/chat/completions", &body)).await.status })
    };
    let (first, second) = (ask(), ask());
    vendor.asked(2).await;
    let refused = client.chat(&question("chat", "hi")).await.expect(429);
    assert_eq!(refused.openai_error()["code"], "rate_limit_exceeded");
    assert_eq!(retry_after(&refused), 1);
    // One hangs up: its place is free.
    first.abort();
    let third = loop {
        let third = ask();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if vendor.seen_count() == 3 {
            break third;
        }
        assert!(third.is_finished(), "refused, until the gateway has seen that the first is gone");
    };
    go.notify_waiters();
    tokio::time::sleep(Duration::from_millis(200)).await;
    go.notify_waiters();
    assert_eq!((second.await.expect("runs"), third.await.expect("runs")), (200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_budget_is_overspent_by_nothing_at_any_concurrency_and_across_a_crash() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "budget_usd_per_day: 0.5", PRICE));
    let gateway = home.serve();
    let keys: Vec<String> = (0..4).map(|_| home.key()).collect();
    let client = gateway.client();
    let ask =
        |number: usize| client.with_key(&keys[number % keys.len()]).post("/v1/chat/completions", &short_question());
    let answers = many(700, 100, ask).await;
    let answered = answers.iter().filter(|answer| answer.status == 200).count() as i64;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)), "nothing else");
    assert!(answered * COST_MICROS <= 500_000, "{answered} calls cost more than the budget");
    // One after the other, until the budget does not cover another one.
    let mut answered = answered;
    let refused = loop {
        let answer = send(ask(0)).await;
        if answer.status == 429 {
            break answer;
        }
        answered += 1;
    };
    let error = refused.openai_error();
    assert_eq!((&error["code"], &error["type"]), (&json!("insufficient_quota"), &json!("insufficient_quota")));
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("tenant `acme`") && message.contains("this day") && message.contains("T00:00:00Z"),
        "{message}"
    );
    assert!(retry_after(&refused) <= 86_400);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert!(answered * COST_MICROS > 470_000, "{answered} calls: what was reserved is given back");
    let refused = client.messages(&anthropic_question("chat", "hi")).await.expect(429);
    assert_eq!(refused.anthropic_error()["type"], "rate_limit_error");

    tokio::time::sleep(Duration::from_millis(1500)).await;
    let row = shown(&home, "budget_usd_per_day");
    assert_eq!((micros(&row["used"]), micros(&row["reserved"])), (answered * COST_MICROS, 0), "{row:#}");
    gateway.kill();
    let gateway = home.serve();
    let refused = gateway.client().chat(&short_question()).await.expect(429);
    assert_eq!(refused.openai_error()["code"], "insufficient_quota");
    gateway.stop();
    assert_eq!(
        (spent_in_ledger(&home), micros(&shown(&home, "budget_usd_per_day")["used"])),
        (answered * COST_MICROS, answered * COST_MICROS)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_under_load_the_budget_is_what_the_ledger_says() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&config(&vendor, "budget_usd_per_month: 400", PRICE));
    for round in 0..2 {
        let gateway = home.serve();
        let client = gateway.client();
        let load = tokio::spawn(async move {
            let ask = |number: usize| {
                let (client, mut body) = (client.clone(), short_question());
                body["stream"] = json!(number.is_multiple_of(2));
                async move {
                    _ = client.post("/v1/chat/completions", &body).send().await.ok()?.text().await;
                    Some(())
                }
            };
            use futures_util::StreamExt as _;
            futures_util::stream::iter((0..2000).map(ask)).buffer_unordered(32).count().await
        });
        vendor.asked(vendor.seen_count() + 300).await;
        gateway.kill();
        load.await.expect("the load does not panic");
        let used = micros(&shown(&home, "budget_usd_per_month")["used"]);
        let gateway = home.serve();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let running = micros(&shown(&home, "budget_usd_per_month")["used"]);
        gateway.stop();
        let ledger = spent_in_ledger(&home);
        assert!(ledger > 0 && used == ledger && running == ledger, "round {round}: {used} {running} {ledger}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_route_may_go_on_with_the_cheapest_target_or_its_own_hardware() {
    let dear = Vendor::openai(Say::Text("dear")).await;
    let cheap = Vendor::openai(Say::Text("cheap")).await;
    let own = Vendor::openai(Say::Text("own")).await;
    let targets = ["dear/a", "cheap/b", "own/c"];
    let config = Config::warn()
        .vendor("dear", "openai", &dear.url())
        .vendor("cheap", "openai", &cheap.url())
        .vendor_with("own", &format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", own.url()))
        .route_with("cheapest", &targets[..2], "on_budget: cheapest")
        .route_with("local", &targets, "on_budget: local")
        .route_with("refuse", &targets, "on_budget: refuse")
        .more("models: { dear/a: { input_per_mtok: 1000, output_per_mtok: 1000 }, cheap/b: { input_per_mtok: 1, output_per_mtok: 1 } }");
    let home = Home::new(&config.text().replace("acme: {}", "acme: { budget_usd_per_week: 0.05 }"));
    let gateway = home.serve();
    let ask = async |route: &str| {
        let mut body = question(route, "hi");
        body["max_tokens"] = json!(10);
        gateway.client().chat(&body).await
    };
    // What the dear one may cost, some 0.2 USD, is more than there is.
    let answer = ask("cheapest").await.expect(200);
    assert_eq!((answer.expect_header("x-backstop-served-by"), answer.chat_text().as_str()), ("cheap/b", "cheap"));
    let answer = ask("local").await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "own/c");
    ask("refuse").await.expect(429);
    assert_eq!(dear.seen_count(), 0);
    gateway.stop();
    let call = home.ok(&["calls", "show", answer.expect_header("x-request-id")]);
    assert!(call.contains("over_budget"), "{call}");
}

/// The first target costs something and breaks; the second is asked only as far as the budget covers both.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn falling_over_does_not_overspend_and_an_unknown_price_is_not_zero() {
    let hollow = Vendor::openai(Say::Text("")).await;
    let good = Vendor::openai(Say::Text("rescued")).await;
    let config = Config::warn()
        .vendor("hollow", "openai", &hollow.url())
        .vendor("good", "openai", &good.url())
        .vendor("free", "openai", &good.url())
        .route("chat", &["hollow/x", "good/y"])
        .route("unpriced", &["free/z"])
        .more("models: { hollow/x: { input_per_mtok: 100, output_per_mtok: 200 }, good/y: { input_per_mtok: 100, output_per_mtok: 200 } }");
    // A call may cost some 0.016 USD at worst, and 0.0025 in truth.
    let home = Home::new(&config.text().replace("acme: {}", "acme: { budget_usd_per_day: 0.017 }"));
    let gateway = home.serve();
    let answer = gateway.client().chat(&short_question()).await;
    assert_eq!((answer.status, good.seen_count()), (503, 0), "0.0025 spent, 0.016 more might not fit: {answer:?}");
    assert!(answer.body.contains("over_budget"), "{answer:?}");
    let mut unpriced = short_question();
    unpriced["model"] = json!("unpriced");
    let error = gateway.client().chat(&unpriced).await.expect(429).openai_error();
    assert!(error["message"].as_str().is_some_and(|text| text.contains("price")), "{error:#}");
    gateway.stop();
    assert_eq!(spent_in_ledger(&home), COST_MICROS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_soft_budget_is_told_at_its_marks_and_refuses_nobody() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let receiver = Vendor::start(|_, _| Reply::json(200, &json!({}))).await;
    let sink = format!("alerts: [{{ kind: webhook, url: \"{}/hook\", signing_secret: hook-key }}]", receiver.url());
    let home = Home::new(&config(&vendor, "budget_usd_per_day: 0.01, budget_kind: soft", &format!("{PRICE}\n{sink}")));
    home.secret("hook-key", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let gateway = home.serve();
    for _ in 0..6 {
        gateway.client().chat(&short_question()).await.expect(200);
    }
    receiver.asked(2).await;
    let told = || -> Vec<String> {
        let data = receiver.seen();
        data.iter().map(|seen| seen.json()["data"]["summary"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while told().len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", told());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = told();
    assert!(told[0].contains("tenant `acme`") && told[0].contains("50 %"), "{told:?}");
    assert!(told.iter().any(|text| text.contains("100 %")), "{told:?}");
    assert_eq!(shown(&home, "budget_usd_per_day")["kind"], "soft");
}
