//! Reports of trouble as their senders really send them: grouped, again, late, in another order, and of trouble that comes back.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    admin, put,
    rollback::{home, promote, promote_again, served_by},
    token,
    triggers::{INCIDENTS, signature},
};
use crate::{
    client::{Client, question, send},
    gateway::Gateway,
    vendor::{Reply, Say, Vendor},
};

const SOON: Duration = Duration::from_secs(20);

/// An alert as Alertmanager posts it (webhook, version 4).
fn alert(fingerprint: &str, status: &str, starts_at: &str) -> Value {
    let ends_at = if status == "resolved" { "2026-11-26T23:00:00Z" } else { "0001-01-01T00:00:00Z" };
    json!({
        "status": status,
        "labels": {"alertname": "Nonsense", "severity": "critical", "route": "chat"},
        "annotations": {"summary": "nonsense on chat"},
        "startsAt": starts_at, "endsAt": ends_at,
        "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint,
    })
}

fn post(alerts: &[Value]) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"Nonsense\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "backstop",
        "groupLabels": {"alertname": "Nonsense"}, "commonLabels": {"alertname": "Nonsense"}, "commonAnnotations": {},
        "externalURL": "http://alertmanager", "alerts": alerts,
    })
}

async fn told(client: &Client, alerts: &[Value]) -> Value {
    put(client, Method::POST, "/webhooks/alertmanager", &post(alerts)).await.expect(200).json()["taken"].clone()
}

