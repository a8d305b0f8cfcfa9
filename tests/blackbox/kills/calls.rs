//! A gateway that dies at a write while it answers, and while it starts: the ledger has what callers have, once.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use super::shim::{Death, How, doomed};
use crate::{
    client::question,
    config::{Config, QUICK},
    gateway::Gateway,
    home::Home,
    ledger::Rows,
    vendor::{Say, Vendor},
};

/// Which writes are the last, from the first call on: more are made while a journal is being carried over.
const CALLING: [u64; 8] = [1, 2, 3, 4, 7, 14, 28, 55];
/// And from the start on, with a state directory that has nothing yet: about three hundred.
const STARTING: [u64; 8] = [1, 19, 37, 71, 113, 179, 241, 283];

/// With a place where checkpoints of the audit log are published, below the directory that is watched.
fn home(vendor: &Vendor) -> Home {
    let price = "models: { near/fake-1: { input_per_mtok: 1.0, output_per_mtok: 2.0 } }";
    let config = Config::warn()
        .vendor("near", "openai", &vendor.url())
        .route_with("chat", &["near/fake-1"], &format!("deadlines: {QUICK}"))
        .more(price);
    let home = Home::new(&config.text());
    let published = home.path().join("state/published");
    fs::create_dir_all(&published).expect("the temporary directory can be written");
    let audit = format!("audit: {{ every: 1s, publish: [{{ kind: file, dir: {} }}] }}", published.display());
    home.configure(&config.more(&audit).text());
    home
}

fn how(at: u64) -> How {
    if at.is_multiple_of(2) { How::Before } else { How::Torn }
}

/// The log is whole, also under every checkpoint that was published, and the sums are those of the rows.
fn whole(home: &Home, at: u64) -> Rows {
    let published = fs::read_dir(home.state().join("published")).expect("it was made").flatten();
    for path in
        published.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "checkpoint"))
    {
        home.ok(&["audit", "verify", "--checkpoint", path.to_str().expect("is text")]);
    }
    home.ok(&["audit", "verify"]);
    let rows = Rows::of(home);
    let used = home.json(&["usage", "--by", "tenant"]);
    let sum =
        |field: &str| -> u64 { used.as_array().expect("a list").iter().filter_map(|row| row[field].as_u64()).sum() };
    assert_eq!(sum("calls"), rows.count() as u64, "the sums are not those of the rows after {at}: {used}");
    rows
}

/// Calls one after the other, whole and streamed, until the gateway is gone; the ids of those that were answered.
async fn call_until_it_dies(gateway: &Gateway) -> Vec<String> {
    let client = gateway.client();
    let mut answered = Vec::new();
    for number in 0..2_000_usize {
        let mut body = question("chat", "hi");
        body["stream"] = json!(number.is_multiple_of(2));
        let Ok(response) = client.post("/v1/chat/completions", &body).send().await else { return answered };
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let (Some(id), Ok(text)) = (id, response.text().await) else { return answered };
        if text.contains("[DONE]") || text.contains("\"stop\"") {
            answered.push(id);
        }
    }
    panic!("two thousand calls, and it did not die:\n{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_answered_is_in_the_ledger_once() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = home(&vendor);
    let key = home.key();
    let (mut all, begin) = (Vec::new(), home.path().join("begin"));
    // On a slow machine what a gateway writes by itself may be all that it comes to; then it is given more.
    for at in CALLING.into_iter().chain([110, 220, 440]) {
        if at > CALLING[CALLING.len() - 1] && !all.is_empty() {
            break;
        }
        let _ = fs::remove_file(&begin);
        let death = Death { at, how: how(at) };
        let command = doomed(home.command(&["serve"]), home.state(), Some(death), Some(&begin));
        let mut gateway = Gateway::start(command, Some(key.clone()));
        fs::write(&begin, "").expect("the temporary directory can be written");
        all.extend(call_until_it_dies(&gateway).await);
        assert!(!gateway.wait().success(), "it ended by itself");
        tokio::task::block_in_place(|| {
            Gateway::start(home.command(&["serve"]), Some(key.clone())).stop();
            let rows = whole(&home, at);
            all.iter().for_each(|id| assert_eq!(rows.only(id)["ending"], "answered"));
            assert_eq!(home.json(&["calls", "list", "--ending", "open"]), json!([]), "a call is still open after {at}");
        });
    }
    assert!(!all.is_empty(), "nobody was ever answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_dies_is_followed_by_one_that_serves() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = home(&vendor);
    let mut died = 0;
    for at in STARTING {
        for entry in fs::read_dir(home.state()).expect("it is there").flatten() {
            let gone =
                if entry.path().is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            gone.expect("it is ours");
        }
        fs::create_dir(home.state().join("published")).expect("the temporary directory can be written");
        let mut command = doomed(home.command(&["serve"]), home.state(), Some(Death { at, how: how(at) }), None);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("the binary was built");
        // It publishes a checkpoint a second, so that every one of these comes about.
        let ended = tokio::task::spawn_blocking(move || child.wait()).await.expect("waiting does not panic");
        died += usize::from(!ended.expect("a child can be waited for").success());
        let gateway = tokio::task::block_in_place(|| home.serve());
        let answer = gateway.client().chat(&question("chat", "hi")).await.expect(200);
        let id = answer.expect_header("x-request-id").to_owned();
        tokio::task::block_in_place(|| {
            gateway.stop();
            assert_eq!(whole(&home, at).only(&id)["ending"], "answered");
            let keys: Vec<Value> =
                serde_json::from_value(home.json(&["audit", "list", "--action", "audit.key"])).expect("a list");
            assert_eq!(keys.len(), 1, "that the log's key was made is told once: {keys:?}");
        });
    }
    assert_eq!(died, STARTING.len());
}
