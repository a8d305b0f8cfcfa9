//! What a failing target costs: it is left alone, probed, and taken back; and nobody is asked more often than a tenth over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    client::question,
    config::Config,
    gateway::Gateway,
    home::Home,
    ledger::Rows,
    vendor::{Reply, Say, Vendor, closed_port},
};

/// Cooldowns that a test can wait for.
const BREAKER: &str =
    "breaker: { cooldown: 300ms, max_cooldown: 2s, recovery: 400ms, min_calls: 20, consecutive: 5, window: 20s }";

/// A vendor that fails while told to.
async fn moody(failing: &Arc<AtomicBool>) -> Vendor {
    let failing = Arc::clone(failing);
    Vendor::start(move |_, seen| match failing.load(Ordering::Relaxed) {
        true => Reply::openai_error(500, "server_error"),
        false => Reply::openai(seen, &Say::Text("primary")),
    })
    .await
}

/// Which target serves a plain question now.
async fn served_by(gateway: &Gateway) -> String {
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    answer.expect_header("x-backstop-served-by").to_owned()
}

/// Asks until `target` serves, for at most ten seconds.
async fn until_served_by(gateway: &Gateway, target: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while served_by(gateway).await != target {
        assert!(Instant::now() < deadline, "{target} did not serve within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_calls_against_a_dead_primary_cost_no_more_than_a_tenth_over() {
    let dead = Vendor::start(|_, _| Reply::Reset).await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = Config::warn().vendor("dead", "openai", &dead.url()).vendor("good", "anthropic", &good.url());
    let home = Home::new(&config.route("chat", &["dead/x", "good/y"]).text());
    let gateway = home.serve();
    let client = gateway.client();
    let body = question("chat", "hi");
    let rescued = stream::iter(0..1000)
        .map(|_| client.chat(&body))
        .buffer_unordered(32)
        .filter(|answer| std::future::ready(answer.status == 200 && answer.chat_text() == "rescued"))
        .count()
        .await;
    assert_eq!(rescued, 1000);
    assert_eq!(good.seen_count(), 1000);
    assert!(dead.seen_count() <= 1100, "{} calls reached a dead primary", dead.seen_count());
    assert!(dead.seen_count() < 200, "an open breaker keeps calls away: {}", dead.seen_count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_open_breaker_is_probed_and_traffic_returns_by_itself() {
    let failing = Arc::new(AtomicBool::new(true));
    let primary = moody(&failing).await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = Config::warn().vendor("prime", "openai", &primary.url()).vendor("good", "anthropic", &good.url());
    let home = Home::new(&config.route("chat", &["prime/x", "good/y"]).more(BREAKER).text());
    let gateway = home.serve();
    for _ in 0..5 {
        assert_eq!(served_by(&gateway).await, "good/y");
    }
    let asked = primary.seen_count();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-attempts"), "1", "the primary is not asked");
    assert_eq!(primary.seen_count(), asked);
    let id = answer.expect_header("x-request-id").to_owned();
    failing.store(false, Ordering::Relaxed);
    until_served_by(&gateway, "prime/x").await;
    let metrics = gateway.client().get("/metrics").await.body;
    assert!(metrics.contains("result=\"breaker_open\""), "{metrics}");
    gateway.stop();
    let rows = Rows::of(&home);
    let attempt = &rows.only(&id)["attempts"][0];
    assert_eq!((&attempt["fault"], &attempt["duration_ms"]), (&json!("breaker_open"), &Value::Null), "{attempt:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_brownout_of_a_quarter_opens_the_breaker() {
    let brown = Vendor::start(|count, seen| match count % 4 {
        0 => Reply::openai_error(503, "server_error"),
        _ => Reply::openai(seen, &Say::Text("primary")),
    })
    .await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = Config::warn().vendor("brown", "openai", &brown.url()).vendor("good", "anthropic", &good.url());
    let breaker = "breaker: { cooldown: 60s, max_cooldown: 60s }";
    let home = Home::new(&config.route("chat", &["brown/x", "good/y"]).more(breaker).text());
    let gateway = home.serve();
    for _ in 0..60 {
        served_by(&gateway).await;
    }
    assert!(brown.seen_count() < 40, "a brownout counts: {} of 60 calls were sent", brown.seen_count());
    assert_eq!(served_by(&gateway).await, "good/y");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_brownout_of_the_only_target_is_better_than_nobody() {
    let brown = Vendor::start(|count, seen| match count % 3 {
        0 => Reply::openai_error(503, "server_error"),
        _ => Reply::openai(seen, &Say::Text("primary")),
    })
    .await;
    let config = Config::warn().vendor("brown", "openai", &brown.url());
    let breaker = "breaker: { cooldown: 60s, max_cooldown: 60s }";
    let home = Home::new(&config.route("chat", &["brown/x"]).more(breaker).text());
    let gateway = home.serve();
    let mut answered = 0;
    for _ in 0..90 {
        answered += usize::from(gateway.client().chat(&question("chat", "hi")).await.status == 200);
    }
    assert!(answered >= 50, "two thirds of the calls could be answered, and {answered} of 90 were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dead_only_target_fails_at_once_and_says_when_to_come_back() {
    let config = Config::warn().vendor("gone", "openai", &closed_port().await);
    let home = Home::new(&config.route("chat", &["gone/x"]).more("breaker: { cooldown: 30s }").text());
    let gateway = home.serve();
    for _ in 0..5 {
        gateway.client().chat(&question("chat", "hi")).await.expect(503);
    }
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(503);
    assert_eq!(answer.expect_header("x-backstop-attempts"), "0");
    let wait: u64 = answer.expect_header("retry-after").parse().expect("seconds");
    assert!((1..=40).contains(&wait), "{wait}");
    assert!(answer.openai_error()["message"].as_str().is_some_and(|text| text.contains("breaker_open")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_callers_own_faults_open_no_breaker() {
    let picky = Vendor::start(|_, _| {
        Reply::json(
            400,
            &json!({"error": {"message": "too few", "type": "invalid_request_error", "param": "messages"}}),
        )
    })
    .await;
    let config = Config::warn().vendor("picky", "openai", &picky.url());
    let home = Home::new(&config.route("chat", &["picky/x"]).text());
    let gateway = home.serve();
    for _ in 0..12 {
        gateway.client().chat(&question("chat", "hi")).await.expect(400);
    }
    assert_eq!(picky.seen_count(), 12, "a caller's fault is no failure of the vendor, and is never retried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wait_that_fits_the_calls_time_is_waited_and_the_target_asked_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let limited = Vendor::start(move |_, seen| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::json_with(
            429,
            ("retry-after-ms", "150"),
            &json!({"error": {"message": "slow down", "type": "requests"}}),
        ),
        _ => Reply::openai(seen, &Say::Text("after all")),
    })
    .await;
    let config = Config::warn().vendor("busy", "openai", &limited.url());
    let home = Home::new(&config.route("chat", &["busy/x"]).text());
    let gateway = home.serve();
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.chat_text(), "after all");
    assert_eq!(answer.expect_header("x-backstop-attempts"), "2");
    let overhead: f64 = answer.expect_header("x-backstop-overhead-ms").parse().expect("ms");
    assert!(overhead < 100.0, "a wait that the vendor asked for is not the gateway's overhead: {overhead}");
    let id = answer.expect_header("x-request-id").to_owned();
    gateway.stop();
    let shown = home.ok(&["calls", "show", &id]);
    assert!(shown.contains("rate_limited") && shown.contains("retry: served"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_limit_is_seen_coming_and_the_next_call_goes_elsewhere() {
    let nearly = Vendor::start(|_, seen| {
        let Reply::Whole { status, mut headers, body } = Reply::openai(seen, &Say::Text("primary")) else {
            panic!("the question is not streamed")
        };
        headers.extend([
            ("x-ratelimit-limit-requests", "60".to_owned()),
            ("x-ratelimit-remaining-requests", "0".to_owned()),
            ("x-ratelimit-reset-requests", "50s".to_owned()),
        ]);
        Reply::Whole { status, headers, body }
    })
    .await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = Config::warn().vendor("near", "openai", &nearly.url()).vendor("good", "anthropic", &good.url());
    let home = Home::new(&config.route("chat", &["near/x", "good/y"]).text());
    let gateway = home.serve();
    assert_eq!(served_by(&gateway).await, "near/x");
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "good/y");
    nearly.only();
    let id = answer.expect_header("x-request-id").to_owned();
    gateway.stop();
    assert_eq!(Rows::of(&home).only(&id)["attempts"][0]["fault"], "limit_reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_region_of_the_vendor_is_asked_before_another_vendor() {
    let east = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let west = Vendor::openai(Say::Text("west")).await;
    let good = Vendor::anthropic(Say::Text("rescued")).await;
    let config = format!(
        "listen: 127.0.0.1:0\nenforcement: warn\nvendors:\n  \
         east: {{ kind: openai, base_url: \"{}/v1\", region: east, operated_by: acme-ai }}\n  \
         west: {{ kind: openai, base_url: \"{}/v1\", region: west, operated_by: acme-ai }}\n  \
         good: {{ kind: anthropic, base_url: \"{}/v1\" }}\nroutes:\n  \
         chat: {{ targets: [east/x, good/y, west/x] }}\n  \
         mini: {{ targets: [east/z, good/y] }}\n\
         tenants: {{ acme: {{}} }}\nbreaker: {{ cooldown: 60s, max_cooldown: 60s }}\n",
        east.url(),
        west.url(),
        good.url()
    );
    let home = Home::new(&config);
    let gateway = home.serve();
    for route in ["chat", "mini"].iter().cycle().take(10) {
        gateway.client().chat(&question(route, "hi")).await.expect(200);
    }
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "west/x", "another region first");
    assert_eq!(answer.expect_header("x-backstop-fallback"), "2");
    // What the operator is told at 3 am.
    let deadline = Instant::now() + Duration::from_secs(10);
    let told = loop {
        let told = home.ok(&["routes", "explain", "chat"]);
        if told.contains("region_open") || Instant::now() > deadline {
            break told;
        }
    };
    assert!(told.contains("serves") && told.contains("region_open"), "{told}");
    let told = home.json(&["routes", "explain", "chat"]);
    assert_eq!(told["targets"][1]["target"], "west/x", "{told:#}");
}
