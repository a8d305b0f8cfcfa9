//! Who is told what, when a ladder is climbed: once per incident, louder by the rung, to its end, through a receiver's
//! outage and our own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    client::question,
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Reply, Say, Seen, Vendor, closed_port},
};

const SIGNING: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A receiver that takes everything.
async fn receiver() -> Vendor {
    Vendor::start(|_, _| Reply::json(202, &json!({ "status": "success" }))).await
}

/// All four kinds, at one address.
fn sinks(url: &str) -> String {
    format!(
        "alerts:\n  - {{ kind: slack, url_secret: slack-hook }}\n  \
         - {{ kind: pagerduty, routing_key_secret: pager, url: \"{url}\" }}\n  \
         - {{ kind: alertmanager, url: \"{url}/am\" }}\n  \
         - {{ kind: webhook, url: \"{url}/hook\", signing_secret: hook-key }}"
    )
}

fn home(config: Config, receiver: &Vendor) -> Home {
    let home = Home::new(&config.text());
    home.secret("slack-hook", &format!("{}/services/T0/B0/slack-canary-51c0ffee", receiver.url()));
    home.secret("pager", "r0ut1ng-canary-51c0ffee");
    home.secret("hook-key", SIGNING);
    home
}

/// The bodies that arrived at `path`.
fn at(receiver: &Vendor, path: &str) -> Vec<Value> {
    receiver.seen().iter().filter(|seen| seen.path.contains(path)).map(Seen::json).collect()
}

fn pages(receiver: &Vendor) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
    at(receiver, "/v2/enqueue")
        .iter()
        .map(|event| (word(&event["event_action"]), word(&event["payload"]["severity"])))
        .collect()
}

async fn ask(gateway: &Gateway, status: u16) {
    gateway.client().chat(&question("chat", "hi")).await.expect(status);
}

