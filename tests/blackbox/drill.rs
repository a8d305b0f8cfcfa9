//! Game days as operators hold them: vendors seen as down for some calls, a report with a date, and nothing else that changes.

mod refused;
mod steps;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    client::question,
    config::{Config, QUICK},
    gateway::Gateway,
    home::Home,
    vendor::{End, Reply, Say, Seen, Vendor, openai_frames},
};

const ITEMS: usize = 60;
/// A suite of questions that are to be repeated.
const SUITE: &str = "echoes";

/// A critical route `chat`: `near`, then an engine of our own that repeats what it is asked.
struct Story {
    home: Home,
    near: Vendor,
    _own: Vendor,
    lies: Arc<AtomicBool>,
}

impl Story {
    async fn begin(more: &str) -> Self {
        let near = Vendor::openai(Say::Text("near")).await;
        let lies = Arc::new(AtomicBool::new(false));
        let liar = Arc::clone(&lies);
        let own = Vendor::start(move |_, seen| echo(seen, liar.load(Ordering::Relaxed))).await;
        let config = Config::strict()
            .vendor("near", "openai_compatible", &near.url())
            .vendor_with("own", &format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", own.url()))
            .route_with(
                "chat",
                &["near/m", "own/echo"],
                &format!("criticality: critical, suite: {SUITE}, deadlines: {QUICK}"),
            )
            .more(more);
        let home = Home::new(&config.text());
        write_suite(&home);
        home.ok(&["eval", "run", "--suite", SUITE, "--target", "own/echo", "--certify"]);
        Self { home, near, _own: own, lies }
    }

    fn drill(&self, args: &[&str]) -> (Option<i32>, Value) {
        let ran = self.home.run(&[&["drill", "outage", "--route", "chat", "--json"], args].concat());
        let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        (ran.code, report)
    }
}

/// Served, and told in the state directory: that is how the verb knows of it.
async fn serving(home: &Home) -> Gateway {
    let gateway = home.serve();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !home.state().join("health.json").exists() {
        assert!(Instant::now() < deadline, "no health:\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway
}

fn write_suite(home: &Home) {
    let header = format!(
        "name: {SUITE}\nversion: 1.0.0\npurpose: it repeats\nuse_cases: [echoing]\n\
         sampling: {{ temperature: 0, seed: 1 }}\nmax_tokens: 8\ndeadline_seconds: 20\nerrors_allowed: 0\ngates:\n  \
         - {{ id: right, about: it repeats, threshold: 0.8, min_items: {ITEMS} }}\n"
    );
    let item = |i: usize| {
        let messages = json!([{ "role": "user", "content": format!("word{i}") }]);
        json!({"id": format!("i{i}"), "messages": messages, "checks": { "right": [{ "exact": format!("word{i}") }] }})
    };
    let items: String = (0..ITEMS).map(|i| format!("{}\n", item(i))).collect();
    let dir = home.state().join("suites");
    fs::create_dir_all(&dir).expect("the state directory can be written");
    fs::write(dir.join(format!("{SUITE}.yaml")), header).expect("likewise");
    fs::write(dir.join(format!("{SUITE}.jsonl")), items).expect("likewise");
}

fn echo(seen: &Seen, lies: bool) -> Reply {
    let body = seen.json();
    let asked = body["messages"].as_array().and_then(|all| all.last()?["content"].as_str()).unwrap_or_default();
    let text = if lies { "something else" } else { asked };
    if seen.wants_stream() {
        return Reply::events(&openai_frames(text), End::Whole);
    }
    let message = json!({ "role": "assistant", "content": text });
    Reply::json(
        200,
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "echo-1",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20 },
        }),
    )
}

