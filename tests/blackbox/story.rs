//! The life of a release, told once from end to end: two vendors and the local tier, all certified and strictly enforced; proposed, tried,
//! promoted under load, taken back by its figures, by an incident, and by hand while the database takes no writes; and the audit log of
//! all of it, verified by a program in another language.
//!
//! The pieces have tests of their own (`release`, `admin/rollback`, `audit`). What is timed here is printed, and held to the five
//! minutes that are the goal and the two seconds that are ours.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use tokio::task::{JoinHandle, block_in_place};

use super::{
    audit::{exported, python},
    client::{Client, question, send},
    config::{Config, PATIENT},
    gateway::Gateway,
    home::Home,
    prepared::{self, TARGET},
    vendor::{Reply, Say, Vendor},
};

/// From what is wrong to traffic that has shifted: what a bank has a right to expect, and what we promise of a decided rollback.
const FIVE_MINUTES: Duration = Duration::from_secs(300);
const TWO_SECONDS_MS: i64 = 2000;
/// Until something that does not wait for a rule is seen.
const SOON: Duration = Duration::from_secs(30);

const HOOK: &str = "the-shared-secret-of-the-hook";
/// What the fakes and the smallest model can do alike: say something.
const SUITE: &str = "speaks";
const ITEMS: usize = 20;

const MORE: &str = "admin: { listen: 127.0.0.1:0 }\nshare_cap: { max: 1.0 }\n\
    incidents: { pagerduty: { signing_secret: pd-hook, services: { PSVC1: [chat] } } }\n\
    rules: [{ name: unhappy, when: \"kpi:csat < 4\", action: rollback, hold: 1s, min_samples: 30 }]\n";

struct Story {
    home: Home,
    alpha: Vendor,
    beta: Vendor,
    is_out: Arc<AtomicBool>,
}

/// Callers that do not stop; every call must be answered.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<()>>,
}

impl Story {
    /// A critical route: `alpha`, then `beta`, then the local model; each certified by a run of its own.
    async fn begin() -> Self {
        let is_out = Arc::new(AtomicBool::new(false));
        let (alphas, betas) = (Arc::clone(&is_out), Arc::clone(&is_out));
        let alpha = Vendor::start(move |_, seen| match alphas.load(Ordering::Relaxed) {
            true => Reply::openai_error(500, "server_error"),
            false => Reply::openai(seen, &Say::Text("alpha")),
        });
        let beta = Vendor::start(move |_, seen| match betas.load(Ordering::Relaxed) {
            true => Reply::anthropic_error(529, "overloaded_error"),
            false => Reply::anthropic(seen, &Say::Text("beta")),
        });
        let (alpha, beta) = (alpha.await, beta.await);
        let route = format!("criticality: critical, suite: {SUITE}, deadlines: {PATIENT}");
        let config = Config::strict()
            .vendor("alpha", "openai_compatible", &alpha.url())
            .entry("beta", &format!("{{ kind: anthropic, base_url: \"{}/v1\" }}", beta.url()))
            .route_with("chat", &["alpha/a", "beta/b", TARGET], &route)
            .more(MORE);
        let home = prepared::home(&config.text());
        write_suite(&home);
        home.secret("beta", "sk-of-beta");
        home.secret("pd-hook", HOOK);
        for target in ["alpha/a", "beta/b", TARGET] {
            block_in_place(|| home.ok(&["eval", "run", "--suite", SUITE, "--target", target, "--certify"]));
        }
        Self { home, alpha, beta, is_out }
    }

    fn ok(&self, args: &[&str]) -> String {
        block_in_place(|| self.home.ok(args))
    }

    fn status(&self) -> Value {
        block_in_place(|| self.home.json(&["release", "status", "chat"]))[0].clone()
    }

    fn promote(&self, why: &str) {
        self.ok(&["release", "promote", "chat", "2", "--reason", why, "--approve-by", "a second person"]);
    }

    /// From the last such act's decision to its traffic, by the gateway's own clock.
    async fn shifted_ms(&self, act: &str) -> i64 {
        let deadline = Instant::now() + SOON;
        loop {
            let history = block_in_place(|| self.home.json(&["release", "history", "chat"]));
            let last = history.as_array().and_then(|all| all.iter().rev().find(|done| done["act"] == act));
            if let Some(took) = last.and_then(|done| done["decision_to_traffic_ms"].as_i64()) {
                return took;
            }
            assert!(Instant::now() < deadline, "no {act} has taken effect: {history:#}");
        }
    }

