//! What is sent, byte for byte, beside the golden files; each was read against the receiver's public documentation.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::{super::*, *};
use crate::alert::webhook::sign;

/// A fallback that serves, an outage, a wrong secret, and the end of the first.
fn samples() -> Vec<(&'static str, Alert)> {
    let mut ladder = Ladder::default();
    let fallback = told(&mut ladder, answered_after(&[FaultKind::ServerError]), NOW).remove(0);
    let escalated =
        told(&mut ladder, answered_after(&[FaultKind::ServerError, FaultKind::Overloaded]), NOW + 1500).remove(0);
    let outage = told(&mut ladder, nobody(&[FaultKind::ConnectRefused, FaultKind::RateLimited]), NOW + 2000).remove(0);
    let refused = told(&mut ladder, answered_after(&[FaultKind::VendorAuth]), NOW + 3000).remove(0);
    let mut over = Vec::new();
    for second in 20..23 {
        over.extend(told(&mut ladder, answered_after(&[]), NOW + 1000 * second));
    }
    let over = over.into_iter().find(|alert| alert.event == Event::FallbackServed).expect("it is over");
    vec![
        ("fallback", fallback),
        ("escalated", escalated),
        ("outage", outage),
        ("refused", refused),
        ("resolved", over),
        ("test", Alert::test(State::Firing, NOW)),
    ]
}

fn golden(receiver: &str, body: impl Fn(&Alert) -> Vec<u8>) {
    for (name, alert) in samples() {
        let body: Value = serde_json::from_slice(&body(&alert)).expect("a body is JSON");
        insta::assert_json_snapshot!(format!("{receiver}_{name}"), body);
    }
}

#[test]
fn slack() {
    golden("slack", slack::body);
}

#[test]
fn pagerduty() {
    golden("pagerduty", |alert| pagerduty::body(alert, &SecretString::from("R0UT1NGK3Y")));
}

#[test]
fn alertmanager() {
    golden("alertmanager", |alert| alertmanager::body(alert, NOW + 60_000));
}

#[test]
fn webhook() {
    golden("webhook", webhook::body);
}

#[test]
fn the_standards_own_example_gets_its_signature() {
    let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_999, br#"{"test": 2432232314}"#);
    assert_eq!(signed.timestamp, "1614265330");
    assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_secret_of_ones_own_making_is_the_key_itself() {
    let plain = sign(&SecretString::from("0123456789abcdef0123456789abcdef"), "msg_1", 0, b"{}");
    let encoded = sign(&SecretString::from("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), "msg_1", 0, b"{}");
    assert_eq!(plain, encoded);
    assert_ne!(plain, sign(&SecretString::from("another"), "msg_1", 0, b"{}"));
}

#[test]
fn names_cannot_mention_a_channel_or_pass_a_bound() {
    let (_, mut alert) = samples().remove(0);
    alert.route = RouteId::new(format!("<!channel>&{}", "x".repeat(4000)));
    let body: Value = serde_json::from_slice(&slack::body(&alert)).expect("JSON");
    let text = body.to_string();
    assert!(!text.contains("<!channel>") && text.contains("&lt;!channel&gt;&amp;"), "{text}");
    let event: Value = serde_json::from_slice(&pagerduty::body(&alert, &SecretString::from("x"))).expect("JSON");
    let summary = event["payload"]["summary"].as_str().expect("a summary");
    assert_eq!(summary.chars().count(), 1024);
    let key = DedupKey::of(&["fallback_served", alert.route.as_str()]);
    assert!(key.as_str().len() <= 255, "{key:?}");
    assert_ne!(key, DedupKey::of(&["fallback_served", &"y".repeat(4000)]));
}

#[test]
fn a_firing_alert_outlasts_two_lost_refreshes_and_a_resolved_one_has_ended() {
    let ends = |alert: &Alert, now: i64| {
        let body: Value = serde_json::from_slice(&alertmanager::body(alert, now)).expect("JSON");
        body[0]["endsAt"].as_str().expect("an end").to_owned()
    };
    let samples = samples();
    assert_eq!(ends(&samples[0].1, NOW), "2026-11-25T03:12:00Z");
    assert_eq!(ends(&samples[4].1, NOW + 3_600_000), "2026-11-25T03:00:22Z");
}

#[test]
fn labels_do_not_change_while_an_incident_is_open() {
    let mut ladder = Ladder::default();
    let first = told(&mut ladder, answered_after(&[FaultKind::ServerError]), NOW).remove(0);
    told(&mut ladder, answered_after(&[FaultKind::ServerError]), NOW + 1000);
    let later = ladder.open().next().expect("it is open").clone();
    assert_ne!(first, later);
    let labels = |alert: &Alert| -> Value {
        let body: Value = serde_json::from_slice(&alertmanager::body(alert, NOW)).expect("JSON");
        json!([body[0]["labels"], body[0]["startsAt"]])
    };
    assert_eq!(labels(&first), labels(&later));
}
