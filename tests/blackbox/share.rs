//! The share cap: kept at any concurrency and across a crash, told in both dialects, overridden by two persons, foreseen and
//! replayed.

mod lasting;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    client::{Answer, anthropic_question, many, question},
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{End, Piece, Reply, Say, Vendor},
};

const SIGNING: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// What a call at one of the fakes uses.
const TOKENS: f64 = 18.0;

/// Two vendors `a` and `b`, and a cap that bites early.
fn two(a: &str, b: &str) -> Config {
    Config::warn().vendor("a", "openai", a).vendor("b", "openai", b)
}

fn capped(config: Config, min_volume: u64) -> Config {
    config.more(&format!("share_cap: {{ max: 0.70, window: 30d, unit: tokens, min_volume: {min_volume} }}"))
}

/// A vendor's line in `backstop share --json`.
fn share_of(home: &Home, vendor: &str) -> (Value, f64) {
    let shown = home.json(&["share"]);
    let line = shown["vendors"].as_array().expect("a list").iter().find(|line| line["vendor"] == vendor).cloned();
    let line = line.unwrap_or_else(|| panic!("`{vendor}` has a share: {shown:#}"));
    let share = line["share"].as_f64().expect("a number");
    (shown, share)
}

async fn ask(gateway: &Gateway, route: &str) -> Answer {
    gateway.client().chat(&question(route, "hi")).await
}