    fn token(&self) -> String {
        self.ok(&["admin", "token", "issue", "--role", "operator"]).trim().to_owned()
    }
}

impl Load {
    fn begin(gateway: &Gateway) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = |_| {
            let (client, stop, calls) = (gateway.client(), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.chat(&question("chat", "hi")).await.expect(200);
                    calls.fetch_add(1, Ordering::Relaxed);
                    // A caller that thinks: the machine is shared.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        };
        let callers = (0..4).map(caller).collect();
        Self { stop, calls, callers }
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("every call was answered");
        }
        self.calls.load(Ordering::Relaxed)
    }
}

fn write_suite(home: &Home) {
    let header = format!(
        "name: {SUITE}\nversion: 1.0.0\npurpose: it says something\nuse_cases: [speaking]\n\
         sampling: {{ temperature: 0, seed: 1 }}\nmax_tokens: 4\ndeadline_seconds: 60\nerrors_allowed: 0\ngates:\n  \
         - {{ id: speaks, about: it says something, threshold: 0.5, min_items: {ITEMS} }}\n"
    );
    let item = |i| {
        let messages = [json!({ "role": "user", "content": format!("What is {i} and one?") })];
        json!({ "id": format!("i{i}"), "messages": messages, "checks": { "speaks": [{ "regex": "." }] } }).to_string()
    };
    let items: Vec<String> = (0..ITEMS).map(item).collect();
    let dir = home.state().join("suites");
    fs::create_dir_all(&dir).expect("the state directory can be written");
    fs::write(dir.join(format!("{SUITE}.yaml")), header).expect("likewise");
    fs::write(dir.join(format!("{SUITE}.jsonl")), items.join("\n") + "\n").expect("likewise");
}

async fn served_by(gateway: &Gateway, target: &str, within: Duration) {
    let begin = Instant::now();
    let mut body = question("chat", "hi");
    body["max_tokens"] = json!(4);
    loop {
        let answer = gateway.client().chat(&body).await.expect(200);
        if answer.header("x-backstop-served-by") == Some(target) {
            return;
        }
        assert!(begin.elapsed() < within, "`{target}` does not serve:\n{}", gateway.log());
    }
}

async fn admin(gateway: &Gateway, token: &str) -> Client {
    gateway.logged("admin API: ").await;
    let log = gateway.log();
    let (_, rest) = log.split_once("admin API: ").expect("was just seen");
    Client::new(rest.split_whitespace().next().expect("names a place"), token)
}

/// What the company's monitoring knows of customers who are not content, from now on.
async fn report_unhappy_customers(operator: &Client) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is later").as_millis() as i64;
    let point =
        |n: i64| json!({"name": "csat", "route": "chat", "value": 2.0 + (n % 3) as f64 / 2.0, "at_unix_ms": now - n});
    let points: Vec<Value> = (0..60).map(point).collect();
    let request = operator.bare(Method::POST, "/kpis").bearer_auth(operator.key());
    let request = request.header("content-type", "application/json").body(json!({ "kpis": points }).to_string());
    send(request).await.expect(200);
}