/// Asks until `done`, or for half a minute.
async fn ask_until(gateway: &Gateway, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !done() {
        assert!(Instant::now() < deadline, "not in 40 s:\n{}", gateway.log());
        gateway.client().chat(&question("chat", "hi")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dead_primary_is_told_once_and_its_return_by_itself() {
    let up = Arc::new(AtomicBool::new(false));
    let alive = Arc::clone(&up);
    let primary = Vendor::start(move |_, seen| match alive.load(Ordering::Relaxed) {
        true => Reply::openai(seen, &Say::Text("back")),
        false => Reply::openai_error(500, "server_error"),
    })
    .await;
    let spare = Vendor::anthropic(Say::Text("rescued")).await;
    let receiver = receiver().await;
    let config = Config::warn().vendor("first", "openai", &primary.url()).vendor("spare", "anthropic", &spare.url());
    let config = config.route("chat", &["first/a", "spare/b"]).more(&sinks(&receiver.url()));
    // Back at once, so that the test need not wait for the traffic to return in steps.
    let home = home(config.more("breaker: { cooldown: 1s, max_cooldown: 1s, recovery: 1s }"), &receiver);
    let gateway = home.serve();
    for _ in 0..20 {
        ask(&gateway, 200).await;
    }
    receiver.asked(4).await;
    assert_eq!(pages(&receiver), [("trigger".to_owned(), "warning".to_owned())]);
    let slack = at(&receiver, "/services/T0/B0/");
    assert_eq!(slack.len(), 1, "{slack:#?}");
    let text = slack[0]["text"].as_str().expect("a line");
    assert!(text.contains("first/a") && text.contains("spare/b") && text.contains("server_error"), "{text}");
    assert_eq!(at(&receiver, "/am/api/v2/alerts")[0][0]["labels"]["route"], "chat");
    let listed = home.json(&["alerts", "list"]);
    assert_eq!(listed["open"][0]["event"], "fallback_served", "{listed:#}");
    up.store(true, Ordering::Relaxed);
    ask_until(&gateway, || receiver.seen_count() >= 8).await;
    gateway.stop();
    assert_eq!(pages(&receiver)[1..], [("resolve".to_owned(), String::new())]);
    let keys: Vec<Value> = at(&receiver, "/v2/enqueue").iter().map(|event| event["dedup_key"].clone()).collect();
    assert_eq!(keys[0], keys[1]);
    assert_eq!(receiver.seen_count(), 8, "one beginning and one end for each receiver");
    assert_eq!(home.json(&["alerts", "list"])["open"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn later_rungs_are_louder_and_an_outage_is_a_page() {
    let down = Arc::new(AtomicBool::new(false));
    let dead = Arc::clone(&down);
    let last = Vendor::start(move |_, seen| match dead.load(Ordering::Relaxed) {
        true => Reply::openai_error(503, "server_error"),
        false => Reply::openai(seen, &Say::Text("rescued")),
    })
    .await;
    let receiver = receiver().await;
    let gone = closed_port().await;
    let config = Config::warn()
        .vendor("a", "openai", &gone)
        .vendor("b", "anthropic", &gone)
        .vendor("c", "groq", &last.url())
        .route("chat", &["a/x", "b/y", "c/z"])
        .more(&sinks(&receiver.url()).replace("kind: slack,", "kind: slack, min_severity: critical,"));
    let home = home(config, &receiver);
    let gateway = home.serve();
    for _ in 0..5 {
        ask(&gateway, 200).await;
    }
    down.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        ask(&gateway, 503).await;
    }
    gateway.stop();
    let said = |severity: &str| ("trigger".to_owned(), severity.to_owned());
    assert_eq!(pages(&receiver), [said("error"), said("critical")]);
    let slack = at(&receiver, "/services/");
    assert_eq!(slack.len(), 1, "only the page is severe enough for Slack: {slack:#?}");
    let listed = home.json(&["alerts", "list"]);
    assert!(listed["open"].as_array().is_some_and(|open| open.len() == 2), "they outlive the process: {listed:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_vendor_that_refuses_our_secret_is_ours_and_a_caller_is_not() {
    let strict = Vendor::start(|_, seen| match seen.json()["messages"][0]["content"].as_str() {
        Some("wrong") => Reply::openai_error(400, "invalid_request_error"),
        _ => Reply::openai_error(401, "invalid_request_error"),
    })
    .await;
    let spare = Vendor::anthropic(Say::Text("rescued")).await;
    let receiver = receiver().await;
    let config = Config::warn().vendor("first", "openai", &strict.url()).vendor("spare", "anthropic", &spare.url());
    let config = config.route("chat", &["first/a", "spare/b"]).more(&sinks(&receiver.url()));
    let home = home(config, &receiver);
    let gateway = home.serve();
    for _ in 0..5 {
        gateway.client().chat(&question("chat", "wrong")).await.expect(400);
    }
    for _ in 0..5 {
        ask(&gateway, 200).await;
    }
    gateway.stop();
    assert_eq!(pages(&receiver), [("trigger".to_owned(), "error".to_owned())]);
    assert_eq!(at(&receiver, "/hook")[0]["data"]["event"], "target_refused_us");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_without_a_certificate_pages_under_strict() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let receiver = receiver().await;
    let config = Config::strict().vendor("first", "openai", &vendor.url()).vendor("spare", "groq", &vendor.url());
    let config = config.route("chat", &["first/a", "spare/b"]).more(&sinks(&receiver.url()));
    let home = home(config, &receiver);
    let gateway = home.serve();
    receiver.asked(4).await;
    gateway.stop();
    assert_eq!(pages(&receiver), [("trigger".to_owned(), "critical".to_owned())]);
    let told = &at(&receiver, "/hook")[0]["data"];
    assert_eq!((told["target"].as_str(), told["fault"].as_str()), (Some("spare/b"), Some("uncertified")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_alert_outlives_its_receivers_outage_and_our_own_death() {
    let up = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (alive, log) = (Arc::clone(&up), Arc::clone(&taken));
    let receiver = Vendor::start(move |_, seen| {
        if !alive.load(Ordering::Relaxed) {
            return Reply::json(503, &json!({}));
        }
        log.lock().expect("no test panics while it holds this").push(seen.clone());
        Reply::json(200, &json!({}))
    })
    .await;
    let config = Config::warn().vendor("gone", "openai", &closed_port().await).route("chat", &["gone/a"]);
    let hook = format!("alerts: [{{ kind: webhook, url: \"{}/hook\", signing_secret: hook-key }}]", receiver.url());
    let home = home(config.more(&hook), &receiver);
    let gateway = home.serve();
    ask(&gateway, 503).await;
    receiver.asked(1).await;
    gateway.logged("an alert was not sent").await;
    gateway.kill();
    up.store(true, Ordering::Relaxed);
    let before = receiver.seen_count();
    let gateway = home.serve();
    receiver.asked(before + 1).await;
    // The incident is known to be open: no second alert.
    ask(&gateway, 503).await;
    gateway.stop();
    let taken = taken.lock().expect("no test panics while it holds this").clone();
    assert_eq!(taken.len(), 1, "{taken:#?}");
    assert_eq!(taken[0].header("webhook-id"), receiver.seen()[0].header("webhook-id"), "a retry keeps its id");
    verified(&taken[0]);
    assert_eq!(taken[0].json()["data"]["event"], "nobody_answered");
}

/// Verifies a webhook as its receiver would, by the specification alone.
fn verified(seen: &Seen) {
    let header = |name| seen.header(name).unwrap_or_else(|| panic!("no {name}: {seen:#?}"));
    let key = STANDARD.decode(SIGNING.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&seen.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_receivers_retry_after_is_kept() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&times);
    let receiver = Vendor::start(move |number, _| {
        log.lock().expect("no test panics while it holds this").push(Instant::now());
        match number {
            0 => Reply::json_with(429, ("retry-after", "3"), &json!({})),
            _ => Reply::json(200, &json!({})),
        }
    })
    .await;
    let config = Config::warn().vendor("gone", "openai", &closed_port().await).route("chat", &["gone/a"]);
    let home = home(config.more("alerts: [{ kind: slack, url_secret: slack-hook }]"), &receiver);
    let gateway = home.serve();
    ask(&gateway, 503).await;
    receiver.asked(2).await;
    gateway.stop();
    let times = times.lock().expect("no test panics while it holds this").clone();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_millis(2900), "{:?}", times[1] - times[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_test_goes_to_each_receiver_and_says_which_did_not_take_it() {
    let receiver = Vendor::start(|_, seen| match seen.path.as_str() {
        "/hook" => Reply::json_with(302, ("location", "/elsewhere"), &json!({})),
        _ => Reply::json(200, &json!({})),
    })
    .await;
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/a"]);
    let home = home(config.more(&sinks(&receiver.url())), &receiver);
    let ran = home.run(&["alerts", "test"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for line in ["slack slack-hook: taken (200)", "pagerduty pager: taken (200)", "/hook: failed: it answered 302"] {
        assert!(ran.stdout.contains(line), "{line}: {ran:?}");
    }
    assert!(!ran.said().contains("canary"), "{ran:?}");
    assert_eq!(pages(&receiver), [("trigger".to_owned(), "info".to_owned()), ("resolve".to_owned(), String::new())]);
    assert!(at(&receiver, "/elsewhere").is_empty(), "a redirect is not followed");
    let only = home.json(&["alerts", "test", "--sink", "slack"]);
    assert_eq!((only.as_array().map(Vec::len), &only[0]["ok"]), (Some(1), &json!(true)));
    home.ok(&["vault", "rm", "pager"]);
    let said = home.run(&["check"]).said();
    assert!(said.contains("alerts[1]") && said.contains("backstop vault set pager"), "{said}");
    let without = home.run(&["alerts", "test", "--sink", "pagerduty"]).expect_failure();
    assert!(without.contains("the vault has no secret `pager`"), "{without}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn neither_a_webhooks_url_nor_a_key_is_found_again() {
    let receiver = Vendor::start(|_, _| Reply::json(500, &json!({ "error": "slack-canary-51c0ffee" }))).await;
    let config = Config::warn().vendor("gone", "openai", &closed_port().await).route("chat", &["gone/a"]);
    let config = config.more(&sinks(&receiver.url())).more("telemetry: { log_filter: trace, log_format: json }");
    let home = home(config, &receiver);
    let gateway = home.serve();
    ask(&gateway, 503).await;
    receiver.asked(4).await;
    let metrics = gateway.client().get("/metrics").await.body;
    assert!(metrics.contains("backstop_alerts_outbox{sink=\"slack\"} 1"), "{metrics}");
    let log = gateway.stop();
    let book = std::fs::read_to_string(home.state().join("alerts/book.json")).expect("alerts are kept");
    for text in [&metrics, &log, &book] {
        let line = text.lines().find(|line| line.contains("canary-51c0ffee") || line.contains("MDEyMzQ1"));
        assert_eq!(line, None);
    }
}
