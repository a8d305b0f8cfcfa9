//! A certificate's end: told long before, excused only where the config says so, and never for a changed byte.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{SUITE, certificate, certify, echo, forge::Forge, ladder, served_by, until_left_out, with_suite};
use crate::{gateway::Gateway, home::Home};

const DAY: time::Duration = time::Duration::DAY;

pub(super) fn open_alerts(home: &Home) -> Vec<(String, String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = home.json(&["alerts", "list"]);
    let all = listed["open"].as_array().expect("a list").iter();
    all.map(|alert| (word(&alert["event"]), word(&alert["fault"]), word(&alert["severity"]))).collect()
}

pub(super) async fn until_alerted(home: &Home, gateway: &Gateway, event: &str, fault: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let open = open_alerts(home);
        if let Some((_, _, severity)) = open.iter().find(|(is, of, _)| is == event && of == fault) {
            return severity.clone();
        }
        assert!(Instant::now() < deadline, "no `{event}` of `{fault}` in 30 s: {open:?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Until `/readyz` has `what`.
async fn until_ready_says(gateway: &Gateway, what: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ready = gateway.client().get("/readyz").await.body;
        if ready.contains(what) {
            return ready;
        }
        assert!(Instant::now() < deadline, "`{what}` is not said in 30 s: {ready}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) fn acts(home: &Home, action: &str) -> Vec<Value> {
    let listed = home.json(&["audit", "list", "--action", action, "--limit", "1000"]);
    listed.as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_end_is_told_14_7_and_1_days_before_and_closes_the_target_when_it_comes() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let forge = Forge::of(certificate(&home));
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    assert_eq!(open_alerts(&home), [], "a month is no news");
    for (ends, name) in [
        (13 * DAY, "certificate_expires_in_14_days"),
        (6 * DAY, "certificate_expires_in_7_days"),
        (DAY / 2, "certificate_expires_in_1_day"),
    ] {
        forge.ends(&home, ends);
        assert_eq!(until_alerted(&home, &gateway, "certificate_ends", name).await, "warning");
        assert!(gateway.log().contains(name), "{}", gateway.log());
        let listed = home.json(&["eval", "certs"]);
        assert!(listed[0]["warning"].as_str().is_some_and(|why| why.contains("expires at")), "{listed}");
        assert!(home.ok(&["check"]).contains("its certificate expires at"));
        assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"), "{name}: it serves still");
    }
    forge.ends(&home, time::Duration::seconds(-1));
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("it expired at"), "{ready}");
    assert_eq!(served_by(&gateway).await, None, "without a grace in the config there is none");
    assert_eq!(until_alerted(&home, &gateway, "target_left_out", "uncertified").await, "critical", "a page");
    let closed = acts(&home, "target.close");
    assert!(closed[0]["reason"].as_str().is_some_and(|why| why.contains("it expired at")), "{closed:?}");
    assert!(home.run(&["check"]).expect_failure().contains("it expired at"));
    assert!(home.run(&["eval", "verify", file(&home).as_str()]).expect_failure().contains("it expired at"));
}

fn file(home: &Home) -> String {
    let certs = home.json(&["eval", "certs"]);
    certs[0]["file"].as_str().expect("a path").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_is_asked_for_logged_shown_and_ends_by_itself() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let forge = Forge::of(certificate(&home));
    forge.ends(&home, time::Duration::seconds(-1));
    let gateway = home.serve();
    until_left_out(&gateway, true).await;
    assert_eq!(acts(&home, "certificate.grace").len(), 0);
    home.configure(&format!("{config}gate: {{ grace: 1h }}\n"));
    gateway.signal("HUP");
    let ready = until_ready_says(&gateway, "serves in grace").await;
    assert!(ready.contains("second/echo") && ready.contains("\"degraded\""), "{ready}");
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    let granted = acts(&home, "certificate.grace");
    assert_eq!(granted.len(), 1, "{granted:?}");
    assert!(granted[0]["reason"].as_str().is_some_and(|why| why.contains("in the grace")), "{granted:?}");
    assert_eq!(granted[0]["actor"]["kind"], "gateway");
    assert_eq!(until_alerted(&home, &gateway, "certificate_ends", "certificate_in_grace").await, "warning");
    assert!(home.ok(&["eval", "certs"]).contains("in the grace"));
    assert!(home.ok(&["check"]).contains("in the grace"));
    // Its last seconds, and then it is over without anybody's doing.
    forge.ends(&home, time::Duration::seconds(4) - time::Duration::HOUR);
    let ready = until_ready_says(&gateway, "left out").await;
    assert!(ready.contains("it expired at"), "{ready}");
    assert_eq!(served_by(&gateway).await, None);
    assert_eq!(until_alerted(&home, &gateway, "target_left_out", "uncertified").await, "critical");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_has_no_grace() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "gate: { grace: 1h }").await;
    let home = with_suite(&config);
    certify(&home);
    let forge = Forge::of(certificate(&home));
    forge.ends(&home, time::Duration::seconds(-1));
    let gateway = home.serve();
    until_ready_says(&gateway, "serves in grace").await;
    let header = home.state().join("suites").join(format!("{SUITE}.yaml"));
    let text = fs::read_to_string(&header).expect("the suite is there");
    fs::write(&header, format!("{text}# eased\n")).expect("it can be edited");
    let ready = until_ready_says(&gateway, "suite's digest differs").await;
    assert!(ready.contains("left out"), "{ready}");
    assert_eq!(served_by(&gateway).await, None);
    fs::write(&header, text).expect("it can be put back");
    until_ready_says(&gateway, "serves in grace").await;
    // Nor has a revoked one.
    let file = file(&home);
    home.ok(&["eval", "revoke", &file, "--reason", "it lies"]);
    let ready = until_ready_says(&gateway, "it was revoked: it lies").await;
    assert!(ready.contains("left out"), "{ready}");
}
