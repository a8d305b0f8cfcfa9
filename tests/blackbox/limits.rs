//! Rates and ceilings as callers and operators meet them: how much, from where; told in the caller's dialect.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    client::{Answer, anthropic_question, question, send},
    config::Config,
    home::Home,
    vendor::{Piece, Reply, Say, Vendor},
};

/// 11 tokens in at 100 USD a million, 7 out at 200: a call costs 0.0025 USD.
pub const PRICE: &str = "models: { near/fake-1: { input_per_mtok: 100, output_per_mtok: 200 } }";

pub fn config(vendor: &Vendor, tenant: &str, more: &str) -> String {
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    config.more(more).text().replace("acme: {}", &format!("acme: {{ {tenant} }}"))
}

pub fn short_question() -> Value {
    let mut body = question("chat", "hi");
    body["max_tokens"] = json!(10);
    body
}

/// The row of `limits show acme` for one limit of the tenant itself.
pub fn shown(home: &Home, limit: &str) -> Value {
    let rows = home.json(&["limits", "show", "acme"]);
    let of = |row: &&Value| row["subject"] == "tenant" && row["limit"] == limit;
    rows.as_array().and_then(|rows| rows.iter().find(of)).unwrap_or_else(|| panic!("no {limit} in {rows:#}")).clone()
}

/// The same row once it is as wanted: what a running gateway has counted is written down every second.
pub async fn shown_as(home: &Home, limit: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let row = shown(home, limit);
        if wanted(&row) {
            return row;
        }
        assert!(Instant::now() < deadline, "not as wanted in time: {row:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn retry_after(answer: &Answer) -> u64 {
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
    // By verb, in the running gateway; the smaller of both limits counts, as soon as it has heard of it.
    home.ok(&["tenants", "limit", "acme", "--rpm", "100"]);
    let rows = home.json(&["tenants", "list"]);
    assert_eq!(rows[0]["rpm"], 100, "{rows:#}");
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = loop {
        let answer = client.messages(&anthropic_question("chat", "hi")).await.expect(200);
        if answer.expect_header("anthropic-ratelimit-requests-limit") == "100" {
            break answer;
        }
        assert!(Instant::now() < deadline, "not in time: {answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(answer.expect_header("anthropic-ratelimit-requests-reset").ends_with('Z'));
    let left = answer.expect_header("anthropic-ratelimit-requests-remaining");
    assert_eq!(left.parse(), Ok(100 - vendor.seen_count()), "those before it count");
    while vendor.seen_count() < 100 {
        client.chat(&question("chat", "hi")).await.expect(200);
    }

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
    assert_eq!(vendor.seen_count(), 100, "a refused call is nobody else's");

    let row = shown_as(&home, "rpm", |row| row["used"] == 100).await;
    assert_eq!((&row["max"], &row["left"]), (&json!(100), &json!(0)), "{row:#}");
    assert!(row["resets_unix_ms"].is_i64(), "{row:#}");
    assert!(home.ok(&["limits", "show", "acme"]).contains("rpm"));
    // A restart forgets nothing.
    gateway.stop();
    assert_eq!(shown(&home, "rpm")["used"], 100, "without a server too");
    let gateway = home.serve();
    gateway.client().chat(&question("chat", "hi")).await.expect(429);
    home.ok(&["tenants", "limit", "acme", "--rpm", "none"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while gateway.client().chat(&question("chat", "hi")).await.status != 200 {
        assert!(Instant::now() < deadline, "the limit is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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
        while !third.is_finished() && vendor.seen_count() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if vendor.seen_count() == 3 {
            break third;
        }
        assert_eq!(third.await.expect("runs"), 429, "until the gateway has seen that the first is gone");
    };
    while !(second.is_finished() && third.is_finished()) {
        go.notify_waiters();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((second.await.expect("runs"), third.await.expect("runs")), (200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_are_set_at_the_same_time_are_all_kept() {
    let home = Arc::new(Home::new(&Config::warn().text()));
    let names = ["rpm", "rpd", "tpm", "tpd", "concurrency", "max_tokens"];
    let set = names.map(|name| {
        let (home, flag) = (Arc::clone(&home), format!("--{}", name.replace('_', "-")));
        tokio::task::spawn_blocking(move || home.ok(&["tenants", "limit", "acme", &flag, "77"]))
    });
    for set in set {
        set.await.expect("it is set");
    }
    let tenant = home.json(&["tenants", "list"])[0].clone();
    assert!(names.iter().all(|name| tenant[name] == 77), "{tenant:#}");
}