/// Asks until the answer has that status, or for a quarter of a minute.
async fn ask_until(gateway: &Gateway, route: &str, status: u16) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let answer = ask(gateway, route).await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {status} in time: {answer:?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_calls_at_once_pass_the_cap_by_no_more_than_one_and_a_crash_changes_nothing() {
    let a = Vendor::start(|number, seen| {
        // Some fail, so that what was set aside for them is given back.
        if number % 11 == 10 {
            Reply::openai_error(400, "invalid_request_error")
        } else {
            Reply::openai(seen, &Say::Text("a"))
        }
    })
    .await;
    let b = Vendor::openai(Say::Text("b")).await;
    let home = Home::new(&capped(two(&a.url(), &b.url()).route("chat", &["a/x", "b/y"]), 2000).text());
    let gateway = home.serve();
    let client = gateway.client();
    let make = |number: usize| {
        let mut body = question("chat", &"word ".repeat(1 + number % 40));
        body["stream"] = json!(number.is_multiple_of(3));
        client.post("/v1/chat/completions", &body)
    };
    let answers = many(800, 150, make).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| !matches!(answer.status, 200 | 400)).collect();
    assert!(refused.is_empty(), "somebody may always serve: {} {:?}", refused.len(), refused.first());
    let (shown, share) = share_of(&home, "a");
    let total = shown["total"].as_f64().expect("a number");
    assert!(total > 10_000.0, "{shown:#}");
    assert!(share <= 0.70 + TOKENS / total, "{shown:#}");
    // What is under way counts with its bound, so some calls move before they must: how many depends on how many are under way.
    assert!(share > 0.55, "the primary serves most of what it may: {shown:#}");
    assert_eq!((&shown["state"], &shown["unit"]), (&json!("in_force"), &json!("tokens")));
    // The same sums by another way.
    let used = home.json(&["usage", "--by", "vendor"]);
    let tokens = |name: &str| {
        let row = used.as_array().expect("a list").iter().find(|row| row["vendor"] == name).expect("it has served");
        row["input_tokens"].as_f64().expect("a number") + row["output_tokens"].as_f64().expect("a number")
    };
    assert!((tokens("a") / (tokens("a") + tokens("b")) - share).abs() < 1e-9, "{used:#}");
    let mut metrics = String::new();
    let deadline = Instant::now() + Duration::from_secs(15);
    while !metrics.contains("backstop_vendor_share{vendor=\"a\"}") {
        assert!(Instant::now() < deadline, "{metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        metrics = client.get("/metrics").await.body;
    }
    assert!(metrics.contains("result=\"vendor_share\""), "skips are counted: {metrics}");
    gateway.kill();
    let gateway = home.serve();
    assert!((share_of(&home, "a").1 - share).abs() < 1e-9, "a crash forgets nothing");
    // And goes on where it was: the cap holds for what follows.
    let client = gateway.client();
    let answers = many(200, 50, |_| client.post("/v1/chat/completions", &question("chat", "hi"))).await;
    let moved = answers.iter().filter(|answer| answer.header("x-backstop-served-by") == Some("b/y")).count();
    assert!(moved >= 40, "{moved} of 200");
    let over = answers.iter().find(|answer| answer.header("x-backstop-over-share").is_some()).expect("some are told");
    assert_eq!((over.header("x-backstop-over-share"), over.header("x-backstop-fallback")), (Some("a/x"), Some("1")));
    gateway.stop();
    let (shown, share) = share_of(&home, "a");
    assert!(share <= 0.70 + TOKENS / shown["total"].as_f64().expect("a number"), "{shown:#}");
    let call = home.ok(&["calls", "show", over.expect_header("x-request-id")]);
    assert!(call.contains("vendor_share") && call.contains("`a`"), "{call}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_vendor_with_much_under_way_lets_nobody_pass_the_cap() {
    let slow = |text: &'static str| {
        Vendor::start(move |_, seen| {
            let Reply::Whole { body, .. } = Reply::openai(seen, &Say::Text(text)) else { panic!("a whole answer") };
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            let pieces = vec![Piece::Pause(Duration::from_millis(40)), Piece::Text(head), Piece::Bytes(body)];
            Reply::Raw { pieces, end: End::Whole }
        })
    };
    let (a, b) = (slow("a").await, slow("b").await);
    let config = two(&a.url(), &b.url()).route("chat", &["a/x", "b/y"]);
    let home = Home::new(&config.more("share_cap: { max: 0.6, unit: requests, min_volume: 20 }").text());
    let gateway = home.serve();
    let client = gateway.client();
    let answers = many(400, 200, |_| client.post("/v1/chat/completions", &question("chat", "hi"))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers.iter().find(|answer| answer.status != 200)
    );
    let (shown, share) = share_of(&home, "a");
    assert_eq!(shown["total"], 400);
    assert!(share <= 0.6 + 1.0 / 400.0, "{shown:#}");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_capped_targets_refuse_and_page_until_two_persons_override() {
    let (a, b) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("b")).await);
    let receiver = Vendor::start(|_, _| Reply::json(200, &json!({}))).await;
    let sink = format!("alerts: [{{ kind: webhook, url: \"{}/hook\", signing_secret: hook-key }}]", receiver.url());
    let config = capped(two(&a.url(), &b.url()), 100).route("only-a", &["a/x"]).route("only-b", &["b/y"]).more(&sink);
    let home = Home::new(&config.text());
    home.secret("hook-key", SIGNING);
    let gateway = home.serve();
    // Below the least volume, nothing is refused.
    for _ in 0..5 {
        ask(&gateway, "only-a").await.expect(200);
    }
    let refused = ask_until(&gateway, "only-a", 503).await;
    let error = refused.openai_error();
    assert_eq!(error["code"], "vendor_share_cap", "{error:#}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("`a` has 100.0 % of the tokens of the last 30 d") && message.contains("70.0 %"),
        "{message}"
    );
    assert_eq!(refused.header("x-backstop-over-share"), Some("a/x"));
    let anthropic = gateway.client().messages(&anthropic_question("only-a", "hi")).await.expect(503).anthropic_error();
    assert!(anthropic["message"].as_str().is_some_and(|text| text.contains("share cap")), "{anthropic:#}");
    let explained = home.ok(&["routes", "explain", "only-a"]);
    assert!(explained.contains("passed over") && explained.contains("vendor_share"), "{explained}");
    assert!(home.ok(&["calls", "show", refused.expect_header("x-request-id")]).contains("vendor_share"));
    let told = |what: &str| receiver.seen().iter().any(|seen| String::from_utf8_lossy(&seen.body).contains(what));
    until(&gateway, || told("nobody_answered") && told("critical")).await;

    // Who may not override, and who may.
    for args in [
        &["--hours", "1", "--reason", "b is down"][..],
        &["--hours", "1", "--reason", "b is down", "--approver", "alice"],
        &["--hours", "1", "--reason", "b is down", "--approver", "alice", "--approver", "ALICE"],
        &["--hours", "1", "--approver", "alice", "--approver", "bob"],
        &["--hours", "0", "--reason", "b is down", "--approver", "alice", "--approver", "bob"],
    ] {
        assert_eq!(home.run(&[&["share", "override"], args].concat()).code, Some(2), "{args:?}");
    }
    ask(&gateway, "only-a").await.expect(503);
    let override_args =
        ["share", "override", "--hours", "1", "--reason", "b is down", "--approver", "alice", "--approver", "bob"];
    let begun = home.json(&override_args);
    let served = ask_until(&gateway, "only-a", 200).await;
    assert!(served.expect_header("x-backstop-caution").contains("overridden"), "{served:?}");
    home.run(&override_args).expect_failure();
    until(&gateway, || told("share_overridden")).await;
    let shown = home.json(&["share"]);
    assert_eq!(shown["override"]["reason"], "b is down", "{shown:#}");
    let audit = home.json(&["audit", "list", "--action", "share.override"]).to_string();
    assert!(audit.contains("b is down") && audit.contains(begun["id"].as_str().expect("an id")), "{audit}");
    assert!(audit.contains("alice") && audit.contains("bob"), "the log knows who agreed: {audit}");
    home.ok(&["share", "override", "--end"]);
    ask_until(&gateway, "only-a", 503).await;
    until(&gateway, || told("the share cap holds again")).await;
    home.run(&["share", "override", "--end", "--reason", "again"]).expect_failure();

    // Others' traffic makes room by itself.
    for _ in 0..40 {
        ask(&gateway, "only-b").await;
    }
    ask(&gateway, "only-a").await.expect(200);
    gateway.stop();
    home.ok(&["audit", "verify"]);
}

