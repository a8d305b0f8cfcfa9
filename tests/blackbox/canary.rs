//! A secret and a prompt that must not be found again: not in logs, traces, errors, metrics, lists or the state directory.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    client::{anthropic_question, question},
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

const SECRET: &str = "sk-canary-7f3a9c51d2e84b60";
const PROMPT: &str = "canary-prompt-5b1e0f";
const ANSWER: &str = "canary-answer-c90d77";

/// The canary as it is and in the forms that an encoder would give it.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let encoded = STANDARD.encode(canary);
    vec![
        canary.as_bytes().to_vec(),
        hex::encode(canary).into_bytes(),
        encoded.trim_end_matches('=').as_bytes().to_vec(),
        canary.bytes().rev().collect(),
    ]
}

fn holds(haystack: &[u8], canary: &str) -> bool {
    forms(canary).iter().any(|form| haystack.windows(form.len()).any(|window| window == form))
}

/// Where each canary was found, in words.
fn found(what: &str, haystack: &[u8], canaries: &[&str]) -> Vec<String> {
    let text = String::from_utf8_lossy(haystack);
    let place = |canary: &str| {
        let line = text.lines().find(|line| holds(line.as_bytes(), canary)).unwrap_or("a binary part");
        format!("`{canary}` is in {what}: {line}")
    };
    canaries.iter().filter(|canary| holds(haystack, canary)).map(|canary| place(canary)).collect()
}

fn files(directory: &Path, each: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(directory).expect("a directory of our own") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            files(&path, each);
        } else {
            each(&path, &fs::read(&path).expect("a file of our own"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn neither_the_secret_nor_what_was_said_is_found_anywhere() {
    // Real vendors repeat the key in their errors, and an attacker's would do more.
    let leaky = Vendor::start(|_, seen| {
        let sent = format!("{:?}", seen.headers);
        let message = format!("Incorrect API key provided: {SECRET}. You sent {sent}");
        let error =
            json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": SECRET}});
        match seen.json()["model"].as_str() {
            Some("redirect") => Reply::json_with(302, ("location", &format!("/?key={SECRET}")), &error),
            Some("in-200") => Reply::json(200, &error),
            Some(status) => Reply::json(status.parse().expect("a status"), &error),
            None => Reply::Silence,
        }
    })
    .await;
    let good = Vendor::openai(Say::Text(ANSWER)).await;
    let collector = Vendor::start(|_, _| Reply::json(200, &json!({}))).await;
    let cases = ["400", "401", "403", "404", "422", "429", "500", "redirect", "in-200"];
    let mut config = Config::warn().vendor("good", "openai", &good.url()).route("fine", &["good/fake-1"]);
    for case in cases {
        config = config.vendor(&format!("leaky-{case}"), "openai", &leaky.url());
        config = config.route(case, &[&format!("leaky-{case}/{case}")]);
    }
    let telemetry =
        format!("telemetry: {{ otlp_endpoint: \"{}\", log_filter: trace, log_format: json }}", collector.url());
    let home = Home::new(&config.more(&telemetry).text());
    let mut said = String::new();
    for name in cases.iter().map(|case| format!("leaky-{case}")).chain(["good".to_owned()]) {
        let ran = home.run_with(&["vault", "set", &name], SECRET);
        said.push_str(&ran.said());
        ran.expect_success(&["vault", "set"]);
    }
    let gateway = home.serve();
    let mut answers = String::new();
    for case in cases {
        let answer = gateway.client().chat(&question(case, PROMPT)).await;
        assert_ne!(answer.status, 200, "{case}: {answer:?}");
        answers.push_str(&format!("{answer:?}\n"));
        let answer = gateway.client().messages(&anthropic_question(case, PROMPT)).await;
        answers.push_str(&format!("{answer:?}\n"));
    }
    let mut streamed = question("fine", PROMPT);
    streamed["stream"] = json!(true);
    gateway.client().chat(&question("fine", PROMPT)).await.expect(200);
    gateway.client().chat(&streamed).await.expect(200);
    let wrong = gateway.client().with_key(SECRET).chat(&question("fine", PROMPT)).await.expect(401);
    answers.push_str(&format!("{wrong:?}\n"));
    assert!(leaky.seen().iter().all(|seen| seen.header("authorization") == Some(&format!("Bearer {SECRET}"))));
    let mut leaks = found("the answers and their headers", answers.as_bytes(), &[SECRET]);
    let metrics = gateway.client().get("/metrics").await.body + &gateway.client().get("/readyz").await.body;
    leaks.extend(found("the metrics", metrics.as_bytes(), &[SECRET, PROMPT, ANSWER]));
    let key = gateway.key().to_owned();
    let log = gateway.stop();
    assert!(log.len() > 1000, "at `trace` there should be much to grep");
    leaks.extend(found("the log", log.as_bytes(), &[SECRET, PROMPT, ANSWER, &key]));

    let traces: Vec<u8> = collector.seen().into_iter().flat_map(|seen| seen.body).collect();
    assert!(!traces.is_empty(), "spans were exported before the end");
    leaks.extend(found("the traces", &traces, &[SECRET, PROMPT, ANSWER, &key]));
    for list in [&["vault", "list"][..], &["calls", "list"], &["usage"], &["keys", "list"], &["tenants", "list"]] {
        said.push_str(&home.run(&[list, &["--json"]].concat()).said());
    }
    said.push_str(&home.run(&["check"]).said());
    said.push_str(&home.run(&["vault", "list"]).said());
    leaks.extend(found("what the verbs print", said.as_bytes(), &[SECRET, PROMPT, ANSWER, &key]));
    assert!(said.contains("4b60"), "the last four are shown, so that a secret can be recognised: {said}");
    let mut count = 0;
    files(home.state(), &mut |path, bytes| {
        count += 1;
        leaks.extend(found(&path.display().to_string(), bytes, &[SECRET, PROMPT, ANSWER, &key]));
    });
    assert!(count > 3, "the state directory has files to grep");
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}

#[test]
fn the_grep_finds_what_it_looks_for() {
    for haystack in [SECRET.to_owned(), hex::encode(SECRET), STANDARD.encode(SECRET)] {
        assert!(holds(format!("before {haystack} after").as_bytes(), SECRET));
    }
    assert!(!holds(b"nothing here", SECRET));
}

#[test]
fn a_secret_written_into_the_config_is_refused_and_not_repeated() {
    let config = Config::warn().vendor("near", "openai", "http://127.0.0.1:9").route("chat", &["near/x"]).text();
    let home = Home::new(&config.replace("kind: openai,", &format!("kind: openai, api_key: {SECRET},")));
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("api_key") && said.contains("vault"), "{said}");
    assert_eq!(found("what check prints", said.as_bytes(), &[SECRET]), [""; 0]);
}

#[test]
fn a_secret_in_the_environment_is_not_read() {
    let home = Home::new(&Config::warn().text());
    let mut command = home.command(&["vault", "list", "--json"]);
    for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "BACKSTOP_OPENAI_API_KEY"] {
        command.env(name, SECRET);
    }
    let ran = super::home::finish(command, "", std::time::Duration::from_secs(20));
    let listed = ran.expect_success(&["vault", "list"]);
    assert!(!listed.contains("4b60") && !listed.contains("openai"), "{listed}");
}

#[test]
fn the_state_directory_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new(&Config::warn().text());
    home.secret("near", SECRET);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(home.state()), 0o700);
    files(&home.state().join("vault"), &mut |path, _| assert_eq!(mode(path), 0o600, "{}", path.display()));
}
