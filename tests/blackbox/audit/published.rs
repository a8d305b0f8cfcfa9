//! A running gateway: what it records by itself, what it publishes, and what it says when it cannot.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{actions, entries, settle};
use crate::{
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !seen().await {
        assert!(Instant::now() < deadline, "not in 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn metric(gateway: &Gateway, line: &str) -> bool {
    gateway.client().get("/metrics").await.body.lines().any(|found| found == line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn loads_reloads_and_closed_targets_are_entries() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let config =
        || Config::strict().vendor("near", "openai", &vendor.url()).vendor("far", "openai_compatible", &vendor.url());
    let home = Home::new(&config().route("chat", &["near/a", "far/b"]).text());
    let gateway = home.serve();
    until("the gate's word", async || entries(&home, &["--action", "target.close"]).len() == 1).await;
    let closed = &entries(&home, &["--action", "target"])[0];
    assert_eq!((&closed["object"]["name"], &closed["actor"]["kind"]), (&"far/b".into(), &"gateway".into()));
    assert!(closed["reason"].as_str().is_some_and(|why| !why.is_empty()), "{closed}");
    assert_eq!(entries(&home, &["--actor", "gateway", "--action", "target"]).len(), 1);
    let loaded = &entries(&home, &["--action", "config.load"])[0];
    assert_eq!(loaded["after"]["routes"]["chat"], serde_json::json!(["near/a", "far/b"]));
    assert_eq!(loaded["after"]["sha256"].as_str().map(str::len), Some(64));
    home.configure(
        &config()
            .route("chat", &["near/a", "far/b"])
            .more("drain: 5s\nrules: [{ name: slow, when: \"p99_ms > 2000\", action: rollback }]")
            .text(),
    );
    gateway.signal("HUP");
    until("the reload", async || entries(&home, &["--action", "config.reload"]).len() == 1).await;
    let reloaded = &entries(&home, &["--action", "config.reload"])[0];
    assert_eq!(reloaded["after"]["changes"], serde_json::json!(["rules: +slow", "drain"]));
    let rule = serde_json::json!({"when": "p99_ms > 2000", "action": "rollback", "routes": []});
    assert_eq!(reloaded["after"]["rules"]["slow"], rule);
    // Refused: not in force, so no act.
    home.configure("routes: [");
    gateway.signal("HUP");
    gateway.logged("config refused").await;
    gateway.stop();
    // Verbs read the config too.
    home.configure(&config().route("chat", &["near/a", "far/b"]).text());
    assert_eq!(entries(&home, &["--action", "config"]).len(), 2, "{:?}", actions(&home));
    assert_eq!(home.json(&["audit", "verify"])["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn checkpoints_are_published_off_the_host_and_a_rewritten_log_is_not_signed() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let store = Vendor::start(|number, _| {
        // The first time it is out of order.
        Reply::Whole { status: if number == 0 { 503 } else { 200 }, headers: Vec::new(), body: Vec::new() }
    })
    .await;
    let hook = Vendor::start(|_, _| Reply::Whole { status: 204, headers: Vec::new(), body: Vec::new() }).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let (dir, put, post) = (elsewhere.path().join("mount"), store.url(), hook.url());
    let audit = format!(
        "audit: {{ every: 1s, publish: [ {{ kind: file, dir: {} }}, {{ kind: put, url: \"{put}/audit\", secret: put-token }}, \
         {{ kind: webhook, url: \"{post}/hook\", secret: hook-key }} ] }}",
        dir.display()
    );
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/a"]).more(&audit).text();
    let home = Home::new(&config);
    home.secret("put-token", "a-token-for-put");
    home.secret("hook-key", "a-key-for-the-hook");
    let gateway = home.serve();
    // The mount is not there yet: no directory is made in its place, and it is said.
    gateway.logged("audit checkpoints are not published there").await;
    assert!(!dir.exists());
    fs::create_dir(&dir).expect("makes");
    // Not those that are being written.
    let published = || {
        let all = fs::read_dir(&dir).expect("is there").map(|entry| entry.expect("lists").path());
        all.filter(|path| path.extension().is_some_and(|end| end == "checkpoint")).collect::<Vec<_>>()
    };
    until("a checkpoint in the directory", async || !published().is_empty()).await;
    until("an object", async || store.seen().len() >= 2).await;
    let object = store.seen().last().cloned().expect("was put");
    assert_eq!((object.method.as_str(), object.header("authorization")), ("PUT", Some("Bearer a-token-for-put")));
    assert!(
        object.path.starts_with("/audit/backstop-audit-") && object.path.ends_with(".checkpoint"),
        "{}",
        object.path
    );
    until("a post", async || !hook.seen().is_empty()).await;
    let post = hook.seen().first().cloned().expect("was posted");
    assert_eq!(post.json()["type"], "backstop.audit.checkpoint");
    assert!(post.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
    until("no entry unpublished", async || {
        metric(&gateway, "backstop_audit_unpublished_entries{sink=\"0:file\"} 0").await
    })
    .await;
    // A growing log makes more of them.
    let before = published().len();
    home.key();
    until("the next checkpoint", async || published().len() > before).await;
    let mut notes = published();
    notes.sort();
    let last = notes.last().and_then(|path| path.to_str()).expect("is text").to_owned();
    home.ok(&["audit", "verify", "--checkpoint", &last]);
    assert_eq!(fs::read_to_string(&last).expect("reads").lines().count(), 5);

    // Someone who writes the file itself and knows what they do: the guards, an entry, its hashes.
    gateway.stop();
    let older = Home::new(&config);
    older.key();
    settle(&older);
    settle(&home);
    fs::copy(older.state().join("backstop.db"), home.state().join("backstop.db")).expect("copies");
    let said = home.run(&["audit", "verify", "--checkpoint", &last]).expect_failure();
    assert!(said.contains("WRONG"), "{said}");
    let count = published().len();
    let gateway = Gateway::start(home.command(&["serve"]), Some(String::new()));
    gateway.logged("the audit log is not signed").await;
    until("the metric", async || metric(&gateway, "backstop_audit_unsigned 1").await).await;
    assert_eq!(published().len(), count, "nothing is published of a log that was rewritten");
}