async fn until(gateway: &Gateway, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not in 20 s:\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn resellers_count_with_who_runs_the_model_and_own_hardware_has_no_cap() {
    let (a, own) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("own")).await);
    let config = Config::warn()
        .vendor("a", "openai", &a.url())
        .vendor_with("resold", &format!("kind: openai_compatible, base_url: \"{}/v1\", operated_by: a", a.url()))
        .vendor_with("own", &format!("kind: openai_compatible, base_url: \"{}/v1\", self_hosted: true", own.url()))
        .route("chat", &["a/x", "resold/x", "own/z"])
        .route("home", &["own/z"]);
    let home = Home::new(&config.more("share_cap: { max: 0.5, unit: requests, min_volume: 10 }").text());
    let gateway = home.serve();
    let mut by: Vec<String> = Vec::new();
    for _ in 0..60 {
        by.push(ask(&gateway, "chat").await.expect(200).expect_header("x-backstop-served-by").to_owned());
    }
    let shown = home.json(&["share"]);
    let share = |name: Value| {
        let lines = shown["vendors"].as_array().expect("a list");
        lines.iter().find(|line| line["vendor"] == name).and_then(|line| line["share"].as_f64())
    };
    assert!(share(json!("a")).is_some_and(|share| share <= 0.5 + 1.0 / 60.0), "{shown:#}");
    assert!(share(Value::Null).is_some_and(|share| share >= 0.5 - 1.0 / 60.0), "{shown:#}");
    assert_eq!(share(json!("resold")), None, "{shown:#}");
    for _ in 0..100 {
        ask(&gateway, "home").await.expect(200);
    }
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_past_is_replayed_without_a_vendor_dearer_or_forbidden() {
    let (a, b) = (Vendor::openai(Say::Text("a")).await, Vendor::openai(Say::Text("b")).await);
    let config = two(&a.url(), &b.url()).route("chat", &["a/x", "b/y"]).route("only-a", &["a/x"]).more(
        "models: { a/x: { input_per_mtok: 1000, output_per_mtok: 1000 }, b/y: { input_per_mtok: 3000, output_per_mtok: 3000 } }",
    );
    let home = Home::new(&capped(config, 1_000_000).text());
    let gateway = home.serve();
    for number in 0..40 {
        ask(&gateway, if number % 4 == 3 { "only-a" } else { "chat" }).await.expect(200);
    }
    gateway.stop();
    let simulate = |args: &[&str]| home.json(&[&["share", "simulate", "--days", "30"], args].concat());
    let same = simulate(&[]);
    assert_eq!((&same["moved"], &same["after"]["refused"]), (&json!(0), &json!(0)), "{same:#}");
    assert_eq!(same["before"]["cost_micros"], same["after"]["cost_micros"]);
    let without = simulate(&["--without", "a"]);
    assert_eq!((&without["calls"], &without["moved"]), (&json!(40), &json!(40)), "{without:#}");
    let after = &without["after"];
    assert_eq!((&after["served"], &after["refused"]), (&json!(30), &json!(10)), "{without:#}");
    assert_eq!(after["targets"][0]["target"], "b/y");
    let each = same["before"]["cost_micros"].as_i64().expect("a number") / 40;
    assert_eq!(after["cost_micros"], json!(each * 3 * 30), "at the other's price: {without:#}");
    assert!(same["before"]["timing"]["p99_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{same:#}");
    assert_eq!(simulate(&["--forbid", "a"])["after"]["refused"], json!(10));
    let dearer = simulate(&["--price", "a=×2.5"]);
    assert_eq!(dearer["after"]["cost_micros"], json!(each * 100), "{dearer:#}");
    assert_eq!(home.run(&["share", "simulate", "--without", "nobody"]).code, Some(2));
    assert_eq!(home.run(&["share", "simulate", "--price", "a=dear"]).code, Some(2));
    assert!(home.ok(&["share", "simulate", "--without", "a"]).contains("would be"), "for people too");
    // With a cap that bites, the replay keeps it.
    home.configure(
        &capped(two(&a.url(), &b.url()).route("chat", &["a/x", "b/y"]).route("only-a", &["a/x"]), 100).text(),
    );
    let capped = simulate(&[]);
    let targets = capped["after"]["targets"].as_array().expect("a list");
    let share = targets.iter().find(|line| line["target"] == "a/x").and_then(|line| line["share"].as_f64());
    assert!(share.is_some_and(|share| share <= 0.7 + TOKENS / 700.0), "{capped:#}");
}

#[test]
fn a_cap_that_cannot_be_kept_is_a_breach_and_one_that_depends_is_a_note() {
    let url = "http://127.0.0.1:9".to_owned();
    let both = || {
        Config::warn()
            .vendor("a", "openai", &url)
            .vendor_with("resold", &format!("kind: openai_compatible, base_url: \"{url}/v1\", operated_by: a"))
            .vendor("b", "openai", &url)
            .vendor_with("own", &format!("kind: openai_compatible, base_url: \"{url}/v1\", self_hosted: true"))
    };
    let said = |config: Config, cap: &str| home_says(&config.more(&format!("share_cap: {{ {cap} }}")).text());
    let cannot = "this cannot be kept";
    assert!(said(both().route("r", &["a/x", "resold/y"]), "max: 0.7").contains(cannot));
    assert!(said(both().route("r", &["a/x", "b/y"]), "max: 0.4").contains(cannot));
    assert!(!said(both().route("r", &["a/x", "b/y"]), "max: 0.5").contains(cannot));
    assert!(!said(both().route("r", &["a/x", "own/y"]), "max: 0.4").contains(cannot));
    let note = said(both().route("r", &["a/x", "b/y"]).route("lone", &["a/x"]), "max: 0.7");
    assert!(!note.contains(cannot) && note.contains("routes.lone.targets: by itself this route cannot"), "{note}");
    let unpriced = said(both().route("r", &["a/x", "b/y"]), "unit: cost");
    assert!(unpriced.contains("`a/x` has no known price"), "{unpriced}");
    let wrong = said(both().route("r", &["a/x", "b/y"]), "max: 0.6, soft: 0.7");
    assert!(wrong.contains("share_cap.soft"), "{wrong}");
}

fn home_says(config: &str) -> String {
    Home::new(config).run(&["check"]).said()
}
