//! The gate as ML engineers, security and the router use it: runs and what they cost, certificates and taking them back.

mod both;
mod cheats;
mod drift;
mod forge;
mod hostile;
mod life;
mod renewal;
mod scope;
mod signatures;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    client::question,
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Reply, Say, Seen, Vendor},
};

const ITEMS: usize = 60;
/// A suite of questions that are to be repeated, all different, in two slices.
const SUITE: &str = "echoes";

fn with_suite(config: &str) -> Home {
    let home = Home::new(config);
    let header = format!(
        "name: {SUITE}\nversion: 1.0.0\npurpose: it repeats\nuse_cases: [echoing]\n\
         sampling: {{ temperature: 0, seed: 1 }}\nmax_tokens: 8\ndeadline_seconds: 20\nerrors_allowed: 0\ngates:\n  \
         - {{ id: right, about: it repeats, threshold: 0.8, margin: 0.1, min_items: {ITEMS} }}\n"
    );
    let items: String = (0..ITEMS)
        .map(|i| {
            let item = json!({
                "id": format!("i{i}"),
                "messages": [{ "role": "user", "content": format!("word{i}") }],
                "slices": [if i % 2 == 0 { "even" } else { "odd" }],
                "checks": { "right": [{ "exact": format!("word{i}") }] },
            });
            format!("{item}\n")
        })
        .collect();
    let dir = home.state().join("suites");
    fs::create_dir_all(&dir).expect("the state directory can be written");
    fs::write(dir.join(format!("{SUITE}.yaml")), header).expect("likewise");
    fs::write(dir.join(format!("{SUITE}.jsonl")), items).expect("likewise");
    home
}

/// What was asked last.
fn asked(seen: &Seen) -> String {
    seen.json()["messages"]
        .as_array()
        .and_then(|all| all.last()?["content"].as_str().map(str::to_owned))
        .expect("a text")
}

fn says(text: &str, model: &str) -> Reply {
    Reply::json(
        200,
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000 },
        }),
    )
}

async fn echo() -> Vendor {
    Vendor::start(|_, seen| says(&asked(seen), "echo-2026-01-01")).await
}

/// A route whose first target is down and whose fallback is `second/echo`.
async fn ladder(fallback: &Vendor, more: &str) -> (Vendor, String) {
    let broken = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let config = Config::strict()
        .vendor("first", "openai", &broken.url())
        .vendor("second", "openai_compatible", &fallback.url())
        .route_with(
            "chat",
            &["first/a", "second/echo"],
            &format!("suite: {SUITE}, deadlines: {}", super::config::QUICK),
        )
        .more(more)
        .text();
    (broken, config)
}

fn certify(home: &Home) {
    home.ok(&["eval", "run", "--suite", SUITE, "--target", "second/echo", "--certify"]);
}

fn certificate(home: &Home) -> PathBuf {
    let certs = home.json(&["eval", "certs"]);
    PathBuf::from(certs[0]["file"].as_str().unwrap_or_else(|| panic!("there is a certificate: {certs}")))
}