/// The value of a line of `/metrics`; 0 where there is none.
async fn metric(gateway: &Gateway, line: &str) -> f64 {
    let all = gateway.client().get("/metrics").await.expect(200).body;
    let found = all.lines().find_map(|one| one.strip_prefix(line));
    found.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

async fn eventually(gateway: &Gateway, line: &str, value: f64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while metric(gateway, line).await != value {
        assert!(Instant::now() < deadline, "{line} should be {value}, and is {}", metric(gateway, line).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn actions(home: &Home, of: &str) -> Vec<String> {
    let listed = home.json(&["audit", "list", "--action", of]);
    let all = listed.as_array().expect("a list").iter().rev();
    all.filter_map(|one| one["action"].as_str().map(str::to_owned)).collect()
}

/// Whatever it warns of.
fn status(home: &Home) -> Value {
    let ran = tokio::task::block_in_place(|| home.run(&["drill", "status", "--json"]));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// How often callers asked until the drill was over, and what `/readyz` said meanwhile.
async fn call_until(gateway: &Gateway, over: impl Fn() -> bool) -> (usize, Vec<Value>) {
    let (client, mut calls, mut drills) = (gateway.client(), 0, Vec::new());
    while !over() {
        let answer = client.chat(&question("chat", "hi")).await.expect(200);
        assert_eq!(answer.header("x-backstop-served-by"), Some("near/m"), "a caller notices nothing: {answer:?}");
        assert_eq!(answer.header("x-backstop-drill"), None, "{answer:?}");
        calls += 1;
        let ready = client.get("/readyz").await.expect(200).json();
        assert_eq!(ready["status"], "ready", "{ready}");
        drills.extend(ready.get("drill").cloned());
    }
    (calls, drills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_synthetic_drill_measures_who_is_left_and_callers_notice_nothing() {
    let story = Story::begin("").await;
    let never = story.home.run(&["drill", "status"]);
    assert_eq!(never.code, Some(1), "{never:?}");
    assert!(never.stderr.contains("critical route `chat` was never drilled"), "{never:?}");
    let gateway = serving(&story.home).await;
    let story = Arc::new(story);
    let drilled = Arc::clone(&story);
    let drilling = tokio::task::spawn_blocking(move || drilled.drill(&["--duration", "6s", "--questions", "12"]));
    let (calls, drills) = call_until(&gateway, || drilling.is_finished()).await;
    let (code, report) = drilling.await.expect("the verb ends");
    let route = &report["routes"][0];
    assert_eq!((code, &report["outcome"], &route["holds"]), (Some(0), &json!("finished"), &json!(true)), "{report:#}");
    assert_eq!((&route["calls"], &route["answered"]), (&json!(12), &json!(12)), "{report:#}");
    assert_eq!(route["served"], json!([{ "target": "own/echo", "calls": 12 }]));
    let quality = &route["quality"][0];
    assert_eq!((&quality["gate"], &quality["k"], &quality["n"]), (&json!("right"), &json!(12), &json!(12)));
    assert_eq!((&quality["certified"]["n"], &quality["worse"]), (&json!(ITEMS), &json!(false)), "{quality}");
    assert!(route["first_content"]["p95_ms"].is_f64() && route["cost_micros"].is_i64(), "{route}");
    assert_eq!(story.near.seen_count(), calls, "who is seen as down is not asked");
    let said = |drill: &Value| drill["seen_as_down"] == json!(["near"]) && drill["live_pct"] == 0;
    assert!(!drills.is_empty() && drills.iter().all(said), "{drills:?}");
    // Of its own figures, and in no others.
    eventually(&gateway, "backstop_drill_calls_total{route=\"chat\",ending=\"answered\"}", 12.0).await;
    eventually(&gateway, "backstop_attempts_total{route=\"chat\",target=\"near/m\",result=\"drill\"}", 12.0).await;
    let answered = "backstop_calls_total{route=\"chat\",dialect=\"openai_chat\",task=\"answer\",ending=\"answered\"}";
    eventually(&gateway, answered, calls as f64).await;
    for none in [
        "backstop_fallbacks_total{route=\"chat\",target=\"own/echo\"}",
        "backstop_incidents_open{severity=\"warning\"}",
        "backstop_breaker_open{target=\"near/m\"}",
        "backstop_drill_on{route=\"chat\"}",
    ] {
        assert_eq!(metric(&gateway, none).await, 0.0, "{none}");
    }
    assert_eq!(gateway.client().get("/readyz").await.json().get("drill"), None, "it is over");
    let listed = story.home.json(&["calls", "list", "--tenant", "backstop-drill"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(12), "the ledger has them: {listed}");
    let shown = story.home.ok(&["calls", "show", listed[0]["id"].as_str().expect("an id")]);
    assert!(
        shown.contains("skipped: drill: seen as down by the drill") && shown.contains("part of the drill"),
        "{shown}"
    );
    assert_eq!(actions(&story.home, "drill"), ["drill.start", "drill.end"]);
    assert!(story.home.ok(&["audit", "verify"]).starts_with("whole: "));
    let text = story.home.ok(&["drill", "report"]);
    assert!(text.contains("own/echo passes 12 of 12 of `right`, certified with 60 of 60"), "{text}");
    let status = story.home.json(&["drill", "status"]);
    assert_eq!((&status["routes"][0]["overdue"], &status["on"]), (&json!(false), &Value::Null), "{status}");
    assert_eq!(status["drills"][0]["routes"][0]["holds"], true, "{status}");
    eventually_age(&gateway).await;
}

/// The gauge is of the drill that has just ended.
async fn eventually_age(gateway: &Gateway) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let all = gateway.client().get("/metrics").await.expect(200).body;
        let age = all.lines().find_map(|line| line.strip_prefix("backstop_drill_age_seconds{route=\"chat\"}"));
        if age.is_some_and(|age| age.trim().parse::<f64>().is_ok_and(|age| (0.0..60.0).contains(&age))) {
            return;
        }
        assert!(Instant::now() < deadline, "the age of the last drill is not told: {age:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_that_is_not_what_was_certified_does_not_hold() {
    let story = Story::begin("").await;
    let gateway = serving(&story.home).await;
    story.lies.store(true, Ordering::Relaxed);
    let (code, report) =
        tokio::task::block_in_place(|| story.drill(&["--duration", "2s", "--questions", "8", "--reason", "monthly"]));
    let route = &report["routes"][0];
    assert_eq!((code, &route["answered"], &route["holds"]), (Some(1), &json!(8), &json!(false)), "{report:#}");
    assert_eq!((&route["quality"][0]["k"], &route["quality"][0]["worse"]), (&json!(0), &json!(true)), "{report:#}");
    assert!(story.home.ok(&["drill", "report"]).contains("WORSE than certified"));
    drop(gateway);
    let log = story.home.json(&["audit", "list", "--action", "drill"]);
    assert_eq!((&log[1]["reason"], &log[1]["object"]["kind"]), (&json!("monthly"), &json!("drill")), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_live_calls_a_part_sees_it_and_a_restart_changes_nothing() {
    let story = Story::begin("").await;
    let gateway = serving(&story.home).await;
    let args = ["drill", "outage", "--route", "chat", "--live-pct", "50", "--duration", "10m", "--detach"];
    let said = tokio::task::block_in_place(|| story.home.ok(&args));
    assert!(said.contains("is on"), "{said}");
    let client = gateway.client();
    let (mut drilled, mut usual) = (0_u32, 0_u32);
    for _ in 0..200 {
        let answer = client.chat(&question("chat", "hi")).await.expect(200);
        match (answer.header("x-backstop-drill"), answer.header("x-backstop-served-by")) {
            (Some(_), Some("own/echo")) => drilled += 1,
            (None, Some("near/m")) => usual += 1,
            other => panic!("{other:?}"),
        }
    }
    // Of 200 calls 100, give or take six standard deviations.
    assert!((58..=142).contains(&drilled), "{drilled} of {} calls saw the drill", drilled + usual);
    let explained = tokio::task::block_in_place(|| story.home.ok(&["routes", "explain", "chat"]));
    assert!(explained.contains("a drill is on until"), "{explained}");
    let shown = tokio::task::block_in_place(|| story.home.json(&["release", "status", "chat"]));
    assert_eq!(shown[0]["drill"]["plan"]["live_pct"], 50, "{shown}");
    gateway.kill();
    // It goes on, since its end is not there yet.
    let gateway = serving(&story.home).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while gateway.client().chat(&question("chat", "hi")).await.expect(200).header("x-backstop-drill").is_none() {
        assert!(Instant::now() < deadline, "the drill did not outlive the restart:\n{}", gateway.log());
    }
    tokio::task::block_in_place(|| story.home.ok(&["drill", "stop", "--reason", "seen enough"]));
    let deadline = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let status = status(&story.home);
        if status["on"].is_null() {
            break tokio::task::block_in_place(|| story.home.json(&["drill", "report"]));
        }
        assert!(Instant::now() < deadline, "it does not end: {status}");
    };
    assert_eq!((&report["outcome"], &report["routes"][0]["quality"]), (&json!("stopped"), &json!([])), "{report:#}");
    let route = &report["routes"][0];
    assert!(route["calls"].as_u64() > Some(u64::from(drilled)), "{report:#}");
    assert!(route["first_content_usual"]["calls"].as_u64() >= Some(u64::from(usual)), "{report:#}");
    assert!(route["first_content_usual"]["p50_ms"].is_f64(), "{report:#}");
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!((answer.header("x-backstop-drill"), answer.header("x-backstop-served-by")), (None, Some("near/m")));
    assert_eq!(actions(&story.home, "drill"), ["drill.start", "drill.stop", "drill.end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_end_came_while_no_gateway_ran_is_closed_at_the_next_start() {
    let story = Story::begin("").await;
    let gateway = serving(&story.home).await;
    let args = ["drill", "outage", "--all", "--live-pct", "100", "--duration", "4s", "--detach", "--json"];
    let on = tokio::task::block_in_place(|| story.home.ok(&args));
    let on: Value = serde_json::from_str(&on).expect("JSON");
    gateway.client().chat(&question("chat", "hi")).await.expect(200).expect_header("x-backstop-drill");
    gateway.kill();
    let past = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("is later").as_millis();
        u128::from(on["ends_unix_ms"].as_u64().expect("a moment")) < now
    };
    while !past() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gateway = serving(&story.home).await;
    let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    assert_eq!(answer.header("x-backstop-drill"), None, "it is past its end");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = status(&story.home);
        if status["on"].is_null() {
            let last = &status["drills"][0];
            assert_eq!((&last["outcome"], &last["routes"][0]["answered"]), (&json!("finished"), &json!(1)), "{status}");
            return;
        }
        assert!(Instant::now() < deadline, "it is not closed: {status}");
    }
}
