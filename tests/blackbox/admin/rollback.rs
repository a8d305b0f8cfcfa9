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
pub fn home(old: &Vendor, new: &Vendor, own: &Vendor, more: &str) -> Home {
    let own = format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", own.url());
    let config = Config::warn().vendor("old", "openai", &old.url()).vendor("new", "openai", &new.url());
    let config = config.vendor_with("own", &own).route_with(
        "chat",
        &["old/m", "new/m", "own/m"],
        &format!("criticality: critical, deadlines: {QUICK}"),
    );
    Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").more(more).text())
}

/// Once more, after it was taken back.
pub fn promote_again(home: &Home) {
    home.ok(&["release", "promote", "chat", "2", "--reason", "mended", "--approve-by", "a second person"]);
}

pub fn promote(home: &Home) {
    let args = ["release", "propose", "chat", "--targets", "new/m,old/m,own/m", "--reason", "newer"];
    let number = home.json(&args)["release"].to_string();
    home.ok(&["release", "promote", "chat", &number, "--reason", "evaluated", "--approve-by", "a second person"]);
}

pub async fn served_by(gateway: &Gateway, target: &str, within: Duration) -> Duration {
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
    let new = refusing().await;
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
    // A dry run over that promotion finds what fired, and when.
    let tested = home.json(&["release", "rules", "test", "--since", "10m", "--rule", "refuses"]);
    let of_promotion = tested.as_array().and_then(|all| all.iter().find(|one| one["version"] == 2));
    let of_promotion = of_promotion.unwrap_or_else(|| panic!("the promotion is not there: {tested:#}"));
    let fired = entries[0]["at"].as_str().expect("has a time");
    let fired = time::OffsetDateTime::parse(fired, &time::format_description::well_known::Rfc3339).expect("RFC 3339");
    let fired = i64::try_from(fired.unix_timestamp_nanos() / 1_000_000).expect("fits");
    let would = of_promotion["acts_at_unix_ms"].as_i64().unwrap_or_else(|| panic!("it would not act: {tested:#}"));
    assert!((would - fired).abs() < 60_000, "it fired at {fired}: {tested:#}");
}

/// Answers, and refuses every second question for its content.
async fn refusing() -> Vendor {
    Vendor::start(|number, seen| match number % 2 {
        0 => Reply::openai(seen, &Say::Text("new")),
        _ => Reply::openai_error(400, "content_policy_violation"),
    })
    .await
}