/// Until `/readyz` names the fallback, or no longer does.
async fn until_left_out(gateway: &Gateway, left_out: bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let ready = gateway.client().get("/readyz").await.body;
        if ready.contains("second/echo") == left_out {
            return ready;
        }
        assert!(Instant::now() < deadline, "left out should be {left_out} within 20 s: {ready}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn served_by(gateway: &Gateway) -> Option<String> {
    let answer = gateway.client().chat(&question("chat", "hello")).await;
    answer.header("x-backstop-served-by").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_lets_it_serve_and_a_revocation_ends_that_at_once() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    home.run(&["check"]).expect_failure();
    certify(&home);
    home.ok(&["check"]);
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    let file = certificate(&home);
    home.ok(&["eval", "revoke", file.to_str().expect("a path"), "--reason", "it flatters"]);
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("it was revoked: it flatters"), "{ready}");
    assert_eq!(served_by(&gateway).await, None);
    home.run(&["check"]).expect_failure();
    // A new pass is a new certificate.
    certify(&home);
    until_left_out(&gateway, false).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_killed_goes_on_and_asks_nothing_twice() {
    let stalled = Arc::new(AtomicBool::new(true));
    let stalls = Arc::clone(&stalled);
    let subject = Vendor::start(move |number, seen| {
        if number >= 20 && stalls.load(Ordering::Relaxed) { Reply::Silence } else { says(&asked(seen), "echo") }
    })
    .await;
    let config = Config::warn().vendor("second", "openai_compatible", &subject.url()).route("chat", &["second/echo"]);
    let home = with_suite(&config.text());
    let args = ["eval", "run", "--suite", SUITE, "--target", "second/echo", "--concurrency", "1"];
    let mut running = home.command(&args).stderr(std::process::Stdio::null()).spawn().expect("the binary was built");
    subject.asked(21).await;
    running.kill().expect("it runs");
    running.wait().expect("it ended");
    stalled.store(false, Ordering::Relaxed);
    let said = home.ok(&args);
    assert!(said.contains("20 answers from before it was interrupted"), "{said}");
    assert!(!said.contains("attempt"), "it is one attempt: {said}");
    // The one that was never answered is asked again, and none of the others.
    let mut words: Vec<String> = subject.seen().iter().map(asked).collect();
    assert_eq!(words.len(), ITEMS + 1);
    words.sort();
    words.dedup();
    assert_eq!(words.len(), ITEMS);
    // What is run anew asks anew, and is counted.
    let said = home.ok(&args);
    assert!(said.contains("attempt 2"), "{said}");
    assert_eq!(subject.seen_count(), 2 * ITEMS + 1);
    let said = home.ok(&[&args[..], &["--cache"]].concat());
    assert!(said.contains(&format!("{ITEMS} answers from an earlier run")), "{said}");
    assert_eq!(subject.seen_count(), 2 * ITEMS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_incumbent_a_worse_model_does_not_pass() {
    let good = echo().await;
    let worse = Vendor::start(|_, seen| {
        let word = asked(seen);
        // One of ten is wrong: good enough alone, and worse than the other by more than the margin may be.
        if word.ends_with('7') { says("something else", "w") } else { says(&word, "w") }
    })
    .await;
    let config = Config::warn()
        .vendor("old", "openai_compatible", &good.url())
        .vendor("new", "openai_compatible", &worse.url())
        .route("chat", &["old/echo"]);
    let home = with_suite(&config.text());
    home.ok(&["eval", "run", "--suite", SUITE, "--target", "new/echo"]);
    let ran = home.run(&["eval", "run", "--suite", SUITE, "--target", "new/echo", "--against", "old/echo"]);
    assert_eq!(ran.code, Some(10), "{}", ran.said());
    assert!(ran.stdout.contains("beside the incumbent -10.0 %"), "{}", ran.stdout);
    let ran = home.run(&["eval", "run", "--suite", SUITE, "--target", "old/echo", "--against", "new/echo"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said());
    assert_eq!(good.seen_count(), 2 * ITEMS, "the incumbent's whole run counted the second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_openai_compatible_server_can_be_asked_within_a_price_and_for_programs() {
    let subject = echo().await;
    let config = Config::warn()
        .vendor("priced", "openai_compatible", &subject.url())
        .route("chat", &["priced/echo"])
        .more("models: { priced/echo: { input_per_mtok: 1, output_per_mtok: 1 } }");
    let home = with_suite(&config.text());
    let url = format!("{}/v1", subject.url());
    let by_url = ["eval", "run", "--suite", SUITE, "--target", &url, "--model", "echo"];
    let lines = home.ok(&[&by_url[..], &["--format", "jsonl"]].concat());
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(lines.len(), ITEMS + 2);
    assert_eq!(lines[ITEMS + 1]["run"]["verdict"], "PASS");
    let xml = home.ok(&[&by_url[..], &["--format", "junit"]].concat());
    assert!(xml.starts_with("<?xml") && xml.contains(&format!("tests=\"{ITEMS}\" failures=\"0\"")), "{xml}");
    let said = home.run(&[&by_url[..], &["--certify"]].concat()).expect_failure();
    assert!(said.contains("a URL cannot be certified"), "{said}");
    home.run(&["eval", "run", "--suite", SUITE, "--target", &url]).expect_failure();
    let said = home.run(&[&by_url[..], &["--against", &url]].concat()).expect_failure();
    assert!(said.contains("as vendor/model"), "{said}");
    let said = home.run(&[&by_url[..], &["--max-cost-usd", "1"]].concat()).expect_failure();
    assert!(said.contains("whose price nobody knows"), "{said}");
    // 2000 tokens at a dollar for a million: each answer costs 0.2 cents.
    let before = subject.seen_count();
    let priced = ["eval", "run", "--suite", SUITE, "--target", "priced/echo", "--concurrency", "1"];
    let ran = home.run(&[&priced[..], &["--max-cost-usd", "0.01"]].concat());
    assert_eq!(ran.code, Some(11), "{}", ran.said());
    assert_eq!(subject.seen_count() - before, 5, "five answers cost a cent");
    let ran = home.run(&[&priced[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!((report["cost_micros"].as_u64(), ran.code), (Some(120_000), Some(0)), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_see_what_the_sentinel_found() {
    let (named, wrong) = (Arc::new(Mutex::new("echo-2026-01-01")), Arc::new(AtomicBool::new(false)));
    let (name, lies) = (Arc::clone(&named), Arc::clone(&wrong));
    let fallback = Vendor::start(move |_, seen| {
        let text = if lies.load(Ordering::Relaxed) { "something else".to_owned() } else { asked(seen) };
        says(&text, *name.lock().expect("no test panics while it holds this"))
    })
    .await;
    let more = "gate: { sentinel: { every: 1s, questions: 5 } }\n\
                rules: [{ name: probes, when: \"sentinel_score < 0.5\", min_samples: 5 }]";
    let (_broken, config) = ladder(&fallback, more).await;
    let home = with_suite(&config);
    certify(&home);
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    // Probes of a model that is as it was change nothing.
    let before = fallback.seen_count();
    fallback.asked(before + 10).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    *named.lock().expect("likewise") = "echo-2026-06-30";
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("it is suspended: it answers as `echo-2026-06-30`"), "{ready}");
    // Certified as what it is now, it serves again, until its answers are no longer right.
    certify(&home);
    until_left_out(&gateway, false).await;
    wrong.store(true, Ordering::Relaxed);
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("it misses 5 of 5 questions that it passed"), "{ready}");
    let log = gateway.stop();
    assert!(log.contains("the model is not what was certified: suspended"), "{log}");
    // Rules see what the probes found: all of the first ones passed, none of the last.
    let tested = home.json(&["release", "rules", "test", "--since", "10m"]);
    let score = &tested[0]["findings"][0];
    assert!(score["samples"].as_u64().is_some_and(|asked| asked >= 15), "{tested:#}");
    assert!(score["value"].as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{tested:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_run_is_certified_for_what_is_here_now_alone() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    let ran = home.ok(&["eval", "run", "--suite", SUITE, "--target", "second/echo", "--json"]);
    let report: Value = serde_json::from_str(&ran).expect("one JSON document");
    let file = PathBuf::from(report["report_file"].as_str().expect("a path"));
    let digest = file.file_stem().and_then(|stem| stem.to_str()).expect("a digest").to_owned();
    home.ok(&["eval", "certify", "--run", &digest[..12]]);
    home.ok(&["check"]);
    // An edited report is another one, and what it claims is not what its answers earn.
    let text = fs::read_to_string(&file).expect("a report");
    let edited = text.replacen("\"passed\": true", "\"passed\": false", 1);
    fs::write(file.with_file_name(format!("{}.json", "ab".repeat(32))), &edited).expect("written");
    let said = home.run(&["eval", "certify", "--run", "abab"]).expect_failure();
    assert!(said.contains("its digest is not its name"), "{said}");
    let own_name = hex::encode(Sha256::digest(&edited));
    fs::write(file.with_file_name(format!("{own_name}.json")), &edited).expect("written");
    let said = home.run(&["eval", "certify", "--run", &own_name]).expect_failure();
    assert!(said.contains("the report contradicts itself"), "{said}");
    // Another address is another target.
    let elsewhere = Vendor::openai(Say::Text("x")).await;
    home.configure(&config.replace(&fallback.url(), &elsewhere.url()));
    let said = home.run(&["eval", "certify", "--run", &digest]).expect_failure();
    assert!(said.contains("is not what it was when the suite was run"), "{said}");
}
