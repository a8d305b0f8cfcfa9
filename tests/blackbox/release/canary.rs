//! A release that is tried on a part of a route's calls: who is on its side, what stands in the ledger, and what ends it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::{Story, actions, question, served_by};
use crate::{
    client::Client,
    gateway::Gateway,
    vendor::{Reply, Say, Vendor},
};

/// Release 2 is `new` first; with a second person's word it may be tried.
fn canary(story: &Story, number: u64, more: &[&str]) -> String {
    let number = number.to_string();
    let args = ["release", "canary", "chat", &number, "--reason", "a look first", "--approve-by", "a second person"];
    tokio::task::block_in_place(|| story.home.ok(&[&args[..], more].concat()))
}

/// How many of `calls` calls `new` answers.
async fn answered_by_new(client: &Client, calls: usize) -> usize {
    let mut new = 0;
    for _ in 0..calls {
        let answer = client.chat(&question("chat", "hi")).await.expect(200);
        new += usize::from(answer.header("x-backstop-served-by") == Some("new/m"));
    }
    new
}

/// Waits until of 20 calls in a row `new` answers none, or all.
async fn new_answers(gateway: &Gateway, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while answered_by_new(&gateway.client(), 20).await != wanted {
        assert!(Instant::now() < deadline, "`new` should answer {wanted} of 20 calls:\n{}", gateway.log());
    }
}