/// Release 2, `new` first, on so many of a hundred calls.
fn try_out(home: &Home, pct: &str) {
    let args = ["release", "propose", "chat", "--targets", "new/m,own/m", "--reason", "newer"];
    let number = home.json(&args)["release"].to_string();
    let args = ["release", "canary", "chat", &number, "--pct", pct, "--by", "call", "--reason", "a look first"];
    home.ok(&[&args[..], &["--approve-by", "a second person"]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rule_ends_a_canary_that_is_worse_than_what_serves_beside_it() {
    let old = Vendor::openai(Say::Text("old")).await;
    let new = refusing().await;
    let own = Vendor::openai(Say::Text("own")).await;
    // The first would fire on the whole route's figures too: that it does not shows whose calls it counts.
    let rules = "rules: [{ name: serving, when: \"refusal_rate > 5%\", action: rollback, hold: 1s, min_samples: 20 }, \
                 { name: beside, when: \"refusal_rate > baseline + 5%\", action: pause, hold: 1s, min_samples: 20 }]";
    let home = home(&old, &new, &own, rules);
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    try_out(&home, "30");
    let deadline = Instant::now() + Duration::from_secs(60);
    let states = loop {
        for _ in 0..40 {
            gateway.client().chat(&question("chat", "hi")).await;
        }
        let states = client.get("/rules").await.expect(200).json();
        let of = |rule: &str| {
            let states = states.as_array().into_iter().flatten();
            states.clone().find(|one| one["rule"] == rule && one["canary"] == true).cloned()
        };
        if let Some(state) = [of("serving"), of("beside")].into_iter().flatten().find(|one| one["outcome"].is_string())
        {
            break state;
        }
        assert!(Instant::now() < deadline, "no rule has acted: {states:#}");
    };
    assert!(
        states["outcome"].as_str().is_some_and(|what| what.contains("version 2 is not tried any more")),
        "{states:#}"
    );
    let status = home.json(&["release", "status", "chat"])[0].clone();
    assert_eq!((&status["serving"], &status["canary"]), (&json!(1), &json!(null)), "{status}");
    // What serves was found to be well all the time.
    let rules = client.get("/rules").await.expect(200).json();
    let serving = rules.as_array().into_iter().flatten().find(|one| one["rule"] == "serving" && one["canary"] == false);
    let serving = serving.expect("is looked at");
    assert_eq!((&serving["outcome"], &serving["findings"][0]["value"]), (&json!(null), &json!(0.0)), "{serving:#}");
    let ends = client.get("/audit?action=release.canary_end").await.expect(200).json();
    assert_eq!(ends.as_array().map(Vec::len), Some(1), "{ends:#}");
    assert!(ends[0]["reason"].as_str().is_some_and(|why| why.contains("version 2 on trial")), "{ends:#}");
}

/// Its callers are answered by what serves, so no error tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_canary_that_fails_behind_the_fallback_is_seen_by_who_answers_for_it() {
    let old = Vendor::openai(Say::Text("old")).await;
    let new = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let own = Vendor::openai(Say::Text("own")).await;
    let rules = "rules: [{ name: beside, when: \"fallback_rate > baseline + 20%\", action: pause, hold: 1s, min_samples: 20 }, \
                 { name: errors, when: \"error_rate > 1%\", action: alert, hold: 1s, min_samples: 20 }]";
    let home = home(&old, &new, &own, rules);
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    try_out(&home, "50");
    let deadline = Instant::now() + Duration::from_secs(60);
    while home.json(&["release", "status", "chat"])[0]["canary"].is_object() {
        for _ in 0..40 {
            gateway.client().chat(&question("chat", "hi")).await.expect(200);
        }
        assert!(Instant::now() < deadline, "it is still tried: {}", client.get("/rules").await.body);
    }
    let ends = client.get("/audit?action=release.canary_end").await.expect(200).json();
    assert!(ends[0]["reason"].as_str().is_some_and(|why| why.contains("beside")), "{ends:#}");
    let rules = client.get("/rules").await.expect(200).json();
    let errors = rules.as_array().into_iter().flatten().filter(|one| one["rule"] == "errors");
    assert!(errors.into_iter().all(|one| one["outcome"].is_null()), "{rules:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_incident_ends_the_canary_first_and_spares_what_serves() {
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let own = Vendor::openai(Say::Text("own")).await;
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    promote(&home);
    served_by(&gateway, "new/m", Duration::from_secs(10)).await;
    let propose = ["release", "propose", "chat", "--targets", "old/m,own/m", "--reason", "newer"];
    let number = home.json(&propose)["release"].to_string();
    let args = ["release", "canary", "chat", &number, "--pct", "50", "--by", "call", "--reason", "a look first"];
    home.ok(&[&args[..], &["--approve-by", "a second person"]].concat());
    served_by(&gateway, "old/m", Duration::from_secs(10)).await;
    let incident = |id: &str| json!({"id": id, "route": "chat", "severity": "SEV1", "title": "wrong answers"});
    let taken = put(&client, Method::POST, "/incidents", &incident("INC-1")).await.expect(200).json();
    assert_eq!(taken["action"], "canary_ended", "{taken}");
    // Another alarm of the same cause, a moment later.
    let other = put(&client, Method::POST, "/incidents", &incident("INC-2")).await.expect(200).json();
    assert!(other["detail"].as_str().is_some_and(|why| why.contains("less than a minute ago")), "{other}");
    let status = home.json(&["release", "status", "chat"])[0].clone();
    assert_eq!((&status["serving"], &status["canary"]), (&json!(2), &json!(null)), "{status}");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let before = old.seen_count();
        for _ in 0..20 {
            gateway.client().chat(&question("chat", "hi")).await.expect(200);
        }
        if old.seen_count() == before {
            break;
        }
        assert!(Instant::now() < deadline, "the canary still answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_incident_takes_no_route_to_a_target_that_is_down() {
    let old = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let (new, own) = (Vendor::openai(Say::Text("new")).await, Vendor::openai(Say::Text("own")).await);
    let home = home(&old, &new, &own, "");
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    // Until it is known to be down.
    for _ in 0..40 {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
    }
    promote(&home);
    served_by(&gateway, "new/m", Duration::from_secs(10)).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.get("/routes/chat").await.expect(200).json()["version"] != 2 {
        assert!(Instant::now() < deadline, "the promotion is not in force");
    }
    let bad = json!({"id": "INC-9", "route": "chat", "severity": "SEV2", "title": "wrong answers"});
    let taken = put(&client, Method::POST, "/incidents", &bad).await.expect(200).json();
    let why = taken["detail"].as_str().unwrap_or_default();
    assert_eq!(taken["action"], "stayed", "{taken}");
    assert!(why.contains("its retained version 1 would be worse: `old/m` does not answer now"), "{taken}");
    served_by(&gateway, "new/m", Duration::from_secs(10)).await;
    // A person may, whatever the machine thinks.
    let by_hand = json!({"reason": "we know better"});
    put(&client, Method::POST, "/routes/chat/rollback", &by_hand).await.expect(200);
    assert_eq!(client.get("/routes/chat").await.expect(200).json()["version"], 1);
}
