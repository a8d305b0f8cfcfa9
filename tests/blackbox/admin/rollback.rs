//! A promoted release that turns out wrong: an incident, or a rule, takes the route back, once, and calls are served as before.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{admin, put, token};
use crate::{
    client::question,
    config::{Config, QUICK},
    gateway::Gateway,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

/// A critical route of `old`, then `new`, then our own hardware.
fn home(old: &Vendor, new: &Vendor, own: &Vendor, more: &str) -> Home {
    let own = format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", own.url());
    let config = Config::warn().vendor("old", "openai", &old.url()).vendor("new", "openai", &new.url());
    let config = config.vendor_with("own", &own).route_with(
        "chat",
        &["old/m", "new/m", "own/m"],
        &format!("criticality: critical, deadlines: {QUICK}"),
    );
    Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").more(more).text())
}

fn promote(home: &Home) {
    let args = ["release", "propose", "chat", "--targets", "new/m,old/m,own/m", "--reason", "newer"];
    let number = home.json(&args)["release"].to_string();
    home.ok(&["release", "promote", "chat", &number, "--reason", "evaluated", "--approve-by", "a second person"]);
}

async fn served_by(gateway: &Gateway, target: &str, within: Duration) -> Duration {
    let begin = Instant::now();
    loop {
        let answer = gateway.client().chat(&question("chat", "hi")).await;
        if answer.header("x-backstop-served-by") == Some(target) {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < within, "not served by {target} after {within:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_sev1_takes_the_route_back_once() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    promote(&home);
    served_by(&gateway, "new/m", Duration::from_secs(10)).await;
    assert_eq!(client.get("/routes/chat").await.expect(200).json()["version"], 2);
    let bad = json!({"id": "INC-7", "route": "chat", "severity": "SEV1", "title": "wrong answers"});
    let taken = put(&client, Method::POST, "/incidents", &bad).await.expect(200).json();
    assert_eq!(taken["action"], "rolled_back", "{taken}");
    let shifted = served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    assert!(shifted < Duration::from_secs(2), "traffic shifted after {shifted:?}");
    // Neither the same incident nor another one takes it anywhere else.
    let again = put(&client, Method::POST, "/incidents", &bad).await.expect(200).json();
    assert_eq!(again["action"], "none");
    let other = json!({"id": "INC-8", "route": "chat", "severity": 1, "title": "still wrong"});
    let other = put(&client, Method::POST, "/incidents", &other).await.expect(200).json();
    assert!(
        other["action"] == "stayed" && other["detail"].as_str().is_some_and(|why| why.contains("already")),
        "{other}"
    );
    served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    let moves = client.get("/audit?action=release.rollback").await.expect(200).json();
    assert_eq!(moves.as_array().map(Vec::len), Some(1), "{moves:#}");
    assert!(moves[0]["actor"]["authenticated_by"].as_str().is_some_and(|by| by.contains("role operator")), "{moves:#}");
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rule_takes_the_route_back_when_the_new_release_fails() {
    let old = Vendor::openai(Say::Text("old")).await;
    // Answers, and what it answers is refused by itself every second time.
    let new = Vendor::start(|number, seen| match number % 2 {
        0 => Reply::openai(seen, &Say::Text("new")),
        _ => Reply::openai_error(400, "content_policy_violation"),
    })
    .await;
    let own = Vendor::openai(Say::Text("own")).await;
    let rules = "rules: [{ name: refuses, when: \"refusal_rate > 10% or error_rate > 30%\", action: rollback, hold: 1s, \
                 min_samples: 20 }]";
    let home = home(&old, &new, &own, rules);
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    promote(&home);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        for _ in 0..20 {
            gateway.client().chat(&question("chat", "hi")).await;
        }
        let states = client.get("/rules").await.expect(200).json();
        let outcome = states[0]["outcome"].as_str().unwrap_or_default().to_owned();
        if outcome.contains("rolled back from version 2 to version 1") {
            break;
        }
        assert!(Instant::now() < deadline, "the rule has not acted: {states:#}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    let entries = client.get("/audit?action=trigger").await.expect(200).json();
    assert!(entries[0]["reason"].as_str().is_some_and(|why| why.contains("rule refuses")), "{entries:#}");
}
