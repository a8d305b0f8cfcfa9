//! Runs of the gate that die at a write: nothing that was answered and kept is asked again, and what was earned is certified.

use std::{collections::HashMap, fs};

use serde_json::{Value, json};

use super::shim::{Death, How, deaths, run, twin, writes};
use crate::{
    config::{Config, QUICK},
    home::Home,
    vendor::{Reply, Seen, Vendor},
};

const ITEMS: usize = 12;
const SUITE: &str = "echoes";
const RUN: [&str; 9] = ["eval", "run", "--suite", SUITE, "--target", "near/echo", "--concurrency", "1", "--certify"];

fn asked(seen: &Seen) -> String {
    let all = seen.json()["messages"].as_array().cloned().expect("messages");
    all.last().and_then(|last| last["content"].as_str()).expect("a text").to_owned()
}

async fn echo() -> Vendor {
    Vendor::start(|_, seen| {
        Reply::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "echo-1",
                "choices": [{
                    "index": 0, "message": { "role": "assistant", "content": asked(seen) }, "finish_reason": "stop",
                }],
                "usage": { "prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20 },
            }),
        )
    })
    .await
}

fn home(vendor: &Vendor) -> Home {
    let config = Config::strict()
        .vendor("first", "openai", "http://127.0.0.1:9")
        .vendor("near", "openai_compatible", &vendor.url())
        .route_with("chat", &["first/a", "near/echo"], &format!("suite: {SUITE}, deadlines: {QUICK}"));
    let home = Home::new(&config.text());
    let suites = home.state().join("suites");
    fs::create_dir_all(&suites).expect("the state directory can be written");
    let header = format!(
        "name: {SUITE}\nversion: 1.0.0\npurpose: it repeats\nsampling: {{ temperature: 0, seed: 1 }}\nmax_tokens: 8\n\
         deadline_seconds: 20\nerrors_allowed: 0\ngates:\n  \
         - {{ id: right, about: it repeats, threshold: 0.5, min_items: {ITEMS} }}\n"
    );
    let item = |i: usize| {
        let messages = json!([{ "role": "user", "content": format!("word{i}") }]);
        json!({ "id": format!("i{i}"), "messages": messages, "checks": { "right": [{ "exact": format!("word{i}") }] } })
    };
    let items: String = (0..ITEMS).map(|i| format!("{}\n", item(i))).collect();
    fs::write(suites.join(format!("{SUITE}.yaml")), header).expect("likewise");
    fs::write(suites.join(format!("{SUITE}.jsonl")), items).expect("likewise");
    home
}

/// How often each question was asked since `from`.
fn counted(vendor: &Vendor, from: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for seen in &vendor.seen()[from..] {
        *counts.entry(asked(seen)).or_default() += 1;
    }
    counts
}

/// The journal of the run.
fn journal(home: &Home) -> String {
    let Ok(entries) = fs::read_dir(home.state().join("eval/answers")) else { return String::new() };
    entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect()
}

/// How many answers are kept there, whole.
fn kept(home: &Home) -> usize {
    let text = journal(home);
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.get("answer").is_some())).count()
}

