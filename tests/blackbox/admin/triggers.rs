//! Incidents and figures from outside: taken, kept, and never acted on without a version to go back to.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{admin, home, put, request, token};
use crate::{
    client::{question, send},
    config::Config,
    home::Home,
    vendor::{Reply, Seen, Vendor},
};

pub(super) const INCIDENTS: &str = "incidents: { pagerduty: { signing_secret: pd-hook, services: { PSVC1: [chat] } } }";

pub(super) fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"the-shared-secret-of-the-hook").expect("any length");
    mac.update(body.as_bytes());
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_incident_is_kept_once_and_says_why_nothing_was_rolled_back() {
    let (home, _vendor) = home(INCIDENTS).await;
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    let bad = json!({"id": "INC-1", "route": "chat", "severity": "SEV1", "title": "wrong answers"});
    let taken = put(&client, Method::POST, "/incidents", &bad).await.expect(200).json();
    assert_eq!((&taken["action"], &taken["severity"]), (&json!("stayed"), &json!(1)));
    assert!(taken["detail"].as_str().is_some_and(|why| why.contains("retains no earlier version")), "{taken}");
    let again = put(&client, Method::POST, "/incidents", &bad).await.expect(200).json();
    assert_eq!(again["action"], "none", "it asks once: {again}");
    let mild = json!({"id": "INC-2", "route": "chat", "severity": 3, "title": "slow"});
    assert_eq!(put(&client, Method::POST, "/incidents", &mild).await.expect(200).json()["action"], "none");
    let ended = json!({"id": "INC-1", "route": "chat", "severity": 1, "title": "wrong answers", "status": "resolved"});
    put(&client, Method::POST, "/incidents", &ended).await.expect(200);
    for wrong in [
        json!({"route": "nowhere", "severity": 1, "title": "t"}),
        json!({"route": "chat", "severity": 9, "title": "t"}),
        json!({"route": "chat", "severity": 1, "title": ""}),
        json!({"route": "chat", "severity": 1}),
    ] {
        let status = put(&client, Method::POST, "/incidents", &wrong).await.status;
        assert!(matches!(status, 400 | 404), "{wrong}: {status}");
    }
    let listed = client.get("/incidents?route=chat").await.expect(200).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed:#}");
    let first = listed.as_array().and_then(|all| all.iter().find(|one| one["id"] == "INC-1")).expect("is kept");
    assert!(first["resolved_unix_ms"].is_i64() && first["outcome"].is_string(), "{first}");
    let log = client.get("/audit?action=trigger").await.expect(200).json();
    assert_eq!((log.as_array().map(Vec::len), &log[0]["object"]["name"]), (Some(1), &json!("chat")), "{log:#}");
    let by_hand = put(&client, Method::POST, "/routes/chat/rollback", &json!({"reason": "a drill"})).await.expect(409);
    assert!(by_hand.body.contains("no earlier release"), "{by_hand:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn webhooks_are_taken_from_their_senders_alone() {
    let (home, _vendor) = home(INCIDENTS).await;
    home.secret("pd-hook", "the-shared-secret-of-the-hook");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    let body = json!({"event": {
        "id": "01EVENT", "event_type": "incident.triggered", "resource_type": "incident",
        "data": {
            "id": "PINC1", "type": "incident", "title": "chat answers nonsense", "urgency": "high",
            "service": {"id": "PSVC1", "summary": "Chat"}, "priority": {"summary": "P1"},
        },
    }});
    let post = |body: &Value, signature: Option<String>| {
        let request = client.bare(Method::POST, "/webhooks/pagerduty").header("content-type", "application/json");
        let request = request.body(body.to_string());
        signature.into_iter().fold(request, |request, signed| request.header("x-pagerduty-signature", signed))
    };
    send(post(&body, None)).await.expect(401);
    send(post(&body, Some(signature("another body")))).await.expect(401);
    let taken = send(post(&body, Some(signature(&body.to_string())))).await.expect(200).json();
    assert_eq!((&taken["taken"][0]["route"], &taken["taken"][0]["action"]), (&json!("chat"), &json!("stayed")));
    let retried = send(post(&body, Some(signature(&body.to_string())))).await.expect(200).json();
    assert_eq!(retried["taken"][0]["action"], "none");
    let mut other = body.clone();
    other["event"]["data"]["service"] = json!({"id": "PELSE", "summary": "Elsewhere"});
    let other = send(post(&other, Some(signature(&other.to_string())))).await.expect(200).json();
    assert_eq!(other["taken"], json!([]));

    let alert = json!({"version": "4", "status": "firing", "receiver": "backstop", "alerts": [
        {"status": "firing", "labels": {"alertname": "Nonsense", "severity": "critical", "route": "chat"},
         "annotations": {"summary": "nonsense on chat"}, "fingerprint": "f1"},
        {"status": "firing", "labels": {"alertname": "Disk", "severity": "critical"}, "fingerprint": "f2"},
    ]});
    put(&client.with_key("nobody"), Method::POST, "/webhooks/alertmanager", &alert).await.expect(401);
    let viewer = client.with_key(&token(&home, "viewer"));
    put(&viewer, Method::POST, "/webhooks/alertmanager", &alert).await.expect(403);
    let taken = put(&client, Method::POST, "/webhooks/alertmanager", &alert).await.expect(200).json();
    assert_eq!(taken["taken"].as_array().map(Vec::len), Some(1), "{taken}");
    assert_eq!(taken["taken"][0]["severity"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn figures_are_kept_by_name_route_and_moment() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    let one = json!({"name": "csat", "route": "chat", "value": 4.5});
    assert_eq!(put(&client, Method::POST, "/kpis", &one).await.expect(200).json()["kept"], 1);
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("is later").as_millis() as i64;
    let many = |value: f64| {
        json!({"kpis": [
            {"name": "aht", "route": "chat", "value": value, "at_unix_ms": at - 1000},
            {"name": "aht", "route": "chat", "value": 7.0, "at_unix_ms": at - 2000},
        ]})
    };
    put(&client, Method::POST, "/kpis", &many(6.0)).await.expect(200);
    put(&client, Method::POST, "/kpis", &many(5.0)).await.expect(200);
    let listed = client.get("/kpis?name=aht").await.expect(200).json();
    let values: Vec<f64> = listed.as_array().into_iter().flatten().filter_map(|one| one["value"].as_f64()).collect();
    assert_eq!(values, [5.0, 7.0], "the latest first, each moment once");
    for wrong in [
        json!({"name": "no good", "route": "chat", "value": 1.0}),
        json!({"name": "csat", "route": "nowhere", "value": 1.0}),
        json!({"name": "csat", "route": "chat", "value": 1.0, "at_unix_ms": at + 86_400_000}),
        json!({"kpis": []}),
        json!({"name": "csat", "route": "chat", "value": "high"}),
        // A misspelt time must not become now.
        json!({"name": "csat", "route": "chat", "value": 1.0, "at_ms": at}),
        json!({"kpis": [{"name": "csat", "route": "chat", "value": 1.0, "at_ms": at}]}),
    ] {
        let answer = send(request(&client, Method::POST, "/kpis", &wrong)).await;
        assert!(matches!(answer.status, 400 | 404), "{wrong}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rule_finds_what_got_worse_says_so_and_a_dry_run_agrees() {
    const RULES: &str = "rules:\n\
        \x20 - { name: failing, when: \"error_rate > 20%\", action: rollback, hold: 1s, min_samples: 20 }\n\
        \x20 - { name: sad, when: \"kpi:csat < 4\", action: alert, hold: 1s, min_samples: 20 }\n\
        \x20 - { name: calm, when: \"error_rate > 99%\", min_samples: 20 }\n";
    let vendor = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let pager = Vendor::start(|_, _| Reply::json(202, &json!({ "status": "success" }))).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    let alerts = format!("alerts: [{{ kind: alertmanager, url: \"{}\" }}]", pager.url());
    let home = Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").more(RULES).more(&alerts).text());
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    for _ in 0..60 {
        gateway.client().chat(&question("chat", "hi")).await;
    }
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("is later").as_millis() as i64;
    let csat: Vec<Value> = (0..60)
        .map(|n| json!({"name": "csat", "route": "chat", "value": 2.0 + f64::from(n % 3) / 2.0, "at_unix_ms": at - i64::from(n)}))
        .collect();
    put(&client, Method::POST, "/kpis", &json!({"kpis": csat})).await.expect(200);
    let outcome = |states: &Value, rule: &str| {
        let state = states.as_array().and_then(|all| all.iter().find(|one| one["rule"] == rule)).cloned();
        state.and_then(|state| state["outcome"].as_str().map(str::to_owned))
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
    let states = loop {
        let states = client.get("/rules").await.expect(200).json();
        if outcome(&states, "failing").is_some() && outcome(&states, "sad").is_some() {
            break states;
        }
        assert!(std::time::Instant::now() < deadline, "the rules found nothing: {states:#}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert!(outcome(&states, "failing").is_some_and(|said| said.contains("retains no earlier version")), "{states:#}");
    assert_eq!((outcome(&states, "sad").as_deref(), outcome(&states, "calm")), (Some("told"), None), "{states:#}");
    let paged = |rule: &str| {
        let told = |seen: &Seen| {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            body.contains("rule_fired") && body.contains(&format!("rule {rule} on version"))
        };
        pager.seen().iter().any(told)
    };
    while !(paged("failing") && paged("sad")) {
        assert!(std::time::Instant::now() < deadline, "people are not told: {:?}", pager.seen());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(!paged("calm"));
    let metrics = gateway.client().get("/metrics").await.expect(200).body;
    let counted = "backstop_triggers_total{route=\"chat\",kind=\"rule\",result=\"told\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let log = client.get("/audit?action=trigger").await.expect(200).json();
    assert_eq!(log.as_array().map(Vec::len), Some(2), "each acts once: {log:#}");
    assert!(log.to_string().contains("rule failing: error_rate > 0.2"), "{log:#}");
    gateway.stop();
    let tested = home.json(&["release", "rules", "test", "--since", "10m"]);
    let acts = |rule: &str| {
        let one = tested.as_array().and_then(|all| all.iter().find(|one| one["rule"] == rule)).expect("is tested");
        one["acts_at_unix_ms"].is_i64()
    };
    assert_eq!((acts("failing"), acts("sad"), acts("calm")), (true, true, false), "{tested:#}");
}

/// Over stored calls, without a promotion: each figure of a call, what does not hold, and what has too few samples.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dry_run_judges_every_figure_of_a_call() {
    const RULES: &str = "rules:\n\
        \x20 - { name: slow, when: \"p99_ms > 10\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: slow-enough, when: \"p99_ms > 30000\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: dear, when: \"cost_per_call > 0.000001\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: cheap, when: \"cost_per_call > 1\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: ends, when: \"finish_reason:stop > 50%\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: cut, when: \"finish_reason:length > 50%\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: both, when: \"p99_ms > 10 and finish_reason:length > 50%\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: either, when: \"p99_ms > 10 or finish_reason:length > 50%\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: few, when: \"p99_ms > 10\", hold: 1s, min_samples: 100000, inconclusive_limit: 3 }\n";
    // Of different length, since a mean of what never varies is not judged.
    let vendor = Vendor::start(|number, _| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (read, written) = (10, 10 + number % 7);
        Reply::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake-1",
                "choices": [{
                    "index": 0, "message": { "role": "assistant", "content": "hello" }, "finish_reason": "stop",
                }],
                "usage": { "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written },
            }),
        )
    })
    .await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/fake-1"]);
    let prices = "models: { near/fake-1: { input_per_mtok: 1.0, output_per_mtok: 2.0 } }";
    let home = Home::new(&config.more(prices).more(RULES).text());
    let gateway = home.serve();
    // A dry run looks every five seconds, and a breach lasts for two looks.
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(12) {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
    }
    gateway.stop();
    let before = home.json(&["audit", "list"]);
    let tested = home.json(&["release", "rules", "test", "--since", "1m"]);
    let acts = |rule: &str| {
        let one = tested.as_array().and_then(|all| all.iter().find(|one| one["rule"] == rule)).expect("is tested");
        one["acts_at_unix_ms"].is_i64()
    };
    for (rule, breached) in [
        ("slow", true),
        ("slow-enough", false),
        ("dear", true),
        ("cheap", false),
        ("ends", true),
        ("cut", false),
        ("both", false),
        ("either", true),
        ("few", false),
    ] {
        assert_eq!(acts(rule), breached, "{rule}: {tested:#}");
    }
    let one = home.json(&["release", "rules", "test", "--since", "1m", "--rule", "slow", "--route", "chat"]);
    assert_eq!(one.as_array().map(Vec::len), Some(1), "{one:#}");
    assert_eq!(home.json(&["audit", "list"]), before, "a dry run changes nothing");
}