async fn version(client: &Client, version: u64) {
    let deadline = Instant::now() + SOON;
    while client.get("/routes/chat").await.expect(200).json()["version"] != version {
        assert!(Instant::now() < deadline, "version {version} is not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_alert_that_fires_anew_takes_the_next_promotion_back_too() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    promote(&home);
    version(&client, 2).await;
    let (first, second) = ("2026-11-26T10:00:00.123456789Z", "2026-11-26T22:00:00Z");
    let taken = told(&client, &[alert("f1", "firing", first)]).await;
    assert_eq!(taken[0]["action"], "rolled_back", "{taken}");
    // Told every few minutes for as long as it fires.
    assert_eq!(told(&client, &[alert("f1", "firing", first)]).await[0]["action"], "none");
    assert_eq!(told(&client, &[alert("f1", "resolved", first)]).await[0]["action"], "none");
    // What is over, told late, takes nothing back.
    promote_again(&home);
    version(&client, 2).await;
    assert_eq!(told(&client, &[alert("f1", "firing", first)]).await[0]["action"], "none");
    // The same labels, so the same alert; but it fires anew.
    let taken = told(&client, &[alert("f1", "firing", second)]).await;
    assert_eq!(taken[0]["action"], "rolled_back", "{taken}");
    version(&client, 1).await;
    let listed = client.get("/incidents").await.expect(200).json();
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["resolved_unix_ms"]), (Some(1), &Value::Null), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_a_flood_of_alerts_the_worst_are_taken_first() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    promote(&home);
    version(&client, 2).await;
    let elsewhere = |n: usize| {
        let mut one = alert(&format!("e{n}"), "firing", "2026-11-26T10:00:00Z");
        one["labels"]["route"] = json!("elsewhere");
        one
    };
    let mut mild = alert("m", "firing", "2026-11-26T10:00:00Z");
    mild["labels"]["severity"] = json!("warning");
    let mut all: Vec<Value> = (0..600).map(elsewhere).collect();
    all.extend([mild, alert("f1", "firing", "2026-11-26T10:00:00Z")]);
    let taken = told(&client, &all).await;
    assert_eq!(taken.as_array().map(Vec::len), Some(2), "{taken}");
    assert_eq!((&taken[0]["action"], &taken[0]["severity"]), (&json!("rolled_back"), &json!(1)), "{taken}");
}

/// A V3 event on the incident `id`, of priority 1.
fn event(id: &str, kind: &str, at: &str, status: &str) -> Value {
    json!({"event": {
        "id": format!("01-{kind}-{at}"), "event_type": kind, "resource_type": "incident", "occurred_at": at,
        "agent": {"id": "PU1", "type": "user_reference", "summary": "someone"}, "client": null,
        "data": {
            "id": id, "type": "incident", "number": 2, "status": status, "incident_key": "k", "created_at": "2026-11-26T10:00:00Z",
            "title": "chat answers nonsense", "service": {"id": "PSVC1", "summary": "Chat", "type": "service_reference"},
            "assignees": [], "teams": [], "urgency": "high", "conference_bridge": null, "resolve_reason": null,
            "priority": {"id": "PP1", "type": "priority_reference", "summary": "P1 (24/7)"},
        },
    }})
}

async fn paged(client: &Client, body: &Value) -> Value {
    let request = client.bare(Method::POST, "/webhooks/pagerduty").header("content-type", "application/json");
    let text = body.to_string();
    let request = request.header("x-pagerduty-signature", signature(&text)).body(text);
    send(request).await.expect(200).json()["taken"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn events_that_come_late_or_again_take_nothing_back_and_a_reopened_incident_does() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, INCIDENTS);
    home.secret("pd-hook", "the-shared-secret-of-the-hook");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    promote(&home);
    version(&client, 2).await;
    // Delivered in another order than they happened in: the incident was over before we heard of it.
    paged(&client, &event("PINC1", "incident.resolved", "2026-11-26T10:10:00Z", "resolved")).await;
    let late = paged(&client, &event("PINC1", "incident.triggered", "2026-11-26T10:00:00Z", "triggered")).await;
    assert_eq!(late[0]["action"], "none", "{late}");
    // Given its priority when it was over, for the review.
    let after = paged(&client, &event("PINC2", "incident.priority_updated", "2026-11-26T10:20:00Z", "resolved")).await;
    assert_eq!(after, json!([]));
    version(&client, 2).await;
    let reopened = event("PINC1", "incident.reopened", "2026-11-26T11:00:00Z", "triggered");
    let taken = paged(&client, &reopened).await;
    assert_eq!(taken[0]["action"], "rolled_back", "{taken}");
    paged(&client, &event("PINC1", "incident.resolved", "2026-11-26T11:30:00Z", "resolved")).await;
    promote_again(&home);
    version(&client, 2).await;
    // Recorded, and played again.
    let replayed = paged(&client, &reopened).await;
    assert_eq!(replayed[0]["action"], "none", "{replayed}");
    version(&client, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_was_not_heard_because_the_old_version_was_down_asks_again() {
    let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = std::sync::Arc::clone(&is_down);
    let old = Vendor::start(move |_, seen| match down.load(std::sync::atomic::Ordering::Relaxed) {
        true => Reply::openai_error(500, "server_error"),
        false => Reply::openai(seen, &Say::Text("old")),
    });
    let (old, new) = (old.await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    // Long enough to be promoted and told of meanwhile.
    let home = home(&old, &new, &own, "breaker: { cooldown: 40s }");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    until_down(&gateway, &client).await;
    promote(&home);
    version(&client, 2).await;
    let fires = alert("f1", "firing", "2026-11-26T10:00:00Z");
    let taken = told(&client, std::slice::from_ref(&fires)).await;
    assert!(taken[0]["detail"].as_str().is_some_and(|why| why.contains("would be worse")), "{taken}");
    let again = told(&client, std::slice::from_ref(&fires)).await;
    assert_eq!(again[0]["action"], "stayed", "{again}");
    let fired = client.get("/audit?action=trigger.fire").await.expect(200).json();
    assert_eq!(fired.as_array().map(Vec::len), Some(1), "what still stands is not told anew: {fired}");
    is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    let deadline = Instant::now() + Duration::from_secs(150);
    loop {
        let taken = told(&client, std::slice::from_ref(&fires)).await;
        if taken[0]["action"] == "rolled_back" {
            break;
        }
        assert!(Instant::now() < deadline, "it was not heard: {taken}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    served_by(&gateway, "old/m", SOON).await;
    assert_eq!(told(&client, &[fires]).await[0]["action"], "none");
}

/// Calls until `old` is known to be down.
async fn until_down(gateway: &Gateway, client: &Client) {
    let deadline = Instant::now() + SOON;
    loop {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
        let route = client.get("/routes/chat").await.expect(200).json();
        if route["targets"][0]["breaker"].to_string().contains("open") {
            break;
        }
        assert!(Instant::now() < deadline, "it is not known to be down: {route:#}");
    }
}