fn running(story: &Story) -> Value {
    tokio::task::block_in_place(|| story.status()["canary"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stays_on_its_side_and_a_larger_share_keeps_it() {
    let story = Story::begin().await;
    let number = story.propose("new/m,own/m");
    let alone = ["release", "canary", "chat", "2", "--pct", "50", "--reason", "a look first"];
    let said = story.home.run(&alone).expect_failure();
    assert!(said.contains("1 of the 2 persons"), "four eyes for a critical route: {said}");
    let keys: Vec<String> = (0..8).map(|_| story.home.key()).collect();
    let gateway = story.home.serve();
    served_by(&gateway, "old/m").await;
    canary(&story, number, &["--pct", "50"]);
    gateway.logged("traffic has shifted").await;
    let sides = async || {
        let mut sides = Vec::new();
        for key in &keys {
            let new = answered_by_new(&gateway.client().with_key(key), 4).await;
            assert!(new == 0 || new == 4, "a key's calls are on one side: {new} of 4");
            sides.push(new == 4);
        }
        sides
    };
    let half = sides().await;
    gateway.stop();
    let gateway = story.home.serve();
    let sides = async |client: Client| {
        let mut sides = Vec::new();
        for key in &keys {
            sides.push(answered_by_new(&client.with_key(key), 1).await == 1);
        }
        sides
    };
    assert_eq!(sides(gateway.client()).await, half, "a restart changes no side");
    canary(&story, number, &["--pct", "99"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let most = sides(gateway.client()).await;
        assert!(half.iter().zip(&most).all(|(before, now)| now >= before), "{half:?} became {most:?}");
        // One key of eight may be of the hundredth part that stays; two are not, but for 3 runs of a thousand.
        if most.iter().filter(|side| **side).count() >= 6 {
            break;
        }
        assert!(Instant::now() < deadline, "{half:?} became {most:?}");
    }
    assert_eq!((&running(&story)["release"], &running(&story)["pct"]), (&json!(2), &json!(99)));
    let again = ["release", "canary", "chat", "2", "--pct", "99", "--reason", "twice"];
    let said = story.home.run(&again).expect_failure();
    assert!(said.contains("has that share of `chat` already"), "{said}");
    let all = ["release", "canary", "chat", "2", "--pct", "100", "--reason", "all"];
    assert!(story.home.run(&all).expect_failure().contains("release promote chat 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_says_which_release_answered_and_the_end_needs_no_database() {
    let story = Story::begin().await;
    let number = story.propose("new/m,own/m");
    let gateway = story.home.serve();
    served_by(&gateway, "old/m").await;
    canary(&story, number, &["--pct", "25", "--by", "call"]);
    served_by(&gateway, "new/m").await;
    let new = answered_by_new(&gateway.client(), 400).await;
    // Of 400 calls 100, give or take six standard deviations.
    assert!((48..=152).contains(&new), "{new} of 400 calls were the canary's where 25 % should");
    let calls = story.home.json(&["calls", "list", "--limit", "400"]);
    let mut seen = [0, 0];
    for call in calls.as_array().expect("a list") {
        let release = if call["served"] == "new/m" { 2 } else { 1 };
        assert_eq!(call["release"], release, "{call}");
        seen[release - 1] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    let id = calls[0]["id"].as_str().expect("has one");
    let shown = story.home.ok(&["calls", "show", id]);
    assert!(shown.contains(&format!("release {}", calls[0]["release"])), "{shown}");

    // Nobody else can write while this is held, as on a full or a read-only disk.
    let options = SqliteConnectOptions::new().filename(story.home.state().join("backstop.db"));
    let mut held = options.connect().await.expect("opens");
    held.execute("BEGIN IMMEDIATE").await.expect("is free");
    let said = tokio::task::block_in_place(|| {
        story.home.run(&["release", "canary", "chat", "--stop", "--reason", "it answers oddly"])
    });
    assert!(said.code == Some(0) && said.stderr.contains("waits in the state directory"), "{said:?}");
    new_answers(&gateway, 0).await;
    held.execute("ROLLBACK").await.expect("lets go");
    held.close().await.expect("closes");
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::read_dir(story.home.state().join("releases/pending")).expect("is there").count() > 0 {
        assert!(Instant::now() < deadline, "the end is not carried over:\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(running(&story), Value::Null);
    let twice = ["release", "canary", "chat", "--stop", "--reason", "twice"];
    assert!(story.home.run(&twice).expect_failure().contains("no release is tried on route `chat` now"));
    drop(gateway);
    // With the proposal the file's own order was put down.
    let done = ["release.propose", "release.canary", "release.canary_end"];
    assert_eq!(actions(&story.home), done);
    assert!(story.home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_falls_back_as_ever_and_whatever_moves_what_serves_ends_it() {
    let mut story = Story::begin().await;
    story.new = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    story.home.configure(&story.config(&["old/m", "new/m", "own/m"]));
    let number = story.propose("new/m,own/m");
    let gateway = story.home.serve();
    canary(&story, number, &["--pct", "99", "--by", "call"]);
    // What fails there is answered by what serves, which comes behind the release's own vendors and before the end at home.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
        let calls = tokio::task::block_in_place(|| story.home.json(&["calls", "list", "--limit", "1"]));
        if calls[0]["release"] == 2 {
            assert_eq!(calls[0]["served"], "old/m", "{calls}");
            break;
        }
        assert!(Instant::now() < deadline, "no call is the canary's: {calls}");
    }
    story.promote(number);
    assert_eq!(running(&story), Value::Null, "a promotion ends it");
    canary(&story, 1, &["--pct", "10"]);
    assert_eq!(running(&story)["release"], 1);
    tokio::task::block_in_place(|| story.roll_back());
    assert_eq!((running(&story), &story.status()["serving"]), (Value::Null, &json!(1)), "a rollback ends it");
    let last = &story.home.json(&["audit", "list", "--action", "release.rollback"])[0];
    assert_eq!(last["after"]["canary_ended"], 1, "{last}");
}

/// What came of asking release 2, once so many were asked.
async fn shadowed(story: &Story, asked: u64) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = tokio::task::block_in_place(|| story.home.json(&["release", "canary", "chat", "--show"]));
        if shown["shadows"][0]["asked"].as_u64().is_some_and(|count| count >= asked) {
            return shown["shadows"][0].clone();
        }
        assert!(Instant::now() < deadline, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_asked_and_compared_and_its_answers_go_nowhere() {
    let mut story = Story::begin().await;
    story.new = Vendor::start(|number, seen| match number {
        0..20 => Reply::openai(seen, &Say::Text("{\"a\":1}")),
        _ => Reply::openai_error(500, "server_error"),
    })
    .await;
    story.home.configure(&story.config(&["old/m", "new/m", "own/m"]));
    story.propose("new/m,own/m");
    let gateway = story.home.serve();
    served_by(&gateway, "old/m").await;
    // Nobody gets its answers: one person is enough on a critical route.
    let args = ["release", "canary", "chat", "2", "--pct", "100", "--shadow", "--reason", "what would it say"];
    tokio::task::block_in_place(|| story.home.ok(&args));
    gateway.logged("traffic has shifted").await;
    let mut streamed = question("chat", "hi");
    streamed["stream"] = json!(true);
    for place in 0..20_usize {
        let asked = if place % 2 == 0 { streamed.clone() } else { question("chat", "hi") };
        let answer = gateway.client().chat(&asked).await;
        assert_eq!(answer.expect(200).header("x-backstop-served-by"), Some("old/m"));
        story.new.asked(place + 1).await;
    }
    assert!(story.new.seen().iter().all(|seen| !seen.wants_stream()), "a shadow is asked for a whole answer");
    let came = shadowed(&story, 20).await;
    assert_eq!((&came["compared"], &came["failed"], &came["dropped"]), (&json!(20), &json!(0), &json!(0)), "{came}");
    assert_eq!(
        (&came["finish_equal"], &came["json_equal"], &came["tools_equal"]),
        (&json!(1.0), &json!(0.0), &json!(1.0))
    );
    // Seven bytes beside three.
    assert_eq!((came["length_ratio"].as_f64(), &came["refusal_rate"]), (Some(7.0 / 3.0), &json!(0.0)), "{came}");
    assert!(came["latency_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{came}");
    let calls = story.home.json(&["calls", "list", "--tenant", "(shadow)", "--limit", "100"]);
    assert_eq!(calls.as_array().map(Vec::len), Some(20), "each is in the ledger: {calls:#}");
    for call in calls.as_array().expect("a list") {
        let attempt = &call["attempts"][0];
        assert_eq!((&call["release"], &call["served"], &attempt["role"]), (&json!(2), &Value::Null, &json!("shadow")));
        assert_eq!((&attempt["target"], &attempt["usage"]["output"]), (&json!("new/m"), &json!(7)), "{call}");
    }
    let callers = story.home.json(&["calls", "list", "--tenant", "acme", "--limit", "100"]);
    assert!(callers.as_array().expect("a list").iter().all(|call| call["release"] == 1), "{callers:#}");

    // And when it fails nobody notices.
    for place in 20..23 {
        gateway.client().chat(&question("chat", "hi")).await.expect(200);
        story.new.asked(place + 1).await;
    }
    let came = shadowed(&story, 23).await;
    assert_eq!((&came["compared"], &came["failed"]), (&json!(20), &json!(3)), "{came}");
    let status = tokio::task::block_in_place(|| story.status());
    assert_eq!((&status["canary"]["mode"], &status["shadows"][0]["asked"]), (&json!("shadow"), &json!(23)), "{status}");
}
