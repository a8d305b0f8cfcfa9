//! A vendor's model that is not what passed any more: another name, another fingerprint, other answers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{asked, certificate, certify, forge::Forge, ladder, served_by, until_left_out, with_suite};
use crate::{
    gateway::Gateway,
    home::Home,
    vendor::{Reply, Vendor},
};

/// What the vendor says of itself, and whether it still answers right.
#[derive(Clone)]
struct Mood {
    name: Arc<Mutex<&'static str>>,
    fingerprint: Arc<Mutex<&'static str>>,
    lies: Arc<AtomicBool>,
}

impl Mood {
    fn new() -> Self {
        Self {
            name: Arc::new(Mutex::new("echo-2026-01-01")),
            fingerprint: Arc::new(Mutex::new("fp_44709d6fcb")),
            lies: Arc::default(),
        }
    }

    fn set(what: &Mutex<&'static str>, to: &'static str) {
        *what.lock().expect("no test panics while it holds this") = to;
    }

    async fn vendor(&self) -> Vendor {
        let mood = self.clone();
        Vendor::start(move |_, seen| {
            let text = if mood.lies.load(Ordering::Relaxed) { "something else".to_owned() } else { asked(seen) };
            let (name, fingerprint) = (mood.name.lock().expect("likewise"), mood.fingerprint.lock().expect("likewise"));
            Reply::json(
                200,
                &json!({
                    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": *name,
                    "system_fingerprint": *fingerprint,
                    "choices": [{
                        "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop"
                    }],
                    "usage": { "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11 },
                }),
            )
        })
        .await
    }
}

const EVERY_SECOND: &str = "gate: { sentinel: { every: 1s, questions: 5 } }";

fn suspensions(home: &Home) -> Vec<Value> {
    let listed = home.json(&["audit", "list", "--action", "certificate.suspend"]);
    listed.as_array().expect("a list").clone()
}

async fn until_paged(home: &Home, gateway: &Gateway) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let open = home.json(&["alerts", "list"])["open"].clone();
        let is_page = |alert: &Value| {
            alert["event"] == "target_left_out" && alert["target"] == "second/echo" && alert["severity"] == "critical"
        };
        if open.as_array().expect("a list").iter().any(is_page) {
            return;
        }
        assert!(Instant::now() < deadline, "no page in 30 s: {open}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_or_wrong_answers_suspend_it_until_it_is_certified_again() {
    let mood = Mood::new();
    let fallback = mood.vendor().await;
    let (_broken, config) = ladder(&fallback, EVERY_SECOND).await;
    let home = with_suite(&config);
    certify(&home);
    let predicate = Forge::of(certificate(&home)).statement()["predicate"].clone();
    let bound = &predicate["runs_on"]["vendor"];
    assert_eq!(bound["answered_as"], json!(["echo-2026-01-01"]));
    assert_eq!(bound["fingerprints"], json!(["fp_44709d6fcb"]));
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    // Probes of a model that is as it was change nothing.
    let before = fallback.seen_count();
    fallback.asked(before + 10).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    Mood::set(&mood.name, "echo-2026-06-30");
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("it is suspended: it answers as `echo-2026-06-30`"), "{ready}");
    assert_eq!(served_by(&gateway).await, None, "the target is closed");
    until_paged(&home, &gateway).await;
    let acts = suspensions(&home);
    assert_eq!(acts.len(), 1, "{acts:?}");
    assert_eq!(
        (&acts[0]["actor"]["kind"], &acts[0]["object"]["name"]),
        (&json!("gateway"), &json!("second/echo for echoes"))
    );
    assert!(acts[0]["reason"].as_str().is_some_and(|why| why.contains("echo-2026-06-30")), "{acts:?}");
    let file = certificate(&home);
    let said = home.run(&["eval", "verify", file.to_str().expect("a path")]).expect_failure();
    assert!(said.contains("it is suspended"), "{said}");
    // Back as it was, it stays suspended: what changed once is not trusted to have changed back.
    Mood::set(&mood.name, "echo-2026-01-01");
    assert!(home.run(&["check"]).expect_failure().contains("it is suspended"));
    // Certified as what it is now, it serves again, until its answers are no longer right.
    certify(&home);
    until_left_out(&gateway, false).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    mood.lies.store(true, Ordering::Relaxed);
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("it misses 5 of 5 questions that it passed"), "{ready}");
    assert_eq!(suspensions(&home).len(), 2);
    let log = gateway.stop();
    assert!(log.contains("the model is not what was certified: suspended"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_fingerprint_suspends_it_unless_the_config_says_that_those_change() {
    let mood = Mood::new();
    let fallback = mood.vendor().await;
    let ignoring = EVERY_SECOND.replace("every:", "fingerprints: ignore, every:");
    let (_broken, config) = ladder(&fallback, &ignoring).await;
    let home = with_suite(&config);
    certify(&home);
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    Mood::set(&mood.fingerprint, "fp_0000000000");
    let before = fallback.seen_count();
    fallback.asked(before + 15).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    assert_eq!(suspensions(&home), [] as [Value; 0]);
    home.configure(&config.replace(&ignoring, EVERY_SECOND));
    gateway.signal("HUP");
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("its fingerprint is `fp_0000000000`, and was `fp_44709d6fcb`"), "{ready}");
    assert_eq!(suspensions(&home).len(), 1);
    certify(&home);
    until_left_out(&gateway, false).await;
}