/// Runs it again; where all was done before it died, that is another run.
fn again(home: &Home, vendor: &Vendor, from: usize, of: &dyn std::fmt::Debug) {
    if journal(home).ends_with("{\"finished\":true}\n") {
        assert_eq!((counted(vendor, from).len(), vendor.seen_count() - from), (ITEMS, ITEMS), "{of:?}");
        return home.ok(&["check"]).clear();
    }
    let before = kept(home);
    let asked_before = vendor.seen_count();
    home.ok(&RUN);
    assert_eq!(vendor.seen_count() - asked_before, ITEMS - before, "{of:?}: what was kept is asked again");
    // One answer at most was under way when it died.
    let repeated = counted(vendor, from).values().filter(|count| **count > 1).count();
    assert!(repeated <= 1, "{of:?}: {repeated} questions were asked twice");
    assert_eq!(counted(vendor, from).len(), ITEMS);
    let certs = home.json(&["eval", "certs"]);
    assert_eq!(certs.as_array().map(Vec::len), Some(1), "{of:?}: {certs}");
    let checked = home.run(&["check"]);
    assert!(checked.code == Some(0), "{of:?}: {}", checked.said());
    home.ok(&["audit", "verify"]);
    let issued = home.json(&["audit", "list", "--action", "certificate.issue"]);
    assert!(issued.as_array().is_some_and(|all| !all.is_empty()), "{of:?}: it is certified and not told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_asks_nothing_twice_and_certifies_in_the_end() {
    let vendor = echo().await;
    let base = home(&vendor);
    tokio::task::block_in_place(|| {
        for death in deaths(writes(&twin(&base), &RUN, "")) {
            let (home, from) = (twin(&base), vendor.seen_count());
            let ran = run(&home, &RUN, "", death);
            home.ok(&["audit", "verify"]);
            if ran.code.is_none() {
                again(&home, &vendor, from, &death);
            }
        }
    });
}

/// After the last answer nothing is asked any more, whichever write is the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_after_its_last_answer_asks_nothing() {
    let vendor = echo().await;
    let base = home(&vendor);
    tokio::task::block_in_place(|| {
        let all = writes(&twin(&base), &RUN, "");
        let mut judged = 0;
        for at in (1..=all).rev().step_by(2) {
            let (home, from) = (twin(&base), vendor.seen_count());
            let died = run(&home, &RUN, "", Death { at, how: How::Before }).code.is_none();
            if kept(&home) < ITEMS {
                break;
            }
            if died {
                again(&home, &vendor, from, &at);
                let attempts = fs::read_to_string(home.state().join("eval/runs/attempts.jsonl")).expect("it began");
                assert!(!attempts.contains("\"number\":2"), "one run is one attempt, dying at {at}: {attempts}");
                judged += 1;
            }
        }
        assert!(judged >= 5, "it writes more than {judged} times after its last answer");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_run_is_certified_and_a_certificate_revoked_wholly_or_not_at_all() {
    let vendor = echo().await;
    let base = home(&vendor);
    tokio::task::block_in_place(|| {
        let report = base.json(&[&RUN[..RUN.len() - 1], &[]].concat());
        let file = std::path::PathBuf::from(report["report_file"].as_str().expect("a path"));
        let digest = file.file_stem().and_then(|stem| stem.to_str()).expect("a digest").to_owned();
        let certify = ["eval", "certify", "--run", &digest];
        let certs = |home: &Home| home.json(&["eval", "certs"]).as_array().map_or(0, Vec::len);
        let told = |home: &Home, action: &str| {
            home.json(&["audit", "list", "--action", action]).as_array().map_or(0, Vec::len)
        };
        for death in deaths(writes(&twin(&base), &certify, "")) {
            let home = twin(&base);
            run(&home, &certify, "", death);
            home.ok(&["audit", "verify"]);
            assert!(certs(&home) == 0 || told(&home, "certificate.issue") > 0, "certified and not told: {death:?}");
            home.ok(&certify);
            assert_eq!(certs(&home), 1, "{death:?}");
            home.ok(&["check"]);
        }
        base.ok(&certify);
        let name = |home: &Home| home.json(&["eval", "certs"])[0]["file"].as_str().expect("a path").to_owned();
        let revoked = |home: &Home| home.json(&["eval", "certs"]).to_string().contains("it flatters");
        let relative = name(&base);
        let relative = relative.strip_prefix(base.state().to_str().expect("is text")).expect("it is in there");
        let path = |home: &Home| format!("{}{relative}", home.state().display());
        let other = twin(&base);
        let count = writes(&other, &["eval", "revoke", &path(&other), "--reason", "it flatters"], "");
        for death in deaths(count) {
            let home = twin(&base);
            let file = path(&home);
            let revoke = ["eval", "revoke", &file, "--reason", "it flatters"];
            run(&home, &revoke, "", death);
            home.ok(&["audit", "verify"]);
            assert!(!revoked(&home) || told(&home, "certificate.revoke") > 0, "revoked and not told: {death:?}");
            let said = home.run(&revoke);
            assert!(said.code == Some(0) || revoked(&home), "{death:?}: {}", said.said());
            assert!(revoked(&home), "{death:?}: {}", said.said());
        }
    });
}