/// PagerDuty's webhook of a SEV1, signed as it signs.
async fn page(operator: &Client) -> Value {
    let body = json!({"event": {
        "id": "01EVENT", "event_type": "incident.triggered", "resource_type": "incident",
        "data": {
            "id": "PINC1", "type": "incident", "title": "chat answers nonsense", "urgency": "high",
            "service": {"id": "PSVC1", "summary": "Chat"}, "priority": {"summary": "SEV-1"},
        },
    }})
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(HOOK.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let signed = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
    let request = operator.bare(Method::POST, "/webhooks/pagerduty").header("content-type", "application/json");
    send(request.header("x-pagerduty-signature", signed).body(body)).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_tried_promoted_and_taken_back_three_times() {
    let _turn = prepared::turn().await;
    let story = Story::begin().await;
    let gateway = story.home.serve();
    let operator = admin(&gateway, &story.token()).await;
    served_by(&gateway, "alpha/a", SOON).await;

    // Proposed, tried on a part of the calls, then promoted, all of it under load.
    let targets = format!("beta/b,alpha/a,{TARGET}");
    story.ok(&["release", "propose", "chat", "--targets", &targets, "--reason", "cheaper"]);
    let load = Load::begin(&gateway);
    let canary = ["release", "canary", "chat", "2", "--pct", "20", "--by", "call", "--reason", "a look first"];
    story.ok(&[&canary[..], &["--approve-by", "a second person"]].concat());
    served_by(&gateway, "beta/b", SOON).await;
    let (alphas, betas) = (story.alpha.seen_count(), story.beta.seen_count());
    story.beta.asked(betas + 20).await;
    assert!(story.alpha.seen_count() - alphas > 20, "most calls stay with what serves");
    story.promote("the canary did well");
    let promoted = story.shifted_ms("promoted").await;
    assert_eq!((&story.status()["serving"], &story.status()["canary"]), (&json!(2), &Value::Null));
    served_by(&gateway, "beta/b", SOON).await;

    // Its figures get worse: a rule takes it back.
    let wrong = Instant::now();
    report_unhappy_customers(&operator).await;
    served_by(&gateway, "alpha/a", FIVE_MINUTES).await;
    let by_rule = (wrong.elapsed(), story.shifted_ms("rolled_back").await);
    let deadline = Instant::now() + SOON;
    loop {
        let state = operator.get("/rules").await.expect(200).json()[0].clone();
        if state["outcome"].as_str().is_some_and(|what| what.contains("from version 2 to version 1")) {
            break;
        }
        assert!(Instant::now() < deadline, "the rule does not say that it acted: {state:#}");
    }

    // Once more, and a SEV1 from PagerDuty takes it back.
    story.promote("it was the weather");
    served_by(&gateway, "beta/b", SOON).await;
    let wrong = Instant::now();
    let taken = page(&operator).await;
    assert_eq!(taken["taken"][0]["action"], "rolled_back", "{taken}");
    served_by(&gateway, "alpha/a", SOON).await;
    let by_incident = (wrong.elapsed(), story.shifted_ms("rolled_back").await);

    // Once more, and by hand while the database takes no writes.
    story.promote("it was a false alarm");
    served_by(&gateway, "beta/b", SOON).await;
    let options = SqliteConnectOptions::new().filename(story.home.state().join("backstop.db"));
    let mut held = options.connect().await.expect("opens");
    held.execute("BEGIN IMMEDIATE").await.expect("is free");
    let wrong = Instant::now();
    story.ok(&["release", "rollback", "chat", "--reason", "customers complain"]);
    served_by(&gateway, "alpha/a", SOON).await;
    let by_hand = (wrong.elapsed(), story.shifted_ms("rolled_back").await);
    held.execute("ROLLBACK").await.expect("lets go");
    held.close().await.expect("closes");
    let calls = load.end().await;

    // And without any vendor the local model answers.
    story.is_out.store(true, Ordering::Relaxed);
    served_by(&gateway, TARGET, SOON).await;
    eprintln!(
        "{calls} calls, all answered; promotion {promoted} ms from decision to traffic; from what was wrong to traffic, and from \
         decision to traffic in ms: by a rule {by_rule:?}, by an incident {by_incident:?}, without the database {by_hand:?}"
    );
    for (whole, shift) in [by_rule, by_incident, by_hand] {
        assert!(whole < FIVE_MINUTES && shift < TWO_SECONDS_MS, "it took {whole:?}, of it {shift} ms to shift");
    }
    is_in_the_audit_log(&story, gateway).await;
}

async fn is_in_the_audit_log(story: &Story, gateway: Gateway) {
    let deadline = Instant::now() + SOON;
    while fs::read_dir(story.home.state().join("releases/pending")).expect("is there").count() > 0 {
        assert!(Instant::now() < deadline, "the rollback is not carried over:\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    block_in_place(|| gateway.stop());
    let listed = block_in_place(|| story.home.json(&["audit", "list", "--limit", "1000"]));
    let listed: Vec<&str> = listed.as_array().into_iter().flatten().filter_map(|one| one["action"].as_str()).collect();
    let count = |action: &str| listed.iter().filter(|one| **one == action).count();
    let told = [
        ("release.propose", 1),
        ("release.canary", 1),
        ("release.promote", 3),
        ("release.rollback", 3),
        ("trigger.fire", 2),
        ("incident.report", 1),
    ];
    for (action, times) in told {
        assert_eq!(count(action), times, "{action}: {listed:?}");
    }
    let key = story.ok(&["audit", "key"]).trim().to_owned();
    let export = block_in_place(|| exported(&story.home, "export.jsonl"));
    let said = block_in_place(|| python(&export, &key, &[])).expect_success(&["verify_export.py"]);
    eprintln!("{said}");
}
